// What one run is made of: a seed, and everything that is drawn from it before the first event.

import type { Mode, Policy, Timings } from '@continuum/core';
import { deriveTimings } from '@continuum/core';
import { THIS_VERSION } from './core-version.ts';
import type { CoreVersion } from './core-version.ts';
import type { DatabaseTimes } from './models/database.ts';
import type { ResolverOptions } from './models/outside.ts';
import type { NameOptions } from './models/names.ts';
import { drawNames } from './models/names.ts';
import { drawResolvers } from './models/outside.ts';
import { Prng } from './prng.ts';

/** Defences that can be turned off, to prove that the simulation sees what each prevents. */
export type Defences = {
  /** The holder's own deadline lies before the witness's. */
  readonly guard: boolean;
  /** The database compares epochs. */
  readonly databaseFence: boolean;
  /** Gate and weights compare epochs. */
  readonly gateFence: boolean;
  /** The application's table has a key: a write that is sent twice is there once. */
  readonly uniqueKey: boolean;
};

export const ALL_DEFENCES: Defences = { guard: true, databaseFence: true, gateFence: true, uniqueKey: true };

export type WorldOptions = {
  readonly seed: number;
  readonly rtoMs: number;
  readonly mode: Mode;
  readonly timings: Timings;
  readonly defences: Defences;
  /** How often each controller looks at its database. */
  readonly observeMs: number;
  /** How often each gate asks its controller. */
  readonly askMs: number;
  readonly writeMeanMs: number;
  /** Share of the writes of unknown outcome that their client sends again. */
  readonly retryShare: number;
  readonly databaseTimes: DatabaseTimes;
  /** One way to the witness, and between the regions. */
  readonly witnessLinkMs: number;
  readonly regionLinkMs: number;
  /** Relative rate error of each machine's monotonic clock: witness, r1, r2. */
  readonly rateErrors: readonly [number, number, number];
  /** Servers come up with the machine, as what their directory says, before any controller looks at them. */
  readonly databaseStartsAtBoot: boolean;
  /** What else both regions' policies say. */
  readonly policy: Partial<Policy>;
  /** How long a person takes to approve a takeover, where one must. */
  readonly operatorMs: number;
  /** The resolvers that hold and veto go by; null: neither is configured. */
  readonly resolvers: ResolverOptions | null;
  /** The name servers that clients go by; null: clients find whoever is active. */
  readonly names: NameOptions | null;
  /** What every process starts with, and what a rolling upgrade brings; null: all run this version. */
  readonly versions: readonly [CoreVersion, CoreVersion] | null;
  readonly traced: boolean;
};

/** Of a machine's monotonic clock against true time. */
export const RATE_ERROR_MAX = 0.004;

const OBJECTIVES_MS = [60_000, 60_000, 60_000, 30_000, 30_000, 10_000, 10_000, 5_000] as const;

/**
 * Intervals follow the ttl as in production: there a ttl of 5 s goes with a gate that asks every 100 ms and a database that is
 * looked at every 250 ms, a fiftieth and a twentieth. Here both are drawn between that and a fifteenth: what matters to
 * the protocol is the order of events around deadlines, which this keeps, and not how often nothing is said.
 */
export function drawOptions(seed: number, prng: Prng, overrides: Partial<WorldOptions> = {}): WorldOptions {
  const rtoMs = overrides.rtoMs ?? prng.pick(OBJECTIVES_MS);
  const defences = overrides.defences ?? ALL_DEFENCES;
  const derived = deriveTimings(rtoMs);
  // Two versions derive theirs by themselves.
  const holdDownMs = overrides.versions === undefined ? drawHoldDownMs(derived, new Prng(seed, 7)) : derived.holdDownMs;
  const timings = { ...derived, holdDownMs, ...(defences.guard ? {} : { guardMs: 0 }) };
  const { ttlMs } = timings;
  const share = prng.chance(0.1) ? 20 : 15;
  const rateErrorMax = prng.chance(0.1) ? RATE_ERROR_MAX : 0.000_5;
  const rateError = (): number => prng.between(-rateErrorMax, rateErrorMax);
  return {
    seed,
    rtoMs,
    mode: 'automatic',
    timings,
    defences,
    observeMs: ttlMs / share,
    askMs: ttlMs / (prng.chance(0.1) ? 50 : 15),
    writeMeanMs: prng.spread(ttlMs / 10, ttlMs),
    databaseTimes: {
      streamTimeoutMs: ttlMs * prng.between(0.1, 0.4),
      reconnectMs: ttlMs * prng.between(0.03, 0.2),
      startMs: ttlMs * prng.between(0.02, 0.15),
      promoteMs: ttlMs * prng.between(0.01, 0.1),
      stopMs: ttlMs * prng.between(0.005, 0.03),
      rewindMs: ttlMs * prng.between(0.1, 0.6),
      copyMs: ttlMs * prng.between(0.5, 3),
    },
    witnessLinkMs: Math.min(ttlMs / 60, prng.spread(2, 150)),
    regionLinkMs: Math.min(ttlMs / 100, prng.spread(1, 80)),
    rateErrors: [rateError(), rateError(), rateError()],
    databaseStartsAtBoot: prng.chance(0.4),
    policy: {},
    operatorMs: 0,
    // Drawn apart: what lies outside the regions does not shift what is in them.
    resolvers: drawResolvers(new Prng(seed, 5)),
    names: drawNames(new Prng(seed, 6)),
    retryShare: drawRetryShare(new Prng(seed, 8)),
    versions: null,
    traced: false,
    ...overrides,
  };
}

/** Drawn apart, as what came later. A user may set it; the derived one ends before a taken lease can expire, and never delays anything. */
function drawHoldDownMs({ ttlMs, holdDownMs }: Timings, prng: Prng): number {
  return prng.chance(0.15) ? ttlMs * prng.between(1.5, 6) : holdDownMs;
}

function drawRetryShare(prng: Prng): number {
  return prng.chance(0.5) ? prng.between(0.2, 1) : 0;
}

/** What every process runs before the first upgrade. */
export function firstVersion({ versions }: WorldOptions): CoreVersion {
  return versions?.[0] ?? THIS_VERSION;
}

/** Where there are two versions, each derives its timings from the objective by itself. */
export function timingsOf({ versions, timings, rtoMs }: WorldOptions, core: CoreVersion): Timings {
  return versions === null ? timings : core.deriveTimings(rtoMs);
}
