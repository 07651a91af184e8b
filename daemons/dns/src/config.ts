// The DNS daemon's configuration: one YAML file, checked whole. Every problem is reported, each with its path and what to write.

import { isIP } from 'node:net';
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

const dnsConfig = z.strictObject({
  region: name,
  /** The unsigned child zone; this beacon serves `<region>.<zone>`. */
  zone: z.string('write a domain').max(120, 'use at most 120 characters: a nonce, a lease and a region come before it').regex(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain in lower case, without a dot at its end'),
  listen: endpoint,
  metricsListen: endpoint,
  /** What resolvers are told to find this name server at. */
  addresses: z.array(address).min(1, 'name at least one address').max(8, 'name at most 8 addresses'),
  leases: z.array(z.strictObject({ name, controllerSocket: socketPath })).min(1, 'name at least one lease').max(64, 'name at most 64 leases'),
  /** The region's key, whose public half the specification names under `spec.dns.attestation.publicKeys`. */
  privateKeyFile: absolute,
  askIntervalMs: count(10, 10_000, 100),
  rateLimit: z.strictObject({ perSecond: count(1, 1_000_000, 200), burst: count(1, 1_000_000, 400) }).default({ perSecond: 200, burst: 400 }),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error'], 'use trace, debug, info, warn or error').default('info'),
});

export type DnsConfig = z.infer<typeof dnsConfig>;
export type ConfigProblem = { readonly path: string; readonly fix: string };
export type ParsedConfig = { readonly ok: true; readonly config: DnsConfig } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export function parseConfig(text: string): ParsedConfig {
  const document = parseDocument(text, { strict: true, uniqueKeys: true });
  const [syntax] = document.errors;
  // The parser's own words quote the file, which may hold a secret by mistake: only where it is goes out.
  if (syntax !== undefined) return { ok: false, problems: [{ path: `line ${syntax.linePos?.[0].line ?? 1}`, fix: 'write valid YAML' }] };
  const raw: unknown = document.toJS({ maxAliasCount: 0 });
  const parsed = dnsConfig.safeParse(raw);
  const problems = parsed.success ? repeatedLeases(parsed.data) : parsed.error.issues.flatMap(explain);
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

function repeatedLeases({ leases }: DnsConfig): ConfigProblem[] {
  const names = leases.map((one) => one.name);
  return new Set(names).size === names.length ? [] : [{ path: 'leases', fix: 'name each lease once' }];
}
