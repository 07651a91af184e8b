// The phases: from each, what must be known for the next one, and what must not be enough. Compared with the whole path,
// because a decision follows transitions until they settle.

import { test } from 'tap';
import type { Test } from 'tap';
import {
  contender,
  databases,
  down,
  draftOf,
  givingHolder,
  held,
  holder,
  lagReport,
  longAgoMs,
  only,
  policy,
  primary,
  promotingContender,
  r1,
  r2,
  r3,
  records,
  released,
  STALLED,
  standby,
  start,
  START_MS,
  taken,
  timings,
  token,
  unreachable,
} from '../../testing/controller.ts';
import type { LeaseView } from '../lease/types.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import { epoch, lsn, monoMs } from '../types.ts';
import { decide } from './decide.ts';
import { deriveFallback } from './fallback.ts';
import type { ControllerState, Phase } from './state.ts';
import { step } from './step.ts';

/** Where the phases settle, `ms` after the start. */
function settle(state: ControllerState, ms = 0) {
  const draft = draftOf(state, ms);
  step(draft);
  return { state: draft.state, phase: draft.state.phase, actions: draft.actions, wakeMs: draft.wakeMs };
}

type Case = readonly [name: string, state: ControllerState, phase: Partial<Phase> & { readonly kind: Phase['kind'] }, ms?: number];

function each(t: Test, cases: readonly Case[]): void {
  for (const [name, state, phase, ms] of cases) t.same(settle(state, ms).phase, phase, name);
}

const grant = { epoch: epoch(5), validUntilMs: monoMs(START_MS + 1_000) };
const expired = { ...held, remainingMs: 0 };
const promoting = (returnable: boolean | null, sinceMs = START_MS): Phase => ({ kind: 'promoting', sinceMs: monoMs(sinceMs), returnable });

test('two controllers at rest stay where they are', async (t) => {
  for (const state of [holder(), contender(), promotingContender(), givingHolder('preparing')]) {
    const { phase, actions } = settle(state);
    t.equal(phase, state.phase);
    t.same(actions, []);
  }
});

test('starting: nothing is decided before both the lease and the database are known', async (t) => {
  const fresh = (changes: Partial<ControllerState>): ControllerState => contender({ phase: { kind: 'starting' }, ...changes });
  each(t, [
    ['no view', fresh({ view: null, grant }), { kind: 'starting' }],
    ['no database', fresh({ database: null, grant }), { kind: 'starting' }],
    ['an observation that is too old', fresh({}), { kind: 'starting' }, timings.observationMaxAgeMs],
    ['a standby', fresh({}), { kind: 'standby' }],
    ['a primary of an older epoch: fenced, and then made to follow', fresh({ database: primary }), { kind: 'rejoining' }],
    ['a primary that nobody leads', fresh({ database: unreachable, view: { ...released, inSync: [r1] } }), { kind: 'fenced' }],
    ['granted while starting', fresh({ grant }), promoting(true)],
    ['granted while starting, a primary of an older epoch', fresh({ grant, database: { ...primary, epoch: 4, recordedEpoch: 4 } }), promoting(false)],
    ['granted while starting, and proved', fresh({ grant, database: primary }), { kind: 'active' }],
  ]);
});

test('starting: a controller that finds itself named waits for a renewal, as long as there is something to renew', async (t) => {
  const named = holder({ phase: { kind: 'starting' }, grant: null });
  each(t, [
    ['valid', named, { kind: 'starting' }],
    ['run out', { ...named, view: { ...expired, inSync: [] } }, { kind: 'fenced' }],
    ['named, but another controller', { ...named, view: { ...held, instance: 'other' } }, { kind: 'fenced' }],
  ]);
});

test('idle: a grant is used, whatever rested here', async (t) => {
  each(t, [
    ['standby', contender({ grant }), promoting(true)],
    ['a primary of an older epoch', contender({ phase: { kind: 'fenced' }, grant, database: { ...primary, epoch: 4, recordedEpoch: 4 } }), promoting(false)],
    ['not known', contender({ phase: { kind: 'fenced' }, grant, database: null }), promoting(null)],
  ]);
});

