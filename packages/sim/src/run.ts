// One seed: rounds of faults, each followed by a heal after which the system must find its way back by itself.

import { AssertionError } from '@continuum/core';
import { closeBooks, demandRecovery } from './checkers/liveness.ts';
import { forbidGlobals } from './forbid-globals.ts';
import { drawNemeses, replay, unleash } from './nemesis/index.ts';
import type { PlannedRound } from './nemesis/index.ts';
import { drawOptions } from './options.ts';
import type { WorldOptions } from './options.ts';
import { Prng } from './prng.ts';
import type { TraceLine, Violation } from './simulation.ts';
import { ViolationError } from './simulation.ts';
import { World } from './world.ts';

const MS_PER_HOUR = 3_600_000;

export type RunOptions = {
  readonly seed: number;
  readonly hours: number;
  /** Only these families; null: a drawn mixture in every round. */
  readonly only?: readonly string[] | null;
  readonly traced?: boolean;
  /** These faults instead of drawn ones. */
  readonly plan?: readonly PlannedRound[] | null;
  readonly overrides?: Partial<WorldOptions>;
};

export type RunResult = {
  readonly seed: number;
  readonly simulatedMs: number;
  readonly events: number;
  readonly failovers: number;
  readonly switchovers: number;
  readonly violation: Violation | null;
  readonly marks: Record<string, number>;
  readonly overlapMaxMs: number;
  readonly logHash: string;
  readonly writes: Readonly<Record<'ok' | 'refused' | 'unknown', number>>;
  readonly recoveries: readonly number[];
  readonly trace: readonly TraceLine[] | null;
  readonly registerHistories: number;
  /** What was done to it, round by round. */
  readonly plan: readonly PlannedRound[];
};

export function runSeed(options: RunOptions): RunResult {
  const draw = new Prng(options.seed, 1);
  const world = new World(drawOptions(options.seed, draw, { ...options.overrides, traced: options.traced ?? false }));
  const allow = forbidGlobals();
  const recoveries: number[] = [];
  const plan: PlannedRound[] = [];
  let violation: Violation | null = null;
  try {
    rounds(world, draw.fork(2), options, { recoveries, plan });
  } catch (error) {
    violation = asViolation(world, error);
  } finally {
    allow();
  }
  return {
    seed: options.seed,
    simulatedMs: world.sim.nowMs,
    events: world.sim.events,
    failovers: world.lease.failovers,
    switchovers: world.lease.switchovers,
    violation,
    marks: world.marks.toRecord(),
    overlapMaxMs: world.validity.overlapMaxMs,
    logHash: world.sim.hash,
    writes: world.history.outcomes,
    recoveries,
    trace: world.sim.trace,
    registerHistories: world.register.checked,
    plan,
  };
}

type Course = { readonly recoveries: number[]; readonly plan: PlannedRound[] };

function rounds(world: World, prng: Prng, options: RunOptions, course: Course): void {
  const { sim } = world;
  const { ttlMs } = world.options.timings;
  const endMs = options.hours * MS_PER_HOUR;
  world.start();
  course.recoveries.push(demandRecovery(world));
  const planned = options.plan === undefined || options.plan === null ? null : [...options.plan];
  for (;;) {
    const round = planned === null ? undefined : planned.shift();
    if (planned === null ? sim.nowMs >= endMs : round === undefined) break;
    world.register.begin(world.witness.record);
    const untilMs = sim.nowMs + (round?.lengthMs ?? ttlMs * prng.between(20, 60));
    if (round === undefined) course.plan.push(unleash(world, prng, drawNemeses(prng, options.only ?? null), untilMs));
    else {
      course.plan.push(round);
      replay(world, round);
    }
    sim.runUntil(untilMs);
    world.heal();
    sim.note('nemesis', () => 'all faults are over');
    world.register.explain();
    course.recoveries.push(demandRecovery(world));
  }
  closeBooks(world);
}

function asViolation(world: World, error: unknown): Violation {
  if (error instanceof ViolationError) return { invariant: error.invariant, atMs: world.sim.nowMs, detail: error.message };
  if (error instanceof AssertionError) return { invariant: error.code, atMs: world.sim.nowMs, detail: error.message };
  if (error instanceof Error && error.message === 'the phases do not settle') {
    return { invariant: 'SETTLE', atMs: world.sim.nowMs, detail: error.message };
  }
  throw error;
}
