// A Continuum specification: the one YAML file of the standalone mode, with the same `spec` as the custom resource. All
// problems are found in one pass, each with its path, its value and how to mend it; a key that nobody knows is a problem.

import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { checkTimings, deriveTimings, regionId, RTO_MS_MAX, RTO_MS_MIN } from '@continuum/core';
import type { Policy, Timings } from '@continuum/core';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';

export const API_VERSION = 'continuum.dev/v1alpha1';

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m)$/;
const UNIT_MS = { ms: 1, s: 1_000, m: 60_000 } as const;

const duration = z
  .string('use a duration such as 500ms, 10s or 1m')
  .regex(DURATION, 'use a duration such as 500ms, 10s or 1m')
  .transform((text) => {
    const [, amount, unit] = DURATION.exec(text) as unknown as [string, string, keyof typeof UNIT_MS];
    return Math.round(Number(amount) * UNIT_MS[unit]);
  });
const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/, 'use 1 to 31 of a-z, 0-9 and -');
const address = z.string().refine((text) => isIP(text) !== 0, 'use an IPv4 or IPv6 address');
const port = z.number('use a port number').int('use a whole number').min(1, 'use 1 to 65535').max(65_535, 'use 1 to 65535');
const host = z.string().min(1, 'name a host').max(253).regex(/^[A-Za-z0-9.:_-]+$/, 'use a host name or an address');
const file = z.string().min(1, 'name a file').max(4_096);
const hostname = z.string().max(253).regex(/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain name in lower case, without a dot at its end');
const httpUrl = z.url({ protocol: /^https?$/, error: 'use an http or https URL' });

const region = z.strictObject({
  name,
  gateway: z.strictObject({ address, port }),
  database: z.strictObject({ host, port }),
});

const timings = z.strictObject({
  ttl: duration.optional(),
  renew: duration.optional(),
  guard: duration.optional(),
  command: duration.optional(),
  promoteBudget: duration.optional(),
  holdMax: duration.optional(),
  drain: duration.optional(),
  standbyLoss: duration.optional(),
  standbyStable: duration.optional(),
  holdDown: duration.optional(),
  dnsTtlSeconds: z.number().int().min(0).max(3_600).optional(),
});

const spec = z.strictObject({
  placement: z.literal('active-hotstandby', 'use active-hotstandby: the other placements need no lease and no controller'),
  mode: z.enum(['automatic', 'semi-automatic', 'manual'], 'use automatic, semi-automatic or manual'),
  objective: z.strictObject({
    rto: duration.pipe(
      z.number().min(RTO_MS_MIN, `use at least ${RTO_MS_MIN} ms`).max(RTO_MS_MAX, `use at most ${RTO_MS_MAX} ms`),
    ),
  }),
  timings: timings.default({}),
  regions: z.array(region).length(2, 'name two regions'),
  database: z.strictObject({ kind: z.literal('postgres', 'use postgres') }),
  gateway: z.strictObject({ kind: z.literal('envoy', 'use envoy') }),
  dns: z.strictObject({
    name: hostname,
    resolvers: z
      .array(z.strictObject({ name: z.string().min(1).max(64), address, port: port.default(53) }))
      .length(3, 'name three resolvers: two of three decide'),
  }),
  witness: z.strictObject({
    url: httpUrl,
    lease: name,
    /** The witness's public keys by key id. */
    publicKeys: z.record(z.string().min(1).max(64), z.string().min(1).max(200)),
  }),
});

const local = z.strictObject({
  region: name,
  stateDir: file,
  api: z.strictObject({ address, port, tokenFile: file }),
  witness: z.strictObject({ keyId: z.string().min(3).max(64), privateKeyFile: file }),
  gate: z.strictObject({ socket: file }),
  gateway: z.strictObject({
    routeFile: file,
    admin: z.strictObject({ address, port }),
    /** Longest time the application takes for one request. */
    appTimeout: duration.default(15_000),
    /** The gate's own bound on a hold, as in its configuration. */
    holdLimit: duration.default(15_000),
  }),
  database: z.strictObject({
    binDir: file,
    dataDir: file,
    logFile: file,
    passFile: file,
    /** As root: the unprivileged user that PostgreSQL runs as. */
    runAs: z.strictObject({ uid: z.number().int().min(1), gid: z.number().int().min(1) }).optional(),
    libraryPath: z.string().max(4_096).optional(),
  }),
});

const document = z.strictObject({
  apiVersion: z.literal(API_VERSION, `use ${API_VERSION}`),
  kind: z.literal('Continuum', 'use Continuum'),
  metadata: z.strictObject({ name }),
  spec,
  local,
});

export type ContinuumConfig = z.infer<typeof document>;

/** One thing wrong with a configuration. */
export type ConfigProblem = {
  /** Dotted, for example `spec.regions[1].gateway.port`. */
  readonly path: string;
  /** What is there, shortened; `(nothing)` when it is missing. */
  readonly value: string;
  readonly fix: string;
  /** Line in the file, from 1; null when the key is missing. */
  readonly line: number | null;
};

export type ParsedConfig =
  | { readonly ok: true; readonly config: ContinuumConfig; readonly policy: Policy }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const FIELD_OF: Partial<Record<string, string>> = {
  ttlMs: 'spec.timings.ttl',
  renewMs: 'spec.timings.renew',
  guardMs: 'spec.timings.guard',
  commandMs: 'spec.timings.command',
  dnsTtlSeconds: 'spec.timings.dnsTtlSeconds',
  'objective.rto': 'spec.objective.rto',
};

/** Parses a specification. Reports every problem at once; a value under a key that names a secret is never quoted. */
export function parseConfig(text: string): ParsedConfig {
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, strict: true, uniqueKeys: true });
  if (yaml.errors.length > 0) {
    const problems = yaml.errors.map((error) => ({
      path: '(file)',
      value: 'not YAML',
      fix: error.message.split('\n')[0] ?? 'use YAML',
      line: error.linePos?.[0].line ?? null,
    }));
    return { ok: false, problems };
  }
  const raw: unknown = yaml.toJS({ maxAliasCount: 0 });
  const parsed = document.safeParse(raw);
  const lineOf = (path: readonly PropertyKey[]): number | null => {
    const node: unknown = yaml.getIn(path as readonly unknown[], true);
    const range = node !== null && typeof node === 'object' && 'range' in node ? (node.range as number[] | null) : null;
    return range?.[0] === undefined ? null : lines.linePos(range[0]).line;
  };
  if (!parsed.success) {
    return { ok: false, problems: parsed.error.issues.flatMap((issue) => describe(issue, raw, lineOf)) };
  }
  const config = parsed.data;
  const problems = crossChecks(config, lineOf);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config, policy: policyOf(config) };
}