test('idle: a free lease is asked for when every condition holds', async (t) => {
  each(t, [
    ['free', contender({ view: released }), { kind: 'acquiring' }],
    ['run out', contender({ view: expired }), { kind: 'acquiring' }],
    ['its own, run out', holder({ phase: { kind: 'fenced' }, grant: null, view: expired }), { kind: 'acquiring' }],
    ['free, and not in sync', contender({ view: { ...released, inSync: [r1] } }), { kind: 'standby' }],
    ['free, and held down', contender({ view: released, holdDownUntilMs: monoMs(START_MS + 10) }), { kind: 'standby' }],
    ['held', contender(), { kind: 'standby' }],
  ]);
});

test('idle: a region rests fenced while its database is or would be a primary, and as a standby otherwise', async (t) => {
  const rests = (changes: Partial<ControllerState>): ControllerState => contender({ view: { ...released, inSync: [r1] }, ...changes });
  each(t, [
    ['a primary appears', rests({ database: primary }), { kind: 'fenced' }],
    ['a primary that is down', rests({ database: down }), { kind: 'fenced' }],
    ['a standby appears', rests({ phase: { kind: 'fenced' } }), { kind: 'standby' }],
    ['fenced, and nothing known', rests({ phase: { kind: 'fenced' }, database: null }), { kind: 'fenced' }],
    ['a standby, and nothing known', rests({ database: null }), { kind: 'standby' }],
  ]);
});

test('idle: a member that does not follow the holder is made to', async (t) => {
  const wrong = { ...standby, receiver: { streaming: true, source: databases.r3, messageAgeMs: 10 } };
  const lost = { ...standby, receiver: { streaming: false, source: null, messageAgeMs: null } };
  const narrow = { ...held, inSync: [r1] };
  each(t, [
    ['a primary', contender({ database: primary }), { kind: 'rejoining' }],
    ['a primary that is down', contender({ phase: { kind: 'fenced' }, database: down }), { kind: 'rejoining' }],
    ['a standby that is down', contender({ database: { ...standby, role: 'down', receiver: null } }), { kind: 'rejoining' }],
    ['an empty directory', contender({ database: { ...standby, role: 'down', shape: 'empty', receiver: null } }), { kind: 'rejoining' }],
    ['down, whatever else is said of it', contender({ database: { ...standby, role: 'down' } }), { kind: 'rejoining' }],
    ['a standby of another', contender({ database: wrong }), { kind: 'rejoining' }],
    ['a standby that names another and does not stream', contender({ database: { ...lost, receiver: { streaming: false, source: databases.r3, messageAgeMs: 10 } } }), { kind: 'rejoining' }],
    ['a standby without a receiver', contender({ database: { ...standby, receiver: null } }), { kind: 'rejoining' }],
    ['a primary whose holder has run out', contender({ phase: { kind: 'fenced' }, database: primary, view: { ...expired, inSync: [r1] } }), { kind: 'fenced' }],
    ['it could not be asked', contender({ database: { ...standby, role: 'unknown' } }), { kind: 'standby' }],
    ['it starts', contender({ database: { ...standby, role: 'starting' } }), { kind: 'standby' }],
    ['nothing known', contender({ database: null }), { kind: 'standby' }],
    ['lost its stream just now', contender({ database: lost, view: narrow }), { kind: 'standby' }],
    ['lost it for two seconds', contender({ database: lost, view: narrow, streamLostSinceMs: monoMs(START_MS - 2_000) }), { kind: 'rejoining' }],
    ['lost it for almost two seconds', contender({ database: lost, view: narrow, streamLostSinceMs: monoMs(START_MS - 1_999) }), { kind: 'standby' }],
    ['lost it long ago, but it is promised to be in sync', contender({ database: lost, streamLostSinceMs: longAgoMs }), { kind: 'standby' }],
  ]);
});

test('a stream that is lost is counted from then, and one that is back is not', async (t) => {
  const lost = contender({ database: { ...standby, receiver: { streaming: false, source: databases.r1, messageAgeMs: 10 } }, view: { ...held, inSync: [r1] } });
  const noticed = settle(lost, 70);
  t.equal(noticed.state.streamLostSinceMs, START_MS + 70);
  t.ok(noticed.wakeMs <= START_MS + 70 + 2_000);
  t.equal(settle({ ...lost, streamLostSinceMs: monoMs(START_MS - 5) }, 70).state.streamLostSinceMs, START_MS - 5);
  t.equal(settle(contender({ streamLostSinceMs: monoMs(START_MS - 5) })).state.streamLostSinceMs, null);
});

