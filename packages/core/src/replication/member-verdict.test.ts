// What a controller may conclude from its own end alone.

import t from 'tap';
import { lsn } from '../types.ts';
import { judgeFollower, judgeOwnMember } from './member-verdict.ts';
import type { DatabaseObservation, StandbyView } from './observation.ts';

const FOLLOWER: StandbyView = { region: 'r2', state: 'streaming', syncState: 'sync', replayLsn: lsn('0/500'), replayLagBytes: 0 };
const MEMBER: DatabaseObservation = {
  role: 'standby',
  shape: 'standby',
  systemIdentifier: '7300000000000000001',
  timeline: 1,
  lsn: lsn('1/100'),
  replayLsn: lsn('0/FFFFFF00'),
  receiver: null,
  replayPaused: false,
  standbys: [],
  synchronous: [],
  epoch: 0,
  recordedEpoch: 0,
  problem: null,
};

t.test('a follower counts only while it streams and says where it is', async (t) => {
  t.same(judgeFollower(FOLLOWER), { kind: 'promotable' });
  for (const state of ['startup', 'catchup', 'backup', 'stopping'] as const) {
    t.match(judgeFollower({ ...FOLLOWER, state }), { kind: 'notPromotable', reason: 'not-streaming', detail: `r2: ${state}` });
  }
  t.match(judgeFollower({ ...FOLLOWER, replayLagBytes: null }), { kind: 'unknown', reason: 'lag-unknown', detail: 'r2: its replay position is not known' });
});

t.test('the own member: what it has still to replay is known and bounded, or it is not promoted', async (t) => {
  t.same(judgeOwnMember(MEMBER, 0x200), { verdict: { kind: 'promotable' }, replayLagBytes: 0x200 });
  t.match(judgeOwnMember(MEMBER, 0x1ff), { verdict: { kind: 'notPromotable', reason: 'replay-lag-over-limit', detail: '512 bytes, at most 511 allowed' }, replayLagBytes: 0x200 });
  for (const missing of [{ lsn: null }, { replayLsn: null }]) {
    t.match(judgeOwnMember({ ...MEMBER, ...missing }, 1_000), { verdict: { kind: 'unknown', reason: 'lag-unknown', detail: 'no replay position' }, replayLagBytes: null });
    t.match(judgeOwnMember({ ...MEMBER, ...missing, problem: 'connection refused' }, 1_000).verdict, { detail: 'connection refused' });
  }
  t.same(judgeOwnMember({ ...MEMBER, replayPaused: true }, 0x200), {
    verdict: { kind: 'notPromotable', reason: 'replay-paused', detail: 'somebody paused replay on this standby' },
    replayLagBytes: 0x200,
  });
  t.match(judgeOwnMember(null, 1_000), { verdict: { kind: 'unknown', reason: 'standby-silent', detail: 'no fresh observation' }, replayLagBytes: null });
  t.match(judgeOwnMember({ ...MEMBER, shape: 'primary', role: 'down', lsn: null }, 0), { verdict: { kind: 'promotable' } }, 'its own history');
});
