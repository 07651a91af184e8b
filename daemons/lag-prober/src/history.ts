// The recent past of one standby's lag, in a ring of fixed size, for the console and for evidence packs. Unknown is null
// there as well.

import type { MonoMs } from '@continuum/core';
import type { StandbyReport } from '@continuum/core/replication/index';

export type HistoryEntry = {
  readonly ageMs: number;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  readonly lossMs: number | null;
  readonly verdict: StandbyReport['verdict']['kind'];
};

export type History = {
  readonly add: (atMs: MonoMs, report: StandbyReport) => void;
  /** Oldest first. */
  readonly read: (nowMs: MonoMs) => HistoryEntry[];
};

const KINDS = ['promotable', 'notPromotable', 'unknown'] as const;
const FIELDS = 4;
const ENTRIES_MIN = 64;

/** Grows to `entriesMax` and no further: 24 bytes an entry. */
export function createHistory(entriesMax: number): History {
  let entries = Math.min(ENTRIES_MIN, entriesMax);
  let times = new Float64Array(entries);
  // Seven digits are enough for what was.
  let figures = new Float32Array(entries * FIELDS);
  let count = 0;

  const grow = (): void => {
    if (count < entries || entries >= entriesMax) return;
    entries = Math.min(entries * 2, entriesMax);
    const [before, beforeFigures] = [times, figures];
    times = new Float64Array(entries);
    figures = new Float32Array(entries * FIELDS);
    times.set(before);
    figures.set(beforeFigures);
  };
  return {
    add: (atMs, { lag, loss, verdict }) => {
      grow();
      const at = count % entries;
      times[at] = atMs;
      figures.set([known(lag.bytes.value), known(lag.milliseconds.value), known(loss.milliseconds.value), KINDS.indexOf(verdict.kind)], at * FIELDS);
      count++;
    },
    read: (nowMs) => {
      const kept = Math.min(count, entries);
      return Array.from({ length: kept }, (_, index) => {
        const at = (count - kept + index) % entries;
        const [lagBytes = NaN, lagMs = NaN, lossMs = NaN, kind = 2] = figures.subarray(at * FIELDS, (at + 1) * FIELDS);
        return { ageMs: nowMs - (times[at] ?? NaN), lagBytes: orNull(lagBytes), lagMs: orNull(lagMs), lossMs: orNull(lossMs), verdict: KINDS[kind] ?? 'unknown' };
      });
    },
  };
}

const known = (value: number | null): number => value ?? Number.NaN;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
