// Whole and in order, however it is cut.

import { test } from 'tap';
import { inPortions, LongText } from './long-text.ts';

test('a long text comes out as it went in, in parts of bounded size', (t) => {
  const text = new LongText();
  const lines = Array.from({ length: 5_000 }, (_, index) => `line ${index} ä€\n`);
  for (const line of lines) text.add(line);
  const parts = text.parts();
  t.equal(Buffer.concat(parts).toString(), lines.join(''));
  t.ok(parts.length > 5 && parts.every((part) => part.length > 0 && part.length < 40_000), `${parts.length} parts`);
  t.same(new LongText().parts(), []);
  t.end();
});

test('everything once, with turns for others in between, and nothing that came later', async (t) => {
  const items = new Map(Array.from({ length: 100 }, (_, index) => [index, index]));
  const taken: number[] = [];
  let turns = 0;
  const others = setInterval(() => turns++, 0);
  await inPortions(items.values(), (item) => {
    taken.push(item);
    // As a cluster whose settings change: it is watched anew.
    items.delete(90);
    items.set(90, 190);
    const until = performance.now() + 1;
    while (performance.now() < until);
  });
  clearInterval(others);
  t.same(taken, Array.from({ length: 100 }, (_, index) => index));
  t.ok(turns > 0);
});
