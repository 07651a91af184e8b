// A Continuum specification: the one YAML file of the standalone mode, with the same `spec` as the custom resource. All
// problems are found in one pass, each with its path, its value and how to mend it; a key that nobody knows is a problem.

import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { canonicalIpAddress, checkTimings, deriveTimings, regionId, RTO_MS_MAX, RTO_MS_MIN } from '@continuum/core';
import type { Policy, Timings } from '@continuum/core';
import { z } from 'zod';
import { attestation, attestationProblems, DEFAULT_RESOLVERS, fallbackOf } from './attestation-spec.ts';
import { absolutePath, dotted, isPrivateUrl, parseConfigFile, readable, shown, socketPath, valueAt } from './config-file.ts';
import type { ConfigProblem, LineOf } from './config-file.ts';
import { KeyError, sharedKeyCheck } from './keys.ts';
import { answeredNames, hostname, namesChecks } from './names-spec.ts';

export { formatProblems } from './config-file.ts';
export type { ConfigProblem } from './config-file.ts';

export const API_VERSION = 'continuum.dev/v1alpha1';

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m)$/;
const UNIT_MS = { ms: 1, s: 1_000, m: 60_000 } as const;
/** Timers of Node take no more than 24.8 days; nothing here needs a day. */
const DURATION_MS_MAX = 86_400_000;

const duration = z
  .string('use a duration such as 500ms, 10s or 1m')
  .regex(DURATION, 'use a duration such as 500ms, 10s or 1m')
  .transform((text) => {
    const [, amount, unit] = DURATION.exec(text) as unknown as [string, string, keyof typeof UNIT_MS];
    return Math.round(Number(amount) * UNIT_MS[unit]);
  })
  .pipe(z.number().max(DURATION_MS_MAX, 'use at most 1440m'));
const someTime = duration.pipe(z.number().min(1, 'use more than nothing'));
const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/, 'use 1 to 31 of a-z, 0-9 and -');
const address = z.string('use an IPv4 or IPv6 address').refine((text) => isIP(text) !== 0 && !text.includes('%'), 'use an IPv4 or IPv6 address, without brackets, port or zone');
/** One that somebody can be found at: 0.0.0.0 is where one listens. */
const place = address.refine((text) => !/^[0:.]+$/.test(text), 'use the address at which it is reached');
const port = z.number('use a port number').int('use a whole number').min(1, 'use 1 to 65535').max(65_535, 'use 1 to 65535');
/** Which of two versions of one specification is the newer: for daemons that publish it, and would otherwise have to guess. */
export const generation = z.number('use a whole number').int('use a whole number').min(0, 'use 0 or more').max(1e15, 'use at most 1e15');
const HOST = 'use a host name or an address; the port stands under port';
const host = z.string(HOST).max(253).refine((text) => /^[A-Za-z0-9._-]+$/.test(text) || isIP(text) === 6, HOST);
const hostKey = z.string().max(253).regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'use the name of a TSIG key in lower case, without a dot at its end');
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'use an http or https URL' })
  .refine((text) => !URL.canParse(text) || isOrigin(new URL(text)), 'use the origin only: no user, no path, no query')
  .refine((text) => !URL.canParse(text) || isPrivateUrl(new URL(text)), 'use https: http is for a loopback address');

const userNumber = z.number('use its number').int('use its number').min(1, 'use an ordinary one: PostgreSQL does not run as root');

const region = z.strictObject({
  name,
  gateway: z.strictObject({ address: place, port }),
  database: z.strictObject({ host, port }),
  /**
   * What the name answers while this region is active, when it is not the gateway's address alone: IPv6 beside IPv4, a balancer before
   * the gateway. Each is probed at the gateway's port.
   */
  addresses: z.array(place).min(1, 'give at least one address, or leave it out for the gateway’s own').max(16, 'give at most 16 addresses').optional(),
});

const resolver = z.strictObject({
  name: z.string().min(1).max(64),
  address: place,
  port: port.default(53),
  /** Who runs it; known for the well-known public ones. */
  vendor: z.string().min(1).max(64).optional(),
  /** DNS over HTTPS at the same resolver. */
  https: z.url({ protocol: /^https$/, error: 'use an https URL' }).optional(),
});

const resolvers = z.array(resolver).length(3, 'name three resolvers: two of three decide').default(() => [...DEFAULT_RESOLVERS]);

