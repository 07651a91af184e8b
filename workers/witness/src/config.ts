// The witness's configuration: read once per isolate from the Worker's variables and its one secret, all problems in one
// report. A witness with a broken configuration answers nothing but an error: it must not grant under a wrong key ring.

import { z } from 'zod';
import {
  SIGNATURE_WINDOW_SECONDS,
  fieldProblems,
  REGIONS_PER_LEASE_MAX,
  leaseName,
  regionName,
} from '@continuum/wire';
import { importKeyRing, importSigningKey, InvalidFieldsError, keyProblem, sharedKeyCheck } from '@continuum/wire';
import type { FieldProblem, KeyRing, PublicKey, SigningKey } from '@continuum/wire';
import type { LeaseObject } from './lease-object.ts';

/** What `wrangler.jsonc` and `wrangler secret put` provide. Everything but the binding is checked before use. */
export type Env = {
  readonly LEASE: DurableObjectNamespace<LeaseObject>;
  readonly REGIONS: unknown;
  readonly LEASES: unknown;
  readonly WITNESS_KEY_ID: unknown;
  readonly WITNESS_SIGNING_KEY: unknown;
  readonly LOCATION_HINT?: unknown;
  readonly JURISDICTION?: unknown;
  readonly SIGNATURE_WINDOW_SECONDS?: unknown;
  readonly RESTORE?: unknown;
};

/** Where a lease continues whose object was lost: used only while there is no record. */
export type Restore = { readonly epoch: number; readonly inSync: readonly string[] };

export type Config = {
  readonly keyRing: KeyRing;
  readonly signingKey: SigningKey;
  /** The regions of each lease. A lease that is not in here does not exist. */
  readonly leases: ReadonlyMap<string, ReadonlySet<string>>;
  readonly restore: ReadonlyMap<string, Restore>;
  readonly locationHint: DurableObjectLocationHint | null;
  readonly jurisdiction: DurableObjectJurisdiction | null;
  readonly signatureWindowSeconds: number;
};

const KEYS_PER_REGION_MAX = 2;

const publicKey = z.union([z.string().min(1).max(200), z.looseObject({ kty: z.string(), crv: z.string(), x: z.string() })]);
const keysOfRegion = z
  .record(z.string().regex(/^[A-Za-z0-9._-]{1,32}$/, 'label: use 1 to 32 of A-Z, a-z, 0-9, . _ and -'), publicKey)
  .refine((keys) => Object.keys(keys).length >= 1 && Object.keys(keys).length <= KEYS_PER_REGION_MAX, {
    error: `give one active key, or two while one replaces the other, not more than ${KEYS_PER_REGION_MAX}`,
  });

/** JSON variables may also come as text, which is how a secret or a command line brings them. */
function json<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => (typeof value === 'string' ? parseJson(value) : value), schema);
}
const blankIsAbsent = (value: unknown) => (value === '' ? undefined : value);

const variables = z.object({
  REGIONS: json(z.record(regionName, keysOfRegion)),
  LEASES: json(z.record(leaseName, z.array(regionName).min(1).max(REGIONS_PER_LEASE_MAX))),
  WITNESS_KEY_ID: z.string().regex(/^witness\/[A-Za-z0-9._-]{1,32}$/, 'use witness/<label>, for example witness/1'),
  WITNESS_SIGNING_KEY: z.string().min(1, 'set it with `wrangler secret put WITNESS_SIGNING_KEY`'),
  LOCATION_HINT: z.preprocess(
    blankIsAbsent,
    z.enum(['wnam', 'enam', 'sam', 'weur', 'eeur', 'apac', 'apac-ne', 'apac-se', 'oc', 'afr', 'me']).optional(),
  ),
  JURISDICTION: z.preprocess(blankIsAbsent, z.enum(['eu', 'fedramp', 'fedramp-high', 'us']).optional()),
  SIGNATURE_WINDOW_SECONDS: z.preprocess(
    blankIsAbsent,
    z.coerce.number().int().min(120).max(86_400).default(SIGNATURE_WINDOW_SECONDS),
  ),
  RESTORE: json(
    z
      .record(
        leaseName,
        z.strictObject({
          epoch: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
          inSync: z.array(regionName).min(1).max(REGIONS_PER_LEASE_MAX),
        }),
      )
      .default({}),
  ),
});

