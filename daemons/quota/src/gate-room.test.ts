// The waiting room, with a clock that the test moves where time decides, and the real one where a timer must wake somebody.

import type { Now, TakenInstruction } from '@continuum/core';
import { PROBES_WAITING_MAX, epoch, monoMs, regionId, wallMs } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { test } from 'tap';
import { waitFor } from '../../../test/rig/process.ts';
import type { Arrival, GateRoomOptions } from './gate-room.ts';
import { createGateRoom } from './gate-room.ts';
import { JUDGED_AT_ONCE } from './waiting-room.ts';
import type { FinalVerdict } from './waiting-room.ts';

const start: Now = { monoMs: monoMs(0), wallMs: wallMs(0) };
const instruction: TakenInstruction = {
  version: 1,
  epoch: epoch(1),
  mode: 'hold',
  activeRegion: regionId('r1'),
  holdForwarded: false,
  holdMsMax: 60_000,
};
const options: GateRoomOptions = {
  region: regionId('r1'),
  heldMax: 3,
  holdMsLimit: 60_000,
  epochMax: epoch(0),
  saveEpoch: () => undefined,
  onSaveFailed: () => undefined,
  clock: { now: () => start },
};

type Visitor = Arrival & { readonly verdicts: (FinalVerdict | 'ask again')[] };

function visitor(change: Partial<Arrival> = {}): Visitor {
  const verdicts: (FinalVerdict | 'ask again')[] = [];
  return {
    kind: 'application',
    forwardedBy: [],
    waitMs: 0,
    settle: (verdict) => verdicts.push(verdict),
    askAgain: () => verdicts.push('ask again'),
    verdicts,
    ...change,
  };
}

test('whoever waits is released in order by the instruction that ends the hold, once', async (t) => {
  const room = createGateRoom(options);
  room.instruct(instruction, start, 0);
  const order: number[] = [];
  const visitors = [0, 1, 2].map((index) => visitor({ settle: () => order.push(index) }));
  for (const one of visitors) room.enter(one);
  t.equal(room.held(), 3);
  room.instruct({ ...instruction, version: 2, mode: 'forward', activeRegion: regionId('r2') }, start, 0);
  t.same(order, [0, 1, 2]);
  t.equal(room.held(), 0);
  room.instruct({ ...instruction, version: 3 }, start, 0);
  t.equal(order.length, 3, 'a verdict is given once');
});

