// What is known of the database after an observation, a report of the lag or the end of an action: late, repeated, or of another history.

import { test } from 'tap';
import {
  contender,
  down,
  follower,
  givingHolder,
  holder,
  lagReport,
  longAgoMs,
  primary,
  promotingContender,
  r1,
  r2,
  r3,
  records,
  STALLED,
  standby,
  start,
  START_MS,
  steadily,
  take,
  token,
  unreachable,
} from '../../testing/controller.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import { epoch, monoMs } from '../types.ts';
import type { Draft } from './draft.ts';
import type { ControllerEvent, ControllerState, DatabaseAction } from './state.ts';


const observed = (observation: typeof primary, startedMs = START_MS): ControllerEvent => ({ kind: 'database-observed', startedMs: monoMs(startedMs), observation });

test('an observation from before the last one, or during an action, is not taken', async (t) => {
  const state = contender({ databaseMs: start.monoMs });
  t.equal(take(state, observed(primary, START_MS - 1)).state.database, standby);
  t.equal(take(state, observed(primary, START_MS)).state.database, primary);
  const busy = contender({ databaseAction: { id: 1, action: { kind: 'prewarm' }, sinceMs: start.monoMs } });
  t.equal(take(busy, observed(primary)).state.database, standby);
});

test('a role that changed is recorded with what was seen', async (t) => {
  const draft = take(contender(), observed({ ...down, timeline: 3 }, START_MS + 5), 9);
  t.same(draft.actions, [{ kind: 'record', event: 'database-role', detail: { role: 'down', shape: 'primary', timeline: 3, problem: 'no postmaster' } }]);
  t.equal(draft.state.databaseMs, START_MS + 5);
  t.same(take(contender(), observed(standby)).actions, []);
  t.same(records(take(contender({ database: null }), observed(standby)).actions), ['database-role']);
});

test('a database is bad from the first observation that does not show it running', async (t) => {
  const since = (state: ControllerState, observation: typeof primary) => take(state, observed(observation, START_MS + 8)).state.databaseBadSinceMs;
  for (const bad of [unreachable, down, { ...primary, role: 'starting' as const }]) {
    t.equal(since(holder(), bad), START_MS + 8, bad.role);
    t.equal(since(holder({ databaseBadSinceMs: monoMs(7) }), bad), 7, bad.role);
  }
  t.equal(since(holder({ databaseBadSinceMs: monoMs(7) }), primary), null);
  t.equal(since(contender({ databaseBadSinceMs: monoMs(7) }), standby), null);
});

test('a primary tells for whom commits wait, who streams steadily with a known lag, and since when these', async (t) => {
  const standbys = [
    { ...follower, region: r3 },
    { ...follower, region: 'catching-up', state: 'catchup' as const },
    follower,
    { ...follower, region: 'unknown', replayLagBytes: null },
  ];
  const seen = { ...primary, standbys, synchronous: [r3] };
  const { state } = take(holder({ evidence: steadily(seen) }), observed(seen, START_MS + 3));
  t.same(state.streaming, { regions: ['r2', 'r3'], sinceMs: START_MS + 3 });
  t.same(state.synchronous, [r3]);
  t.same(take(holder(), observed(seen, START_MS + 3)).state.streaming.regions, ['r2'], 'one good look of r3 is not steady');
  t.same(take(holder(), observed(primary, START_MS + 3)).state.streaming, { regions: [r2], sinceMs: longAgoMs }, 'the same ones: since then');
  const other = take(holder(), observed({ ...standby, standbys, synchronous: [r3] }, START_MS + 3)).state;
  t.same(other.streaming, holder().streaming, 'a standby has none');
  t.same(other.synchronous, [r2]);
});

test('what was proved of one history says nothing of the next', async (t) => {
  const acted = (action: DatabaseAction, result: Parameters<typeof done>[2]) => done(holder(), action, result).state.evidence;
  const actions: DatabaseAction[] = [
    { kind: 'promote', epoch: epoch(5), token: null },
    { kind: 'demote', epoch: epoch(5) },
    { kind: 'rejoin', epoch: epoch(5), source: r2, preserve: true },
  ];
  for (const action of actions) {
    t.same(acted(action, well), NO_EVIDENCE, action.kind);
    t.same(acted(action, failed), holder().evidence, `${action.kind} that failed`);
  }
  t.same(acted({ kind: 'prewarm' }, well), holder().evidence);
});

test('a lag prober is recorded when it changes its mind, and its newest report is kept', async (t) => {
  const { report } = lagReport(r2, STALLED);
  const first = take(holder(), { kind: 'lag-reported', report }, 40);
  t.same(first.actions, [{ kind: 'record', event: 'lag-verdict', detail: { standby: 'r2', ...STALLED } }]);
  t.same(first.state.lagReport, { report, receivedMs: START_MS + 40 });
  const again = take(first.state, { kind: 'lag-reported', report: lagReport(r2, { kind: 'notPromotable', reason: 'receiver-stalled', detail: 'still' }).report }, 90);
  t.same(again.actions, []);
  t.equal(again.state.lagReport?.receivedMs, START_MS + 90);
  const better = take(again.state, { kind: 'lag-reported', report: lagReport(r2, { kind: 'promotable' }).report });
  t.same(better.actions, [{ kind: 'record', event: 'lag-verdict', detail: { standby: 'r2', kind: 'promotable' } }]);
  t.same(records(take(again.state, { kind: 'lag-reported', report: lagReport(r3, STALLED).report }).actions), ['lag-verdict'], 'another standby');
});

