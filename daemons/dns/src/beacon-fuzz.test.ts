// 10^5 packets at the beacon. The nightly run throws more.

import { test } from 'tap';
import { Prng } from '@continuum/sim/prng';
import { fuzzBeacon } from './beacon-fuzz.ts';

test('no packet ends the beacon or gets an answer that it should not', async (t) => {
  const prng = new Prng(20_261_121);
  const report = fuzzBeacon(100_000, () => prng.unit());
  t.comment(JSON.stringify({ ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
  t.ok(report.attested > 1_000 && report.plain > 1_000 && report.dropped > 1_000 && report.unparsed > 100, 'it saw all kinds');
});
