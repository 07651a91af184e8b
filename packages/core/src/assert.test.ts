// What a broken rule of the program looks like to whoever reads the log of the process that it ended.

import { test } from 'tap';
import { assert, AssertionError, unreachable } from './assert.ts';

test('a rule that holds is silent; one that does not ends with a stable code and what was seen', (t) => {
  assert(true, 'RULE', 'never shown');
  t.throws(() => assert(false, 'RULE', 'epoch 4 after 5'), { name: 'AssertionError', code: 'CTM_ASSERT_RULE', message: 'CTM_ASSERT_RULE: epoch 4 after 5' });
  t.throws(() => assert(false, 'RULE', () => 'epoch 4 after 5'), { message: 'CTM_ASSERT_RULE: epoch 4 after 5' });
  let worded = 0;
  assert(true, 'RULE', () => `${(worded += 1)}`);
  t.equal(worded, 0, 'what was seen is put into words only for a rule that is broken');
  t.throws(() => assert(false, 'RULE'), { message: /^CTM_ASSERT_RULE: $/ });
  t.ok(new AssertionError('CODE', '') instanceof Error);
  t.end();
});

test('a member of a union that nobody named is shown', (t) => {
  t.throws(() => unreachable({ kind: 'new' } as never), { code: 'CTM_ASSERT_UNREACHABLE', message: 'CTM_ASSERT_UNREACHABLE: {"kind":"new"}' });
  t.end();
});
