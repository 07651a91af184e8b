// The recent past of one standby's lag, in a ring of fixed size, for the console and for evidence packs. Unknown is null
// there as well.

import type { MonoMs } from '@continuum/core';
import type { StandbySummary } from '@continuum/core/replication/index';

export type HistoryEntry = {
  readonly ageMs: number;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  readonly lossMs: number | null;
  readonly verdict: StandbySummary['verdict']['kind'];
};

export type History = {
  readonly add: (atMs: MonoMs, round: StandbySummary) => void;
  /** Oldest first. */
  readonly read: (nowMs: MonoMs) => HistoryEntry[];
};

const KINDS = ['promotable', 'notPromotable', 'unknown'] as const;
const FIELDS = 3;
const ENTRIES_MIN = 64;

/** Grows to `entriesMax` and no further: 21 bytes an entry. */
export function createHistory(entriesMax: number): History {
  let entries = Math.min(ENTRIES_MIN, entriesMax);
  let times = new Float64Array(entries);
  // Seven digits are enough for what was.
  let figures = new Float32Array(entries * FIELDS);
  let kinds = new Uint8Array(entries);
  let count = 0;

  const grow = (): void => {
    if (count < entries || entries >= entriesMax) return;
    entries = Math.min(entries * 2, entriesMax);
    const before = { times, figures, kinds };
    times = new Float64Array(entries);
    figures = new Float32Array(entries * FIELDS);
    kinds = new Uint8Array(entries);
    times.set(before.times);
    figures.set(before.figures);
    kinds.set(before.kinds);
  };
  return {
    add: (atMs, { lag, loss, verdict }) => {
      grow();
      const at = count % entries;
      times[at] = atMs;
      figures[at * FIELDS] = known(lag.bytes.value);
      figures[at * FIELDS + 1] = known(lag.milliseconds.value);
      figures[at * FIELDS + 2] = known(loss.milliseconds.value);
      kinds[at] = KINDS.indexOf(verdict.kind);
      count++;
    },
    read: (nowMs) => {
      const kept = Math.min(count, entries);
      return Array.from({ length: kept }, (_, index) => {
        const at = (count - kept + index) % entries;
        const [lagBytes = NaN, lagMs = NaN, lossMs = NaN] = figures.subarray(at * FIELDS, (at + 1) * FIELDS);
        return { ageMs: nowMs - (times[at] ?? NaN), lagBytes: orNull(lagBytes), lagMs: orNull(lagMs), lossMs: orNull(lossMs), verdict: KINDS[kinds[at] ?? -1] ?? 'unknown' };
      });
    },
  };
}

const known = (value: number | null): number => value ?? Number.NaN;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