test('many are released in lots, and whoever has not had a turn is judged by the instruction of that turn', async (t) => {
  const room = createGateRoom({ ...options, heldMax: 100 });
  room.instruct(instruction, start, 0);
  const count = 2 * JUDGED_AT_ONCE + 1;
  const order: number[] = [];
  for (let index = 0; index < count; index++) room.enter(visitor({ settle: () => order.push(index) }));
  room.instruct({ ...instruction, version: 2, mode: 'open' }, start, 1_000);
  t.equal(order.length, JUDGED_AT_ONCE, 'the first lot at once');
  t.equal(room.held(), count - JUDGED_AT_ONCE, 'the others still count as held');
  room.instruct({ ...instruction, version: 3 }, start, 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(order.length, JUDGED_AT_ONCE, 'held again: nobody else was let through');
  room.instruct({ ...instruction, version: 4, mode: 'open' }, start, 1_000);
  await waitFor('the others', () => room.held() === 0);
  t.same(order, Array.from({ length: count }, (_, index) => index), 'each once, in the order in which they came');
});

test('the room is bounded, and a place that gets free is free', async (t) => {
  const room = createGateRoom(options);
  room.instruct(instruction, start, 0);
  const leave = [1, 2, 3].map(() => room.enter(visitor()));
  const late = visitor();
  room.enter(late);
  t.same(late.verdicts, [{ kind: 'deny', code: 'CTM_GATE_HOLD_FULL' }]);
  t.equal(leave[0]?.(), true);
  t.equal(leave[0]?.(), false, 'gone is gone');
  const next = visitor();
  room.enter(next);
  t.same(next.verdicts, []);
  t.equal(room.held(), 3);
  room.evict();
});

test('who waits is refused when the time is up, by a timer that asks the clock', async (t) => {
  const room = createGateRoom({ ...options, clock: systemClock });
  room.instruct({ ...instruction, holdMsMax: 30 }, systemClock.now(), 0);
  const one = visitor();
  const arrivedMs = performance.now();
  room.enter(one);
  await waitFor('the verdict', () => one.verdicts.length === 1, { everyMs: 1 });
  t.ok(performance.now() - arrivedMs >= 30, 'not before');
  t.same(one.verdicts, [{ kind: 'deny', code: 'CTM_GATE_HOLD_EXPIRED' }]);
});

test('a new instruction moves the deadline of who waits already', async (t) => {
  const room = createGateRoom({ ...options, clock: systemClock });
  room.instruct({ ...instruction, holdMsMax: 60_000 }, systemClock.now(), 0);
  const one = visitor();
  room.enter(one);
  room.instruct({ ...instruction, version: 2, holdMsMax: 20 }, systemClock.now(), 0);
  await waitFor('the verdict', () => one.verdicts.length === 1, { everyMs: 1 });
  t.same(one.verdicts, [{ kind: 'deny', code: 'CTM_GATE_HOLD_EXPIRED' }]);
});

test('a stopping gate sends everybody back to ask again', async (t) => {
  const room = createGateRoom(options);
  room.instruct(instruction, start, 0);
  const visitors = [visitor(), visitor()];
  const leave = visitors.map((one) => room.enter(one));
  t.equal(room.evict(), 2);
  t.same(visitors.map((one) => one.verdicts), [['ask again'], ['ask again']]);
  t.equal(leave[0]?.(), false);
  t.equal(room.held(), 0);
});

test('a new epoch counts only once it is saved', async (t) => {
  const saved: number[] = [];
  const problems: unknown[] = [];
  let full = false;
  const room = createGateRoom({
    ...options,
    saveEpoch: (value) => {
      if (full) throw new Error('no space left');
      saved.push(value);
    },
    onSaveFailed: (error) => problems.push(error),
  });
  t.equal(room.instruct({ ...instruction, epoch: epoch(4), mode: 'open' }, start, 1_000), 'changed');
  t.equal(room.instruct({ ...instruction, epoch: epoch(4), mode: 'open' }, start, 2_000), 'extended');
  t.same(saved, [4], 'once per epoch');
  full = true;
  const next = { ...instruction, version: 2, epoch: epoch(5), mode: 'closed' as const };
  t.equal(room.instruct(next, start, 0), 'epoch-not-saved');
  t.equal(room.state().epochMax, 4);
  t.equal(room.state().instruction?.mode, 'open', 'what was in force runs out by itself');
  t.equal(problems.length, 1);
  full = false;
  t.equal(room.instruct(next, start, 0), 'changed');
  t.equal(room.instruct({ ...instruction, epoch: epoch(4) }, start, 9_000), 'epoch-stale');
  t.same(saved, [4, 5]);
});

const prober = (waitMs = 1_200): Visitor => visitor({ kind: 'well-known', waitMs });
const at = (ms: number): Now => ({ monoMs: monoMs(ms), wallMs: wallMs(ms) });
const open: TakenInstruction = { ...instruction, mode: 'open' };
const allowed = { kind: 'allow', route: 'r1' } as const;
const fenced = { kind: 'deny', code: 'CTM_GATE_FENCED' } as const;

test('a probe that asks for it is told at the change, in both directions; one that does not is told at once', async (t) => {
  let now = start;
  const room = createGateRoom({ ...options, clock: { now: () => now } });
  room.instruct({ ...open, mode: 'closed' }, now, 0);
  now = at(10_000);
  const [waiting, plain] = [prober(), prober(0)];
  room.enter(waiting);
  room.enter(plain);
  t.same([waiting.verdicts, plain.verdicts, room.waitingProbes(), room.held()], [[], [fenced], 1, 0]);
  now = at(10_100);
  room.instruct({ ...open, version: 2 }, now, 60_000);
  t.same([waiting.verdicts, room.waitingProbes()], [[allowed], 0]);
  now = at(20_000);
  const next = prober();
  room.enter(next);
  room.instruct({ ...open, version: 2 }, now, 60_000);
  t.same([next.verdicts, room.waitingProbes()], [[], 1], 'more validity is no change');
  room.instruct({ ...open, version: 3, mode: 'hold' }, now, 0);
  t.same([next.verdicts, room.waitingProbes()], [[fenced], 0]);
});

test('a probe that waits is fenced by a validity that is cut short without another change', async (t) => {
  let now = start;
  const room = createGateRoom({ ...options, clock: { now: () => now } });
  room.instruct(open, now, 60_000);
  now = at(10_000);
  const one = prober();
  room.enter(one);
  t.equal(room.instruct(open, now, 0), 'extended');
  t.same(one.verdicts, [fenced]);
});

test('a probe that waits is told when the validity ends, by a timer that asks the clock, and not before', async (t) => {
  let skewMs = 0;
  const clock = (): Now => ({ monoMs: monoMs(systemClock.now().monoMs + skewMs), wallMs: wallMs(systemClock.now().wallMs + skewMs) });
  const room = createGateRoom({ ...options, clock: { now: clock } });
  room.instruct(open, clock(), 10_050);
  skewMs = 10_000;
  const one = prober();
  room.enter(one);
  t.equal(room.waitingProbes(), 1);
  await waitFor('the verdict', () => one.verdicts.length === 1, { everyMs: 1 });
  t.same(one.verdicts, [fenced]);
  t.equal(room.remainingMs(), 0);
});

test('with no change a probe is told how it is when its wait is over; one whose client is gone is forgotten', async (t) => {
  let skewMs = 0;
  const room = createGateRoom({ ...options, clock: { now: () => at(systemClock.now().monoMs + skewMs) } });
  skewMs = 10_000;
  const [one, gone] = [prober(30), prober()];
  const enteredMs = systemClock.now().monoMs;
  room.enter(one);
  const leave = room.enter(gone);
  t.equal(room.waitingProbes(), 2);
  await waitFor('the verdict', () => one.verdicts.length === 1, { everyMs: 1 });
  t.ok(systemClock.now().monoMs - enteredMs >= 30, 'not before');
  t.same(one.verdicts, [fenced]);
  t.equal(leave(), true);
  t.same([gone.verdicts, room.waitingProbes()], [[], 0]);
});

test('what changed a moment ago is told at once: a name server between two probes has not heard it', async (t) => {
  let now = start;
  const room = createGateRoom({ ...options, clock: { now: () => now } });
  room.instruct(open, now, 60_000);
  const told = (ms: number): number => {
    now = at(ms);
    const one = prober();
    const leave = room.enter(one);
    leave();
    return one.verdicts.length;
  };
  t.same([told(0), told(1_999), told(2_000)], [1, 1, 0]);
  room.instruct({ ...open, version: 2, mode: 'closed' }, now, 0);
  t.same([told(2_001), told(4_000)], [1, 0]);
  room.instruct({ ...open, version: 3 }, now, 1_000);
  now = at(60_000);
  t.same([told(60_000), told(61_999), told(62_000)], [1, 1, 0], 'a validity that ran out unseen counts from when it is seen');
});

test('probes have places of their own, and a stopping gate sends them back', async (t) => {
  let now = start;
  const room = createGateRoom({ ...options, clock: { now: () => now } });
  room.instruct({ ...open, mode: 'closed' }, now, 0);
  now = at(10_000);
  const probers = Array.from({ length: PROBES_WAITING_MAX + 1 }, () => prober());
  for (const one of probers) room.enter(one);
  t.equal(room.waitingProbes(), PROBES_WAITING_MAX);
  t.same(probers.at(-1)?.verdicts, [fenced], 'one too many is told at once');
  t.equal(room.evict(), PROBES_WAITING_MAX);
  t.same(probers[0]?.verdicts, ['ask again']);
});
