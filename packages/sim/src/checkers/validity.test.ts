// What counts as a request past its validity. A machine whose clocks hide a sleep may serve on what it was told before, and must not be
// accused; one whose clocks show it must. (Found by seed 527 of the merge profile: the region had been granted the lease anew
// meanwhile, and its gate had not heard of that yet.)

import type { LeaseCommand } from '@continuum/core';
import { epoch, regionId } from '@continuum/core';
import { test } from 'tap';
import { THIS_VERSION } from '../core-version.ts';
import { Machine } from '../machine.ts';
import { Marks } from '../marks.ts';
import { Gate } from '../models/gateway.ts';
import { Witness } from '../models/witness.ts';
import { Simulation, ViolationError } from '../simulation.ts';
import { ValidityChecker } from './validity.ts';

const [OWN, TTL_MS, GUARD_MS] = [regionId('r1'), 5_000, 500];

class Region {
  readonly sim = new Simulation(1, false);
  readonly machine = new Machine(this.sim, 'r1', 0, 0);
  readonly marks = new Marks();
  readonly #checker = new ValidityChecker(this.sim, this.marks);
  readonly #guardMs: number;
  readonly #witness = new Witness(this.sim, new Machine(this.sim, 'witness', 0, 0), THIS_VERSION, 'demo', [], {
    applied: (before, after, command, reply) => this.#checker.applied(before, after, command, reply, this.#guardMs),
    lostReply: () => undefined,
    alarmLate: () => undefined,
    alarmForgotten: () => undefined,
    inherited: () => undefined,
  });
  readonly #gate = new Gate(this.sim, this.machine, THIS_VERSION, OWN, 1_000, {
    allowed: (gate) => this.#checker.allowed(gate, this.#witness),
    epochTaken: () => undefined,
    staleRefused: () => undefined,
    released: () => undefined,
    weightsTaken: () => undefined,
  });
  #seq = 0;

  constructor(guardMs = GUARD_MS, uncoveredMs = 0) {
    this.#guardMs = guardMs;
    this.#checker.uncoveredMs = uncoveredMs;
    this.#gate.start();
  }

  acquire(): void {
    const seq = ++this.#seq;
    const epochSeen = this.#witness.record.epoch;
    const command: LeaseCommand = { kind: 'acquire', region: OWN, seq, instance: 'r1-a', epochSeen, ttlMs: TTL_MS, policyHash: 'p', force: null };
    this.#checker.sent(OWN, seq, this.machine);
    this.#witness.command(command, () => undefined);
  }

  open(of: number): void {
    const remainingMs = TTL_MS - this.#guardMs;
    this.#gate.stray({ version: of, epoch: epoch(of), mode: 'open', activeRegion: OWN, holdForwarded: false, holdMsMax: 0, remainingMs });
  }

  wait(ms: number): void {
    this.sim.runUntil(this.sim.nowMs + ms);
  }

  sleep(ms: number): void {
    this.machine.suspend();
    this.wait(ms);
    this.machine.resume();
  }

  request(): string {
    let outcome = 'none';
    this.#gate.request([], ({ kind }) => {
      outcome = kind;
    });
    return outcome;
  }
}

/** Granted and open in epoch 1, asleep past its ttl, and granted epoch 2, of which the gate hears later. */
function woken(wallStepMs: number): Region {
  const region = new Region();
  region.acquire();
  region.open(1);
  region.sleep(2 * TTL_MS);
  region.machine.wallOffsetMs += wallStepMs;
  region.acquire();
  return region;
}

test('a gate that serves on an earlier grant of its region, after a sleep that a wall clock set back hides', async (t) => {
  const region = woken(-3 * TTL_MS);
  t.equal(region.request(), 'local');
  region.open(2);
  t.equal(region.request(), 'local');
});

test('the same gate, on an earlier grant that nothing hides', async (t) => {
  const region = new Region();
  region.acquire();
  region.open(1);
  region.wait(TTL_MS);
  region.acquire();
  region.open(1);
  t.throws(() => region.request(), new ViolationError('I4', `r1 lets requests through ${GUARD_MS} ms past its validity`));
});

test('a gate that serves in an epoch that was never granted', async (t) => {
  const region = woken(-3 * TTL_MS);
  region.open(3);
  t.throws(() => region.request(), new ViolationError('I4', 'r1 lets requests through in epoch 3, for which it has no validity'));
});

test('a gate whose clocks show the sleep refuses', async (t) => {
  t.equal(woken(0).request(), 'refused');
});

test('several sleeps of which the clocks show a part: it is what they hide that must make the difference', async (t) => {
  const slept = (sleeps: readonly { readonly ms: number; readonly setBackMs: number }[]): Region => {
    const region = new Region();
    region.acquire();
    for (const { ms, setBackMs } of sleeps) {
      region.sleep(ms);
      region.machine.wallOffsetMs -= setBackMs;
    }
    // Only now is the gate told: it knows nothing of what was before.
    region.open(1);
    return region;
  };
  // Seed 227 of the merge profile.
  t.equal(slept([{ ms: TTL_MS, setBackMs: TTL_MS - 600 }, { ms: 600, setBackMs: 0 }]).request(), 'local');
  const refused = new ViolationError('I4', 'r1 lets requests through in epoch 1, which the witness had given up');
  t.throws(() => slept([{ ms: 2 * TTL_MS, setBackMs: TTL_MS + GUARD_MS - 1 }]).request(), refused, 'what they show is enough by itself');
  t.throws(() => slept([{ ms: TTL_MS, setBackMs: 0 }]).request(), refused, 'nothing is hidden');
});

test('without the guard a region serves past the witness for as long as its clock is slow, and no longer', async (t) => {
  const slow = (uncoveredMs: number): Region => {
    const region = new Region(0, uncoveredMs);
    region.machine.setRateError(-0.004);
    region.acquire();
    region.open(1);
    // Set back, the wall clock does not show what the slow one misses.
    region.machine.wallOffsetMs -= 100;
    region.wait(TTL_MS + 15);
    return region;
  };
  const covered = slow(20);
  t.equal(covered.request(), 'local');
  t.equal(covered.marks.counts.get('served-past-the-witness'), 1);
  t.throws(() => slow(10).request(), new ViolationError('I4', 'r1 lets requests through in epoch 1, which the witness had given up'));
});
