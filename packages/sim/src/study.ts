// A user's own specification, put through the simulator: the real decisions with the user's objective, timings and mode, once with one
// fault at a time, which says what each fault costs, and once with many at the same time, which says whether anything breaks.

import type { Policy, Timings } from '@continuum/core';
import type { WorldOptions } from './options.ts';
import { runAll } from './pool.ts';
import { Prng } from './prng.ts';
import type { RunOptions, RunResult } from './run.ts';

/** The draws of a study are its own. */
const STREAM = 7;

export type StudySubject = {
  readonly rtoMs: number;
  readonly policy: Policy;
  /** How long a person takes to approve, in modes that need one. */
  readonly operatorMs: number;
};

export type StudyOptions = StudySubject & {
  readonly firstSeed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly threads?: number;
  readonly onProgress?: (results: readonly RunResult[]) => void;
};

export async function runStudy(options: StudyOptions): Promise<RunResult[]> {
  const jobs = Array.from({ length: options.seeds }, (_, index) => studyRun(options, options.firstSeed + index, options.hours));
  const results: RunResult[] = [];
  const take = (_index: number, result: RunResult): void => {
    results.push(result);
    options.onProgress?.(results);
  };
  await runAll(jobs, take, options.threads);
  return results.sort((a, b) => a.seed - b.seed);
}

/** What a seed of a study is: an odd one has one fault at a time, an even one many. */
export function studyRun(subject: StudySubject, seed: number, hours: number): RunOptions {
  return { seed, hours, alone: seed % 2 === 1, measured: true, overrides: drawWorld(subject, seed) };
}

/** What depends on neither specification nor ttl: the servers and the paths between them, within what is usual. */
export const ASSUMED = {
  promoteMs: [50, 800],
  startMs: [200, 3_000],
  stopMs: [50, 500],
  rewindMs: [1_000, 20_000],
  copyMs: [10_000, 120_000],
  witnessLinkMs: [2, 120],
  regionLinkMs: [1, 60],
} as const;

/** How often the daemons look: the controller at its database, the gate at its controller. */
const OBSERVE_MS = 100;
const ASK_MS = 100;
/** Looked at more often than so many times in a ttl only the simulation slows down. */
const OBSERVATIONS_PER_TTL = 30;
const ASKS_PER_TTL = 75;

function drawWorld({ rtoMs, policy: given, operatorMs }: StudySubject, seed: number): Partial<WorldOptions> {
  // Neither the resolvers of `dns.attestation` nor name servers are in this world: nothing holds on, and nothing vetoes.
  const { fallback: _resolvers, ...policy } = given;
  const prng = new Prng(seed, STREAM);
  const { timings, mode } = policy;
  const { ttlMs } = timings;
  const draw = ([low, high]: readonly [number, number]): number => prng.spread(low, high);
  return {
    rtoMs,
    mode,
    timings,
    policy,
    resolvers: null,
    names: null,
    operatorMs: mode === 'automatic' ? 0 : operatorMs,
    observeMs: Math.max(OBSERVE_MS, ttlMs / OBSERVATIONS_PER_TTL),
    askMs: Math.max(ASK_MS, ttlMs / ASKS_PER_TTL),
    databaseTimes: {
      streamTimeoutMs: ttlMs * prng.between(0.1, 0.4),
      reconnectMs: ttlMs * prng.between(0.03, 0.2),
      startMs: draw(ASSUMED.startMs),
      promoteMs: Math.min(draw(ASSUMED.promoteMs), promoteMsMax(timings)),
      stopMs: draw(ASSUMED.stopMs),
      rewindMs: draw(ASSUMED.rewindMs),
      copyMs: draw(ASSUMED.copyMs),
    },
    witnessLinkMs: Math.min(draw(ASSUMED.witnessLinkMs), timings.commandMs / 5),
    regionLinkMs: draw(ASSUMED.regionLinkMs),
  };
}

/** A server that needs longer than the budget never takes over: that the budget is too short is for `check` to say. */
export function promoteMsMax({ promoteBudgetMs }: Timings): number {
  return promoteBudgetMs / 3;
}
