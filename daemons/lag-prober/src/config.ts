// The prober's configuration: one YAML file, checked whole, every problem reported at once. It is read again while the
// prober runs: clusters come and go without a restart; a file with problems changes nothing.

import { absolutePath, endpoint, logLevel, parseConfigFile, socketPath } from '@continuum/wire/config-file';
import type { ConfigFile } from '@continuum/wire/config-file';
import { z } from 'zod';

const CLUSTERS_MAX = 10_000;

const milliseconds = (least: number, most: number) =>
  z
    .number({ error: `write a number of milliseconds from ${least} to ${most}` })
    .int('write whole milliseconds')
    .min(least, `write at least ${least}`)
    .max(most, `write at most ${most}`);
const bytes = z.number({ error: 'write a number of bytes' }).int('write whole bytes').min(0, 'write 0 or more');
const name = (what: string) =>
  z.string({ error: `write ${what}` }).regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, `write ${what} in letters, digits and inner . _ -`);
const port = z.number({ error: 'write a port' }).int('write a port').min(1, 'write a port from 1 to 65535').max(65_535, 'write a port from 1 to 65535');

const sql = z.strictObject({
  host: z.string({ error: 'write a host name or address' }).min(1, 'write a host name or address'),
  port,
  database: z.string().min(1).default('postgres'),
  user: z.string().min(1).default('continuum_prober'),
  passFile: absolutePath('a libpq password file'),
  tls: z
    .strictObject({ caFile: absolutePath('the CA'), certFile: absolutePath('the client certificate').optional(), keyFile: absolutePath('its key').optional(), serverName: z.string().min(1).optional() })
    .refine((tls) => (tls.certFile === undefined) === (tls.keyFile === undefined), 'write both certFile and keyFile, or neither')
    .optional(),
});

const end = z
  .strictObject({
    name: name('the name of this end'),
    applicationName: z.string().min(1).max(63).optional(),
    slot: z.string().min(1).max(63).optional(),
    sql: sql.optional(),
    exporter: z.strictObject({ url: z.url({ protocol: /^https?$/, error: 'write the http address of /metrics' }) }).optional(),
  })
  .refine((one) => (one.sql === undefined) !== (one.exporter === undefined), 'write either sql or exporter');

const limits = z.strictObject({
  lossMaxBytes: bytes.default(16 * 1024 * 1024),
  lossMaxMs: milliseconds(0, 86_400_000).default(5_000),
  replayLagMaxBytes: bytes.default(64 * 1024 * 1024),
  replayLagMaxMs: milliseconds(0, 86_400_000).default(10_000),
  /** Behind, and not a byte for so long: stalled. A slow link needs more than a message of 128 kB takes on it. */
  stallMinMs: milliseconds(10, 600_000).optional(),
});

const looks = (fallback: number) => z.number().int('write whole looks').min(1, 'write 1 or more').max(100, 'write at most 100').default(fallback);

const cluster = z
  .strictObject({
    name: name('the name of this cluster'),
    intervalMs: milliseconds(50, 60_000).optional(),
    canary: z.boolean().default(false),
    limits: limits.prefault({}),
    thresholds: z.strictObject({ up: looks(3), ok: looks(3), down: looks(2) }).prefault({}),
    ends: z.array(end).min(2, 'write at least two ends: a primary and a standby').max(16, 'write at most 16 ends'),
  })
  .refine((one) => new Set(one.ends.map((each) => each.name)).size === one.ends.length, 'give each end a name of its own');

const proberConfig = z
  .strictObject({
    listen: endpoint('where reports are read'),
    tokenFile: absolutePath('a file with the bearer token').optional(),
    intervalMs: milliseconds(50, 60_000).default(1_000),
    timeoutMs: milliseconds(20, 60_000).optional(),
    backoffMaxMs: milliseconds(100, 600_000).default(10_000),
    /** A kept connection is renewed at least so often: only a new one shows that the server still takes any. */
    connectionMaxAgeMs: milliseconds(100, 86_400_000).default(300_000),
    historyEntries: z.number().int().min(1, 'write 1 or more').max(86_400, 'write at most 86400').default(600),
    push: z
      .array(
        z.union([
          z.strictObject({ socket: socketPath('a unix socket') }),
          z.strictObject({ address: endpoint('where it listens').refine(({ host }) => host.startsWith('127.') || host === '::1', 'write a loopback address: nothing protects this connection') }),
        ], { error: 'write either socket: /path or address: 127.0.0.1:port' }),
      )
      .max(16, 'write at most 16')
      .default([]),
    peers: z
      .strictObject({
        self: name('the name of this prober'),
        members: z.array(z.strictObject({ name: name('the name of a prober'), url: z.url({ protocol: /^https?$/, error: 'write its http address' }) })).min(1).max(1_000),
      })
      .refine(({ self, members }) => members.some((one) => one.name === self), 'name this prober among the members')
      .optional(),
    clusters: z.array(cluster).max(CLUSTERS_MAX, `write at most ${CLUSTERS_MAX} clusters`),
    logLevel,
  })
  .refine((one) => new Set(one.clusters.map((each) => each.name)).size === one.clusters.length, { path: ['clusters'], message: 'give each cluster a name of its own' });

export type ProberConfig = z.infer<typeof proberConfig>;
export type ClusterConfig = ProberConfig['clusters'][number];
export type EndConfig = ClusterConfig['ends'][number];

export function parseConfig(text: string): ConfigFile<ProberConfig> {
  return parseConfigFile(text, proberConfig);
}
