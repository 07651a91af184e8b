// The witness as a Durable Object misbehaves: outage, error after commit, slowness, late and doubled alarms, deploy skew,
// evictions, a lost store.

import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing } from './nemesis.ts';

export const witnessOutage: Nemesis = {
  name: 'witness-outage',
  weight: 0.4,
  everyTtls: 20,
  start: (world, prng) => {
    world.witness.faults.down = true;
    const durationMs = world.options.timings.ttlMs * prng.spread(0.05, 10);
    const stop = (): void => {
      world.witness.faults.down = false;
    };
    return { what: 'the witness is down', durationMs, stop };
  },
};

export const witnessErrors: Nemesis = {
  name: 'witness-errors',
  weight: 0.5,
  everyTtls: 12,
  start: (world, prng) => {
    const { faults } = world.witness;
    const { ttlMs } = world.options.timings;
    faults.errorAfterCommitShare = prng.between(0, 0.6);
    faults.skewShare = prng.chance(0.3) ? prng.between(0, 0.5) : 0;
    faults.alarmDelayMs = prng.chance(0.5) ? ttlMs * prng.spread(0.05, 2) : 0;
    faults.slowMs = prng.chance(0.4) ? ttlMs * prng.spread(0.02, 0.3) : 0;
    const stop = (): void => {
      faults.errorAfterCommitShare = 0;
      faults.skewShare = 0;
      faults.alarmDelayMs = 0;
      faults.slowMs = 0;
    };
    return { what: 'the witness answers with errors', durationMs: ttlMs * prng.spread(0.3, 8), stop };
  },
};

/** Evicted, or restarted by a deploy: often in the middle of what it was asked. */
export const witnessEviction: Nemesis = {
  name: 'witness-eviction',
  weight: 0.3,
  everyTtls: 10,
  start: (world, prng) => {
    world.witness.evict();
    const durationMs = world.options.timings.ttlMs * prng.spread(0.0005, 0.3);
    return { what: 'the witness is evicted', durationMs, stop: () => world.startWitness() };
  },
};

/** Above every epoch that is seen: a region that cannot be asked may have been granted a few more. */
const EPOCH_MARGIN = 10;

/**
 * Its store is lost, and restored as the witness's README says: once what was granted has run out, above every accepted epoch, for the
 * region that has the data, which then takes the lease by force. Nobody restarts a controller for it.
 */
export const lostStore: Nemesis = {
  name: 'lost-store',
  weight: 0.15,
  everyTtls: 25,
  // Where an epoch stands in a restored record is a matter of one version.
  applies: ({ options }) => options.versions === null,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const { witness } = world;
    const holder = holderOf(world);
    if (holder === undefined || !witness.isHeld) return nobodyHolds;
    const restoreMs = ttlMs * prng.spread(1.1, 4);
    const epochSeen = highestEpoch(world);
    witness.loseStore();
    world.register.abandon();
    world.lease.storeLost();
    world.sim.after(restoreMs, () => {
      const epoch = Math.max(epochSeen, highestEpoch(world)) + EPOCH_MARGIN;
      witness.restore(epoch, holder.name);
      world.register.abandon();
      world.lease.restored(epoch);
      world.sim.note('operator', () => `restores the lease at epoch ${epoch} for ${holder.name}`);
      const force = (): void => {
        if (witness.record.epoch > epoch) return world.marks.set('register-restored');
        world.operators.takeover(holder);
        world.sim.after(ttlMs * prng.between(0.3, 1), force);
      };
      force();
    });
    return { what: 'the witness has lost its store', durationMs: restoreMs, stop: nothing };
  },
};

function highestEpoch({ regions }: World): number {
  return Math.max(...regions.flatMap(({ controller, database, gate }) => [controller.persistedEpoch, database.epoch, gate.epochMax]));
}
