// The position-to-time map on its own: bounds that hold for ever, and memory that does not grow.

import fc from 'fast-check';
import t from 'tap';
import { lsn, monoMs } from '../types.ts';
import { oldEntry } from './old-entries.ts';
import { behind, commitAgeMs, commitRate, entryCount, extendMap, latestMs, MAP_ENTRIES_MAX } from './time-map.ts';
import type { TimeMap } from './time-map.ts';

const size = (map: TimeMap | null) => (map === null ? null : entryCount(map));
const at = (bytes: number) => lsn(`${Math.floor(bytes / 2 ** 32).toString(16)}/${(bytes % 2 ** 32).toString(16)}`);

function build(samples: readonly { readonly bytes: number; readonly ms: number }[]): TimeMap {
  let map: TimeMap | null = null;
  for (const { bytes, ms } of samples) {
    map = extendMap(map, { systemIdentifier: '1', timeline: 1, lsn: at(bytes), nextXid: bytes, clockMs: ms, sentMs: monoMs(ms), receivedMs: monoMs(ms) });
  }
  if (map === null) throw new Error('no samples');
  return map;
}

t.test('ten thousand samples fit in the same room, and every bound still holds', async (t) => {
  const samples = Array.from({ length: 10_000 }, (_, index) => ({ bytes: index * 100, ms: index * 10 }));
  const map = build(samples);
  t.ok(entryCount(map) <= MAP_ENTRIES_MAX);
  for (const index of [9_998, 9_900, 9_000, 5_000, 100]) {
    const found = behind(map, at(index * 100 + 50));
    const trueMs = (9_999 - (index + 1)) * 10;
    t.ok(found !== null && found.msMax !== null && found.msMax >= trueMs && found.msMin <= trueMs, `${index}: ${found?.msMin}..${found?.msMax}, true ${trueMs}`);
    t.ok((found?.msMax ?? 0) <= trueMs * 1.25 + 10, 'and to within a quarter of itself');
  }
  t.match(behind(map, at(9_998 * 100)), { bytes: 100, msMax: 10, commitsMax: 100 }, 'what is recent is kept exactly');
});

t.test('idle samples take no room', async (t) => {
  const map = build(Array.from({ length: 3_600 }, (_, index) => ({ bytes: 500, ms: index * 1_000 })));
  t.equal(entryCount(map), 1);
  t.equal(latestMs(map), 3_599_000);
  t.equal(commitRate(map), 0);
});

t.test('another history, or a position that went back, starts a new map', async (t) => {
  const map = build([{ bytes: 100, ms: 0 }, { bytes: 200, ms: 10 }]);
  const sample = { systemIdentifier: '1', timeline: 1, lsn: at(300), nextXid: 1, clockMs: 20, sentMs: monoMs(20), receivedMs: monoMs(20) };
  t.equal(size(extendMap(map, sample)), 3);
  for (const changed of [{ timeline: 2 }, { systemIdentifier: '2' }, { lsn: at(150) }]) {
    t.equal(size(extendMap(map, { ...sample, ...changed })), 1, JSON.stringify(changed));
  }
  t.equal(extendMap(map, { ...sample, lsn: lsn('garbage') }), map);
});

t.test('what is no position has no age, and a map that counts no transactions no rate', async (t) => {
  const map = build([{ bytes: 100, ms: 0 }, { bytes: 200, ms: 10 }]);
  t.equal(behind(map, lsn('garbage')), null);
  t.same(behind(map, at(200)), { bytes: 0, msMin: 0, msMax: 0, commitsMax: 0 });
  t.same(behind(map, at(50)), { bytes: 150, msMin: 10, msMax: null, commitsMax: null }, 'older than the map: at least this, at most nobody knows');
  t.equal(commitRate(map), 10);
  t.equal(commitRate(build([{ bytes: 100, ms: 0 }])), null, 'too short to tell');
  const counting = (...known: boolean[]): TimeMap => ({ ...map, recent: map.recent.map((entry, index) => (known[index] === true ? entry : { ...entry, nextXid: null })) });
  const blind = counting(false, false);
  t.equal(commitRate(blind), null);
  t.same(behind(blind, at(150)), { bytes: 50, msMin: 0, msMax: 10, commitsMax: null });
  for (const partly of [counting(true, false), counting(false, true)]) {
    t.equal(commitRate(partly), null);
    t.same(behind(partly, at(150)), { bytes: 50, msMin: 0, msMax: 10, commitsMax: null });
  }
  t.equal(commitAgeMs(map, 4), 6);
  t.equal(commitAgeMs(map, 11), 0, 'a commit after the newest look has no negative age');
});

