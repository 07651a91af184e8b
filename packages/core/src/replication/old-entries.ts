// The older part of a position-to-time map, in one block of numbers: a thousand clusters keep a hundred entries each, and as
// objects these would be most of a prober's memory and all of its garbage. Values never change once they are in here.

import { assert } from '../assert.ts';

export type MapEntry = {
  /** End of the log in bytes. All 64 bits: a position's high word changes every 4 GiB. */
  readonly endBytes: bigint;
  /** First and last time the log was seen to end here, in steady milliseconds of the primary's clock. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly nextXid: number | null;
};

/** Five numbers an entry: high and low word of the end, first and last time, transaction id (NaN: none). */
export type OldEntries = { readonly count: number; readonly numbers: Float64Array };

export const NO_OLD_ENTRIES: OldEntries = { count: 0, numbers: new Float64Array(0) };

const FIELDS = 5;
const [FIRST_MS, LAST_MS] = [2, 3];
const WORD = 32n;
const LOW_WORD = 0xffff_ffffn;

export function oldEntry({ count, numbers }: OldEntries, index: number): MapEntry | undefined {
  if (index < 0 || index >= count) return undefined;
  const [high = 0, low = 0, firstMs = 0, lastMs = 0, xid = Number.NaN] = numbers.subarray(index * FIELDS, (index + 1) * FIELDS);
  return { endBytes: (BigInt(high) << WORD) + BigInt(low), firstMs, lastMs, nextXid: Number.isNaN(xid) ? null : xid };
}

/**
 * Takes in entries that follow, then drops down to `countMax`, one by one, the entry whose absence widens a bound least
 * relative to its age: what is recent stays exact, and however long a standby is away, the age of what it misses stays known
 * to within a share of itself. The first and the last are never dropped.
 */
export function addOldEntries(old: OldEntries, added: readonly MapEntry[], countMax: number, nowMs: number): OldEntries {
  assert(countMax >= 2, 'MAP_COUNT_MAX');
  const numbers = new Float64Array((old.count + added.length) * FIELDS);
  numbers.set(old.numbers);
  added.forEach(({ endBytes, firstMs, lastMs, nextXid }, index) => {
    const words = [Number(endBytes >> WORD), Number(endBytes & LOW_WORD)];
    numbers.set([...words, firstMs, lastMs, nextXid ?? Number.NaN], (old.count + index) * FIELDS);
  });
  let count = old.count + added.length;
  while (count > countMax) {
    const drop = leastMissed(numbers, count, nowMs);
    numbers.copyWithin(drop * FIELDS, (drop + 1) * FIELDS, count * FIELDS);
    count--;
  }
  return { count, numbers: numbers.slice(0, count * FIELDS) };
}

function leastMissed(numbers: Float64Array, count: number, nowMs: number): number {
  const time = (index: number, field: number): number => numbers[index * FIELDS + field] as number;
  let [drop, least] = [1, Number.POSITIVE_INFINITY];
  for (let index = 1; index < count - 1; index++) {
    const share = (time(index + 1, FIRST_MS) - time(index - 1, LAST_MS)) / (nowMs - time(index, LAST_MS) + 1);
    if (share < least) [drop, least] = [index, share];
  }
  return drop;
}