test('acquiring: until granted, while the lease is free and the conditions hold, or the answer is awaited', async (t) => {
  const asking = (changes: Partial<ControllerState> = {}): ControllerState => contender({ phase: { kind: 'acquiring' }, view: released, ...changes });
  const acquire = { kind: 'acquire', region: r2, seq: 21, instance: 'b', epochSeen: epoch(5), ttlMs: 1, policyHash: 'p', force: null } as const;
  const underWay = { id: 7, request: acquire, sentMs: start.monoMs, inSyncSeen: [], holderSeen: null };
  each(t, [
    ['free', asking(), { kind: 'acquiring' }],
    ['granted', asking({ grant }), promoting(true)],
    ['held by another', asking({ view: held }), { kind: 'standby' }],
    ['held by another, answer awaited', asking({ view: held, request: underWay }), { kind: 'acquiring' }],
    ['held by another, another answer awaited', asking({ view: held, request: { ...underWay, request: { kind: 'read' } } }), { kind: 'standby' }],
    ['no condition holds', asking({ database: { ...standby, role: 'down' } }), { kind: 'standby' }],
  ]);
});

test('promoting: done when the database was seen, or was made, a primary under this epoch', async (t) => {
  const promoted = { ...primary, epoch: 6, recordedEpoch: 6 };
  each(t, [
    ['seen', promotingContender({ database: promoted }), { kind: 'active' }],
    ['made', promotingContender({ promotedEpoch: 6, database: null }), { kind: 'active' }],
    ['a primary of an older epoch', promotingContender({ database: { ...primary, epoch: 5 } }), promoting(true)],
    ['a standby that knows the epoch', promotingContender({ database: { ...standby, epoch: 6, recordedEpoch: 6 } }), promoting(true)],
    ['seen too long ago', promotingContender({ database: promoted, databaseMs: longAgoMs }), promoting(true)],
    ['its validity is over', promotingContender({ promotedEpoch: 6, database: primary }), { kind: 'fenced' }, timings.ttlMs - timings.guardMs],
    ['its validity is over before it was proved', promotingContender({ database: primary }), { kind: 'fenced' }, timings.ttlMs - timings.guardMs],
    ['its grant was taken away', promotingContender({ grant: null, view: { ...released, inSync: [r1] }, database: primary }), { kind: 'fenced' }],
  ]);
  t.equal(settle(promotingContender({ database: promoted })).state.promotedEpoch, 6);
});

test('promoting: past its budget the lease goes back, to the giver with its token if nothing has happened here', async (t) => {
  const { promoteBudgetMs } = timings;
  const handover = { id: 's1', from: r1, to: r2, token };
  const handed = { ...taken, handover };
  const late = (changes: Partial<ControllerState> = {}) => promotingContender({ databaseMs: monoMs(START_MS + promoteBudgetMs), ...changes });
  const validUntilMs = promotingContender().grant?.validUntilMs ?? 0;
  const returning: Phase = { kind: 'handing-over', id: 's1', to: r1, step: 'returning', token, deadlineMs: monoMs(validUntilMs) };
  const releasing: Phase = { kind: 'releasing', reason: 'the database did not become a primary in time' };
  each(t, [
    ['almost', late({ view: handed }), promoting(true), promoteBudgetMs - 1],
    ['handed over', late({ view: handed }), returning, promoteBudgetMs],
    ['not handed over', late(), releasing, promoteBudgetMs],
    ['it served already', late({ view: handed, phase: promoting(false) }), releasing, promoteBudgetMs],
    ['what it is was never known: the token is kept, and with it the proof', late({ view: handed, phase: promoting(null), database: null }), promoting(null), promoteBudgetMs],
    ['it was a standby when the grant came, and is out of sight since', late({ view: handed, database: null }), returning, promoteBudgetMs],
    ['it served, and is out of sight since', late({ view: handed, phase: promoting(false), database: null }), releasing, promoteBudgetMs],
    ['the same without a token', late({ phase: promoting(null), database: null }), releasing, promoteBudgetMs],
    ['handed over to another', late({ view: { ...taken, handover: { ...handover, to: r3 } } }), releasing, promoteBudgetMs],
    ['the database says why', late({ databaseProblem: 'disk full' }), { kind: 'releasing', reason: 'disk full' }, promoteBudgetMs],
    ['an action is under way', late({ databaseAction: { id: 7, action: { kind: 'prewarm' }, sinceMs: start.monoMs } }), promoting(true), promoteBudgetMs],
  ]);
});

