// The register check accepts what a register may do and refuses what it may not.

import { test } from 'tap';
import type { RegisterCall } from './linearizable.ts';
import { isLinearizable } from './linearizable.ts';

const free = { epoch: 0, holder: null };
const call = (change: Partial<RegisterCall>): RegisterCall => ({
  invokedMs: 0,
  returnedMs: 10,
  kind: 'acquire',
  region: 'r1',
  epochNamed: 0,
  ok: true,
  epochAfter: 1,
  holderAfter: 'r1',
  to: null,
  ...change,
});

test('calls one after the other, and calls that overlap', (t) => {
  const acquired = call({});
  const read = call({ kind: 'read', invokedMs: 5, returnedMs: 15, epochAfter: 0, holderAfter: null });
  t.equal(isLinearizable([acquired, read], free), true, 'the read may come first while they overlap');
  t.equal(isLinearizable([acquired, { ...read, invokedMs: 11 }], free), false, 'and not when it was sent after the answer');
  t.end();
});

test('one epoch is granted once', (t) => {
  const second = call({ region: 'r2', holderAfter: 'r2' });
  t.equal(isLinearizable([call({}), second], free), false);
  t.equal(isLinearizable([call({}), { ...second, ok: false, epochAfter: 1, holderAfter: 'r1' }], free), true);
  t.end();
});

test('a call without an answer may have taken effect, late or not at all', (t) => {
  const lost = call({ returnedMs: null });
  const sees = call({ kind: 'read', invokedMs: 500, returnedMs: 510, epochAfter: 1, holderAfter: 'r1' });
  t.equal(isLinearizable([lost, sees], free), true);
  t.equal(isLinearizable([lost, { ...sees, epochAfter: 0, holderAfter: null }], free), true);
  t.equal(isLinearizable([lost, { ...sees, epochAfter: 2, holderAfter: 'r1' }], free), false);
  t.end();
});

test('a hand-over needs the holder of the epoch', (t) => {
  const moved = call({ kind: 'transfer', epochNamed: 1, to: 'r2', epochAfter: 2, holderAfter: 'r2', invokedMs: 20, returnedMs: 30 });
  t.equal(isLinearizable([call({}), moved], free), true);
  t.equal(isLinearizable([call({}), { ...moved, region: 'r2' }], free), false);
  const released = call({ kind: 'release', epochNamed: 1, epochAfter: 1, holderAfter: null, invokedMs: 20, returnedMs: 30 });
  t.equal(isLinearizable([call({}), released, { ...moved, invokedMs: 40, returnedMs: 50 }], free), false);
  t.end();
});
