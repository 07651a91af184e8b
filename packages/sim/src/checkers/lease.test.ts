// L2 as the register sees it: who lost the lease to a takeover does not take it back within the hold-down. A stranger who sends a command
// in its name is not it.

import type { ControllerState, LeaseCommand, LeaseView } from '@continuum/core';
import { initialState, monoMs, regionId, viewLease, wallMs } from '@continuum/core';
import { test } from 'tap';
import { THIS_VERSION } from '../core-version.ts';
import { Machine } from '../machine.ts';
import { Marks } from '../marks.ts';
import { Witness } from '../models/witness.ts';
import { drawOptions } from '../options.ts';
import { Prng } from '../prng.ts';
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
    alarmForgotten: () => undefined,
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

  get view(): LeaseView {
    return viewLease(this.#witness.record, r2, wallMs(this.sim.nowMs));
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

test('while takeovers are paused a region that takes the lease by itself is named, and one that was told to is not', async (t) => {
  const register = new Register();
  const { timings } = drawOptions(1, new Prng(1), { rtoMs: 30_000 });
  const policy = { name: 'demo', region: r2, regions: [r1, r2], databases: {}, mode: 'manual' as const, timings, hash: 'p' };
  const start = initialState(policy, { instance: 'r2-1', epoch: 0 }, { monoMs: monoMs(0), wallMs: wallMs(0) });
  const acquires = (state: ControllerState): void => register.checker.decided(state, { ...state, phase: { kind: 'acquiring' } });
  t.doesNotThrow(() => acquires({ ...start, view: register.view }), 'nobody ever held it');
  register.take(r1);
  const standby = { ...start, view: register.view };
  t.throws(() => acquires(standby), new ViolationError('L2', 'r2 takes the lease by itself while takeovers are paused'));
  t.doesNotThrow(() => acquires({ ...standby, operator: { kind: 'takeover', force: null, atMs: monoMs(0) } }));
});
