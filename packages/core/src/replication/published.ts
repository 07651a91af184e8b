// A verdict as it is published: it changes only through the debouncer, and says since when it has been this.

import type { MonoMs } from '../types.ts';
import { debounce, DEBOUNCED_DOWN } from './debounce.ts';
import type { Debounced, Thresholds } from './debounce.ts';
import { PROMOTABLE } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export type Published = {
  readonly debounced: Debounced;
  readonly verdict: Verdict;
  /** Null before the first look. */
  readonly verdictSinceMs: MonoMs | null;
};

export const NEVER_JUDGED: Published = {
  debounced: DEBOUNCED_DOWN,
  verdict: { kind: 'unknown', reason: 'never-measured', detail: 'not measured yet' },
  verdictSinceMs: null,
};

/** Takes what one look gave. `certain`: bad beyond doubt, published at once. */
export function publish(before: Published, raw: Verdict, look: 'good' | 'bad' | 'certain', thresholds: Thresholds, nowMs: MonoMs): Published {
  const debounced = debounce(before.debounced, look, thresholds);
  const verdict = debounced.up ? PROMOTABLE : raw.kind === 'promotable' ? waiting(before.verdict) : raw;
  const same = nameOf(verdict) === nameOf(before.verdict);
  return { debounced, verdict, verdictSinceMs: same ? (before.verdictSinceMs ?? nowMs) : nowMs };
}

/** Good again, but not for long enough: the last reason stands. */
function waiting(before: Verdict): Verdict {
  return before.kind === 'promotable' ? { kind: 'unknown', reason: 'lag-unknown', detail: 'good, but not for long enough' } : before;
}

export function nameOf(verdict: Verdict): string {
  return verdict.kind === 'promotable' ? verdict.kind : verdict.reason;
}