test('promoting: what the database was when the grant came is told by the first sight of it', async (t) => {
  each(t, [
    ['a standby: it can still be given back, and must prove the giver\'s history', promotingContender({ phase: promoting(null) }), promoting(true)],
    ['a primary of an older epoch', promotingContender({ phase: promoting(null), database: { ...primary, epoch: 5 } }), promoting(false)],
    ['not seen yet', promotingContender({ phase: promoting(null), database: null }), promoting(null)],
  ]);
});

test('active: fenced at its validity; promoted anew under a new epoch, or when its database is no primary', async (t) => {
  const until = timings.ttlMs - timings.guardMs;
  const fresh = (ms: number): Partial<ControllerState> => ({ databaseMs: monoMs(START_MS + ms) });
  each(t, [
    ['a millisecond before', holder(fresh(until)), { kind: 'active' }, until - 1],
    ['at its end', holder(fresh(until)), { kind: 'fenced' }, until],
    ['no grant', holder({ grant: null, view: { ...held, inSync: [] } }), { kind: 'fenced' }],
    ['a new epoch', holder({ grant: { ...grant, epoch: epoch(6) } }), promoting(false)],
    ['its database is down', holder({ database: down }), promoting(false)],
    ['its database is a standby', holder({ database: standby }), promoting(false)],
    ['its database is not reached', holder({ database: unreachable }), { kind: 'active' }],
    ['it was down too long ago to say', holder({ database: down, databaseMs: longAgoMs }), { kind: 'active' }],
  ]);
  const renewed = settle(holder({ grant: { ...grant, epoch: epoch(6) }, database: { ...primary, epoch: 6, recordedEpoch: 6 } }));
  t.match(renewed.state, { phase: { kind: 'active' }, promotedEpoch: 6 }, 'the database knew it already');
  for (const database of [down, standby]) t.equal(settle(holder({ database })).state.promotedEpoch, 0, 'what comes up again must be proved again');
});

test('active: the lease goes back when the database was bad for a whole ttl and somebody else may have it', async (t) => {
  const bad = (changes: Partial<ControllerState> = {}): ControllerState =>
    holder({ database: unreachable, databaseBadSinceMs: monoMs(START_MS - timings.ttlMs), ...changes });
  each(t, [
    ['a ttl', bad(), { kind: 'releasing', reason: 'connection timed out' }],
    ['a millisecond less', bad({ databaseBadSinceMs: monoMs(START_MS - timings.ttlMs + 1) }), { kind: 'active' }],
    ['it never said why', bad({ database: null }), { kind: 'releasing', reason: 'the database does not answer' }],
    ['nobody else may have it', bad({ view: { ...held, inSync: [r1] } }), { kind: 'active' }],
    ['nothing is known of the lease', bad({ view: null }), { kind: 'active' }],
  ]);
});

