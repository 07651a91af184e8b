// The block of numbers gives back what was put in, and drops what is missed least.

import t from 'tap';
import { addOldEntries, NO_OLD_ENTRIES, oldEntry } from './old-entries.ts';
import type { MapEntry } from './old-entries.ts';

const entry = (ms: number, change: Partial<MapEntry> = {}): MapEntry => ({ endBytes: BigInt(ms), firstMs: ms, lastMs: ms, nextXid: ms, ...change });

t.test('what goes in comes out: both words of a position, a transaction id or none', async (t) => {
  const entries = [entry(1, { endBytes: 0xffff_ffffn, lastMs: 7 }), entry(10, { endBytes: 0x16_b374_d848n, nextXid: null }), entry(20, { endBytes: 2n ** 64n - 1n, nextXid: 0 })];
  const old = addOldEntries(NO_OLD_ENTRIES, entries, 3, 30);
  t.equal(old.count, 3);
  for (const [index, one] of entries.entries()) t.same(oldEntry(old, index), one);
  t.equal(oldEntry(old, -1), undefined);
  t.equal(oldEntry(old, 3), undefined);
  t.equal(oldEntry(NO_OLD_ENTRIES, 0), undefined);
});

t.test('the first and the last stay; between them goes what is missed least for its age', async (t) => {
  const old = addOldEntries(NO_OLD_ENTRIES, [0, 100, 200, 900].map((ms) => entry(ms)), 4, 1_000);
  const times = (from: typeof old): (number | undefined)[] => Array.from({ length: from.count }, (_, index) => oldEntry(from, index)?.firstMs);
  t.same(times(old), [0, 100, 200, 900]);
  const fewer = addOldEntries(old, [entry(950)], 4, 1_000);
  t.same(times(fewer), [0, 200, 900, 950], '200 ms of 901 is less than any other share');
  t.same(times(addOldEntries(fewer, [entry(960)], 2, 1_000)), [0, 960]);
  t.same(times(old), [0, 100, 200, 900], 'what was, is as it was');
  t.same(times(addOldEntries(old, [entry(1_000), entry(1_000)], 5, 1_000)), [0, 200, 900, 1_000, 1_000], 'what is of this very moment is missed most');
  t.same(times(addOldEntries(NO_OLD_ENTRIES, [0, 100, 200, 250].map((ms) => entry(ms)), 3, 499)), [0, 200, 250], 'of two that are missed as much the older goes');
  t.throws(() => addOldEntries(old, [], 1, 0), { code: 'CTM_ASSERT_MAP_COUNT_MAX' });
});

t.test('an entry that is dropped leaves its memory behind as well', async (t) => {
  const many = Array.from({ length: 50 }, (_, index) => entry(index));
  const [all, few] = [addOldEntries(NO_OLD_ENTRIES, many, 50, 100), addOldEntries(NO_OLD_ENTRIES, many, 5, 100)];
  t.equal(few.numbers.byteLength * 10, all.numbers.byteLength);
  t.equal(few.numbers.buffer.byteLength, few.numbers.byteLength);
});
