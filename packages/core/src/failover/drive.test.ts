// What is asked of the outside in each state. Derived from the state alone, so a lost reply, a failed action and a restart
// all lead to the same question again; what is in place already is not asked for twice.

import { test } from 'tap';
import {
  ask,
  command,
  contender,
  expired,
  follower,
  givingHolder,
  handover,
  held,
  holder,
  lagReport,
  longAgoMs,
  mine,
  only,
  policy,
  primary,
  promotingContender,
  r1,
  r2,
  r3,
  released,
  STALLED,
  standby,
  start,
  START_MS,
  steadily,
  taken,
  theirs,
  three,
  timings,
  token,
} from '../../testing/controller.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import { epoch, monoMs } from '../types.ts';
import { decide } from './decide.ts';
import { deriveFallback } from './fallback.ts';
import type { Action, ControllerState, GateDirective, HandingOver, Phase } from './state.ts';

const actionsOf = (state: ControllerState, ms = 0): readonly Action[] => ask(state, ms).actions;

const intent = { id: 's1', from: r1, to: r2, target: 'pending', reasons: [] } as const;
const refused = { ...intent, target: 'refused', reasons: ['lag', 'gate'] } as const;
const wish = { kind: 'switchover', id: 's1', to: r2, atMs: start.monoMs } as const;
const acquiring: Phase = { kind: 'acquiring' };
const releasing: Phase = { kind: 'releasing', reason: 'x' };

test('at rest nothing is asked for, by a decision either', async (t) => {
  for (const state of [holder(), contender()]) t.same(decide(state, { kind: 'tick' }, start).actions, []);
});

// ---- durable state

test('an epoch is made durable once, before anything else is asked under it', async (t) => {
  const actions = actionsOf(promotingContender({ persistedEpoch: 5 }));
  t.same(actions[0], { kind: 'persist', epoch: 6 });
  t.same(actions.map((action) => action.kind), ['persist', 'gate', 'database', 'traffic'].filter((kind) => kind !== 'traffic'));
  t.equal(ask(promotingContender({ persistedEpoch: 5 })).state.persistedEpoch, 6);
  t.same(only(actionsOf(promotingContender()), 'persist'), []);
  t.same(only(actionsOf(contender({ persistedEpoch: 4 })), 'persist'), [], 'without a grant there is nothing to keep');
});

// ---- the gate

/** What the gate would be told. */
function directive(state: ControllerState, ms = 0): Pick<GateDirective, 'mode' | 'activeRegion'> | null {
  const told = only(actionsOf({ ...state, gateDirective: null }, ms), 'gate')[0]?.directive;
  return told === undefined ? null : { mode: told.mode, activeRegion: told.activeRegion };
}

