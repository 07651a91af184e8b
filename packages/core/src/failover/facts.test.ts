// The questions that every role asks of the state: each with both answers, and with the last moment of the one.

import { test } from 'tap';
import { contender, draftOf, held, holder, lagReport, r1, r2, r3, released, STALLED, standby, START_MS, timings } from '../../testing/controller.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import { epoch, monoMs } from '../types.ts';
import {
  acceptedEpoch,
  freshDatabase,
  holdsGrant,
  isInSync,
  isLeaseFree,
  isLeaseOverdue,
  isNamedHolder,
  isProvenFollower,
  memberLimits,
  objection,
  otherHolder,
  promised,
} from './facts.ts';

test('a grant ends at its validity, and the decision is woken there', async (t) => {
  const state = holder({ grant: { epoch: epoch(5), validUntilMs: monoMs(START_MS + 500) } });
  const before = draftOf(state, 499);
  t.ok(holdsGrant(before));
  t.equal(before.wakeMs, START_MS + 500);
  t.notOk(holdsGrant(draftOf(state, 500)));
  t.notOk(holdsGrant(draftOf(holder({ grant: null }))));
});

test('the record names a controller, not only a region: another one of the same region is not the holder', async (t) => {
  const named = (view: typeof held | null): boolean => isNamedHolder(holder({ view }));
  t.ok(named(held));
  t.ok(named({ ...held, instance: null }), 'handed over to the region, not yet renewed by a controller of it');
  t.notOk(named({ ...held, instance: 'another' }));
  t.notOk(named({ ...held, holder: r2 }));
  t.notOk(named({ ...held, holder: r2, instance: null }));
  t.notOk(named({ ...held, holder: null }));
  t.notOk(named(null));
});

test('a lease is free when nobody has it or its time has run out as seen from here; unknown is not free', async (t) => {
  const state = contender({ view: { ...held, remainingMs: 700 } });
  t.notOk(isLeaseFree(draftOf(state, 699)));
  t.ok(isLeaseFree(draftOf(state, 700)));
  t.ok(isLeaseFree(draftOf(contender({ view: { ...released, remainingMs: 700 } }))));
  t.notOk(isLeaseFree(draftOf(contender({ view: null }), 60_000)));
});

test('a lease is overdue when half of its ttl is left', async (t) => {
  const state = contender({ view: { ...held, ttlMs: 1_001, remainingMs: 1_001 } });
  t.notOk(isLeaseOverdue(draftOf(state, 499)));
  t.ok(isLeaseOverdue(draftOf(state, 500)), 'an odd ttl is halved upwards: rather early than late');
  t.notOk(isLeaseOverdue(draftOf(contender({ view: released }), 60_000)), 'nobody is late');
  t.notOk(isLeaseOverdue(draftOf(contender({ view: null }), 60_000)));
});

test('the other holder is a region that has it and is not this one', async (t) => {
  t.equal(otherHolder(contender()), r1);
  t.equal(otherHolder(holder()), null);
  t.equal(otherHolder(contender({ view: released })), null);
  t.equal(otherHolder(contender({ view: null })), null);
});

test('an observation that is too old is unknown', async (t) => {
  const { observationMaxAgeMs } = timings;
  t.equal(freshDatabase(draftOf(contender(), observationMaxAgeMs - 1)), standby);
  t.equal(freshDatabase(draftOf(contender(), observationMaxAgeMs)), null);
  t.equal(freshDatabase(draftOf(contender({ database: null }))), null);
});

test('who is in sync, as far as the register was heard', async (t) => {
  t.ok(isInSync(held, r2));
  t.notOk(isInSync(held, r3));
  t.notOk(isInSync(null, r1));
});

test('whom the register may count on', async (t) => {
  t.same(promised(holder()), [r1, r2]);
  t.same(promised(holder({ view: null })), []);
  t.same(promised(holder({ widening: { seq: 22, regions: [r2, r3] } })), [r1, r2, r3], 'nobody twice');
});

test('the highest epoch accepted is the higher one of disk and database', async (t) => {
  t.equal(acceptedEpoch(holder({ persistedEpoch: 4, database: { ...standby, epoch: 7 } })), 7);
  t.equal(acceptedEpoch(holder({ persistedEpoch: 8, database: { ...standby, epoch: 7 } })), 8);
  t.equal(acceptedEpoch(holder({ persistedEpoch: 3, database: null })), 3);
});

test('a standby is proved by steady looks of which the newest is one, while they are fresh', async (t) => {
  t.ok(isProvenFollower(draftOf(holder()), r2));
  t.notOk(isProvenFollower(draftOf(holder()), r3), 'never seen');
  t.notOk(isProvenFollower(draftOf(holder(), timings.observationMaxAgeMs), r2), 'seen too long ago');
  t.notOk(isProvenFollower(draftOf(holder({ evidence: NO_EVIDENCE })), r2));
});

test('a lag prober objects while its report is fresh, and a decision is woken when it is not any more', async (t) => {
  const objecting = holder({ lagReport: lagReport(r2, STALLED) });
  t.match(objection(draftOf(objecting, 2_499), r2), { reason: 'receiver-stalled', detail: 'nothing moves', ageMs: 2_499 });
  t.equal(objection(draftOf(objecting, 2_500), r2), null);
  t.equal(objection(draftOf(objecting), r3), null, 'said of another');
  t.equal(objection(draftOf(holder()), r2), null, 'no prober');
  const draft = draftOf(objecting, 2_000);
  objection(draft, r2);
  t.equal(draft.wakeMs, START_MS + 2_500);
});

test('a member is stalled no sooner than its reports come, nor than an observation ages', async (t) => {
  t.same(memberLimits(holder()), { replayLagMaxBytes: 64 * 1024 * 1024, stallMinMs: 3_000 });
  const slow = holder({ policy: { ...holder().policy, timings: { ...timings, observationMaxAgeMs: 7_000 } } });
  t.equal(memberLimits(slow).stallMinMs, 7_000);
  const fast = holder({ policy: { ...holder().policy, timings: { ...timings, observationMaxAgeMs: 1_000 } } });
  t.equal(memberLimits(fast).stallMinMs, 3_000);
});
