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
const FIELDS = 5;

/** Grows to `entriesMax` and no further: 40 bytes an entry. */
export function createHistory(entriesMax: number): History {
  let ring = new Float64Array(Math.min(64, entriesMax) * FIELDS);
  let count = 0;

  const grow = (): void => {
    const entries = ring.length / FIELDS;
    if (count < entries || entries >= entriesMax) return;
    const wider = new Float64Array(Math.min(entries * 2, entriesMax) * FIELDS);
    wider.set(ring);
    ring = wider;
  };
  return {
    add: (atMs, { lag, loss, verdict }) => {
      grow();
      const at = (count % (ring.length / FIELDS)) * FIELDS;
      ring.set([atMs, known(lag.bytes.value), known(lag.milliseconds.value), known(loss.milliseconds.value), KINDS.indexOf(verdict.kind)], at);
      count++;
    },
    read: (nowMs) => {
      const entries = ring.length / FIELDS;
      const kept = Math.min(count, entries);
      return Array.from({ length: kept }, (_, index) => {
        const at = ((count - kept + index) % entries) * FIELDS;
        const [seenMs = 0, lagBytes = NaN, lagMs = NaN, lossMs = NaN, kind = 2] = ring.subarray(at, at + FIELDS);
        return { ageMs: nowMs - seenMs, lagBytes: orNull(lagBytes), lagMs: orNull(lagMs), lossMs: orNull(lossMs), verdict: KINDS[kind] ?? 'unknown' };
      });
    },
  };
}

const known = (value: number | null): number => value ?? Number.NaN;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
