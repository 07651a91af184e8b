// What is taken from an answer, and that an answer is senseless as a whole when any field of it is.

import { test } from 'tap';
import { readAnswer } from './answer.ts';

const PRIMARY = {
  standby: false, clockMs: 1.5, system: '7300000000000000001', timeline: 3, lsn: '1/500', nextXid: '7', walsenders: [['r2', 'streaming', 'sync', '1/500', null]], slots: [['r2_slot', true, null, -5]],
  synchronous: 'r2', syncWaits: [2, -0.5], weak: 0, receive: null, replay: null, commitMs: null, receiver: null, pause: null, delayMs: null, conflicts: null, beat: 4, epoch: 9,
};
const STANDBY = { ...PRIMARY, standby: true, lsn: null, nextXid: null, walsenders: null, slots: null, syncWaits: null, receive: '1/4FF', replay: '0/1', commitMs: 12, receiver: ['streaming', null, -3], pause: 'not paused', delayMs: 0, conflicts: 2 };

const read = (answer: unknown) => readAnswer(JSON.stringify(answer));

test('a primary', async (t) => {
  t.same(read(PRIMARY), {
    sample: {
      role: 'primary', systemIdentifier: '7300000000000000001', timeline: 3, clockMs: 1.5, lsn: '1/500', nextXid: 7,
      walsenders: [{ name: 'r2', state: 'streaming', syncState: 'sync', flushLsn: '1/500', replayLsn: null }],
      slots: [{ name: 'r2_slot', active: true, walStatus: null, retainedBytes: -5 }],
      synchronous: 'r2', syncWaiters: 2, syncWaitMsMax: 0, weakSettings: 0, beat: 4,
    },
    epoch: 9,
  });
  t.match(read({ ...PRIMARY, walsenders: null, slots: null, syncWaits: null, epoch: null }), { sample: { walsenders: [], slots: [], syncWaiters: null, syncWaitMsMax: null }, epoch: null });
});

test('a standby', async (t) => {
  t.same(read(STANDBY)?.sample, {
    role: 'standby', systemIdentifier: '7300000000000000001', timeline: 3, clockMs: 1.5, receiveLsn: '1/4FF', replayLsn: '0/1', lastReplayedCommitMs: 12,
    receiver: { streaming: true, source: null, messageAgeMs: 0 }, replayPaused: false, applyDelayMs: 0, conflicts: 2, beat: 4,
  });
  t.match(read({ ...STANDBY, timeline: null, receiver: ['connected', '10.0.0.1:5432', null] })?.sample, { timeline: null, receiver: { streaming: false, source: '10.0.0.1:5432' } });
  for (const pause of ['paused', 'pause requested', null]) t.match(read({ ...STANDBY, pause })?.sample, { replayPaused: true }, `${pause}`);
});

test('one senseless field is a senseless answer', async (t) => {
  const primary: Record<string, readonly unknown[]> = {
    standby: [null, 'false', 0], clockMs: ['1', null], system: [7, '', 'x', '1'.repeat(21)], timeline: [null, 0, -1, 1.5, '1'], lsn: [null, '0', 'zero', 5], nextXid: [7, '-1', ''],
    walsenders: [{}, [['r2']], [['r2', 'streaming', 'sync', 'x', null]], [[1, 'streaming', 'sync', null, null]], Array(1_001).fill(['r2', 'streaming', 'sync', null, null])],
    slots: [[['s', 'true', null, null]], [['s', true, 1, null]], [['s', true, null, '1']], [null]],
    synchronous: [null, 1], syncWaits: [[], [-1, null], ['1', null], [1, '2']], weak: [-1, '0'], beat: [-1, '1'], epoch: [-1, '1'],
  };
  const standby: Record<string, readonly unknown[]> = { timeline: [0], receive: ['x'], replay: [1], commitMs: ['1'], receiver: [[], ['streaming', 1, null], [null, null, null]], pause: ['perhaps', 1], delayMs: [-1], conflicts: ['0'] };
  for (const [base, fields] of [[PRIMARY, primary], [STANDBY, standby]] as const) {
    for (const [field, values] of Object.entries(fields)) {
      for (const value of [...values, undefined]) t.equal(read({ ...base, [field]: value }), null, `${field}: ${JSON.stringify(value)}`.slice(0, 60));
    }
  }
  for (const text of ['', '{', '[]', 'null', '1', null, 5, JSON.stringify(PRIMARY).replace('1.5', '1e999')]) t.equal(readAnswer(text), null, String(text).slice(0, 20));
});
