// 10^7 packets at the beacon, under a new seed each night; the seed is told, so that a finding can be played again.

import { test } from 'tap';
import { Prng } from '@continuum/sim/prng';
import { fuzzBeacon } from './beacon-fuzz.ts';

test('no packet ends the beacon or gets an answer that it should not', { timeout: 3_000_000 }, async (t) => {
  const seed = Date.now();
  const prng = new Prng(seed);
  const report = fuzzBeacon(10_000_000, () => prng.unit());
  t.comment(JSON.stringify({ seed, ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
});