const timings = z.strictObject({
  ttl: someTime.optional(),
  renew: someTime.optional(),
  guard: duration.optional(),
  command: someTime.optional(),
  promoteBudget: someTime.optional(),
  holdMax: someTime.optional(),
  drain: duration.optional(),
  standbyLoss: someTime.optional(),
  standbyStable: duration.optional(),
  holdDown: duration.optional(),
  /** How far one round of the resolvers carries a holder that does not hear the witness. */
  hold: someTime.optional(),
  dnsTtlSeconds: z.number().int().min(0).max(3_600).optional(),
});

const registerKind = z.enum(['witness', 'dns'], 'use witness or dns').default('witness');

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
    ...answeredNames,
    resolvers,
    attestation: attestation.optional(),
  }),
  /** What keeps the lease. One register per lease, never two: its own section is given, the other one is not. */
  register: registerKind,
  witness: z
    .strictObject({
      url: httpUrl,
      lease: name,
      /** The witness's public keys by key id. */
      publicKeys: z.record(z.string().min(1).max(64), z.string().min(1).max(200)),
    })
    .optional(),
  /** An authoritative PowerDNS outside all regions. The lease is the TXT record at `<lease>.<zone>`. */
  dnsRegister: z.strictObject({ address: place, port: port.default(53), zone: hostname, lease: name }).optional(),
});

const local = z.strictObject({
  region: name,
  stateDir: absolutePath('the folder for what the controller keeps'),
  api: z.strictObject({ address, port, tokenFile: absolutePath("the file with the API's token") }),
  witness: z.strictObject({ keyId: z.string().min(3).max(64), privateKeyFile: absolutePath("the file with this region's private key") }).optional(),
  /** This region's own TSIG key; the file holds its secret in base64. */
  dnsRegister: z.strictObject({ keyName: hostKey, keyFile: absolutePath('the file with the secret of the TSIG key') }).optional(),
  gate: z.strictObject({ socket: socketPath("the gate's socket") }),
  /** Where a lag prober beside this controller sends its reports. Nothing depends on it. */
  lag: z.strictObject({ socket: socketPath("the lag prober's socket") }).optional(),
  /** Whom to trust for DNS over HTTPS beside the well-known authorities, as PEM. */
  dns: z.strictObject({ caFile: absolutePath('the file with the certificates') }).optional(),
  gateway: z.strictObject({
    routeFile: absolutePath("Envoy's route file"),
    admin: z.strictObject({ address: place, port }),
    /** Longest time the application takes for one request. */
    appTimeout: someTime.default(15_000),
    /** The gate's own bound on a hold, as in its configuration. */
    holdLimit: someTime.default(15_000),
  }),
  database: z.strictObject({
    binDir: absolutePath('the folder of the PostgreSQL programs'),
    dataDir: absolutePath('the data directory').regex(/[^/]$/, 'leave out the slash at its end'),
    logFile: absolutePath('the log of the server'),
    passFile: absolutePath('the libpq password file'),
    /** As root: the unprivileged user that PostgreSQL runs as. */
    runAs: z.strictObject({ uid: userNumber, gid: userNumber }).optional(),
    libraryPath: z.string().max(4_096).optional(),
  }),
});

const document = z.strictObject({
  apiVersion: z.literal(API_VERSION, `use ${API_VERSION}`),
  kind: z.literal('Continuum', 'use Continuum'),
  metadata: z.strictObject({ name, generation: generation.optional() }),
  spec,
  local,
});

export type ContinuumConfig = z.infer<typeof document>;

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

/** Parses a specification, with every problem of the file in one report. */
export function parseConfig(text: string): ParsedConfig {
  const parsed = parseConfigFile(text, document, crossChecks);
  return parsed.ok ? { ...parsed, policy: policyOf(parsed.config) } : parsed;
}

/** The name of the lease, whichever register keeps it. */
export function leaseOf({ spec: given, metadata }: ContinuumConfig): string {
  return given.witness?.lease ?? given.dnsRegister?.lease ?? metadata.name;
}

/** What the name answers while this region is active. */
export function addressesOf({ gateway, addresses }: { readonly gateway: { readonly address: string }; readonly addresses?: readonly string[] | undefined }): readonly string[] {
  return addresses ?? [gateway.address];
}

/** The timings of a configuration: derived from the objective, each replaced by the one set by hand. */
export function timingsOf(config: ContinuumConfig): Timings {
  return deriveFrom(config.spec.objective.rto, config.spec.timings);
}

