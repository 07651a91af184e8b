// The canary's arithmetic: which look proves what.

import { test } from 'tap';
import { monoMs } from '@continuum/core';
import { createCanary } from './canary.ts';

const at = monoMs;

test('before anything was seen nothing is said', async (t) => {
  t.same(createCanary().report(at(5)), { visibleMs: null, acknowledgedMs: null, ageMs: null, appliedBeforeAcknowledged: null, failure: null });
});

test('acknowledged, and the next look shows it: the time from write to sight, and that commits wait', async (t) => {
  const canary = createCanary();
  canary.sent(7, at(100));
  canary.acknowledged(7, at(130));
  canary.seen(7, at(131), at(135));
  t.same(canary.report(at(200)), { visibleMs: 35, acknowledgedMs: 30, ageMs: 65, appliedBeforeAcknowledged: true, failure: null });
});

test('acknowledged, and a look sent after that does not show it: commits do not wait for this standby', async (t) => {
  const canary = createCanary();
  canary.sent(7, at(100));
  canary.acknowledged(7, at(105));
  canary.seen(6, at(106), at(110));
  t.match(canary.report(at(110)), { visibleMs: null, appliedBeforeAcknowledged: false });
  canary.seen(7, at(200), at(204));
  t.match(canary.report(at(204)), { visibleMs: 104, appliedBeforeAcknowledged: false }, 'that it came later changes nothing');
});

test('a look that was sent before the acknowledgement proves nothing about it', async (t) => {
  const canary = createCanary();
  canary.sent(7, at(100));
  canary.seen(6, at(101), at(104));
  canary.acknowledged(7, at(105));
  canary.seen(6, at(104), at(106));
  t.match(canary.report(at(110)), { appliedBeforeAcknowledged: null });
});

test('a failure is told until a beat is acknowledged', async (t) => {
  const canary = createCanary();
  canary.failed('CTM_DATABASE_TIMEOUT', 'no answer');
  t.match(canary.report(at(1)), { failure: { code: 'CTM_DATABASE_TIMEOUT' } });
  canary.sent(8, at(2));
  canary.acknowledged(8, at(3));
  t.equal(canary.report(at(4)).failure, null);
});