test('the gate in each phase: who may serve, who waits, who forwards and where to', async (t) => {
  const open = { mode: 'open', activeRegion: r1 } as const;
  const hold = (activeRegion: typeof r1 | null) => ({ mode: 'hold', activeRegion }) as const;
  const closed = { mode: 'closed', activeRegion: null } as const;
  const named = { ...held, holder: r2, instance: 'b', inSync: [r2] };
  const cases: readonly [string, ControllerState, Partial<GateDirective> | null, number?][] = [
    ['starting: keeps what it has', contender({ phase: { kind: 'starting' } }), null],
    ['nothing known: keeps what it has', contender({ view: null }), null],
    ['active', holder(), open],
    ['active past its validity', holder(), hold(null), timings.ttlMs - timings.guardMs],
    ['active without a grant', holder({ grant: null }), hold(null)],
    ['promoting', promotingContender(), hold(null)],
    ['promoting under a newer holder', promotingContender({ view: held }), hold(r1)],
    ['acquiring', contender({ phase: acquiring, view: released }), hold(null)],
    ['handing over, still serving', givingHolder('preparing'), open],
    ['handing over, without a grant', givingHolder('preparing', { grant: null }), hold(null)],
    ['handing over, holding', givingHolder('holding'), hold(null)],
    ['handing over, demoted', givingHolder('transferring'), hold(null)],
    ['standby', contender(), { mode: 'forward', activeRegion: r1 }],
    ['rejoining', contender({ phase: { kind: 'rejoining' } }), { mode: 'forward', activeRegion: r1 }],
    ['standby, the holder is late and this region could follow it', contender(), hold(r1), timings.ttlMs / 2],
    ['standby, the holder is late and somebody must approve', contender({ policy: { ...policy, region: r2, mode: 'semi-automatic' } }), { mode: 'forward', activeRegion: r1 }, timings.ttlMs / 2],
    ['standby, the holder is late and this region is not in sync', contender({ view: { ...held, inSync: [r1] } }), { mode: 'forward', activeRegion: r1 }, timings.ttlMs / 2],
    ['standby, the lease has run out', contender({ view: expired }), { mode: 'closed', activeRegion: r1 }],
    ['standby, nobody has the lease', contender({ view: released }), closed],
    ['handed over to here, not yet renewed', contender({ view: { ...named, instance: null, handover } }), hold(null)],
    ['handed over to here, renewed by another controller', contender({ view: { ...named, instance: 'other', handover } }), hold(null)],
    ['handed over to here, and run out', contender({ view: { ...named, instance: 'other', handover, remainingMs: 0 } }), closed],
    ['handed over to here, fenced', contender({ phase: { kind: 'fenced' }, view: { ...named, instance: 'other', handover } }), closed],
    ['handed over elsewhere', contender({ view: { ...named, instance: 'other', handover: { ...handover, to: r3 } } }), closed],
    ['named and waiting for the renewal that says for how long', holder({ phase: { kind: 'fenced' }, grant: null }), hold(null)],
    ['named, and run out', holder({ phase: { kind: 'fenced' }, grant: null, view: expired }), closed],
    ['another controller of this region is named', holder({ phase: { kind: 'fenced' }, grant: null, view: { ...held, instance: 'other' } }), closed],
    ['giving it back', holder({ phase: releasing }), closed],
  ];
  for (const [name, state, expected, ms] of cases) t.same(directive(state, ms), expected, name);
});

test('an open gate is told until when, a shut one nothing of the kind; each under the epoch that is known', async (t) => {
  const told = (state: ControllerState) => only(actionsOf({ ...state, gateDirective: null }), 'gate')[0]?.directive;
  const validUntilMs = holder().grant?.validUntilMs;
  t.same(told(holder()), { epoch: 5, mode: 'open', validUntilMs, activeRegion: r1, holdForwarded: false });
  t.same(told(givingHolder('preparing')), { epoch: 5, mode: 'open', validUntilMs, activeRegion: r1, holdForwarded: false });
  t.same(told(promotingContender()), { epoch: 6, mode: 'hold', validUntilMs: 0, activeRegion: null, holdForwarded: false });
  t.equal(told(contender({ view: { ...held, intent } }))?.holdForwarded, true, 'it will be handed over to here');
  t.equal(told(contender({ view: { ...held, intent: { ...intent, to: r3 } } }))?.holdForwarded, false);
  t.equal(told(promotingContender({ view: { ...taken, handover } }))?.holdForwarded, true, 'it was handed over to here');
  t.equal(told(promotingContender({ view: { ...taken, handover: { ...handover, to: r3 } } }))?.holdForwarded, false);
});

test('the gate is told what is new, and must then be seen to do it', async (t) => {
  const before = holder().gateDirective;
  if (before === null) throw new Error('the example has a directive');
  const seen = { connected: true, held: 0, mode: 'open', epoch: 5 } as const;
  t.same(only(actionsOf(holder()), 'gate'), []);
  const changes: readonly [keyof GateDirective, GateDirective, 'open' | null][] = [
    ['epoch', { ...before, epoch: epoch(4) }, null],
    ['mode', { ...before, mode: 'hold' }, null],
    ['validUntilMs', { ...before, validUntilMs: monoMs(1) }, 'open'],
    ['activeRegion', { ...before, activeRegion: r2 }, 'open'],
    ['holdForwarded', { ...before, holdForwarded: true }, 'open'],
  ];
  for (const [name, gateDirective, mode] of changes) {
    const { actions, state } = ask(holder({ gateDirective, gate: seen }));
    t.same(only(actions, 'gate'), [{ kind: 'gate', directive: before }], name);
    t.same(state.gateDirective, before, name);
    t.same(state.gate, { ...seen, mode }, `${name}: what it did under another mode or epoch says nothing of this one`);
  }
  t.equal(ask(holder({ gateDirective: null, gate: seen })).state.gate.mode, null, 'the first one after a start');
});