function done(state: ControllerState, action: DatabaseAction, result: Extract<ControllerEvent, { kind: 'database-done' }>['result'], id = 7): Draft {
  return take({ ...state, databaseAction: { id: 7, action, sinceMs: start.monoMs } }, { kind: 'database-done', id, result }, 400);
}
const well = { ok: true, token: null, detail: 'as asked' } as const;
const failed = { ok: false, code: 'CTM_DATABASE_TIMEOUT', message: 'took too long' } as const;

test('the end of an action: recorded with its duration, and what was observed during it is forgotten', async (t) => {
  const state = holder({ databaseProblem: 'an earlier one' });
  const draft = done(state, { kind: 'prewarm' }, well);
  t.same(draft.actions, [{ kind: 'record', event: 'database-prewarm', detail: { ok: true, durationMs: 400, detail: 'as asked' } }]);
  t.match(draft.state, { databaseAction: null, database: null, databaseMs: START_MS + 400, databaseProblem: null });
  const bad = done(state, { kind: 'prewarm' }, failed);
  t.same(bad.actions, [{ kind: 'record', event: 'database-prewarm', detail: { ok: false, durationMs: 400, detail: 'CTM_DATABASE_TIMEOUT: took too long' } }]);
  t.match(bad.state, { databaseAction: null, database: null, databaseProblem: 'CTM_DATABASE_TIMEOUT: took too long', retryDatabaseMs: START_MS + 600 });
  const stray = done(state, { kind: 'prewarm' }, well, 6);
  t.same(stray.actions, []);
  t.match(stray.state, { databaseAction: { id: 7 }, database: primary });
  t.same(take(state, { kind: 'database-done', id: 7, result: well }).state, state, 'nothing is under way');
});

test('after a promotion commits wait for nobody yet, and the epoch counts as proved', async (t) => {
  const state = promotingContender({ synchronous: [r1], caughtUp: [r1] });
  const promote: DatabaseAction = { kind: 'promote', epoch: epoch(6), token: null };
  const promoted = done(state, promote, well).state;
  t.same([promoted.promotedEpoch, promoted.synchronous, promoted.caughtUp], [6, [], []]);
  t.match(done(state, promote, failed).state, { promotedEpoch: 0, synchronous: [r1], caughtUp: [r1] });
  t.match(done(holder(), { kind: 'prewarm' }, well).state, { promotedEpoch: 5, synchronous: [r2], caughtUp: [r2] });
});

test('for whom commits wait is known after it was set, and unknown after that failed', async (t) => {
  const set: DatabaseAction = { kind: 'set-synchronous', epoch: epoch(5), standbys: [r3] };
  t.match(done(holder(), set, well).state, { synchronous: [r3], caughtUp: [r3] });
  const unset = done(holder(), set, failed).state;
  t.same([unset.synchronous, unset.caughtUp], [null, []]);
  t.match(done(holder(), { kind: 'prewarm' }, failed).state, { synchronous: [r2], caughtUp: [r2] });
});

test('a standby that was started gets two seconds to stream before it is rebuilt', async (t) => {
  const rejoin: DatabaseAction = { kind: 'rejoin', epoch: epoch(5), source: r1, preserve: false };
  t.equal(done(contender(), rejoin, well).state.retryRejoinMs, START_MS + 2_400);
  t.equal(done(contender(), rejoin, failed).state.retryRejoinMs, START_MS);
  t.equal(done(contender(), { kind: 'prewarm' }, well).state.retryRejoinMs, START_MS);
});

test('prewarmed, then held; demoted, then transferred with the token that was given: each only in its own step', async (t) => {
  const demote: DatabaseAction = { kind: 'demote', epoch: epoch(5) };
  t.match(done(givingHolder('preparing'), { kind: 'prewarm' }, well).state.phase, { kind: 'handing-over', id: 's1', step: 'holding', token: null });
  t.same(records(done(givingHolder('preparing'), { kind: 'prewarm' }, well).actions), ['database-prewarm', 'phase-step']);
  t.match(done(givingHolder('demoting'), demote, { ...well, token }).state.phase, { step: 'transferring', token });
  t.match(done(givingHolder('draining'), { kind: 'prewarm' }, well).state.phase, { step: 'draining' });
  t.match(done(givingHolder('preparing'), demote, { ...well, token }).state.phase, { step: 'preparing', token: null });
  t.match(done(givingHolder('demoting'), { kind: 'prewarm' }, { ...well, token }).state.phase, { step: 'demoting', token: null });
  t.match(done(givingHolder('preparing'), { kind: 'prewarm' }, failed).state.phase, { step: 'preparing' });
  t.same(done(holder(), { kind: 'prewarm' }, well).state.phase, { kind: 'active' });
});
