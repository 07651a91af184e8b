// What the demo promises of the lag of a region that is dead.

import { test } from 'tap';
import { checkDeadLag } from './lag.ts';
import type { LagNow, LagSample } from './lag.ts';

const unknown: LagNow = { region: 'r1', verdict: 'standby-silent', milliseconds: null, bytes: null, ageMs: null };
const sample = (atMs: number, ...lag: LagNow[]): LagSample => ({ atMs, lag });
const twice = [
  { region: 'r1', fromMs: 1_000, toMs: 2_000 },
  { region: 'r1', fromMs: 5_000, toMs: 6_000 },
];

test('a figure of a dead region breaks the promise, once there was time to notice', async (t) => {
  const zero: LagNow = { ...unknown, verdict: 'not-streaming', milliseconds: 0, bytes: 0 };
  t.match(checkDeadLag([sample(1_100, zero), sample(1_500, unknown)], twice, 200), [{ passed: true, evidence: /all 1 samples \(standby-silent\)/ }]);
  t.match(checkDeadLag([sample(1_500, zero), sample(1_600, unknown)], twice, 200), [{ name: 'lag of dead r1 is never a number', passed: false, evidence: /1 of 2 samples show 0 bytes/ }]);
  t.match(checkDeadLag([sample(1_500, { ...unknown, verdict: 'promotable' })], twice, 200), [{ passed: false }]);
  t.match(checkDeadLag([sample(3_000, zero), sample(1_500, unknown)], twice, 200), [{ passed: true }], 'alive in between');
});

test('a promise about samples that nobody took is not kept; a site without probers promises nothing', async (t) => {
  t.match(checkDeadLag([sample(3_000, unknown)], twice, 200), [{ passed: false, evidence: /nothing was tried/ }]);
  t.same(checkDeadLag([sample(1_500)], twice, 200), []);
});
