// L2 as the register sees it: who lost the lease to a takeover does not take it back within the hold-down. A stranger who sends a command
// in its name is not it.

import type { LeaseCommand } from '@continuum/core';
import { regionId } from '@continuum/core';
import { test } from 'tap';
import { THIS_VERSION } from '../core-version.ts';
import { Machine } from '../machine.ts';
import { Marks } from '../marks.ts';
import { Witness } from '../models/witness.ts';
import { Simulation, ViolationError } from '../simulation.ts';
import { LeaseChecker } from './lease.ts';

const [TTL_MS, HOLD_DOWN_MS] = [5_000, 20_000];
const [r1, r2] = [regionId('r1'), regionId('r2')];

class Register {
  readonly sim = new Simulation(1, false);
  readonly checker = new LeaseChecker(this.sim, new Marks(), HOLD_DOWN_MS, () => 1);
  readonly #witness = new Witness(this.sim, new Machine(this.sim, 'witness', 0, 0), THIS_VERSION, 'demo', [], {
    applied: (before, after, command, reply) => this.checker.applied(before, after, command, reply),
    lostReply: () => undefined,
    alarmLate: () => undefined,
    inherited: () => undefined,
  });
  #seq = 0;

  take(region: typeof r1): void {
    const { epoch: epochSeen } = this.#witness.record;
    const command: LeaseCommand = { kind: 'acquire', region, seq: ++this.#seq, instance: `${region}-a`, epochSeen, ttlMs: TTL_MS, policyHash: 'p', force: null };
    this.#witness.command(command, () => undefined);
    this.widen(region);
    this.sim.runUntil(this.sim.nowMs + TTL_MS + 1);
  }

  /** Both are counted on again. */
  widen(region: typeof r1): void {
    const { epoch } = this.#witness.record;
    this.#witness.command({ kind: 'setInSync', region, seq: ++this.#seq, instance: `${region}-a`, epoch, inSync: [r1, r2] }, () => undefined);
  }
}

test('a region that takes the lease back by itself within the hold-down is named', async (t) => {
  const register = new Register();
  register.take(r1);
  register.take(r2);
  t.throws(() => register.take(r1), new ViolationError('L2', `r1 took the lease back by itself after ${TTL_MS + 1} ms`));
});

test('after the hold-down it may', async (t) => {
  const register = new Register();
  register.take(r1);
  register.take(r2);
  register.sim.runUntil(register.sim.nowMs + HOLD_DOWN_MS);
  t.doesNotThrow(() => register.take(r1));
});

test('a stranger in its name is not it', async (t) => {
  const register = new Register();
  register.take(r1);
  register.take(r2);
  register.checker.stranger = true;
  t.doesNotThrow(() => register.take(r1));
});
