// A position that stands still while the primary is further on: since when, and from when on that is a stall.

import t from 'tap';
import { lsn, monoMs } from '../types.ts';
import { isStalled, standstillMs, trackProgress } from './progress.ts';

const HERE = lsn('0/500');

t.test('the first look has moved; it stands still from then on', async (t) => {
  const first = trackProgress(null, HERE, true, monoMs(1_000));
  t.same(first, { position: HERE, moved: true, behindSinceMs: 1_000 });
  const second = trackProgress(first, HERE, true, monoMs(2_000));
  t.same(second, { position: HERE, moved: false, behindSinceMs: 1_000 });
  t.same(trackProgress(second, lsn('0/501'), true, monoMs(3_000)), { position: lsn('0/501'), moved: true, behindSinceMs: 3_000 }, 'still behind, and counted anew');
  t.same(trackProgress(second, HERE, false, monoMs(3_000)), { position: HERE, moved: false, behindSinceMs: null }, 'not behind');
});

t.test('one that was not behind stands still only from the look that finds it behind', async (t) => {
  const idle = trackProgress(null, HERE, false, monoMs(0));
  t.same(idle, { position: HERE, moved: true, behindSinceMs: null });
  t.equal(trackProgress(idle, HERE, true, monoMs(9_000)).behindSinceMs, 9_000);
});

t.test('stalled: at the limit, not before; never without anything to wait for', async (t) => {
  const behind = trackProgress(null, HERE, true, monoMs(1_000));
  t.equal(standstillMs(behind, monoMs(3_999)), 2_999);
  t.same([3_999, 4_000, 4_001].map((nowMs) => isStalled(behind, 3_000, monoMs(nowMs))), [false, true, true]);
  for (const none of [null, trackProgress(null, HERE, false, monoMs(1_000))]) {
    t.equal(standstillMs(none, monoMs(99_000)), null);
    for (const stallMinMs of [0, 1, 3_000]) t.equal(isStalled(none, stallMinMs, monoMs(99_000)), false);
  }
});