/** The problems as an operator reads them. */
export function formatProblems(file: string, problems: readonly ConfigProblem[]): string {
  const rows = problems.map(
    (one) => `  ${file}${one.line === null ? '' : `:${one.line}`}  ${one.path} = ${one.value}\n      ${one.fix}`,
  );
  return `${problems.length} problem${problems.length === 1 ? '' : 's'} in ${file}\n${rows.join('\n')}`;
}

/** The timings of a configuration: derived from the objective, each replaced by the one set by hand. */
export function timingsOf(config: ContinuumConfig): Timings {
  const set = config.spec.timings;
  const given: Record<string, number | undefined> = {
    ttlMs: set.ttl,
    renewMs: set.renew,
    guardMs: set.guard,
    commandMs: set.command,
    promoteBudgetMs: set.promoteBudget,
    holdMsMax: set.holdMax,
    drainMs: set.drain,
    standbyLossMs: set.standbyLoss,
    standbyStableMs: set.standbyStable,
    holdDownMs: set.holdDown,
    dnsTtlSeconds: set.dnsTtlSeconds,
  };
  const overrides = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return deriveTimings(config.spec.objective.rto, overrides as Partial<Timings>);
}

function policyOf(config: ContinuumConfig): Policy {
  const { spec: given } = config;
  return {
    name: config.metadata.name,
    region: regionId(config.local.region),
    regions: given.regions.map((one) => regionId(one.name)),
    databases: Object.fromEntries(given.regions.map((one) => [one.name, `${one.database.host}:${one.database.port}`])),
    mode: given.mode,
    timings: timingsOf(config),
    hash: createHash('sha256').update(JSON.stringify(given)).digest('hex').slice(0, 16),
  };
}

function crossChecks(config: ContinuumConfig, lineOf: (path: readonly PropertyKey[]) => number | null): ConfigProblem[] {
  const { spec: given, local: own } = config;
  const problems: ConfigProblem[] = [];
  const names = given.regions.map((one) => one.name);
  const add = (path: readonly PropertyKey[], value: string, fix: string): void => {
    problems.push({ path: dotted(path), value, fix, line: lineOf(path) });
  };
  if (new Set(names).size !== names.length) add(['spec', 'regions'], names.join(', '), 'give each region its own name');
  if (!names.includes(own.region)) add(['local', 'region'], own.region, `use one of ${names.join(', ')}`);
  if (!own.witness.keyId.startsWith(`${own.region}/`)) {
    add(['local', 'witness', 'keyId'], own.witness.keyId, `use a key of region ${own.region}: ${own.region}/<label>`);
  }
  if (Object.keys(given.witness.publicKeys).length === 0) {
    add(['spec', 'witness', 'publicKeys'], '{}', 'pin at least one public key of the witness');
  }
  for (const problem of checkTimings(timingsOf(config), given.objective.rto)) {
    const path = FIELD_OF[problem.field] ?? `spec.timings.${problem.field}`;
    const value = problem.field === 'dnsTtlSeconds' ? `${problem.value} s` : `${problem.value} ms`;
    problems.push({ path, value, fix: problem.problem, line: lineOf(path.split('.')) });
  }
  return problems;
}

function describe(
  issue: z.core.$ZodIssue,
  raw: unknown,
  lineOf: (path: readonly PropertyKey[]) => number | null,
): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      return { path: dotted(path), value: shown(path, raw), fix: 'unknown key: remove it, or correct its name', line: lineOf(path) };
    });
  }
  return [{ path: dotted(issue.path), value: shown(issue.path, raw), fix: issue.message, line: lineOf(issue.path) }];
}

function dotted(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text === '' ? '(file)' : text.replace(/^\./, '');
}

/** What stands at a path, in short. Values are never quoted where somebody may have put a secret by mistake. */
function shown(path: readonly PropertyKey[], raw: unknown): string {
  let value: unknown = raw;
  for (const key of path) value = value !== null && typeof value === 'object' ? Reflect.get(value, key) : undefined;
  if (value === undefined) return '(nothing)';
  if (/key|token|password|secret/i.test(String(path.at(-1) ?? ''))) return '(not shown)';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