t.test('a clock that is 1 % fast or slow and 20 ms off was not stepped; 1 ms more, and it was', async (t) => {
  const first = { systemIdentifier: '1', timeline: 1, lsn: at(100), nextXid: 1, clockMs: 500_000, sentMs: monoMs(0), receivedMs: monoMs(1_000) };
  const after = (advancedMs: number) => extendMap(extendMap(null, first), { ...first, clockMs: 500_000 + advancedMs, sentMs: monoMs(11_000), receivedMs: monoMs(12_000) });
  // Between the two reads of the clock passed 10 s at least and 12 s at most.
  for (const advancedMs of [9_880, 12_140]) t.match(after(advancedMs), { offsetMs: 0, unsteppedSinceMs: Number.NEGATIVE_INFINITY });
  for (const advancedMs of [9_879, 12_141]) t.match(after(advancedMs), { offsetMs: 12_000 - advancedMs, unsteppedSinceMs: 500_000 + advancedMs });
  const stepped = after(3_600_000);
  if (stepped === null) throw new Error('no map');
  t.equal(commitAgeMs(stepped, 4_099_999), null, 'before the step the clock told another time');
  t.equal(commitAgeMs(stepped, 4_100_000), 0, 'from the step on it is believed again');
  const next = extendMap(stepped, { ...first, clockMs: 4_101_000, sentMs: monoMs(13_000), receivedMs: monoMs(13_000) });
  t.equal(next === null ? null : commitAgeMs(next, 4_100_400), 600);
});

t.test('what is recent is taken over nine at once, in the order of the log', async (t) => {
  const samples = Array.from({ length: 200 }, (_, index) => ({ bytes: index * 100, ms: index * 10 }));
  let map = build(samples);
  let takenOver = 0;
  for (let index = 200; index < 290; index++) {
    const sample = { systemIdentifier: '1', timeline: 1, lsn: at(index * 100), nextXid: 1, clockMs: index * 10, sentMs: monoMs(index * 10), receivedMs: monoMs(index * 10) };
    const next = extendMap(map, sample);
    if (next === null) throw new Error('no map');
    if (next.old !== map.old) takenOver += 1;
    map = next;
    const newestOld = oldEntry(map.old, map.old.count - 1)?.endBytes ?? 0n;
    t.ok(newestOld < (map.recent[0]?.endBytes ?? 0n), `${index}`);
  }
  t.equal(takenOver, 10, 'a round copies what is old one time in nine');
});

t.test('a map without an entry is none', async (t) => {
  const map = { ...build([{ bytes: 100, ms: 0 }]), recent: [] };
  t.throws(() => latestMs(map), { code: 'CTM_ASSERT_MAP_EMPTY' });
  t.throws(() => commitRate(map), { code: 'CTM_ASSERT_MAP_EMPTY' });
});

t.test('for any position the age lies between its bounds', async (t) => {
  const steps = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 2 ** 33 }), ms: fc.integer({ min: 1, max: 5_000 }) }), { minLength: 2, maxLength: 400 });
  fc.assert(
    fc.property(steps, fc.double({ min: 0, max: 1, noNaN: true }), (given, share) => {
      let [bytes, ms] = [2 ** 31, 0];
      const samples = given.map((step) => ({ bytes: (bytes += step.bytes), ms: (ms += step.ms) }));
      const first = samples[0]?.bytes ?? 0;
      const position = Math.floor(first + (bytes - first) * share);
      const found = behind(build(samples), at(position));
      const next = samples.find((one) => one.bytes > position);
      if (found === null) throw new Error('no answer');
      if (next === undefined) return found.bytes === 0 && found.msMax === 0;
      const before = samples.findLast((one) => one.bytes <= position);
      // What is above the position was written after the sample before and was there at the one after.
      return found.msMin <= ms - next.ms && (found.msMax === null || found.msMax >= ms - (before?.ms ?? ms));
    }),
    { numRuns: 300 },
  );
  t.pass('300 maps');
});
