// What a controller sees of a sample: every state that PostgreSQL names, and nothing that is counted on out of one that it does not.

import t from 'tap';
import { lsn } from '../types.ts';
import { viewOf } from './member-view.ts';
import type { PrimarySample, StandbySample, Walsender } from './sample.ts';

const SENDER: Walsender = { name: 'r2', state: 'streaming', syncState: 'sync', flushLsn: lsn('0/500'), replayLsn: lsn('0/480') };
const PRIMARY: PrimarySample = {
  role: 'primary', systemIdentifier: '7', timeline: 2, clockMs: 1, lsn: lsn('0/500'), nextXid: 9, walsenders: [SENDER],
  slots: [], synchronous: 'r2', syncWaiters: 0, syncWaitMsMax: null, weakSettings: 0, beat: null,
};
const STANDBY: StandbySample = {
  role: 'standby', systemIdentifier: '7', timeline: null, clockMs: 1, receiveLsn: lsn('0/500'), replayLsn: lsn('0/480'),
  lastReplayedCommitMs: null, receiver: null, replayPaused: false, applyDelayMs: 0, conflicts: 0, beat: null,
};
const followerOf = (change: Partial<Walsender>) => viewOf({ ...PRIMARY, walsenders: [{ ...SENDER, ...change }] }).standbys[0];

t.test('a primary: its position, and each follower in the same words', async (t) => {
  t.same(viewOf(PRIMARY), {
    systemIdentifier: '7', timeline: 2, lsn: '0/500', replayLsn: null, receiver: null, replayPaused: null,
    standbys: [{ region: 'r2', state: 'streaming', syncState: 'sync', replayLsn: '0/480', replayLagBytes: 0x80 }],
  });
  for (const state of ['startup', 'catchup', 'streaming', 'backup', 'stopping']) t.equal(followerOf({ state })?.state, state);
  for (const syncState of ['async', 'potential', 'sync', 'quorum']) t.equal(followerOf({ syncState })?.syncState, syncState);
});

t.test('a state that is not known is none of those that are counted on', async (t) => {
  for (const unheardOf of ['', 'new', 'STREAMING']) {
    t.equal(followerOf({ state: unheardOf })?.state, 'stopping');
    t.equal(followerOf({ syncState: unheardOf })?.syncState, 'async');
  }
});

t.test('a standby without a receiver does not stream, and follows nobody', async (t) => {
  t.same(viewOf(STANDBY), {
    systemIdentifier: '7', timeline: null, lsn: '0/500', replayLsn: '0/480', replayPaused: false, standbys: [],
    receiver: { streaming: false, source: null, messageAgeMs: null },
  });
  const receiver = { streaming: true, source: '10.0.0.1:5432', messageAgeMs: 7 };
  t.same(viewOf({ ...STANDBY, receiver }).receiver, receiver);
});
