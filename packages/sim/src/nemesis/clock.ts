// Clocks: a wall clock that is set, a monotonic clock that changes its rate, a machine that sleeps.

import type { Nemesis } from './nemesis.ts';
import { holderOf, nothing } from './nemesis.ts';
import { pickRegion } from './process.ts';

export const wallStep: Nemesis = {
  name: 'wall-clock-step',
  weight: 0.4,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const stepMs = prng.between(-60_000, 60_000);
    region.machine.wallOffsetMs += stepMs;
    return { what: `wall clock of ${region.name} set by ${Math.round(stepMs)} ms`, durationMs: 0, stop: nothing };
  },
};

export const rateChange: Nemesis = {
  name: 'clock-rate',
  weight: 0.3,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    region.machine.setRateError(prng.between(-500, 500) / 1e6);
    return { what: `monotonic clock of ${region.name} changes its rate`, durationMs: 0, stop: nothing };
  },
};

export const suspend: Nemesis = {
  name: 'machine-suspend',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { ttlMs } = world.options.timings;
    const durationMs = prng.chance(0.2) ? prng.between(100, 1_500) : ttlMs * prng.spread(0.05, 5);
    const isHolder = holderOf(world) === region;
    const startedMs = world.sim.nowMs;
    region.machine.suspend();
    region.database.streamMayBreak();
    const stop = (): void => {
      const slept = region.machine.suspendedSinceMs === startedMs && world.sim.nowMs - startedMs > ttlMs;
      if (isHolder && slept) world.marks.set('holder-suspended-past-ttl');
      region.machine.resume();
      world.resend();
    };
    return { what: `machine of ${region.name} suspended`, durationMs, stop };
  },
};

/** The wall clock stands still while everything else runs, and is set right afterwards or stays behind. */
export const wallFreeze: Nemesis = {
  name: 'wall-clock-freeze',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { machine } = region;
    const { ttlMs } = world.options.timings;
    const stepMs = ttlMs / 200;
    const isSetRight = prng.chance(0.5);
    const isHolder = holderOf(world) === region;
    let [behindMs, over] = [0, false];
    const hold = (): void => {
      if (over) return;
      machine.wallOffsetMs -= stepMs;
      behindMs += stepMs;
      world.sim.after(stepMs, hold);
    };
    world.sim.after(stepMs, hold);
    const stop = (): void => {
      over = true;
      if (isHolder && behindMs > ttlMs && machine.up) world.marks.set('wall-clock-stood-still-past-ttl');
      if (isSetRight) machine.wallOffsetMs += behindMs;
    };
    return { what: `wall clock of ${region.name} stands still`, durationMs: ttlMs * prng.spread(0.2, 5), stop };
  },
};

export const witnessClockBack: Nemesis = {
  name: 'witness-clock-back',
  weight: 0.3,
  everyTtls: 20,
  start: (world, prng) => {
    const stepMs = prng.between(100, 2 * world.options.timings.ttlMs);
    world.witnessMachine.wallOffsetMs -= stepMs;
    world.marks.set('witness-clock-back');
    return { what: `clock of the witness set back by ${Math.round(stepMs)} ms`, durationMs: 0, stop: nothing };
  },
};
