// PostgreSQL: promotions that hang, fail or crash afterwards, waits that are cancelled, a frozen receiver, a lag that cannot be
// known, a rewind that is impossible, a server that does not answer.

import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing, restartAsStandby } from './nemesis.ts';
import { pickRegion } from './process.ts';

export const badPromotion: Nemesis = {
  name: 'bad-promotion',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const { database, name } = prng.pick(world.regions);
    const kind = prng.pick(['hangs', 'fails', 'crashes-after'] as const);
    database.faults.promote = kind;
    const stop = (): void => {
      database.faults.promote = 'ok';
    };
    return { what: `a promotion of ${name} ${kind}`, durationMs: world.options.timings.ttlMs * prng.spread(0.5, 6), stop };
  },
};

export const cancelledWaits: Nemesis = {
  name: 'cancelled-waits',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const { database, name } = pickRegion(world, prng);
    database.faults.cancelWaits = true;
    if (database.waitingCount > 0) world.marks.set('sync-wait-cancelled');
    database.cancelWaits();
    const stop = (): void => {
      database.faults.cancelWaits = false;
    };
    return { what: `commits in ${name} give up their wait`, durationMs: world.options.timings.ttlMs * prng.spread(0.1, 4), stop };
  },
};

export const oddStandby: Nemesis = {
  name: 'odd-standby',
  weight: 0.5,
  everyTtls: 10,
  start: (world, prng) => {
    const { database, name } = prng.pick(world.regions);
    const { faults } = database;
    const kind = prng.pick(['replayFrozen', 'lagMissing', 'rewindImpossible'] as const);
    faults[kind] = true;
    const stop = (): void => {
      faults[kind] = false;
      database.receive();
    };
    return { what: `${name}: ${kind}`, durationMs: world.options.timings.ttlMs * prng.spread(0.2, 6), stop };
  },
};

export const hungDatabase: Nemesis = {
  name: 'hung-database',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { database, name } = pickRegion(world, prng);
    database.faults.hung = true;
    const stop = (): void => {
      database.faults.hung = false;
      database.settleWaiting();
      database.receive();
    };
    return { what: `the database of ${name} does not answer`, durationMs: world.options.timings.ttlMs * prng.spread(0.05, 4), stop };
  },
};

/** Somebody restarts the active region's server as a standby, and now and then faster than the controller looks. */
export const restartedAsStandby: Nemesis = {
  name: 'restarted-as-standby',
  weight: 0.2,
  everyTtls: 20,
  start: (world, prng) => {
    const holder = holderOf(world);
    if (holder === undefined || holder.database.role !== 'primary' || holder.controller.state.phase.kind !== 'active') return nobodyHolds;
    const unseen = prng.chance(0.5);
    restartAsStandby(world, holder, unseen);
    if (unseen) world.marks.set('active-over-a-standby');
    return { what: `the server of ${holder.name} is restarted as a standby`, durationMs: 0, stop: nothing };
  },
};
