// The DNS daemon's configuration: one YAML file, checked whole. Every problem is reported, each with its path and what to write.

import { isIP } from 'node:net';
import { PDNS_VERSIONS } from '@continuum/core';
import { absolutePath, apiUrl, endpoint, logLevel, parseConfigFile, problemAt, readable, socketPath } from '@continuum/wire/config-file';
import type { ConfigFile, ConfigProblem, LineOf } from '@continuum/wire/config-file';
import { z } from 'zod';

const name = z.string('write a name').regex(/^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/, 'use 1 to 31 of a-z, 0-9 and inner hyphens');
const address = z.string('write an IP address').refine((text) => isIP(text) !== 0, 'use an IPv4 or IPv6 address');
const count = (least: number, most: number, fallback: number) =>
  z.number(`use ${least} to ${most}`).int('use a whole number').min(least, `use at least ${least}`).max(most, `use at most ${most}`).default(fallback);

const domain = z.string('write a domain').max(253).regex(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain in lower case, without a dot at its end');
const api = { apiUrl, apiKeyFile: absolutePath('the key of that API') };

const beacon = z.strictObject({
  /** The unsigned child zone; this beacon serves `<region>.<zone>`. */
  zone: domain.max(120, 'use at most 120 characters: a nonce, a lease and a region come before it'),
  listen: endpoint('where questions arrive'),
  /** What resolvers are told to find this name server at. */
  addresses: z.array(address).min(1, 'name at least one address').max(8, 'name at most 8 addresses'),
  /** The region's key, whose public half the specification names under `spec.dns.attestation.publicKeys`. */
  privateKeyFile: absolutePath('the private key'),
  rateLimit: z.strictObject({ perSecond: count(1, 1_000_000, 200), burst: count(1, 1_000_000, 400) }).default({ perSecond: 200, burst: 400 }),
});

const published = {
  /** The controller's specification, or one of kind ContinuumNames. */
  specFile: absolutePath('the specification'),
  /** What was published last is kept here, so that a restart neither repeats nor forgets anything. */
  stateDir: absolutePath('a folder of this daemon'),
  compareIntervalMs: count(100, 3_600_000, 30_000),
};

const publish = z.discriminatedUnion(
  'publisher',
  [
    z.strictObject({
      publisher: z.literal('powerdns'),
      ...published,
      servers: z
        .array(
          z.strictObject({
            name,
            ...api,
            /** Where the same server answers DNS. */
            authority: endpoint('where it answers'),
            /** Servers that read the same database: told to forget what they cached. */
            sharing: z.array(z.strictObject(api)).max(16, 'name at most 16 servers').default([]),
          }),
        )
        .min(1, 'name at least one server')
        .max(16, 'name at most 16 servers'),
    }),
    z.strictObject({
      publisher: z.literal('pdm'),
      ...published,
      manager: z.strictObject({
        url: apiUrl,
        tokenFile: absolutePath('the token'),
        /** What its name servers run: nobody asks them. */
        pdns: z.enum(PDNS_VERSIONS, `use one of ${PDNS_VERSIONS.join(', ')}`),
        /** Some of them, to see what is answered; without any the manager's word is all there is. */
        authorities: z.array(endpoint('each')).max(16, 'name at most 16').default([]),
      }),
    }),
  ],
  'use publisher: powerdns or pdm',
);

const dnsConfig = z.strictObject({
  region: name,
  metricsListen: endpoint('where metrics are read'),
  /** Whose controllers this daemon listens to: to attest what they hold, and to time how fast DNS follows them. */
  leases: z.array(z.strictObject({ name, controllerSocket: socketPath("the controller's unix socket") })).max(64, 'name at most 64 leases').default([]),
  askIntervalMs: count(10, 10_000, 100),
  beacon: beacon.optional(),
  publish: publish.optional(),
  logLevel,
});

export type DnsConfig = z.infer<typeof dnsConfig>;
export type BeaconConfig = z.infer<typeof beacon>;
export type PublishConfig = z.infer<typeof publish>;
export function parseConfig(text: string): ConfigFile<DnsConfig> {
  return parseConfigFile(text, dnsConfig, relations);
}

/** What relates one part of the file to another, once each part is as it must be. */
function relations(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const config = readable(dnsConfig, raw, []);
  if (config === null) return [];
  const { leases, beacon: serves, publish: writes } = config;
  const problems: ConfigProblem[] = [];
  const add = (path: readonly string[], fix: string): void => void problems.push(problemAt(path, fix, raw, lineOf));
  const repeated = (items: readonly { readonly name: string }[]): boolean => new Set(items.map((one) => one.name)).size !== items.length;
  if (repeated(leases)) add(['leases'], 'name each lease once');
  if (serves === undefined && writes === undefined) add([], 'give beacon, publish or both: there is nothing to do otherwise');
  if (serves !== undefined && leases.length === 0) add(['leases'], 'name at least one lease: a beacon attests what a controller holds');
  if (writes?.publisher === 'powerdns' && repeated(writes.servers)) add(['publish', 'servers'], 'give each server its own name');
  return problems;
}