const withFallback = { ...policy, region: r2, fallback: deriveFallback(timings.ttlMs, []) };

test('with a quorum of resolvers, what waits only for darkness is held', async (t) => {
  const willing = contender({ policy: withFallback, view: expired });
  t.match(directive(willing), { mode: 'hold' });
  for (const [name, changes] of [
    ['without resolvers', { policy: { ...policy, region: r2 } }],
    ['nobody held it', { view: released }],
    ['the witness is not heard', { registerProblem: 'CTM_REGISTER_TIMEOUT' }],
    ['not in sync', { view: { ...expired, inSync: [r1] } }],
    ['somebody must approve', { policy: { ...withFallback, mode: 'manual' } }],
  ] as const satisfies readonly (readonly [string, Partial<ControllerState>])[]) {
    t.match(directive({ ...willing, ...changes }), { mode: 'closed' }, name);
  }
});

// ---- the register

test('one request at a time, and not before its time', async (t) => {
  const fresh = contender({ view: null });
  t.same(command(fresh), { kind: 'read' });
  t.equal(command({ ...fresh, retryRequestMs: monoMs(START_MS + 1) }), null);
  t.same(command({ ...fresh, retryRequestMs: monoMs(START_MS + 1) }, 1), { kind: 'read' });
  const waiting = { id: 7, request: { kind: 'read' }, sentMs: start.monoMs, inSyncSeen: [], holderSeen: null } as const;
  t.equal(command({ ...fresh, request: waiting }, 60_000), null);
});

test('a region that has nothing to say reads the lease at the pace of a renewal', async (t) => {
  t.equal(command(contender(), timings.renewMs - 1), null);
  t.same(command(contender(), timings.renewMs), { kind: 'read' });
  t.equal(ask(contender({ viewMs: monoMs(START_MS - timings.renewMs + 300) })).wakeMs, START_MS + 300, 'and is woken for it');
});

test('a free lease is asked for under the epoch that was seen, with the operator\'s force if there is one', async (t) => {
  const state = contender({ phase: acquiring, view: released });
  const acquire = { kind: 'acquire', ...theirs, epochSeen: 5, ttlMs: timings.ttlMs, policyHash: 'p', force: null };
  const force = { reason: 'r1 burns', estimatedLoss: '2 s' };
  t.same(command(state), acquire);
  t.same(command({ ...state, operator: { kind: 'takeover', force, atMs: start.monoMs } }), { ...acquire, force });
  t.same(command({ ...state, operator: { kind: 'takeover', force: null, atMs: start.monoMs } }), acquire);
  t.same(command({ ...state, operator: wish }), acquire);
});

test('the holder renews at its pace, and at once when it does not know until when', async (t) => {
  const renew = { kind: 'renew', ...mine, epoch: 5, ttlMs: timings.ttlMs, policyHash: 'p' };
  t.equal(command(holder(), timings.renewMs - 1), null);
  t.same(command(holder(), timings.renewMs), renew);
  t.same(command(holder({ lastRenewMs: null })), renew, 'after a suspend');
  t.same(command(holder({ grant: null })), renew, 'after a restart');
  t.same(command(holder({ grant: { epoch: epoch(5), validUntilMs: start.monoMs } })), renew, 'when its validity has run out');
  t.same(command(holder({ view: { ...held, instance: null }, grant: null })), renew, 'when it was handed over to its region');
  t.same(command(holder({ view: expired, viewMs: longAgoMs })), { kind: 'read' }, 'what ran out at the witness cannot be renewed');
  t.same(command(holder({ view: { ...held, instance: 'other' }, viewMs: monoMs(START_MS - timings.renewMs) })), { kind: 'read' }, 'what another controller holds neither');
});

