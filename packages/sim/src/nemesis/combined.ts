// Faults that hurt only together: single families would need years to meet at the right moment.

import type { Prng } from '../prng.ts';
import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { nothing } from './nemesis.ts';

/** The standby comes back over a slow path, and the holder dies while it catches up. */
export const dieWhileCatchingUp: Nemesis = {
  name: 'die-while-catching-up',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = world.regions.find(({ name }) => name === world.witness.record.holder);
    if (holder === undefined) return { what: 'nobody holds the lease', durationMs: 0, stop: nothing };
    const links = world.regions.flatMap(({ database }) => [...database.links.values()]);
    let over = false;
    world.cutLinks(links, 'catching-up');
    const goneMs = ttlMs * prng.between(0.6, 1.5);
    world.sim.after(goneMs, () => {
      if (over) return;
      const delayMs = ttlMs * prng.between(0.3, 1.2);
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 1, delayMs };
      world.mendLinks(links, 'catching-up');
    });
    const stop = (): void => {
      over = true;
      world.mendLinks(links, 'catching-up');
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
      world.kill(holder);
      world.sim.after(ttlMs * prng.between(0.5, 4), () => world.boot(holder));
    };
    return { what: `${holder.name} dies while its standby catches up`, durationMs: goneMs + ttlMs * prng.between(0.3, 2), stop };
  },
};

/** The database does not answer for so long that the lease is given back, and the gate is stopped at that moment. */
export const stoppedGateAtRelease: Nemesis = {
  name: 'stopped-gate-at-release',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = world.regions.find(({ name }) => name === world.witness.record.holder);
    if (holder === undefined) return { what: 'nobody holds the lease', durationMs: 0, stop: nothing };
    const { database, gate, name } = holder;
    let over = false;
    database.faults.hung = true;
    world.sim.after(ttlMs * prng.between(0.9, 1), () => {
      if (!over) gate.process.pause();
    });
    burstAround(world, prng, ttlMs);
    const stop = (): void => {
      over = true;
      gate.process.unpause();
      database.faults.hung = false;
      database.settleWaiting();
      database.receive();
    };
    return { what: `the database of ${name} is silent, then its gate`, durationMs: ttlMs * prng.between(1.1, 1.6), stop };
  },
};

function burstAround(world: World, prng: Prng, atMs: number): void {
  world.sim.after(atMs * prng.between(0.9, 1), () => world.clients.burst(12, atMs / 60));
}
