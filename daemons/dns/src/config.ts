// The DNS daemon's configuration: one YAML file, checked whole. Every problem is reported, each with its path and what to write.

import { isIP } from 'node:net';
import { PDNS_VERSIONS } from '@continuum/core';
import { parseDocument } from 'yaml';
import { z } from 'zod';

const name = z.string('write a name').regex(/^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/, 'use 1 to 31 of a-z, 0-9 and inner hyphens');
const absolute = z.string('write an absolute path').startsWith('/', 'write an absolute path').max(4_096);
/** Linux limits a unix socket's path to 107 bytes and a terminator. */
const socketPath = absolute.refine((path) => Buffer.byteLength(path) <= 107, 'use at most 107 bytes: a unix socket cannot have a longer path');
const address = z.string('write an IP address').refine((text) => isIP(text) !== 0, 'use an IPv4 or IPv6 address');
const endpoint = z.string('write address:port, for example 127.0.0.1:53').transform((text, context) => {
  const at = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = at?.[1] ?? at?.[2] ?? '';
  const port = Number(at?.[3]);
  if (isIP(host) !== 0 && port >= 1 && port <= 65_535) return { host, port };
  context.addIssue({ code: 'custom', message: 'write address:port, for example 127.0.0.1:53 or [::1]:53' });
  return z.NEVER;
});
const count = (least: number, most: number, fallback: number) =>
  z.number(`use ${least} to ${most}`).int('use a whole number').min(least, `use at least ${least}`).max(most, `use at most ${most}`).default(fallback);

const domain = z.string('write a domain').max(253).regex(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain in lower case, without a dot at its end');
/** Whoever can write records of PowerDNS can run code on it, so its key never crosses a network in the clear. */
const apiUrl = z.url({ protocol: /^https?$/, error: 'use an http or https URL' }).refine((text) => isPrivate(text), 'use https, or http on a loopback address: whoever reads the key can run code on the name server');
const api = { apiUrl, apiKeyFile: absolute };

const beacon = z.strictObject({
  /** The unsigned child zone; this beacon serves `<region>.<zone>`. */
  zone: domain.max(120, 'use at most 120 characters: a nonce, a lease and a region come before it'),
  listen: endpoint,
  /** What resolvers are told to find this name server at. */
  addresses: z.array(address).min(1, 'name at least one address').max(8, 'name at most 8 addresses'),
  /** The region's key, whose public half the specification names under `spec.dns.attestation.publicKeys`. */
  privateKeyFile: absolute,
  rateLimit: z.strictObject({ perSecond: count(1, 1_000_000, 200), burst: count(1, 1_000_000, 400) }).default({ perSecond: 200, burst: 400 }),
});

const published = {
  /** The controller's specification, or one of kind ContinuumNames. */
  specFile: absolute,
  /** What was published last is kept here, so that a restart neither repeats nor forgets anything. */
  stateDir: absolute,
  compareIntervalMs: count(100, 3_600_000, 30_000),
  /** Where clients reach a region, when it is not what the specification names: IPv6 beside IPv4, or a balancer before the gateway. */
  regionAddresses: z.record(name, z.array(address).min(1, 'name at least one address').max(16, 'name at most 16 addresses')).default({}),
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
            authority: endpoint,
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
        tokenFile: absolute,
        /** What its name servers run: nobody asks them. */
        pdns: z.enum(PDNS_VERSIONS, `use one of ${PDNS_VERSIONS.join(', ')}`),
        /** Some of them, to see what is answered; without any the manager's word is all there is. */
        authorities: z.array(endpoint).max(16, 'name at most 16').default([]),
      }),
    }),
  ],
  'use publisher: powerdns or pdm',
);

const dnsConfig = z.strictObject({
  region: name,
  metricsListen: endpoint,
  /** Whose controllers this daemon listens to: to attest what they hold, and to time how fast DNS follows them. */
  leases: z.array(z.strictObject({ name, controllerSocket: socketPath })).max(64, 'name at most 64 leases').default([]),
  askIntervalMs: count(10, 10_000, 100),
  beacon: beacon.optional(),
  publish: publish.optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error'], 'use trace, debug, info, warn or error').default('info'),
});

export type DnsConfig = z.infer<typeof dnsConfig>;
export type BeaconConfig = z.infer<typeof beacon>;
export type PublishConfig = z.infer<typeof publish>;
export type ConfigProblem = { readonly path: string; readonly fix: string };
export type ParsedConfig = { readonly ok: true; readonly config: DnsConfig } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export function parseConfig(text: string): ParsedConfig {
  const document = parseDocument(text, { strict: true, uniqueKeys: true });
  const [syntax] = document.errors;
  // The parser's own words quote the file, which may hold a secret by mistake: only where it is goes out.
  if (syntax !== undefined) return { ok: false, problems: [{ path: `line ${syntax.linePos?.[0].line ?? 1}`, fix: 'write valid YAML' }] };
  const raw: unknown = document.toJS({ maxAliasCount: 0 });
  const parsed = dnsConfig.safeParse(raw);
  const problems = parsed.success ? relations(parsed.data) : parsed.error.issues.flatMap(explain);
  return parsed.success && problems.length === 0 ? { ok: true, config: parsed.data } : { ok: false, problems };
}

export function formatProblems(file: string, problems: readonly ConfigProblem[]): string {
  return [`${file}: ${problems.length} problem(s)`, ...problems.map(({ path, fix }) => `  ${path}: ${fix}`)].join('\n');
}

function explain(issue: z.core.$ZodIssue): ConfigProblem[] {
  const at = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ path: at.join('.') || '(file)', fix: issue.message }];
  return issue.keys.map((key) => ({ path: [...at, key].join('.'), fix: 'unknown key: remove it, or correct its name' }));
}

/** What relates one part of the file to another. */
function relations({ leases, beacon: serves, publish: writes }: DnsConfig): ConfigProblem[] {
  const repeated = (names: readonly string[]): boolean => new Set(names).size !== names.length;
  return [
    ...(repeated(leases.map((one) => one.name)) ? [{ path: 'leases', fix: 'name each lease once' }] : []),
    ...(serves === undefined && writes === undefined ? [{ path: '(file)', fix: 'give beacon, publish or both: there is nothing to do otherwise' }] : []),
    ...(serves !== undefined && leases.length === 0 ? [{ path: 'leases', fix: 'name at least one lease: a beacon attests what a controller holds' }] : []),
    ...(writes?.publisher === 'powerdns' && repeated(writes.servers.map((one) => one.name)) ? [{ path: 'publish.servers', fix: 'give each server its own name' }] : []),
  ];
}

function isPrivate(text: string): boolean {
  if (!URL.canParse(text)) return true;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}
