// Rendezvous hashing: an even share, and nothing moves that need not.

import t from 'tap';
import { hash, ownerOf } from './shard.ts';

const clusters = Array.from({ length: 3_000 }, (_, index) => `cluster-${index}`);

t.test('nobody lives: nobody owns', async (t) => {
  t.equal(ownerOf('shop', []), null);
});

t.test('the order of the list does not matter, and each gets about its share', async (t) => {
  const counts = new Map<string, number>();
  for (const cluster of clusters) {
    const owner = ownerOf(cluster, ['a', 'b', 'c']);
    t.equal(ownerOf(cluster, ['c', 'a', 'b']), owner);
    counts.set(owner ?? '', (counts.get(owner ?? '') ?? 0) + 1);
  }
  for (const count of counts.values()) t.ok(count > 850 && count < 1_150, String(count));
});

t.test('one that goes hands over only its own, one that comes takes only what it gets', async (t) => {
  for (const cluster of clusters) {
    const [before, after] = [ownerOf(cluster, ['a', 'b', 'c']), ownerOf(cluster, ['a', 'b'])];
    if (before !== 'c' && before !== after) t.fail(`${cluster} moved from ${before} to ${after}`);
  }
  t.pass();
});

t.test('the same weight in every release: probers of two versions share the work while one rolls out', async (t) => {
  t.same(['', 'a', 'shop', 'r1\u0000cluster-7'].map(hash), [2872998923, 444641715, 24760265, 3414267659]);
});

t.test('of two probers with the same weight all choose the same one', async (t) => {
  const two = ['prober-1122330', 'prober-307695'];
  t.equal(new Set(two.map((prober) => hash(`${prober}\u0000shop`))).size, 1, 'the example is a tie');
  for (const living of [two, two.toReversed()]) t.equal(ownerOf('shop', living), 'prober-1122330');
});

t.test('a prober that is alone owns every cluster, the one that it has no weight for too', async (t) => {
  t.equal(hash('prober-1689\u0000shop-840539'), 0, 'the example has no weight');
  t.equal(ownerOf('shop-840539', ['prober-1689']), 'prober-1689');
});
