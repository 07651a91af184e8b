// The verdict on one standby, reason by reason: facts that are all good, changed one at a time. What a reason says is read by
// whoever decides at night, so it is compared whole.

import t from 'tap';
import { lsn } from '../types.ts';
import { reading, unknownReading } from './reading.ts';
import type { PrimarySample, StandbySample } from './sample.ts';
import { isCertain, judgeStandby } from './verdict.ts';
import type { StandbyFacts, Verdict } from './verdict.ts';

const primary: PrimarySample = {
  role: 'primary',
  systemIdentifier: '7',
  timeline: 2,
  clockMs: 1_000,
  lsn: lsn('0/500'),
  nextXid: 10,
  walsenders: [],
  slots: [],
  synchronous: '',
  syncWaiters: 0,
  syncWaitMsMax: null,
  weakSettings: 0,
  beat: null,
};
const standby: StandbySample = {
  role: 'standby',
  systemIdentifier: '7',
  timeline: 2,
  clockMs: 1_000,
  receiveLsn: lsn('0/500'),
  replayLsn: lsn('0/500'),
  lastReplayedCommitMs: null,
  receiver: { streaming: true, source: '10.0.0.1:5432', messageAgeMs: 10 },
  replayPaused: false,
  applyDelayMs: 0,
  conflicts: 0,
  beat: null,
};
const proven = { ageMs: 100, source: 'both-ends', confidence: 'proven' } as const;
const good: StandbyFacts = {
  limits: { evidenceAgeMaxMs: 2_500, lossMaxBytes: 1_000, lossMaxMs: 500, stallMinMs: 900, replayLagMaxBytes: 2_000, replayLagMaxMs: 600 },
  primary: { sample: primary, ageMs: 2_500 },
  twoPrimaries: false,
  role: 'standby',
  standby: { sample: standby, ageMs: 2_500 },
  problem: null,
  linked: true,
  streaming: true,
  stalled: false,
  slotLost: false,
  lossBytes: reading('bytes', 1_000, proven),
  lossMs: reading('milliseconds', 500, proven),
  lagBytes: reading('bytes', 2_000, proven),
  lagMs: reading('milliseconds', 600, proven),
};
const sampled = (change: Partial<StandbySample>): Partial<StandbyFacts> => ({ standby: { sample: { ...standby, ...change }, ageMs: 0 } });

t.test('each figure at its limit and all evidence at its age: promotable', async (t) => {
  t.same(judgeStandby(good), { kind: 'promotable' });
});

/** In the order of their weight: with this change and every later one the first is the reason. */
const refusals: readonly [Partial<StandbyFacts>, string][] = [
  [{ twoPrimaries: true }, 'unknown two-primaries: more than one end is a primary of the newest timeline'],
  [{ role: 'primary' }, 'notPromotable another-primary: it is a primary itself, of an older timeline'],
  [{ role: 'exporter' }, 'unknown weak-evidence-only: only an exporter can be read there'],
  [{ standby: null }, 'unknown never-measured: not measured yet'],
  [{ standby: null, problem: 'CTM_X: refused' }, 'unknown never-measured: CTM_X: refused'],
  [{ standby: { sample: standby, ageMs: 2_500.6 } }, 'unknown standby-silent: last measured 2501 ms ago'],
  [{ standby: { sample: standby, ageMs: 9_000 }, problem: 'CTM_X: refused' }, 'unknown standby-silent: last measured 9000 ms ago: CTM_X: refused'],
  [{ primary: null }, 'unknown primary-never-seen: no end was seen as primary'],
  [sampled({ systemIdentifier: '8' }), "notPromotable foreign-cluster: system identifier 8, the primary's is 7"],
  [sampled({ replayPaused: true }), 'notPromotable replay-paused: somebody paused replay on this standby'],
  [{ primary: { sample: primary, ageMs: 2_500.6 } }, 'unknown primary-silent: the primary was last measured 2501 ms ago; what it wrote since is not known'],
  [sampled({ timeline: null }), 'unknown timeline-unknown: the standby does not say on which timeline it is'],
  [sampled({ timeline: 3 }), "notPromotable timeline-ahead: timeline 3, the primary's is 2"],
  [sampled({ timeline: 1 }), "unknown timeline-behind: timeline 1, the primary's is 2"],
  [{ linked: false }, 'unknown history-unproven: never seen streaming from this primary on this timeline'],
  [{ streaming: false, slotLost: true }, 'notPromotable slot-lost: its replication slot is lost: it needs log that the primary no longer has'],
  [{ streaming: false, ...sampled({ receiver: null }) }, 'notPromotable not-streaming: it has no walreceiver'],
  [{ streaming: false }, 'notPromotable not-streaming: the primary has no streaming walsender for it'],
  [{ stalled: true }, 'notPromotable receiver-stalled: log that the primary had one look ago has not arrived, and nothing moves'],
  [{ lossBytes: unknownReading('bytes', 'no position', null) }, 'unknown lag-unknown: no position'],
  [{ lossBytes: { ...good.lossBytes, value: null, reason: null } }, 'unknown lag-unknown: no figure in bytes'],
  [{ lossBytes: { ...good.lossBytes, confidence: 'weak', source: 'exporter' } }, 'unknown weak-evidence-only: bytes only from exporter'],
  [{ lossBytes: { ...good.lossBytes, value: 1_000.7 } }, 'notPromotable loss-over-limit: 1001 bytes, at most 1000 allowed'],
  [{ lossMs: { ...good.lossMs, value: 501 } }, 'notPromotable loss-over-limit: 501 milliseconds, at most 500 allowed'],
  [{ lagBytes: { ...good.lagBytes, value: 2_001 } }, 'notPromotable replay-lag-over-limit: 2001 bytes, at most 2000 allowed'],
  [{ lagMs: { ...good.lagMs, value: 601 } }, 'notPromotable replay-lag-over-limit: 601 milliseconds, at most 600 allowed'],
  [{ lagMs: unknownReading('milliseconds', 'older than what is known', null) }, 'unknown lag-unknown: older than what is known'],
];
const told = (verdict: Verdict): string => (verdict.kind === 'promotable' ? verdict.kind : `${verdict.kind} ${verdict.reason}: ${verdict.detail}`);

t.test('each reason, and what it says', async (t) => {
  for (const [change, expected] of refusals) t.equal(told(judgeStandby({ ...good, ...change })), expected);
});

t.test('a slot that is lost matters once the stream is gone, and a stall while it lasts', async (t) => {
  t.same(judgeStandby({ ...good, slotLost: true }), { kind: 'promotable' });
  t.match(judgeStandby({ ...good, streaming: false, stalled: true }), { reason: 'not-streaming' });
});

t.test('one look is enough only for what no later look can make good', async (t) => {
  const certain = [...new Set(refusals.map(([change]) => judgeStandby({ ...good, ...change })).filter(isCertain).map((verdict) => (verdict.kind === 'promotable' ? '' : verdict.reason)))];
  t.same(certain, ['two-primaries', 'another-primary', 'foreign-cluster', 'replay-paused', 'timeline-ahead', 'history-unproven', 'slot-lost', 'receiver-stalled']);
  t.notOk(isCertain({ kind: 'promotable' }));
});