test('the lease is given back only once the gate was seen not to serve', async (t) => {
  const giving = (gate: Partial<ControllerState['gate']>): ControllerState =>
    holder({ phase: releasing, gateDirective: { epoch: epoch(5), mode: 'closed', validUntilMs: monoMs(0), activeRegion: null, holdForwarded: false }, gate: { connected: true, held: 0, mode: 'closed', epoch: 5, ...gate } });
  const release = { kind: 'release', ...mine, epoch: 5 };
  t.same(command(giving({})), release);
  t.same(command(giving({ mode: 'hold' })), release);
  t.same(command(giving({ mode: 'forward' })), release);
  t.equal(command(giving({ mode: 'open' })), null);
  t.equal(command(giving({ mode: null })), null, 'not seen since it was told');
  t.equal(command(giving({ connected: false })), null, 'not seen at all');
  t.equal(command(giving({ mode: 'open' }), timings.renewMs - 1), null, 'and nothing is renewed meanwhile');
  t.same(command(giving({ mode: 'open' }), timings.renewMs), { kind: 'read' });
});

test('a demoted holder transfers with its token; a target that cannot promote gives it back the same way', async (t) => {
  const transfer = { kind: 'transfer', ...mine, epoch: 5, id: 's1', to: r2, token };
  t.same(command(givingHolder('transferring')), transfer);
  t.same(command(givingHolder('returning')), transfer);
  const narrow = { ...held, inSync: [r1] };
  t.same(command(givingHolder('returning', { view: narrow })), { kind: 'setInSync', ...mine, epoch: 5, inSync: [r1, r2] }, 'the giver has everything: it may have it back');
  t.same(command(givingHolder('transferring', { view: narrow })), transfer, 'a first hand-over promises nothing of its own');
  const backwards = givingHolder('returning', { policy: { ...policy, region: r2 }, instance: 'b', view: { ...taken, inSync: [r2] }, grant: { epoch: epoch(6), validUntilMs: monoMs(START_MS + 5_000) } });
  const returning: HandingOver = { kind: 'handing-over', id: 's1', to: r1, step: 'returning', token, deadlineMs: start.monoMs };
  t.same(command({ ...backwards, phase: returning }), { kind: 'setInSync', ...theirs, epoch: 6, inSync: [r1, r2] }, 'in one order, whoever asks');
  for (const step of ['preparing', 'holding', 'draining', 'demoting'] as const) t.equal(command(givingHolder(step)), null, step);
  t.equal(command(givingHolder('transferring', { phase: { ...returning, to: r2, step: 'transferring', token: null } })), null, 'never without a token');
});

test('nobody else is counted on while the database is not proved a primary', async (t) => {
  const state = promotingContender({ view: { ...taken, inSync: [r1, r2] } });
  t.same(command(state), { kind: 'setInSync', ...theirs, epoch: 6, inSync: [r2] });
  t.equal(command(promotingContender()), null, 'alone already');
  t.equal(command({ ...state, database: { ...primary, epoch: 6, recordedEpoch: 6 } }), null, 'proved');
  t.equal(command({ ...state, database: null }), null, 'not known');
  t.equal(command({ ...state, phase: { kind: 'fenced' } }), null);
});

test('a standby joins the in-sync set when commits wait for it, it had all, and it streams steadily', async (t) => {
  const narrow = { ...held, inSync: [r1] };
  const state = holder({ view: narrow });
  const widen = { kind: 'setInSync', ...mine, epoch: 5, inSync: [r1, r2] };
  t.same(command(state), widen);
  const since = (ms: number) => ({ regions: [r2], sinceMs: monoMs(START_MS - ms) });
  t.same(command({ ...state, streaming: since(timings.standbyStableMs) }), widen);
  t.same(command({ ...state, lagReport: lagReport(r3, STALLED) }), widen, 'a lag prober objects to another');
  for (const [name, changes] of [
    ['not steadily', { streaming: since(timings.standbyStableMs - 1) }],
    ['not streaming', { streaming: { regions: [], sinceMs: longAgoMs } }],
    ['commits do not wait for it', { synchronous: [] }],
    ['it did not have all', { caughtUp: [] }],
    ['for whom commits wait is not known', { synchronous: null }],
    ['an action is under way', { databaseAction: { id: 7, action: { kind: 'prewarm' }, sinceMs: start.monoMs } }],
    ['it was not seen good often enough', { evidence: NO_EVIDENCE }],
    ['a lag prober objects', { lagReport: lagReport(r2, STALLED) }],
    ['the database was seen too long ago', { databaseMs: monoMs(START_MS - timings.observationMaxAgeMs) }],
    ['it is not of this lease', { streaming: { regions: [r3], sinceMs: longAgoMs }, synchronous: [r3], caughtUp: [r3] }],
    ['not active', { phase: { kind: 'fenced' } }],
  ] as const satisfies readonly (readonly [string, Partial<ControllerState>])[]) t.equal(command({ ...state, ...changes }), null, name);
});

