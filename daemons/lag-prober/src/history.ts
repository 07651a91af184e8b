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

const KINDS = ['promotable', 'notPromotable', 'unknown'] as const;
/** A time in 32 bits, three figures in 16, and a verdict in 8. */
const ENTRY_BYTES = 11;
const [LAG_BYTES_AT, LAG_MS_AT, LOSS_MS_AT, KIND_AT] = [4, 6, 8, 10];
/** Times are kept in steps of so many milliseconds, in 32 bits: a ring may be older than a year. */
const STEP_MS = 10;

/** Takes all its memory now, by writing to it: a prober that has looked once does not grow for ten minutes more. */
export class History {
  readonly #ring: DataView;
  readonly #entriesMax: number;
  #count = 0;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
    this.#ring = new DataView(new Uint8Array(entriesMax * ENTRY_BYTES).fill(0xff).buffer);
  }

  add(atMs: MonoMs, { lag, loss, verdict }: StandbySummary): void {
    const at = (this.#count % this.#entriesMax) * ENTRY_BYTES;
    this.#ring.setUint32(at, toSteps(atMs));
    this.#ring.setUint16(at + LAG_BYTES_AT, toCode(lag.bytes.value));
    this.#ring.setUint16(at + LAG_MS_AT, toCode(lag.milliseconds.value));
    this.#ring.setUint16(at + LOSS_MS_AT, toCode(loss.milliseconds.value));
    this.#ring.setUint8(at + KIND_AT, KINDS.indexOf(verdict.kind));
    this.#count++;
  }

  /** Oldest first. */
  read(nowMs: MonoMs): HistoryEntry[] {
    const kept = Math.min(this.#count, this.#entriesMax);
    return Array.from({ length: kept }, (_, index) => {
      const at = ((this.#count - kept + index) % this.#entriesMax) * ENTRY_BYTES;
      const figure = (offset: number): number | null => fromCode(this.#ring.getUint16(at + offset));
      const ageMs = ((toSteps(nowMs) - this.#ring.getUint32(at)) >>> 0) * STEP_MS;
      return { ageMs, lagBytes: figure(LAG_BYTES_AT), lagMs: figure(LAG_MS_AT), lossMs: figure(LOSS_MS_AT), verdict: KINDS[this.#ring.getUint8(at + KIND_AT)] ?? 'unknown' };
    });
  }
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
