// One seed: rounds of faults, each followed by a heal after which the system must find its way back by itself.

import type { AssertionError } from '@continuum/core';
import { closeBooks, demandFailover, demandRecovery, demandSurvivor } from './checkers/liveness.ts';
import { forbidGlobals, withoutGlobals } from './forbid-globals.ts';
import { drawNemeses, replay, unleash } from './nemesis/index.ts';
import type { PlannedRound } from './nemesis/index.ts';
import { drawOptions } from './options.ts';
import type { WorldOptions } from './options.ts';
import { Prng } from './prng.ts';
import { ServiceRecorder, familiesOf } from './service.ts';
import type { Service } from './service.ts';
import type { TraceLine, Violation } from './simulation.ts';
import { ViolationError } from './simulation.ts';
import { World } from './world.ts';
import type { Region } from './world.ts';

const MS_PER_HOUR = 3_600_000;
/** Share of rounds that end with a region lost, and of those that lose the holder once all is whole again. */
const LOST_SHARE = 0.25;
const HOLDER_LOST_SHARE = 0.25;

export type RunOptions = {
  readonly seed: number;
  readonly hours: number;
  /** Only these families; null: a drawn mixture in every round. */
  readonly only?: readonly string[] | null;
  readonly traced?: boolean;
  /** These faults instead of drawn ones. */
  readonly plan?: readonly PlannedRound[] | null;
  readonly overrides?: Partial<WorldOptions>;
  /** One fault in each round and nothing else, half of them the loss of a region: what came of it is its doing. */
  readonly alone?: boolean;
  /** Measures what a client sees of it. */
  readonly measured?: boolean;
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
  /** Null unless it was measured. */
  readonly service: Service | null;
};

export function runSeed(options: RunOptions): RunResult {
  const draw = new Prng(options.seed, 1);
  const world = withoutGlobals(() => new World(drawOptions(options.seed, draw, { ...options.overrides, traced: options.traced ?? false })));
  const allow = forbidGlobals();
  const course: Course = { recoveries: [], plan: [], recorder: options.measured === true ? new ServiceRecorder(world) : null };
  const { recoveries, plan } = course;
  let violation: Violation | null = null;
  try {
    rounds(world, draw.fork(2), options, course);
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
    service: course.recorder?.report() ?? null,
  };
}

type Course = { readonly recoveries: number[]; readonly plan: PlannedRound[]; readonly recorder: ServiceRecorder | null };

function rounds(world: World, prng: Prng, options: RunOptions, course: Course): void {
  const { sim } = world;
  const { recorder } = course;
  const endMs = options.hours * MS_PER_HOUR;
  world.start();
  recorder?.start();
  course.recoveries.push(demandRecovery(world));
  const planned = options.plan === undefined || options.plan === null ? null : [...options.plan];
  for (;;) {
    const given = planned === null ? undefined : planned.shift();
    if (planned === null ? sim.nowMs >= endMs : given === undefined) break;
    world.register.begin(world.witness.record);
    const startedMs = sim.nowMs;
    const round = given ?? (options.alone === true ? drawAlone(world, prng) : null);
    recorder?.begin(startedMs + (options.alone === true ? (round?.faults[0]?.offsetMs ?? 0) : 0));
    if (round !== null) replay(world, round);
    const played = round ?? unleashDrawn(world, prng, options);
    course.plan.push(played);
    sim.runUntil(startedMs + played.lengthMs);
    if (played.lost !== undefined) endWithout(world, world.region(played.lost));
    world.heal();
    sim.note('nemesis', () => 'all faults are over');
    world.register.explain();
    course.recoveries.push(demandRecovery(world));
    if (played.holderLost === true) {
      demandFailover(world);
      world.heal();
      demandRecovery(world);
    }
    recorder?.end(played.faults.map(({ name }) => name), options.alone === true);
  }
  recorder?.stop();
  closeBooks(world);
}

function endWithout(world: World, lost: Region): void {
  world.sim.note('nemesis', () => `all faults are over, but ${lost.name} is lost`);
  world.heal(lost);
  demandSurvivor(world, lost);
}

function unleashDrawn(world: World, prng: Prng, { only, measured }: RunOptions): PlannedRound {
  const untilMs = world.sim.nowMs + world.options.timings.ttlMs * prng.between(20, 60);
  const round = unleash(world, prng, drawNemeses(prng, only ?? null), untilMs);
  const lost = prng.chance(LOST_SHARE) ? { lost: prng.pick(world.regions).name } : {};
  const end = { ...lost, holderLost: prng.chance(HOLDER_LOST_SHARE) };
  // What is measured is told, however late: a person may have to approve, and the times are a user's own.
  return measured === true ? round : { ...round, ...end };
}

/** Somewhere in a renewal interval; long enough for what is lost by it to be taken over. */
function drawAlone(world: World, prng: Prng): PlannedRound {
  const { ttlMs } = world.options.timings;
  const offsetMs = ttlMs * prng.between(0.5, 2);
  const name = prng.chance(0.5) ? 'region-kill' : prng.pick(familiesOf(world)).name;
  return { lengthMs: offsetMs + ttlMs * prng.between(6, 10), faults: [{ offsetMs, name, seed: prng.bits() }] };
}

function asViolation(world: World, error: unknown): Violation {
  if (error instanceof ViolationError) return { invariant: error.invariant, atMs: world.sim.nowMs, detail: error.message };
  if (isAssertion(error)) return { invariant: error.code, atMs: world.sim.nowMs, detail: error.message };
  if (error instanceof Error && error.message === 'the phases do not settle') {
    return { invariant: 'SETTLE', atMs: world.sim.nowMs, detail: error.message };
  }
  throw error;
}

/** By its name: another version's assertions are of a class of their own. */
function isAssertion(error: unknown): error is AssertionError {
  return error instanceof Error && error.name === 'AssertionError' && String((error as AssertionError).code).startsWith('CTM_ASSERT_');
}
