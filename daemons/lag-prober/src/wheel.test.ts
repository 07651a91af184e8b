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
  for (const afterMs of [80, 20, 50, 0]) wheel.alarm((of: number) => ran.push([of, performance.now() - startMs]), afterMs).set(startMs + afterMs);
  await waitFor('all four', () => ran.length === 4);
  t.same(ran.map(([afterMs]) => afterMs), [0, 20, 50, 80]);
  t.ok(ran.every(([afterMs, atMs]) => atMs >= afterMs), JSON.stringify(ran));
});

test('what was taken back does not run, and what a task schedules does', async (t) => {
  const wheel = createWheel({ now: real });
  t.teardown(wheel.stop);
  const ran: string[] = [];
  const taken = wheel.alarm(() => ran.push('cancelled'), null);
  taken.set(performance.now() + 20);
  const second = wheel.alarm(() => ran.push('second'), null);
  wheel.alarm(() => second.set(performance.now() + 30), null).set(performance.now() + 10);
  taken.clear();
  await waitFor('the second', () => ran.length > 0);
  t.same(ran, ['second']);
});

test('an alarm counts where it was set last, runs once, and is there for the next time', async (t) => {
  const wheel = createWheel({ now: real });
  t.teardown(wheel.stop);
  const startMs = performance.now();
  const ran: number[] = [];
  const alarm = wheel.alarm(() => ran.push(performance.now() - startMs), null);
  for (const afterMs of [20, 60, 20, 60]) alarm.set(startMs + afterMs);
  let last = false;
  wheel.alarm(() => (last = true), null).set(startMs + 90);
  await waitFor('the last', () => last);
  t.equal(ran.length, 1);
  t.ok((ran[0] ?? 0) >= 60, JSON.stringify(ran));
  alarm.set(performance.now());
  await waitFor('the next time', () => ran.length === 2);
});

test('asleep until something is due, and awake for what comes before that', async (t) => {
  const wheel = createWheel({ now: real });
  t.teardown(wheel.stop);
  const startMs = performance.now();
  const ran: string[] = [];
  wheel.alarm(() => ran.push('far'), null).set(startMs + 700);
  const near = wheel.alarm(() => ran.push('near'), null);
  near.set(startMs + 40);
  await waitFor('both', () => ran.length === 2);
  t.same(ran, ['near', 'far']);
  t.ok(performance.now() - startMs >= 700);
});

test('after a pause the overdue are started in portions, the event loop in between', async (t) => {
  let nowMs = 1_000;
  const wheel = createWheel({ now: () => monoMs(nowMs), burstMax: 10 });
  t.teardown(wheel.stop);
  let ran = 0;
  const portions: number[] = [];
  for (let index = 0; index < 95; index++) wheel.alarm(() => ran++, null).set(1_000 + index * 10);
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
  wheel.alarm(() => (ran = true), null).set(performance.now() + 10);
  wheel.stop();
  const after = createWheel({ now: real });
  t.teardown(after.stop);
  let later = false;
  after.alarm(() => (later = true), null).set(performance.now() + 60);
  await waitFor('a later one', () => later);
  t.equal(ran, false);
});