test('active: hands over to a target that is ready, in sync and streaming', async (t) => {
  const intent = { id: 's1', from: r1, to: r2, target: 'ready', reasons: [] } as const;
  const wished = (changes: Partial<typeof held> = {}, rest: Partial<ControllerState> = {}): ControllerState => holder({ view: { ...held, intent, ...changes }, ...rest });
  const preparing: Phase = { kind: 'handing-over', id: 's1', to: r2, step: 'preparing', token: null, deadlineMs: monoMs(START_MS + timings.holdMsMax / 2) };
  each(t, [
    ['ready', wished(), preparing],
    ['not answered', wished({ intent: { ...intent, target: 'pending' } }), { kind: 'active' }],
    ['refused', wished({ intent: { ...intent, target: 'refused' } }), { kind: 'active' }],
    ['from another region', wished({ intent: { ...intent, from: r3 } }), { kind: 'active' }],
    ['not in sync', wished({ inSync: [r1] }), { kind: 'active' }],
    ['not streaming', wished({}, { streaming: { regions: [], sinceMs: longAgoMs } }), { kind: 'active' }],
    ['given up before, and not yet cancelled at the witness', wished({}, { endedSwitchovers: ['s1'] }), { kind: 'active' }],
    ['given up before another one was', wished({}, { endedSwitchovers: ['s1', 's2'] }), { kind: 'active' }],
    ['after another one', wished({}, { endedSwitchovers: ['s0'] }), preparing],
    ['its database is down: first things first', wished({}, { database: down }), promoting(false)],
  ]);
  const against = settle(wished({}, { lagReport: lagReport(r2, STALLED) }));
  const reason = 'the lag prober holds r2 not promotable: receiver-stalled, nothing moves';
  t.match(against.state, { phase: { kind: 'active' }, lastSwitchover: { id: 's1', result: `given up: ${reason}` } });
  t.same(against.actions, [{ kind: 'record', event: 'switchover-given-up', detail: { id: 's1', step: 'not begun', reason } }]);
  t.same(settle(wished({}, { lagReport: lagReport(r3, STALLED) })).phase, preparing, 'an objection to another');
  const odd = { ...policy, timings: { ...timings, holdMsMax: 5_001 } };
  t.match(settle(wished({}, { policy: odd })).phase, { deadlineMs: START_MS + 2_500 });
});

test('handing over: the target has it, or the validity is over', async (t) => {
  for (const stage of ['preparing', 'holding', 'draining', 'demoting', 'transferring', 'returning'] as const) {
    each(t, [
      [`${stage}: the target has it`, givingHolder(stage, { view: taken, grant: null }), { kind: 'rejoining' }],
      [`${stage}: the target has it, and its database follows`, givingHolder(stage, { view: taken, grant: null, database: { ...standby, receiver: { streaming: true, source: databases.r2, messageAgeMs: 10 } } }), { kind: 'standby' }],
      [`${stage}: the validity is over`, givingHolder(stage, { grant: null, database: primary, view: { ...released, inSync: [] } }), { kind: 'fenced' }],
    ]);
  }
  const { actions } = settle(givingHolder('transferring', { view: taken, grant: null }));
  t.same(actions, [{ kind: 'record', event: 'phase', detail: { from: 'handing-over', kind: 'rejoining' } }], 'it was not fenced in between');
  for (const stage of ['transferring', 'returning'] as const) {
    const waiting = givingHolder(stage);
    t.equal(settle(waiting, 4_000).phase, waiting.phase, `${stage}: waits for the witness as long as it is valid`);
  }
});

test('handing over, before the demotion: given up when the intent is gone or the deadline passes', async (t) => {
  for (const stage of ['preparing', 'holding', 'draining'] as const) {
    const state = givingHolder(stage, { drainPending: 7, databaseMs: monoMs(START_MS + 3_000) });
    t.equal(settle(state, 2_999).phase, state.phase, stage);
    const late = settle(state, 3_000);
    t.match(late.state, { phase: { kind: 'active' }, lastSwitchover: { id: 's1', result: `given up: step ${stage} took too long` } });
    t.same(records(late.actions), ['switchover-given-up', 'phase']);
    for (const view of [held, { ...held, intent: { id: 'other', from: r1, to: r2, target: 'pending' as const, reasons: [] } }, null]) {
      t.match(settle({ ...state, view }).state, { phase: { kind: 'active' }, lastSwitchover: { result: 'given up: the intent is gone from the witness' } });
    }
  }
});

test('a switchover that was given up does not begin anew: this region serves, and the intent is cancelled at the witness', async (t) => {
  for (const stage of ['preparing', 'holding', 'draining'] as const) {
    const { state, actions } = decide(givingHolder(stage, { drainPending: 7, gateDirective: null }), { kind: 'operator-cancelled' }, start);
    t.equal(state.phase.kind, 'active', stage);
    t.match(only(actions, 'gate')[0]?.directive, { mode: 'open' });
    t.match(only(actions, 'register')[0]?.request, { kind: 'answerSwitchover', id: 's1', answer: 'cancelled' });
    t.same(only(actions, 'database'), []);
  }
});

