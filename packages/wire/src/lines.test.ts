import { test } from 'tap';
import { lineSplitter } from './lines.ts';

test('lines come out whole, however the stream is cut', async (t) => {
  const text = 'one\n\ntwo\nthree\nrest';
  for (let size = 1; size <= text.length; size++) {
    const split = lineSplitter(10);
    const lines: string[] = [];
    for (let at = 0; at < text.length; at += size) {
      const out = split(text.slice(at, at + size));
      if (!out.ok) return t.fail(`cut at ${size}`);
      lines.push(...out.lines);
    }
    t.same(lines, ['one', '', 'two', 'three'], `pieces of ${size}`);
  }
});

test('a line over the limit is refused before its end is seen', async (t) => {
  const split = lineSplitter(4);
  t.same(split('1234\n'), { ok: true, lines: ['1234'] });
  t.same(split('123'), { ok: true, lines: [] });
  t.same(split('45'), { ok: false });
  t.same(lineSplitter(4)('ok\n12345\n'), { ok: false });
});
