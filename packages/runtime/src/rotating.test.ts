// A key whose file is replaced, broken and mended.

import { test } from 'tap';
import { rotating } from './rotating.ts';
import type { Reading } from './rotating.ts';

test('a new key counts at the next look; what cannot be used leaves the last one, and each reason is told once', (t) => {
  const told: unknown[] = [];
  let file: Reading<{ readonly key: string }> = { ok: true, value: { key: 'first' } };
  const current = rotating({
    first: { key: 'first' },
    read: () => file,
    same: (one, other) => one.key === other.key,
    onRotated: () => told.push('rotated'),
    onProblem: (message) => told.push(message),
  });
  const look = (next: typeof file): string => {
    file = next;
    return current().key;
  };
  t.equal(look({ ok: true, value: { key: 'first' } }), 'first');
  t.same(told, [], 'the same key again is no news');
  t.equal(look({ ok: true, value: { key: 'second' } }), 'second');
  t.same(told, ['rotated']);
  for (let count = 0; count < 3; count++) t.equal(look({ ok: false, message: 'empty' }), 'second');
  t.equal(look({ ok: false, message: 'gone' }), 'second');
  t.same(told, ['rotated', 'empty', 'gone']);
  t.equal(look({ ok: true, value: { key: 'second' } }), 'second');
  t.same(told, ['rotated', 'empty', 'gone', null], 'mended, and no other key');
  t.equal(look({ ok: false, message: 'gone' }), 'second');
  t.equal(look({ ok: true, value: { key: 'third' } }), 'third');
  t.same(told.slice(4), ['gone', null, 'rotated']);
  t.end();
});