test('holding, then draining: only once the gate was seen to hold under this epoch', async (t) => {
  const gate = { connected: true, held: 4, mode: 'hold', epoch: 5 } as const;
  const holding = givingHolder('holding', { gate });
  const draining = settle(holding);
  t.match(draining.phase, { step: 'draining', id: 's1', token: null });
  t.same(only(draining.actions, 'drain'), [{ kind: 'drain', id: 100, timeoutMs: timings.drainMs }]);
  for (const seen of [{ ...gate, mode: null }, { ...gate, mode: 'open' as const }, { ...gate, epoch: 4 }, { ...gate, epoch: 6 }]) {
    const { phase, actions } = settle({ ...holding, gate: seen });
    t.equal(phase, holding.phase, JSON.stringify(seen));
    t.same(actions, []);
  }
  const early = givingHolder('preparing', { gate });
  t.equal(settle(early).phase, early.phase, 'a gate that held before it was asked to');
});

test('draining, then demoting: when the wait has ended', async (t) => {
  const waiting = givingHolder('draining', { drainPending: 7 });
  t.equal(settle(waiting).phase, waiting.phase);
  t.match(settle(givingHolder('draining')).phase, { step: 'demoting', id: 's1', token: null });
  const holding = givingHolder('holding');
  t.equal(settle(holding).phase, holding.phase, 'no wait was begun');
});

test('demoting: past its time the region becomes the primary again, once nothing is under way', async (t) => {
  const lateMs = 3_000 + timings.promoteBudgetMs - 1_000;
  const demoting = givingHolder('demoting', {
    phase: { kind: 'handing-over', id: 's1', to: r2, step: 'demoting', token: null, deadlineMs: monoMs(START_MS + 2_000) },
    promotedEpoch: 5,
    database: down,
  });
  t.equal(settle(demoting, lateMs - 1).phase, demoting.phase);
  const busy: ControllerState = { ...demoting, databaseAction: { id: 7, action: { kind: 'demote', epoch: epoch(5) }, sinceMs: start.monoMs } };
  t.equal(settle(busy, lateMs).phase, demoting.phase);
  const late = settle(demoting, lateMs);
  t.same(late.phase, promoting(false, START_MS + lateMs));
  t.match(late.state, { promotedEpoch: 0, lastSwitchover: { id: 's1', result: 'failed: demotion took too long' } });
  t.match(settle({ ...demoting, databaseProblem: 'stuck' }, lateMs).state.lastSwitchover, { result: 'failed: stuck' });
});

test('releasing: until the witness has it back or it ran out, and then not again for a ttl', async (t) => {
  const giving = (changes: Partial<ControllerState> = {}): ControllerState => holder({ phase: { kind: 'releasing', reason: 'x' }, ...changes });
  each(t, [
    ['named and valid', giving(), { kind: 'releasing', reason: 'x' }],
    ['given back', giving({ view: released, grant: null }), { kind: 'fenced' }],
    ['somebody else was named', giving({ view: { ...held, instance: 'other' } }), { kind: 'fenced' }],
    ['run out', giving({ grant: null }), { kind: 'fenced' }],
  ]);
  const over = settle(giving({ view: { ...held, instance: 'other' } }), 10);
  t.match(over.state, { grant: null, notBeforeMs: START_MS + 10 + timings.ttlMs });
});

