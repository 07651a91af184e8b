// The wheel: what is due runs, in portions; what is taken back does not.

import { test } from 'tap';
import { monoMs } from '@continuum/core';
import { createWheel } from './wheel.ts';
import { waitFor } from '../../../test/rig/process.ts';

const real = () => monoMs(performance.now());

test('tasks run in the order of their time, none before it', async (t) => {
  const wheel = createWheel({ now: real });
  t.teardown(wheel.stop);
  const ran: [number, number][] = [];
  const startMs = performance.now();
  for (const afterMs of [80, 20, 50, 0]) wheel.schedule(startMs + afterMs, () => ran.push([afterMs, performance.now() - startMs]));
  await waitFor('all four', () => ran.length === 4);
  t.same(ran.map(([afterMs]) => afterMs), [0, 20, 50, 80]);
  t.ok(ran.every(([afterMs, atMs]) => atMs >= afterMs), JSON.stringify(ran));
});

test('what was taken back does not run, and what a task schedules does', async (t) => {
  const wheel = createWheel({ now: real });
  t.teardown(wheel.stop);
  const ran: string[] = [];
  const cancel = wheel.schedule(performance.now() + 20, () => ran.push('cancelled'));
  wheel.schedule(performance.now() + 10, () => wheel.schedule(performance.now() + 30, () => ran.push('second')));
  cancel();
  await waitFor('the second', () => ran.length > 0);
  t.same(ran, ['second']);
});

test('after a pause the overdue are started in portions, the event loop in between', async (t) => {
  let nowMs = 1_000;
  const wheel = createWheel({ now: () => monoMs(nowMs), burstMax: 10 });
  t.teardown(wheel.stop);
  let ran = 0;
  const portions: number[] = [];
  for (let index = 0; index < 95; index++) wheel.schedule(1_000 + index * 10, () => ran++);
  nowMs = 61_000;
  let before = 0;
  await waitFor('all of them', () => {
    if (ran > before) portions.push(ran - before);
    before = ran;
    return ran === 95;
  }, { everyMs: 0 });
  t.equal(ran, 95);
  t.ok(portions.length > 1, 'not all in one turn');
});

test('stopped: nothing runs any more', async (t) => {
  const wheel = createWheel({ now: real });
  let ran = false;
  wheel.schedule(performance.now() + 10, () => (ran = true));
  wheel.stop();
  const after = createWheel({ now: real });
  t.teardown(after.stop);
  let later = false;
  after.schedule(performance.now() + 60, () => (later = true));
  await waitFor('a later one', () => later);
  t.equal(ran, false);
});
