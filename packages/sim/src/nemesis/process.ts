// Processes and machines: power loss of a region, a killed or paused process, a death between two actions, a full disk, a slow loop.

import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nothing } from './nemesis.ts';

/** The holder half of the time: there the interesting things happen. */
export function pickRegion(world: World, prng: Prng): Region {
  const holder = holderOf(world);
  return holder !== undefined && prng.chance(0.6) ? holder : prng.pick(world.regions);
}

export const regionKill: Nemesis = {
  name: 'region-kill',
  weight: 0.7,
  everyTtls: 12,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    world.kill(region);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.05, 8);
    return { what: `${region.name} without power`, durationMs, stop: () => world.boot(region) };
  },
};

export const controllerKill: Nemesis = {
  name: 'controller-kill',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    region.controller.process.kill();
    const durationMs = world.options.timings.ttlMs * prng.spread(0.02, 3);
    return { what: `controller of ${region.name} killed`, durationMs, stop: () => world.restart(region) };
  },
};

export const crashBetween: Nemesis = {
  name: 'crash-between-actions',
  weight: 0.6,
  everyTtls: 8,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    region.controller.crashAfterActions = prng.integer(0, 4);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.3, 3);
    const stop = (): void => {
      region.controller.crashAfterActions = null;
      world.restart(region);
    };
    return { what: `controller of ${region.name} dies between two actions`, durationMs, stop };
  },
};

export const diskFull: Nemesis = {
  name: 'disk-full',
  weight: 0.3,
  everyTtls: 20,
  start: (world, prng) => {
    const region = prng.pick(world.regions);
    region.controller.diskFull = true;
    const durationMs = world.options.timings.ttlMs * prng.spread(1, 6);
    const stop = (): void => {
      if (!region.controller.diskFull) world.marks.set('disk-full-on-persist');
      region.controller.diskFull = false;
      world.restart(region);
    };
    return { what: `no room on the disk of ${region.name}`, durationMs, stop };
  },
};

export const controllerPause: Nemesis = {
  name: 'controller-pause',
  weight: 0.6,
  everyTtls: 8,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { process } = region.controller;
    process.pause();
    const { ttlMs } = world.options.timings;
    const durationMs = ttlMs * prng.spread(0.02, 4);
    const { generation } = process;
    const startedMs = world.sim.nowMs;
    const isHolder = holderOf(world) === region;
    // Set meanwhile, the wall clock must not lengthen what the gate has.
    if (prng.chance(0.3)) {
      const stepMs = prng.between(-60_000, 60_000);
      world.sim.after(prng.between(0, ttlMs / 2), () => {
        region.machine.wallOffsetMs += stepMs;
      });
    }
    const stop = (): void => {
      const slept = process.paused && process.generation === generation && world.sim.nowMs - startedMs > ttlMs;
      if (isHolder && slept) world.marks.set('holder-paused-past-ttl');
      process.unpause();
    };
    return { what: `controller of ${region.name} stopped`, durationMs, stop };
  },
};

export const otherPause: Nemesis = {
  name: 'gate-or-database-pause',
  weight: 0.4,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const process = prng.chance(0.5) ? region.gate.process : region.database.process;
    process.pause();
    region.database.streamMayBreak();
    const durationMs = world.options.timings.ttlMs * prng.spread(0.02, 3);
    const stop = (): void => {
      process.unpause();
      world.resend();
    };
    return { what: `${process.name} stopped`, durationMs, stop };
  },
};

export const partKill: Nemesis = {
  name: 'gate-or-database-kill',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.01, 1);
    if (prng.chance(0.5)) {
      region.gate.process.kill();
      const stop = (): void => {
        if (region.machine.up && !region.gate.process.alive) region.gate.start();
      };
      return { what: `gate of ${region.name} killed`, durationMs, stop };
    }
    region.database.stop();
    return { what: `database of ${region.name} killed`, durationMs, stop: nothing };
  },
};

export const slowLoop: Nemesis = {
  name: 'slow-event-loop',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    region.controller.slowMs = world.options.timings.ttlMs * prng.spread(0.005, 0.3);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.3, 4);
    const stop = (): void => {
      region.controller.slowMs = 0;
    };
    return { what: `controller of ${region.name} is slow`, durationMs, stop };
  },
};