test('a standby leaves the in-sync set when commits do not wait for it, or when it was missed for long enough', async (t) => {
  const narrow = { kind: 'setInSync', ...mine, epoch: 5, inSync: [r1] };
  const missing = (ms: number): Partial<ControllerState> => ({ streaming: { regions: [], sinceMs: monoMs(START_MS - ms) } });
  t.same(command(holder({ synchronous: [] })), narrow);
  t.same(command(holder(missing(timings.standbyLossMs))), narrow);
  t.equal(command(holder(missing(timings.standbyLossMs - 1))), null);
  t.equal(ask(holder(missing(timings.standbyLossMs - 1))).wakeMs, START_MS + 1);
  t.equal(command(holder({ ...missing(timings.standbyLossMs), databaseMs: longAgoMs })), null, 'seen too long ago to say');
  const both = holder({ policy: three, view: { ...held, inSync: [r1, r2, r3] }, synchronous: [r2, r3], streaming: { regions: [r3], sinceMs: longAgoMs } });
  t.same(command(both), { ...narrow, inSync: [r1, r3] }, 'only the one that is missed');
});

test('the in-sync set is compared as a set', async (t) => {
  t.equal(command(holder({ view: { ...held, inSync: [r2, r1] } })), null);
  const evidence = steadily({ ...primary, standbys: [follower, { ...follower, region: r3 }] });
  const swapped = holder({ policy: three, evidence, view: { ...held, inSync: [r2, r1] }, streaming: { regions: [r2, r3], sinceMs: longAgoMs }, synchronous: [r2, r3], caughtUp: [r2, r3] });
  t.same(command(swapped), { kind: 'setInSync', ...mine, epoch: 5, inSync: [r1, r2, r3] });
});

test('the target of a switchover answers for itself, with every reason against it', async (t) => {
  const target = contender({ view: { ...held, intent } });
  const answer = { kind: 'answerSwitchover', ...theirs, id: 's1' };
  t.same(command(target), { ...answer, answer: 'ready', reasons: [] });
  const broken = { ...target, database: { ...standby, receiver: { streaming: false, source: null, messageAgeMs: null } }, gate: { connected: false, held: 0, mode: null, epoch: 0 } };
  t.same(command(broken), { ...answer, answer: 'refused', reasons: ['standby-streaming: standby, not streaming, needs streaming', 'gate-connected: not connected, needs connected'] });
  t.equal(command(contender({ view: { ...held, intent: { ...intent, target: 'ready' } } })), null, 'answered already');
  t.equal(command(contender({ view: { ...held, intent: { ...intent, to: r3 } } })), null, 'for another region to answer');
});

test('the giver of a switchover cancels what was refused or given up', async (t) => {
  const cancel = { kind: 'answerSwitchover', ...mine, id: 's1', answer: 'cancelled' };
  const asked = ask(holder({ view: { ...held, intent: refused } }));
  t.same(only(asked.actions, 'register')[0]?.request, { ...cancel, reasons: ['lag', 'gate'] });
  t.same(asked.state.lastSwitchover, { id: 's1', result: 'refused by r2: lag; gate' });
  t.equal(command(holder({ view: { ...held, intent: { ...refused, from: r3 } } })), null, 'it is for the giver to cancel');
  const gaveUp = { endedSwitchovers: ['s0', 's1'], view: { ...held, intent: { ...intent, target: 'ready' } } } as const;
  t.same(command(holder(gaveUp)), { ...cancel, reasons: [] });
  t.equal(command(holder({ ...gaveUp, endedSwitchovers: ['s0'] })), null, 'another one was given up');
  t.equal(command(givingHolder('preparing', gaveUp)), null, 'one that is under way');
  t.equal(command(holder({ ...gaveUp, view: { ...gaveUp.view, intent: { ...gaveUp.view.intent, from: r3 } } })), null);
});

