// The ring: bounded, oldest first, unknown stays unknown.

import { test } from 'tap';
import { monoMs } from '@continuum/core';
import type { StandbySummary } from '@continuum/core/replication/index';
import { createHistory } from './history.ts';

const report = (value: number | null): StandbySummary =>
  ({ lag: { bytes: { value }, milliseconds: { value } }, loss: { milliseconds: { value } }, verdict: { kind: value === null ? 'unknown' : 'promotable' } }) as StandbySummary;

test('the newest entries are kept, and null is null', async (t) => {
  const history = createHistory(100);
  t.same(history.read(monoMs(0)), []);
  for (let index = 0; index < 1_000; index++) history.add(monoMs(index), report(index % 2 === 0 ? index : null));
  const read = history.read(monoMs(1_000));
  t.equal(read.length, 100);
  t.same(read[0], { ageMs: 100, lagBytes: 900, lagMs: 900, lossMs: 900, verdict: 'promotable' });
  t.same(read[99], { ageMs: 1, lagBytes: null, lagMs: null, lossMs: null, verdict: 'unknown' });
});

test('while it grows nothing is lost', async (t) => {
  const history = createHistory(1_000);
  for (let index = 0; index < 300; index++) history.add(monoMs(index), report(index));
  t.same(history.read(monoMs(300)).map((one) => one.lagMs), Array.from({ length: 300 }, (_, index) => index));
});
