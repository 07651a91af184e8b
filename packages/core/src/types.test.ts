// Positions in PostgreSQL's log: what is one, and how far two are apart.

import fc from 'fast-check';
import t from 'tap';
import { lsnBytes, lsnDiffBytes } from './types.ts';

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const text = ([high, low]: [number, number]): string => `${high.toString(16).toUpperCase()}/${low.toString(16)}`;

t.test('a position is two words of one to eight hexadecimal digits', async (t) => {
  for (const [position, bytes] of [['0/0', 0n], ['16/B374D848', 0x16b374d848n], ['ffffffff/FFFFFFFF', 2n ** 64n - 1n], ['1/00000000', 2n ** 32n]] as const) {
    t.equal(lsnBytes(position), bytes, position);
  }
  for (const wrong of ['', '/', '0', '0/', '/0', '0/0/0', '0/123456789', '123456789/0', 'G/0', '0/:', '0/@', '0/`', '0/g', ' 0/0', '0/0\n', '-1/0', '1-/0', '0x1/0']) {
    t.equal(lsnBytes(wrong), null, wrong);
    t.equal(lsnDiffBytes(wrong, '0/0'), null, wrong);
    t.equal(lsnDiffBytes('0/0', wrong), null, wrong);
  }
});

t.test('the difference counts across the words, in both directions, and is unknown with an unknown position', async (t) => {
  t.equal(lsnDiffBytes('1/0', '0/FFFFFFFF'), 1);
  t.equal(lsnDiffBytes('0/FFFFFFFF', '1/0'), -1);
  t.equal(lsnDiffBytes(null, '0/0'), null);
  t.equal(lsnDiffBytes('0/0', null), null);
  fc.assert(
    fc.property(fc.tuple(word, word), fc.tuple(word, word), (a, b) => {
      const exact = (lsnBytes(text(a)) ?? 0n) - (lsnBytes(text(b)) ?? 0n);
      return lsnDiffBytes(text(a), text(b)) === Number(exact);
    }),
  );
});
