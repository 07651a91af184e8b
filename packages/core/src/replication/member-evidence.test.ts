// What a controller may count on after a number of looks at its own member.

import t from 'tap';
import type { Lsn } from '../types.ts';
import { lsn, monoMs } from '../types.ts';
import { absorbObservation, NO_EVIDENCE, promotableNow } from './member-evidence.ts';
import type { MemberEvidence } from './member-evidence.ts';
import { viewOf } from './member-view.ts';
import type { DatabaseObservation, StandbyView } from './observation.ts';
import type { PrimarySample } from './sample.ts';

const LIMITS = { replayLagMaxBytes: 0x1000, stallMinMs: 3_000 };
const FOLLOWER: StandbyView = { region: 'r2', state: 'streaming', syncState: 'sync', replayLsn: lsn('0/500'), replayLagBytes: 0 };
const PRIMARY: DatabaseObservation = {
  role: 'primary',
  shape: 'primary',
  systemIdentifier: '7300000000000000001',
  timeline: 1,
  lsn: lsn('0/500'),
  replayLsn: null,
  receiver: null,
  replayPaused: null,
  standbys: [FOLLOWER],
  synchronous: ['r2'],
  epoch: 0,
  recordedEpoch: 0,
  problem: null,
};
const STANDBY: DatabaseObservation = {
  ...PRIMARY,
  role: 'standby',
  shape: 'standby',
  replayLsn: lsn('0/500'),
  receiver: { streaming: true, source: '10.0.0.1:5432', messageAgeMs: 10 },
  replayPaused: false,
  standbys: [],
};

/** Looks every 100 ms, one at each of `seen`. */
function looks(seen: readonly DatabaseObservation[], before: MemberEvidence = NO_EVIDENCE, fromMs = 0): MemberEvidence {
  return seen.reduce((evidence, one, index) => absorbObservation(evidence, one, monoMs(fromMs + index * 100), LIMITS), before);
}

const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);
const follower = (evidence: MemberEvidence) => evidence.followers['r2'];
const with_ = (change: Partial<StandbyView>): DatabaseObservation => ({ ...PRIMARY, standbys: [{ ...FOLLOWER, ...change }] });

t.test('a follower counts after three good looks, and no longer after two bad ones', async (t) => {
  t.notOk(promotableNow(follower(looks(times(2, PRIMARY)))));
  const good = looks(times(3, PRIMARY));
  t.ok(promotableNow(follower(good)));
  t.equal(follower(good)?.verdictSinceMs, 200);
  const once = looks([with_({ state: 'catchup' })], good, 300);
  t.equal(follower(once)?.verdict.kind, 'promotable', 'one look is forgiven');
  t.notOk(promotableNow(follower(once)), 'which is enough to stay, not to begin something');
  t.match(follower(looks([with_({ state: 'catchup' })], once, 400))?.verdict, { kind: 'notPromotable', reason: 'not-streaming' });
});

t.test('a follower that is gone, and one whose replay is not known', async (t) => {
  const good = looks(times(3, PRIMARY));
  t.match(follower(looks(times(2, { ...PRIMARY, standbys: [] }), good, 300))?.verdict, { kind: 'notPromotable', reason: 'not-streaming', detail: 'r2: not connected' });
  t.hasStrict(follower(looks(times(2, with_({ replayLsn: null, replayLagBytes: null })), good, 300)), { verdict: { kind: 'unknown', reason: 'lag-unknown' }, progress: null });
});

