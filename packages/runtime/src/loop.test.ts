// The daemon's loop, driven with the real decision function or with a scripted one where the order itself is the point.

import t from 'tap';
import { decide, deriveTimings, initialState, monoMs, regionId } from '@continuum/core';
import type { Action, ControllerEvent, ControllerState, Decision, Now } from '@continuum/core';
import { systemClock } from './clock.ts';
import { startLoop } from './loop.ts';
import type { LoopOptions } from './loop.ts';

const START = initialState(
  {
    name: 'counter',
    region: regionId('r1'),
    regions: [regionId('r1'), regionId('r2')],
    databases: { r1: '127.0.0.1:1', r2: '127.0.0.1:2' },
    mode: 'automatic',
    timings: deriveTimings(10_000),
    hash: 'x',
  },
  { instance: 'i', epoch: 0 },
  systemClock.now(),
);
const record = (event: string): Action => ({ kind: 'record', event, detail: {} });
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A loop whose decisions are scripted: each event gives the actions that `script` names for it. */
function scripted(script: (event: ControllerEvent, now: Now) => readonly Action[], more: Partial<LoopOptions> = {}) {
  const done: string[] = [];
  const crashes: unknown[] = [];
  const loop = startLoop({
    initial: START,
    clock: systemClock,
    decide: (state: ControllerState, event: ControllerEvent, now: Now): Decision => {
      done.push(`decide ${event.kind}`);
      return { state: { ...state, now }, actions: script(event, now), wakeMs: monoMs(now.monoMs + 60_000) };
    },
    perform: (action) => void done.push(action.kind === 'record' ? action.event : action.kind),
    onDecision: () => void done.push('decided'),
    onCrash: (error) => void crashes.push(error),
    ...more,
  });
  t.teardown(() => loop.stop());
  return { loop, done, crashes };
}

t.test('actions are carried out in the order of the decision, each decision whole before the next', async (t) => {
  const { done, loop } = scripted((event) => (event.kind === 'tick' ? ['a', 'b', 'c'].map(record) : [record('d')]));
  loop.post({ kind: 'operator-cancelled' });
  t.same(done, [], 'nothing is decided inside a callback');
  await settle();
  t.same(done, ['decide tick', 'a', 'b', 'c', 'decided', 'decide operator-cancelled', 'd', 'decided']);
});

t.test('what an action posts while it is carried out waits for its turn', async (t) => {
  const { done, loop } = scripted((event) => (event.kind === 'tick' ? [record('first'), record('second')] : [record('later')]), {
    perform: (action) => {
      if (action.kind !== 'record') return;
      done.push(action.event);
      if (action.event === 'first') loop.post({ kind: 'operator-cancelled' });
    },
  });
  await settle();
  t.same(done, ['decide tick', 'first', 'second', 'decided', 'decide operator-cancelled', 'later', 'decided']);
});

t.test('an action that throws ends everything: no further action, no further decision', async (t) => {
  const { done, crashes, loop } = scripted(() => ['a', 'full disk', 'c'].map(record), {
    perform: (action) => {
      if (action.kind === 'record' && action.event === 'full disk') throw new Error('ENOSPC');
      done.push(action.kind === 'record' ? action.event : action.kind);
    },
  });
  loop.post({ kind: 'operator-cancelled' });
  await settle();
  loop.post({ kind: 'operator-cancelled' });
  await settle();
  t.same(done, ['decide tick', 'a']);
  t.match(crashes, [{ message: 'ENOSPC' }]);
});

t.test('a decision that throws ends everything, with the state of before', async (t) => {
  let broken = false;
  const crashes: unknown[] = [];
  const loop = startLoop({
    initial: START,
    clock: systemClock,
    decide: (state, event, now) => {
      if (broken) throw new Error('assertion');
      return decide(state, event, now);
    },
    perform: () => undefined,
    onDecision: () => undefined,
    onCrash: (error) => void crashes.push(error),
  });
  await settle();
  broken = true;
  const before = loop.state();
  loop.post({ kind: 'tick' });
  await settle();
  loop.post({ kind: 'tick' });
  await settle();
  t.match(crashes, [{ message: 'assertion' }]);
  t.equal(loop.state(), before);
});

t.test('a flood of events ends the process instead of its memory', async (t) => {
  const { crashes, loop, done } = scripted(() => []);
  for (let count = 0; count < 10_100; count++) loop.post({ kind: 'tick' });
  t.match(crashes, [{ message: 'more than 10000 events wait' }]);
  await settle();
  t.same(done, [], 'and nothing is decided any more');
});

t.test('it wakes by itself when the decision asked to', async (t) => {
  const woken: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const loop = startLoop({
    initial: START,
    clock: systemClock,
    decide: (state, _event, now) => {
      woken.push(now.monoMs);
      if (woken.length === 3) resolve();
      return { state: { ...state, now }, actions: [], wakeMs: monoMs(now.monoMs + 20) };
    },
    perform: () => undefined,
    onDecision: () => undefined,
    onCrash: (error) => t.fail(String(error)),
  });
  await promise;
  loop.stop();
  const [first = 0, second = 0] = woken;
  t.ok(second - first >= 20, 'never before the time');
  await settle();
  t.equal(woken.length, 3, 'stopped means stopped');
});

t.test('every event is decided with the time at which it is taken, on both clocks', async (t) => {
  const seen: Now[] = [];
  const { loop } = scripted((_event, now) => {
    seen.push(now);
    return [];
  });
  await settle();
  const [first] = seen;
  t.ok(first !== undefined && Math.abs(first.wallMs - Date.now()) < 60_000);
  t.equal(loop.state().now, first);
});
