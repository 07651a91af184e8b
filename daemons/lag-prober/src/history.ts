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
/** Times are kept in steps of so many milliseconds, in 32 bits: a ring may be older than a year. */
const STEP_MS = 10;

/** Grows to `entriesMax` and no further: 11 bytes an entry. */
export function createHistory(entriesMax: number): History {
  let entries = Math.min(ENTRIES_MIN, entriesMax);
  let times = new Uint32Array(entries);
  let figures = new Uint16Array(entries * FIELDS);
  let kinds = new Uint8Array(entries);
  let count = 0;

  const grow = (): void => {
    if (count < entries || entries >= entriesMax) return;
    entries = Math.min(entries * 2, entriesMax);
    const before = { times, figures, kinds };
    times = new Uint32Array(entries);
    figures = new Uint16Array(entries * FIELDS);
    kinds = new Uint8Array(entries);
    times.set(before.times);
    figures.set(before.figures);
    kinds.set(before.kinds);
  };
  return {
    add: (atMs, { lag, loss, verdict }) => {
      grow();
      const at = count % entries;
      times[at] = toSteps(atMs);
      figures[at * FIELDS] = toCode(lag.bytes.value);
      figures[at * FIELDS + 1] = toCode(lag.milliseconds.value);
      figures[at * FIELDS + 2] = toCode(loss.milliseconds.value);
      kinds[at] = KINDS.indexOf(verdict.kind);
      count++;
    },
    read: (nowMs) => {
      const kept = Math.min(count, entries);
      return Array.from({ length: kept }, (_, index) => {
        const at = (count - kept + index) % entries;
        const [lagBytes = UNKNOWN, lagMs = UNKNOWN, lossMs = UNKNOWN] = figures.subarray(at * FIELDS, (at + 1) * FIELDS);
        const ageMs = ((toSteps(nowMs) - (times[at] ?? 0)) >>> 0) * STEP_MS;
        return { ageMs, lagBytes: fromCode(lagBytes), lagMs: fromCode(lagMs), lossMs: fromCode(lossMs), verdict: KINDS[kinds[at] ?? -1] ?? 'unknown' };
      });
    },
  };
}

/** Modulo 2^32, so that a difference is right as long as it is below that. */
const toSteps = (atMs: MonoMs): number => Math.floor(atMs / STEP_MS) % 2 ** 32;

/** A figure in 16 bits: the logarithm of one more than it, so that 0 is 0 and three digits are right up to 2^63. Never 0 for unknown. */
const UNKNOWN = 0xffff;
const STEPS_PER_DOUBLING = 1_024;
const DIGITS = 3;

function toCode(value: number | null): number {
  // What is no figure at all would become a 0 on its way into the array.
  return value === null || !(value >= 0) ? UNKNOWN : Math.min(UNKNOWN - 1, Math.round(Math.log2(1 + value) * STEPS_PER_DOUBLING));
}

function fromCode(code: number): number | null {
  return code === UNKNOWN ? null : Number((2 ** (code / STEPS_PER_DOUBLING) - 1).toPrecision(DIGITS));
}
