// 10^7 answers at the quorum's client, under a new seed each night; the seed is told, so that a finding can be played again.

import { test } from 'tap';
import { Prng } from '@continuum/sim/prng';
import { fuzzAnswers } from './question-fuzz.ts';

test('no answer ends the client, none is taken for another, and no lie for a word', { timeout: 3_000_000 }, async (t) => {
  const seed = Date.now();
  const prng = new Prng(seed);
  const report = fuzzAnswers(10_000_000, () => prng.unit());
  t.comment(JSON.stringify({ seed, ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
});
