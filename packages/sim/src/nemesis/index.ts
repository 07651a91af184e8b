// Every fault family, and the driver that lets a drawn subset of them loose on a world until the round is over.

import { Prng } from '../prng.ts';
import type { World } from '../world.ts';
import { restartAtRenewal, sleepAtRenewal, unheardNarrowing } from './answers.ts';
import { rateChange, suspend, wallFreeze, wallStep, witnessClockBack } from './clock.ts';
import { dieWhileCatchingUp, lostWidening, sleepInDarkness, stoppedGateAtRelease, targetRestartsAtHandOver, wordToTheHolder } from './combined.ts';
import { hiddenSleepInDarkness, seenWhilePromoting, stoppedAtGrant } from './darkness.ts';
import { badPromotion, cancelledWaits, hungDatabase, oddStandby, restartedAsStandby } from './database.ts';
import { promotionInNextHandOver, stuckAfterHandOver } from './hand-over.ts';
import { lateActions } from './late.ts';
import { frozenCache, nameServerRestart } from './names.ts';
import type { Nemesis } from './nemesis.ts';
import { badClientPath, clog, flakyWitnessPath, oldMessages, partition, slowReplication } from './network.ts';
import {
  askedAgainAfterCancel,
  cancelledSwitchover,
  differentPolicy,
  forcedDuringAutomatic,
  forcedTakeover,
  lyingResolver,
  operatorPause,
  stuckWeights,
  switchovers,
} from './operator.ts';
import {
  controllerKill,
  controllerPause,
  crashBetween,
  diskFull,
  otherPause,
  partKill,
  regionKill,
  slowLoop,
} from './process.ts';
import { dieWhenCountedOn, lagProber, stillStandby } from './replication.ts';
import { darkAtExpiry, oddResolver, resolverPaths, twoLiars, unseenRegion } from './resolvers.ts';
import { rogueCommands } from './rogue.ts';
import { rollingUpgrade } from './upgrade.ts';
import { lostStore, witnessErrors, witnessEviction, witnessOutage } from './witness.ts';

export const NEMESES: readonly Nemesis[] = [
  regionKill,
  controllerKill,
  crashBetween,
  diskFull,
  controllerPause,
  otherPause,
  partKill,
  slowLoop,
  partition,
  flakyWitnessPath,
  slowReplication,
  clog,
  wallStep,
  rateChange,
  suspend,
  witnessClockBack,
  witnessOutage,
  witnessErrors,
  badPromotion,
  cancelledWaits,
  oddStandby,
  hungDatabase,
  dieWhileCatchingUp,
  stoppedGateAtRelease,
  lateActions,
  rogueCommands,
  switchovers,
  forcedTakeover,
  differentPolicy,
  lyingResolver,
  stuckWeights,
  stillStandby,
  lagProber,
  oddResolver,
  twoLiars,
  resolverPaths,
  unseenRegion,
  darkAtExpiry,
  nameServerRestart,
  frozenCache,
  targetRestartsAtHandOver,
  wordToTheHolder,
  sleepInDarkness,
  lostWidening,
  cancelledSwitchover,
  sleepAtRenewal,
  restartAtRenewal,
  unheardNarrowing,
  promotionInNextHandOver,
  stuckAfterHandOver,
  hiddenSleepInDarkness,
  stoppedAtGrant,
  seenWhilePromoting,
  dieWhenCountedOn,
  askedAgainAfterCancel,
  restartedAsStandby,
  lostStore,
  badClientPath,
  operatorPause,
  forcedDuringAutomatic,
  oldMessages,
  wallFreeze,
  witnessEviction,
];

/** Not drawn: what only few worlds have must not shift what is drawn in the others. */
const UNDRAWN: readonly Nemesis[] = [rollingUpgrade];

/** Swarm: each round has its own mixture, so that a family that hides another one's bugs is sometimes absent. */
export function drawNemeses(prng: Prng, only: readonly string[] | null): Nemesis[] {
  const drawn = only === null ? NEMESES.filter(({ weight }) => prng.chance(weight * 0.7)) : NEMESES.filter(({ name }) => only.includes(name));
  return [...drawn, ...UNDRAWN];
}

/** One occurrence of a fault: enough to have it again. */
export type PlannedFault = { readonly offsetMs: number; readonly name: string; readonly seed: number };

export type PlannedRound = {
  readonly lengthMs: number;
  readonly faults: readonly PlannedFault[];
  /** A region that is dead when all else is healed, and comes back only when the other one has served. */
  readonly lost?: string;
  /** When all is whole again the holder is lost, and nothing else is wrong. */
  readonly holderLost?: boolean;
};

/** Lets them loose until `untilMs` of true time, and returns what came of it as a plan that can be run again. */
export function unleash(world: World, prng: Prng, drawn: readonly Nemesis[], untilMs: number): PlannedRound {
  const nemeses = drawn.filter(({ applies }) => applies?.(world) ?? true);
  const { sim } = world;
  const startMs = sim.nowMs;
  const { ttlMs } = world.options.timings;
  const calm = Math.max(1, nemeses.length / 6);
  const faults: PlannedFault[] = [];
  for (const nemesis of nemeses) {
    const next = (): void => {
      const waitMs = prng.wait(nemesis.everyTtls * calm * ttlMs);
      if (sim.nowMs + waitMs >= untilMs) return;
      sim.after(waitMs, () => {
        const seed = prng.bits();
        faults.push({ offsetMs: sim.nowMs - startMs, name: nemesis.name, seed });
        occur(world, nemesis, seed, untilMs, next);
      });
    };
    next();
  }
  return { lengthMs: untilMs - startMs, faults };
}

/** The same faults at the same moments, whatever came of them the last time. */
export function replay(world: World, round: PlannedRound): void {
  const { sim } = world;
  const untilMs = sim.nowMs + round.lengthMs;
  for (const { offsetMs, name, seed } of round.faults) {
    const nemesis = [...NEMESES, ...UNDRAWN].find((one) => one.name === name);
    if (nemesis === undefined) throw new Error(`a plan names the fault family "${name}", which does not exist (any more)`);
    sim.after(offsetMs, () => occur(world, nemesis, seed, untilMs, () => undefined));
  }
}

function occur(world: World, nemesis: Nemesis, seed: number, untilMs: number, next: () => void): void {
  const { sim } = world;
  const fault = nemesis.start(world, new Prng(seed, 9));
  sim.mix(nemesis.name.length);
  sim.note('nemesis', () => fault.what);
  sim.after(Math.min(fault.durationMs, untilMs - sim.nowMs), () => {
    fault.stop();
    if (fault.durationMs > 0) sim.note('nemesis', () => `over: ${fault.what}`);
    next();
  });
}