t.test('a frozen follower looks alive in every way but that it does not move', async (t) => {
  const good = looks(times(3, PRIMARY));
  const behind = with_({ replayLagBytes: 0x80 });
  const soon = looks(times(30, behind), good, 300);
  t.equal(follower(soon)?.verdict.kind, 'promotable', '2.9 s behind');
  t.match(follower(looks([behind], soon, 3_300))?.verdict, { kind: 'notPromotable', reason: 'replay-stalled', detail: /3000 ms/ }, 'without a second look: there is no doubt');
  t.match(follower(looks(times(9, with_({ state: 'catchup', replayLagBytes: 0x80 })), soon, 3_300))?.verdict, { reason: 'not-streaming' }, 'one that does not stream is not called stalled');
  const moving = Array.from({ length: 100 }, (_, index) => with_({ replayLsn: `0/${(0x500 + index).toString(16)}` as Lsn, replayLagBytes: 0x80 }));
  t.equal(follower(looks(moving, good, 300))?.verdict.kind, 'promotable', 'a busy one is behind at every look');
  t.equal(follower(looks(times(100, PRIMARY), good, 300))?.verdict.kind, 'promotable', 'an idle one does not move either');
});

t.test('with two connections of one name the streaming one counts', async (t) => {
  const twice = { ...PRIMARY, standbys: [{ ...FOLLOWER, state: 'startup' as const }, FOLLOWER] };
  t.ok(promotableNow(follower(looks(times(3, twice)))));
});

t.test('a primary that does not answer says nothing of its followers; one that is none any more has none', async (t) => {
  const good = looks(times(3, PRIMARY));
  for (const role of ['unknown', 'starting'] as const) t.same(looks([{ ...PRIMARY, role, standbys: [] }], good, 300).followers, good.followers);
  for (const role of ['down', 'standby'] as const) t.same(looks([{ ...STANDBY, role }], good, 300).followers, {});
});

t.test('the own member: steadily known, or not promoted', async (t) => {
  t.notOk(promotableNow(looks(times(2, STANDBY)).own));
  const good = looks(times(3, STANDBY));
  t.ok(promotableNow(good.own));
  const silent = { ...STANDBY, role: 'unknown' as const, lsn: null, replayLsn: null };
  t.notOk(promotableNow(looks([silent], good, 300).own));
  const flapping = looks([silent, silent, STANDBY, STANDBY, silent, STANDBY], good, 300);
  t.match([promotableNow(flapping.own), flapping.own?.verdict.kind], [false, 'unknown'], 'never three in a row');
  t.match(looks([{ ...STANDBY, replayPaused: true }], good, 300).own?.verdict, { kind: 'notPromotable', reason: 'replay-paused' }, 'at once');
  t.equal(looks([{ ...STANDBY, shape: 'primary' }], good, 300).own, null, 'its own history: nothing to measure');
});

t.test("an end's sample as its controller looks at it", async (t) => {
  const walsender = { name: 'r2', state: 'streaming', syncState: 'quorum', flushLsn: lsn('0/500'), replayLsn: lsn('0/480') };
  const primary: PrimarySample = {
    role: 'primary', systemIdentifier: '7', timeline: 2, clockMs: 1, lsn: lsn('0/500'), nextXid: 9, walsenders: [walsender, { ...walsender, name: 'x', state: 'new', syncState: '', replayLsn: null }],
    slots: [], synchronous: 'r2', syncWaiters: 0, syncWaitMsMax: null, weakSettings: 0, beat: null,
  };
  t.match(viewOf(primary), {
    lsn: '0/500',
    replayPaused: null,
    receiver: null,
    standbys: [
      { region: 'r2', state: 'streaming', syncState: 'quorum', replayLagBytes: 0x80 },
      { region: 'x', state: 'stopping', syncState: 'async', replayLagBytes: null },
    ],
  });
  const sample = { role: 'standby', systemIdentifier: '7', timeline: 2, clockMs: 1, receiveLsn: lsn('0/300'), replayLsn: lsn('0/480'), lastReplayedCommitMs: null, receiver: null, replayPaused: true, applyDelayMs: 0, conflicts: 0, beat: null } as const;
  t.match(viewOf(sample), { lsn: '0/480', replayLsn: '0/480', replayPaused: true, receiver: { streaming: false, source: null, messageAgeMs: null }, standbys: [] }, 'replayed is received');
});