function deriveFrom(rtoMs: number, set: z.infer<typeof timings>): Timings {
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
  return deriveTimings(rtoMs, overrides as Partial<Timings>);
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
    ...(given.dns.attestation === undefined ? {} : { fallback: fallbackOf(given.dns.resolvers, timingsOf(config).ttlMs, given.timings.hold) }),
  };
}

/** What relates one part of the file to another. Each relation is checked as soon as its own parts can be read. */
function crossChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const add = (path: readonly PropertyKey[], value: string, fix: string): void => {
    problems.push({ path: dotted(path), value, fix, line: lineOf(path) });
  };
  const regions = readable(z.array(z.looseObject({ name })), raw, ['spec', 'regions']);
  const names = regions?.map((one) => one.name) ?? null;
  const reserved = names?.indexOf('witness') ?? -1;
  if (reserved >= 0) add(['spec', 'regions', reserved, 'name'], 'witness', 'use another name: the keys of the witness are witness/<label>');
  if (names !== null && new Set(names).size !== names.length) add(['spec', 'regions'], names.join(', '), 'give each region its own name');
  for (const part of ['gateway', 'database'] as const) {
    const ends = (regions ?? []).map((one) => JSON.stringify(one[part]));
    if (regions?.length === 2 && regions[0]?.[part] !== undefined && ends[0] === ends[1]) {
      add(['spec', 'regions', 1, part], shown(['spec', 'regions', 1, part], raw), `give each region a ${part} of its own`);
    }
  }
  problems.push(...familyChecks(raw, lineOf), ...addressChecks(raw, lineOf), ...namesChecks(raw, lineOf));
  const own = readable(name, raw, ['local', 'region']);
  const keyId = readable(z.string(), raw, ['local', 'witness', 'keyId']);
  if (own !== null && names !== null && !names.includes(own)) add(['local', 'region'], own, `use one of ${names.join(', ')}`);
  if (own !== null && keyId !== null && !keyId.startsWith(`${own}/`)) {
    add(['local', 'witness', 'keyId'], '(not shown)', `use a key of region ${own}: ${own}/<label>`);
  }
  const gateSocket = readable(z.string(), raw, ['local', 'gate', 'socket']);
  if (gateSocket !== null && gateSocket === readable(z.string(), raw, ['local', 'lag', 'socket'])) {
    add(['local', 'lag', 'socket'], gateSocket, 'use another path than local.gate.socket');
  }
  const publicKeys = readable(z.record(z.string(), z.unknown()), raw, ['spec', 'witness', 'publicKeys']);
  if (publicKeys !== null && Object.keys(publicKeys).length === 0) {
    add(['spec', 'witness', 'publicKeys'], '{}', 'pin at least one public key of the witness');
  }
  problems.push(...registerChecks(raw, lineOf), ...keyChecks(raw, lineOf), ...placeChecks(raw, lineOf));
  const objective = readable(spec.shape.objective, raw, ['spec', 'objective']);
  const set = readable(spec.shape.timings, raw, ['spec', 'timings']);
  if (objective === null || set === null) return problems;
  const proving = readable(attestation, raw, ['spec', 'dns', 'attestation']);
  const asked = readable(resolvers, raw, ['spec', 'dns', 'resolvers']);
  if (proving !== null && asked !== null && names !== null) {
    const { ttlMs } = deriveFrom(objective.rto, set);
    const register = readable(registerKind, raw, ['spec', 'register']) ?? 'witness';
    for (const { path, value, fix } of attestationProblems(proving, { resolvers: asked, regions: names, ttlMs, holdMs: set.hold, register })) add(path, value, fix);
  }
  for (const problem of checkTimings(deriveFrom(objective.rto, set), objective.rto)) {
    const path = FIELD_OF[problem.field] ?? `spec.timings.${problem.field}`;
    const value = problem.field === 'dnsTtlSeconds' ? `${problem.value} s` : `${problem.value} ms`;
    problems.push({ path, value, fix: problem.problem, line: lineOf(path.split('.')) });
  }
  return problems;
}

const placed = z.looseObject({ gateway: z.looseObject({ address: place }), addresses: z.array(place).optional() });

