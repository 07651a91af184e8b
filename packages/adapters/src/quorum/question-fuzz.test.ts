// 10^5 answers at the quorum's client. The nightly run throws more.

import { test } from 'tap';
import { Prng } from '@continuum/sim/prng';
import { fuzzAnswers } from './question-fuzz.ts';

test('no answer ends the client, and none is taken for another', async (t) => {
  const prng = new Prng(20_261_121);
  const report = fuzzAnswers(100_000, () => prng.unit());
  t.comment(JSON.stringify({ ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
  const byLibrary = report.texts - report.plain;
  t.ok(report.plain > 1_000 && byLibrary > 100 && report.notOurs > 1_000 && report.unusable > 1_000, 'it saw all kinds, read in both ways');
});
