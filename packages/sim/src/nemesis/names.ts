// The application's name: a name server that restarts and knows nothing, one that is stopped, caches that keep what they have.

import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { nothing } from './nemesis.ts';

const applies = (world: World): boolean => world.names !== null;

export const nameServerRestart: Nemesis = {
  name: 'name-server-restart',
  weight: 0.6,
  everyTtls: 6,
  applies,
  start: (world, prng) => {
    const region = prng.pick(world.regions);
    const process = world.names?.servers.find((server) => server.region === region.name)?.process;
    if (process === undefined) return { what: 'no name servers', durationMs: 0, stop: nothing };
    const { ttlMs } = world.options.timings;
    if (prng.chance(0.3)) {
      process.pause();
      return { what: `${process.name} stopped`, durationMs: ttlMs * prng.spread(0.05, 3), stop: () => process.unpause() };
    }
    process.kill();
    world.sim.after(ttlMs * prng.spread(0.02, 0.5), () => world.clients.burst(4, ttlMs / 100));
    return { what: `${process.name} restarts`, durationMs: ttlMs * prng.spread(0.01, 0.5), stop: () => world.names?.restart(region) };
  },
};

export const frozenCache: Nemesis = {
  name: 'frozen-cache',
  weight: 0.3,
  everyTtls: 10,
  applies,
  start: (world, prng) => {
    const cache = prng.pick(world.names?.caches ?? []);
    if (cache === undefined) return { what: 'no caches', durationMs: 0, stop: nothing };
    cache.isFrozen = true;
    const stop = (): void => {
      cache.isFrozen = false;
    };
    return { what: 'a cache keeps what it has', durationMs: world.options.timings.ttlMs * prng.spread(0.5, 8), stop };
  },
};
