// The witness as a Durable Object misbehaves: outage, error after commit, slowness, late and doubled alarms, deploy skew.

import type { Nemesis } from './nemesis.ts';

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