test('a target that was told to give up takes the intent back instead of answering it, ready or not', async (t) => {
  const endedSwitchovers = ['s1', 's2'];
  const cancel = { kind: 'answerSwitchover', ...theirs, id: 's1', answer: 'cancelled', reasons: [] };
  for (const answered of ['pending', 'ready'] as const) {
    const view = { ...held, intent: { ...intent, target: answered } };
    t.same(command(contender({ view, endedSwitchovers })), cancel, answered);
    t.equal(command(contender({ view: { ...view, intent: { ...view.intent, to: r3 } }, endedSwitchovers })), null, 'it takes no part');
  }
  const other = command(contender({ view: { ...held, intent }, endedSwitchovers: ['s0'] }));
  t.match(other, { answer: 'ready' }, 'another one was given up');
});

test('an operator\'s wish to switch over is passed on by whoever hears it, once', async (t) => {
  const request = { kind: 'requestSwitchover', id: 's1', from: r1, to: r2, validForMs: 60_000 };
  t.same(command(holder({ operator: wish })), { ...request, ...mine, from: r1 });
  t.same(command(contender({ operator: wish })), { ...request, ...theirs, from: r1 });
  t.equal(command(holder({ operator: { ...wish, to: r1 } })), null, 'it is there already');
  t.equal(command(contender({ operator: wish, view: released })), null, 'there is nobody to hand over');
  t.equal(command(contender({ operator: { kind: 'takeover', force: null, atMs: start.monoMs } })), null);
  t.equal(command(holder({ operator: wish, view: { ...held, intent: { ...intent, target: 'ready' } } })), null, 'one is under way');
});

test('a holder that lives on its attestations asks for a new epoch as soon as the witness is heard', async (t) => {
  const state = holder({ policy: { ...policy, fallback: deriveFallback(timings.ttlMs, []) }, view: expired });
  t.match(command(state), { kind: 'acquire', epochSeen: 5, force: null });
  t.equal(command({ ...state, registerProblem: 'CTM_REGISTER_TIMEOUT' }), null);
});

// ---- traffic

test('weights follow the holder: this region once it is active, another as soon as it is known', async (t) => {
  const traffic = (state: ControllerState, ms = 0) => only(actionsOf(state, ms), 'traffic')[0]?.weights ?? null;
  t.same(traffic(contender({ weights: null })), { epoch: 5, weights: { r1: 100, r2: 0 } });
  t.same(traffic(holder({ weights: null })), { epoch: 5, weights: { r1: 100, r2: 0 } });
  const won = { ...promotingContender({ phase: { kind: 'active' }, promotedEpoch: 6, database: { ...primary, epoch: 6, recordedEpoch: 6 } }) };
  t.same(traffic(won), { epoch: 6, weights: { r1: 0, r2: 100 } });
  t.same(traffic(holder({ weights: { epoch: epoch(5), weights: { r1: 0, r2: 100 } } })), { epoch: 5, weights: { r1: 100, r2: 0 } });
  for (const [name, state] of [
    ['not proved a primary yet', promotingContender()],
    ['nobody holds it', contender({ view: released, weights: null })],
    ['nothing is known of the lease', contender({ view: null, weights: null })],
    ['it was never held', contender({ view: { ...held, epoch: epoch(0) }, weights: null })],
    ['as it is', holder()],
    ['of a newer epoch', contender({ weights: { epoch: epoch(6), weights: { r1: 0, r2: 100 } } })],
    ['an attempt is under way', contender({ weights: null, trafficPending: { id: 7, weights: { epoch: epoch(5), weights: {} } } })],
    ['not yet again', contender({ weights: null, retryTrafficMs: monoMs(START_MS + 1) })],
  ] as const) t.equal(traffic(state), null, name);
});

test('the region that serves looks whether DNS names it, and an attempt has a number', async (t) => {
  const { actions, state } = ask(holder({ weights: null }));
  t.same(actions, [{ kind: 'traffic', id: 100, weights: { epoch: 5, weights: { r1: 100, r2: 0 } } }, { kind: 'confirm-dns', epoch: 5 }]);
  t.same(state.trafficPending, { id: 100, weights: { epoch: 5, weights: { r1: 100, r2: 0 } } });
  t.same(only(actionsOf(contender({ weights: null })), 'confirm-dns'), []);
});
