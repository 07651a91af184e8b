// What is published of a standby changes only through the debouncer, and never says more than the looks behind it.

import t from 'tap';
import { monoMs } from '../types.ts';
import { DEBOUNCED_DOWN, DEFAULT_THRESHOLDS } from './debounce.ts';
import { NEVER_JUDGED, nameOf, publish } from './published.ts';
import type { Published } from './published.ts';
import type { Verdict } from './verdict.ts';

const GOOD: Verdict = { kind: 'promotable' };
const PAUSED: Verdict = { kind: 'notPromotable', reason: 'replay-paused', detail: 'paused' };
const SILENT: Verdict = { kind: 'unknown', reason: 'standby-silent', detail: 'silent' };
type Step = readonly [Verdict, 'good' | 'bad' | 'certain'];

/** One look every second, from second `from`. */
const after = (steps: readonly Step[], before: Published = NEVER_JUDGED, from = 0): Published =>
  steps.reduce((state, [raw, look], index) => publish(state, raw, look, DEFAULT_THRESHOLDS, monoMs((from + index) * 1_000)), before);
const good: Step = [GOOD, 'good'];

t.test('before the first look it is not promotable, and says that nothing was measured', async (t) => {
  t.same(NEVER_JUDGED, { debounced: { up: false, goodInRow: 0, bad: 0 }, verdict: { kind: 'unknown', reason: 'never-measured', detail: 'not measured yet' }, verdictSinceMs: null });
});

t.test('until it was good for long enough the last reason stands, from the first look on', async (t) => {
  t.match(after([good, good]), { verdict: NEVER_JUDGED.verdict, verdictSinceMs: 0 });
  t.match(after([[PAUSED, 'certain'], good, good]), { verdict: PAUSED, verdictSinceMs: 0 }, 'and so does its beginning');
  t.same(after([good, good, good]), { debounced: { up: true, goodInRow: 3, bad: 0 }, verdict: GOOD, verdictSinceMs: 2_000 });
});

t.test('once promotable one bad look is forgiven, two are not, and one that is certain is not', async (t) => {
  const up = after([good, good, good, good]);
  t.match(up, { verdict: GOOD, verdictSinceMs: 2_000 }, 'since it became so');
  t.match(after([[SILENT, 'bad']], up, 4), { verdict: GOOD, verdictSinceMs: 2_000 });
  t.match(after([[SILENT, 'bad'], [SILENT, 'bad']], up, 4), { verdict: SILENT, verdictSinceMs: 5_000 });
  t.match(after([[PAUSED, 'certain']], up, 4), { debounced: DEBOUNCED_DOWN, verdict: PAUSED, verdictSinceMs: 4_000 });
});

t.test('another reason begins anew; the same reason in other words does not', async (t) => {
  const down = after([[SILENT, 'bad']]);
  t.match(after([[{ ...SILENT, detail: 'silent for longer' }, 'bad']], down, 1), { verdict: { detail: 'silent for longer' }, verdictSinceMs: 0 });
  t.match(after([[PAUSED, 'bad']], down, 1), { verdict: PAUSED, verdictSinceMs: 1_000 });
});

t.test('a promotable one that was never debounced up is told as not good for long enough', async (t) => {
  const claimed: Published = { debounced: DEBOUNCED_DOWN, verdict: GOOD, verdictSinceMs: monoMs(0) };
  t.same(after([good], claimed, 1).verdict, { kind: 'unknown', reason: 'lag-unknown', detail: 'good, but not for long enough' });
});

t.test('the name of a verdict: its reason, or that it is promotable', async (t) => {
  t.same([GOOD, PAUSED, SILENT].map(nameOf), ['promotable', 'replay-paused', 'standby-silent']);
});