test('rejoining: until it follows the holder; it rests when there is none, once nothing is under way', async (t) => {
  const joining = (changes: Partial<ControllerState> = {}): ControllerState => contender({ phase: { kind: 'rejoining' }, ...changes });
  const busy = { id: 7, action: { kind: 'prewarm' }, sinceMs: start.monoMs } as const;
  const alone = { ...released, inSync: [r1] };
  each(t, [
    ['follows', joining(), { kind: 'standby' }],
    ['does not stream', joining({ database: { ...standby, receiver: { streaming: false, source: databases.r1, messageAgeMs: 10 } } }), { kind: 'rejoining' }],
    ['streams from another', joining({ database: { ...standby, receiver: { streaming: true, source: databases.r3, messageAgeMs: 10 } } }), { kind: 'rejoining' }],
    ['no receiver', joining({ database: { ...standby, receiver: null } }), { kind: 'rejoining' }],
    ['nothing known', joining({ database: null }), { kind: 'rejoining' }],
    ['granted', joining({ grant }), promoting(true)],
    ['granted, and it follows nobody', joining({ grant, database: { ...standby, receiver: null } }), promoting(true)],
    ['given back by the one it followed, an action under way', joining({ grant: promotingContender().grant, view: taken, databaseAction: busy }), promoting(true)],
    ['named itself, and not granted it', joining({ view: { ...taken, instance: 'other' }, database: { ...standby, receiver: null } }), { kind: 'standby' }],
    ['nobody holds it', joining({ view: alone, database: primary }), { kind: 'fenced' }],
    ['the holder has run out', joining({ view: { ...expired, inSync: [r1] } }), { kind: 'standby' }],
    ['the holder has run out, and it did not follow', joining({ view: { ...expired, inSync: [r1] }, database: { ...standby, receiver: null } }), { kind: 'standby' }],
    ['nobody holds it, an action under way', joining({ view: alone, databaseAction: busy }), { kind: 'rejoining' }],
    ['nobody holds it, nothing known', joining({ view: alone, database: null }), { kind: 'fenced' }],
  ]);
});

test('each change of phase is recorded with where it came from', async (t) => {
  const { actions } = settle(contender({ view: released }));
  t.same(actions, [{ kind: 'record', event: 'phase', detail: { from: 'standby', kind: 'acquiring' } }]);
});

test('a phase or a step that this version does not know ends the process', async (t) => {
  const unknown = { kind: 'dancing' } as unknown as Phase;
  t.throws(() => settle(holder({ phase: unknown })), { code: 'CTM_ASSERT_UNREACHABLE' });
  const unknownStep = { ...givingHolder('preparing').phase, step: 'dancing' } as unknown as Phase;
  t.throws(() => settle(givingHolder('preparing', { phase: unknownStep })), { code: 'CTM_ASSERT_UNREACHABLE' });
});

test('a holder that lives on its attestations begins no hand-over', async (t) => {
  const intent = { id: 's1', from: r1, to: r2, target: 'ready', reasons: [] } as const;
  const state = holder({ policy: { ...policy, fallback: deriveFallback(timings.ttlMs, []) }, view: { ...expired, intent } });
  t.match(settle(state).phase, { kind: 'active' });
  t.match(settle({ ...state, view: { ...held, intent } }).phase, { kind: 'handing-over' });
});

test('a region that the world still sees serve gets its lease back before anything is promoted', async (t) => {
  const fallback = { ...promotingContender().fallback, takenFrom: r1, last: { target: r1, outcome: { kind: 'attested', region: r1, epoch: 5 }, startedMs: start.monoMs } } as const;
  const state = promotingContender({ policy: { ...policy, region: r2, fallback: deriveFallback(timings.ttlMs, []) }, fallback });
  t.same(settle(state).phase, { kind: 'releasing', reason: 'region r1 is still seen serving' });
  t.same(settle({ ...state, promotedEpoch: 6, database: null }).phase, { kind: 'active' }, 'too late: it only goes forward');
});

test('a database that became a primary by a promotion of earlier proves the history of the giver, before it serves or the lease goes back', async (t) => {
  const handover = { id: 's2', from: r1, to: r2, token };
  const late: DatabaseObservation = { ...primary, timeline: token.timeline + 1 };
  const granted = (database: DatabaseObservation, view: LeaseView = { ...taken, handover }): Phase => {
    const state = promotingContender({ phase: { kind: 'fenced' }, database, view });
    return settle(state).phase;
  };
  t.match(granted(late), { kind: 'promoting', returnable: true });
  t.match(granted({ ...late, timeline: token.timeline }), { kind: 'promoting', returnable: false }, 'the giver, given back its own');
  t.match(granted(late, { ...taken, handover: null }), { kind: 'promoting', returnable: false }, 'no hand-over');
  t.match(granted(late, { ...taken, handover: { ...handover, to: r1 } }), { kind: 'promoting', returnable: false }, 'of another region');
  t.match(granted({ ...late, epoch: 6, recordedEpoch: 6 }), { kind: 'active' }, 'promoted under this very grant');
  const served = settle(promotingContender({ phase: { kind: 'fenced' }, database: { ...late, epoch: 6, recordedEpoch: 6 }, view: { ...taken, handover } }));
  t.match(only(served.actions, 'record')[0]?.detail, { from: 'fenced', kind: 'promoting', returnable: false }, 'and it is not recorded as one that could go back');
  t.match(granted({ ...late, epoch: 6 }), { kind: 'promoting', returnable: true }, 'tried under this grant and refused: an epoch in the store is no promotion');
  t.match(granted({ ...late, epoch: 7, recordedEpoch: 7 }), { kind: 'promoting', returnable: false }, 'proved under an epoch that this region has yet to hear of');
  t.match(granted({ ...down, shape: 'empty', timeline: null, lsn: null, epoch: 0 }), { kind: 'promoting', returnable: false }, 'nothing is there to prove');
});