const perEnv = new WeakMap<object, Promise<Config>>();

/** The configuration of `env`; rejects with `InvalidFieldsError` that names every problem. Parsed once per isolate. */
export function configOf(env: Env): Promise<Config> {
  const known = perEnv.get(env);
  if (known !== undefined) return known;
  const config = readConfig(env);
  perEnv.set(env, config);
  return config;
}

async function readConfig(env: Env): Promise<Config> {
  const parsed = variables.safeParse(env);
  if (!parsed.success) throw new InvalidFieldsError('CTM_WITNESS_CONFIG_INVALID', hideSecret(fieldProblems(parsed.error.issues, env)));
  const { REGIONS, LEASES, RESTORE, ...rest } = parsed.data;
  const problems = [...unknownRegions('LEASES', LEASES, REGIONS), ...unknownRestores(RESTORE, LEASES)];
  const keys = Object.entries(REGIONS).flatMap(([region, labels]) =>
    Object.entries(labels).map(([label, key]) => [`${region}/${label}`, key as PublicKey] as const),
  );
  const keyRing = await importKeyRing(Object.fromEntries(keys)).catch(keyProblem(problems, 'REGIONS'));
  if (keyRing !== null) problems.push(...sharedKeys(keys));
  const signingKey = await importSigningKey(rest.WITNESS_KEY_ID, rest.WITNESS_SIGNING_KEY).catch(
    keyProblem(problems, 'WITNESS_SIGNING_KEY'),
  );
  if (keyRing === null || signingKey === null || problems.length > 0) throw new InvalidFieldsError('CTM_WITNESS_CONFIG_INVALID', problems);
  return {
    keyRing,
    signingKey,
    leases: new Map(Object.entries(LEASES).map(([name, regions]) => [name, new Set<string>(regions)])),
    restore: new Map(Object.entries(RESTORE)),
    locationHint: rest.LOCATION_HINT ?? null,
    jurisdiction: rest.JURISDICTION ?? null,
    signatureWindowSeconds: rest.SIGNATURE_WINDOW_SECONDS,
  };
}

function sharedKeys(keys: readonly (readonly [string, PublicKey])[]): FieldProblem[] {
  const shared = sharedKeyCheck();
  return keys.flatMap(([keyId, key]) => {
    const fix = shared(keyId, key);
    return fix === null ? [] : [{ path: `REGIONS.${keyId.replace('/', '.')}`, value: '(not shown)', fix }];
  });
}

function unknownRegions(
  path: string,
  leases: Readonly<Record<string, readonly string[]>>,
  regions: Readonly<Record<string, unknown>>,
): FieldProblem[] {
  return Object.entries(leases).flatMap(([name, members]) =>
    members
      .filter((region) => !Object.hasOwn(regions, region))
      .map((region) => ({ path: `${path}.${name}`, value: region, fix: 'add its public key under REGIONS' })),
  );
}

function unknownRestores(
  restore: Readonly<Record<string, Restore>>,
  leases: Readonly<Record<string, readonly string[]>>,
): FieldProblem[] {
  return Object.entries(restore).flatMap(([name, { inSync }]) =>
    inSync
      .filter((region) => !(leases[name] ?? []).includes(region))
      .map((region) => ({ path: `RESTORE.${name}.inSync`, value: region, fix: `use the regions of lease ${name}` })),
  );
}

function hideSecret(problems: readonly FieldProblem[]): FieldProblem[] {
  return problems.map((problem) =>
    problem.path === 'WITNESS_SIGNING_KEY' && problem.value !== 'missing' ? { ...problem, value: '(not shown)' } : problem,
  );
}

/** The text itself when it is not JSON, so that the schema reports it as the wrong type. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
