// The ring: bounded, oldest first, unknown stays unknown.

import { test } from 'tap';
import { monoMs } from '@continuum/core';
import type { StandbySummary } from '@continuum/core/replication/index';
import { History } from './history.ts';

const report = (value: number | null): StandbySummary =>
  ({ lag: { bytes: { value }, milliseconds: { value } }, loss: { milliseconds: { value } }, verdict: { kind: value === null ? 'unknown' : 'promotable' } }) as StandbySummary;

test('the newest entries are kept, and null is null', async (t) => {
  const history = new History(100);
  t.same(history.read(monoMs(0)), []);
  for (let index = 0; index < 1_000; index++) history.add(monoMs(index * 1_000), report(index % 2 === 0 ? index : null));
  const read = history.read(monoMs(1_000_000));
  t.equal(read.length, 100);
  t.same(read[0], { ageMs: 100_000, lagBytes: 900, lagMs: 900, lossMs: 900, verdict: 'promotable' });
  t.same(read[99], { ageMs: 1_000, lagBytes: null, lagMs: null, lossMs: null, verdict: 'unknown' });
});

test('until it is full nothing is lost, and nothing is there that was not added', async (t) => {
  const history = new History(1_000);
  for (let index = 0; index < 300; index++) history.add(monoMs(index), report(index));
  t.same(history.read(monoMs(300)).map((one) => one.lagMs), Array.from({ length: 300 }, (_, index) => index));
});

test('three digits of any figure, and none of them turns a little into nothing or unknown', async (t) => {
  const values = [0, 1, 2, 0.5, 999, 16_777_216, 1e12, 2 ** 62, null];
  const history = new History(values.length);
  for (const value of values) history.add(monoMs(0), report(value));
  const read = history.read(monoMs(0)).map((one) => one.lagBytes);
  t.same(read.slice(0, 5), [0, 1, 2, 0.5, 999]);
  for (const [index, value] of values.slice(5, 8).entries()) t.ok(Math.abs((read[index + 5] ?? 0) / (value ?? 0) - 1) < 0.006, `${value}: ${read[index + 5]}`);
  t.equal(read[8], null);
  for (const nonsense of [-5, Number.NaN]) {
    history.add(monoMs(0), report(nonsense));
    t.equal(history.read(monoMs(0)).at(-1)?.lagBytes, null, `${nonsense}`);
  }
});

test('ages are right across the end of its clock', async (t) => {
  const history = new History(10);
  const lateMs = 2 ** 32 * 10 - 500;
  history.add(monoMs(lateMs), report(1));
  history.add(monoMs(lateMs + 1_000), report(1));
  t.same(history.read(monoMs(lateMs + 2_000)).map((one) => one.ageMs), [2_000, 1_000]);
});