test('a database that is down and would come up as a primary: its store says whether anything was tried under the grant', async (t) => {
  const handed = { ...taken, handover: { id: 's2', from: r1, to: r2, token } };
  const late: DatabaseObservation = { ...down, timeline: token.timeline + 1 };
  const restarted = (database: DatabaseObservation, changes: Partial<ControllerState> = {}) =>
    settle(contender({ phase: { kind: 'starting' }, view: handed, grant: promotingContender().grant, database, ...changes }));
  t.match(restarted(late).phase, { kind: 'promoting', returnable: true }, 'nothing was: it proves the history of the giver, or goes back');
  t.match(restarted({ ...late, epoch: 6 }).phase, { kind: 'promoting', returnable: null }, 'something was: it may have served');
  t.match(restarted({ ...late, role: 'unknown', epoch: 0 }).phase, { kind: 'promoting', returnable: null }, 'a server that hangs tells no epoch');
  t.match(restarted({ ...down, lsn: token.checkpointLsn }).phase, { kind: 'promoting', returnable: false }, 'the giver as it stopped');
  t.match(restarted({ ...down, lsn: lsn('0/80') }).phase, { kind: 'promoting', returnable: true }, 'on its timeline, and not as far');
  const unknown = promotingContender({ phase: promoting(null), view: handed, database: { ...late, epoch: 6 } });
  t.same(settle(unknown).phase, promoting(null));
  t.match(settle({ ...unknown, database: { ...primary, timeline: 2, epoch: 6 } }).phase, promoting(true), 'it runs, and was never proved');
  t.match(settle({ ...unknown, database: { ...primary, timeline: 2, epoch: 6, recordedEpoch: 6 } }).phase, { kind: 'active' });
  const overdue = settle({ ...unknown, databaseMs: monoMs(START_MS + timings.promoteBudgetMs) }, timings.promoteBudgetMs);
  t.same(overdue.phase, promoting(null), 'it may have served, or not: neither handed back, nor given up and taken again without the token');
});

test('a standby has served when its log says so, and is not handed back then', async (t) => {
  const handed = { ...taken, handover: { id: 's2', from: r1, to: r2, token } };
  const restarted = (database: DatabaseObservation, view: LeaseView = handed): Phase =>
    settle(contender({ phase: { kind: 'starting' }, view, grant: promotingContender().grant, database })).phase;
  const promoted = { timeline: token.timeline + 1, epoch: 6 };
  t.same(restarted(standby), promoting(true), 'nothing was promoted under the grant');
  t.same(restarted({ ...standby, ...promoted }), promoting(true), 'a history of its own, and not of this grant');
  t.same(restarted({ ...standby, ...promoted, recordedEpoch: 6 }), promoting(false), 'promoted under the grant, and restarted as a standby since');
  t.same(restarted({ ...standby, epoch: 6, recordedEpoch: 6 }), promoting(false), 'the giver, given back its own: it served on the timeline of the token');
  t.same(restarted({ ...standby, ...promoted, recordedEpoch: 6 }, { ...taken, handover: null }), promoting(true), 'no hand-over: there is nobody to hand it back to');
  const stopped: DatabaseObservation = { ...down, shape: 'standby', epoch: 5 };
  t.same(restarted(stopped), promoting(true), 'nothing was tried under the grant');
  t.same(restarted({ ...stopped, epoch: 6 }), promoting(null), 'something was, and what came of it is not known');
  t.same(restarted({ ...stopped, role: 'starting' }), promoting(null), 'it will say');
});
