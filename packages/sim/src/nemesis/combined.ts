// Faults that hurt only together: single families would need years to meet at the right moment.

import type { Prng } from '../prng.ts';
import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing, replicationLinks } from './nemesis.ts';
import { Steps } from './steps.ts';

/** The standby comes back over a slow path, and the holder dies while it catches up. */
export const dieWhileCatchingUp: Nemesis = {
  name: 'die-while-catching-up',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const links = replicationLinks(world);
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
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
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

/** The target's database is restarted while the lease is handed to it. */
export const targetRestartsAtHandOver: Nemesis = {
  name: 'target-restarts-at-hand-over',
  weight: 0.4,
  everyTtls: 10,
  start: (world, prng) => {
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const target = world.other(holder);
    world.operators.switchover(target);
    const afterMs = world.options.timings.ttlMs * prng.spread(0.01, 0.3);
    world.sim.after(afterMs, () => target.database.stop());
    return { what: `the database of ${target.name} stops while it is handed the lease`, durationMs: 0, stop: nothing };
  },
};

/** An operator tells the holder itself to take over; then the holder loses the witness for about a lease, and who took over may die. */
export const wordToTheHolder: Nemesis = {
  name: 'word-to-the-holder',
  weight: 0.2,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs, renewMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined || world.outside !== null) return { what: 'nobody is told', durationMs: 0, stop: nothing };
    world.operators.takeover(holder);
    const links = [holder.up, holder.down];
    let over = false;
    world.sim.after(renewMs * prng.between(1.5, 2), () => {
      if (!over) world.cutLinks(links, 'word');
    });
    const durationMs = ttlMs * prng.between(1.6, 2.2);
    const dies = prng.chance(0.5);
    const awayMs = ttlMs * prng.between(2, 4);
    const stop = (): void => {
      over = true;
      world.mendLinks(links, 'word');
      const successor = holderOf(world);
      if (!dies || successor === undefined || successor === holder) return;
      world.kill(successor);
      world.sim.after(awayMs, () => world.boot(successor));
    };
    return { what: `the holder ${holder.name} is told to take over, and loses the witness`, durationMs, stop };
  },
};

/** The holder dies, and the contender sleeps while it watches the darkness. */
export const sleepInDarkness: Nemesis = {
  name: 'sleep-in-darkness',
  weight: 0.3,
  everyTtls: 15,
  applies: (world) => world.outside !== null,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { machine } = world.other(holder);
    world.kill(holder);
    world.sim.after(ttlMs * prng.between(0.5, 1.1), () => {
      machine.suspend();
      world.sim.after(prng.between(1_100, 1_500) + ttlMs * prng.between(0, 0.5), () => {
        machine.resume();
        world.resend();
      });
    });
    return { what: `${holder.name} dies and ${machine.name} sleeps`, durationMs: ttlMs * prng.between(2, 4), stop: () => world.boot(holder) };
  },
};

/** The standby comes back; the answer that says that the register counts on it again is lost, then the standby, then the holder. */
export const lostWidening: Nemesis = {
  name: 'lost-widening',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs, standbyLossMs, standbyStableMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const replication = replicationLinks(world);
    const goneMs = standbyLossMs + ttlMs * prng.between(0.2, 1);
    const steps = new Steps(world);
    const asksToWiden = (): boolean => {
      const asked = holder.controller.state.request?.request;
      return asked?.kind === 'setInSync' && asked.inSync.length > 1;
    };
    const lose = (): void => {
      world.cutLinks([holder.down, ...replication], 'widening');
      world.clients.burst(12, ttlMs / 30);
      steps.after(ttlMs * prng.between(0.1, 0.7), () => world.kill(holder));
    };
    world.cutLinks(replication, 'widening');
    steps.after(goneMs, () => {
      world.mendLinks(replication, 'widening');
      steps.when(asksToWiden, lose);
    });
    const stop = (): void => {
      steps.end();
      world.mendLinks([holder.down, ...replication], 'widening');
      world.boot(holder);
    };
    const durationMs = goneMs + standbyStableMs + ttlMs * prng.between(2, 4);
    return { what: `${holder.name} does not hear that its standby is counted on again`, durationMs, stop };
  },
};

function burstAround(world: World, prng: Prng, atMs: number): void {
  world.sim.after(atMs * prng.between(0.9, 1), () => world.clients.burst(12, atMs / 60));
}
