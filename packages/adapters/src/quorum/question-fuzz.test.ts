// 10^6 answers at the quorum's client. The nightly run throws ten times as many.

import { test } from 'tap';
import { Prng } from '@continuum/sim/prng';
import { fuzzAnswers } from './question-fuzz.ts';

test('no answer ends the client, none is taken for another, and no lie for a word', { timeout: 200_000 }, async (t) => {
  const prng = new Prng(20_261_121);
  const report = fuzzAnswers(1_000_000, () => prng.unit());
  t.comment(JSON.stringify({ ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
  const byLibrary = report.texts - report.plain;
  t.ok(report.plain > 10_000 && byLibrary > 1_000 && report.notOurs > 10_000 && report.unusable > 10_000, 'it saw all kinds, read in both ways');
  t.ok(report.accepted > 1_000 && report.refused > 10_000, 'the judge saw true words and lies');
});