/** An address leads to one region, or nobody could tell from an answer which one it is. */
function addressChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const seen = new Map<string, number>();
  return (readable(z.array(placed), raw, ['spec', 'regions']) ?? []).flatMap((one, at) =>
    addressesOf(one).flatMap((address, index) => {
      const text = canonicalIpAddress(address);
      const before = seen.get(text);
      seen.set(text, at);
      if (before === undefined || one.addresses === undefined) return [];
      const path = ['spec', 'regions', at, 'addresses', index];
      return [{ path: dotted(path), value: address, fix: before === at ? 'leave it out: it is there already' : 'use another one: it leads to the other region', line: lineOf(path) }];
    }),
  );
}

/** Every kind of question has an answer from each region. */
function familyChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const regions = readable(z.array(placed), raw, ['spec', 'regions']) ?? [];
  const families = regions.map((one) => [...new Set(addressesOf(one).map(isIP))].toSorted().map((family) => `IPv${family}`).join(' and '));
  const odd = families.findIndex((kinds) => kinds !== families[0]);
  if (odd < 0) return [];
  const path = ['spec', 'regions', odd, ...(regions[odd]?.addresses === undefined ? ['gateway', 'address'] : ['addresses'])];
  const fix = `use addresses of the same kinds in both regions (the other one has ${families[0]}): a question for what one region lacks is always answered with the other one, fenced or not`;
  return [{ path: dotted(path), value: families[odd] ?? '', fix, line: lineOf(path) }];
}

/** Exactly one register: its sections are there, the other one's are not. */
function registerChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const chosen = readable(registerKind, raw, ['spec', 'register']);
  if (chosen === null) return [];
  const sections = { witness: 'witness', dns: 'dnsRegister' } as const;
  return (['witness', 'dns'] as const).flatMap((kind) =>
    (['spec', 'local'] as const).flatMap((part) => {
      const path = [part, sections[kind]];
      const given = valueAt(raw, path) !== undefined;
      if (valueAt(raw, [part]) === undefined || given === (kind === chosen)) return [];
      const fix = given ? `remove it: spec.register is ${chosen}, and a lease has one register` : `give it: spec.register is ${chosen}`;
      return [{ path: dotted(path), value: given ? '(a map)' : '(nothing)', fix, line: lineOf(path) }];
    }),
  );
}

const KEYS = [['spec', 'witness', 'publicKeys'], ['spec', 'dns', 'attestation', 'publicKeys']] as const;

/** Whether each is a public key, and one region's own: found here, and not when a controller starts. */
function keyChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  return KEYS.flatMap((path) => {
    const keys = Object.entries(readable(z.record(z.string(), z.string()), raw, path) ?? {});
    const shared = sharedKeyCheck();
    return keys.flatMap(([keyId, key]) => {
      const fix = keyFix(() => shared(keyId, key));
      return fix === null ? [] : [{ path: dotted([...path, keyId]), value: '(not shown)', line: lineOf([...path, keyId]), fix }];
    });
  });
}

function keyFix(check: () => string | null): string | null {
  try {
    return check();
  } catch (error) {
    if (error instanceof KeyError) return error.message;
    throw error;
  }
}

/** Each resolver is one voice, and what a controller keeps must not go with the data directory, which a rejoin replaces. */
function placeChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const add = (path: readonly PropertyKey[], fix: string): void => {
    problems.push({ path: dotted(path), value: shown(path, raw), fix, line: lineOf(path) });
  };
  const asked = readable(z.array(resolver), raw, ['spec', 'dns', 'resolvers']) ?? [];
  for (const [what, of] of [['address', (one) => `${one.address} ${one.port}`], ['name', (one) => one.name]] as const satisfies [string, (one: z.infer<typeof resolver>) => string][]) {
    const twice = asked.findIndex((one, index) => asked.slice(0, index).some((before) => of(before) === of(one)));
    if (twice > 0) add(['spec', 'dns', 'resolvers', twice, what], `give each resolver ${what === 'name' ? 'a name' : 'an address'} of its own: two of three decide`);
  }
  const dataDir = readable(z.string(), raw, ['local', 'database', 'dataDir']);
  if (dataDir === null) return problems;
  for (const path of KEPT) {
    const given = readable(z.string(), raw, path);
    if (given !== null && `${given}/`.startsWith(`${dataDir}/`)) add(path, 'use a place outside local.database.dataDir: a rejoin replaces that');
  }
  return problems;
}

const KEPT = [['stateDir'], ['api', 'tokenFile'], ['witness', 'privateKeyFile'], ['gate', 'socket'], ['gateway', 'routeFile'], ['database', 'logFile'], ['database', 'passFile']].map((path) => ['local', ...path]);

function isOrigin(url: URL): boolean {
  return url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
}
