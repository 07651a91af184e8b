// What one event makes known, and what it must not: answers that are late, repeated, overtaken or about something else.

import { test } from 'tap';
import {
  contender,
  givingHolder,
  held,
  holder,
  longAgoMs,
  only,
  r1,
  r2,
  r3,
  records,
  released,
  start,
  START_MS,
  take,
  taken,
  timings,
  token,
} from '../../testing/controller.ts';
import type { LeaseCommand, LeaseView, Outcome, RefusalCode } from '../lease/types.ts';
import { epoch, monoMs } from '../types.ts';
import type { Draft } from './draft.ts';
import type { ControllerEvent, ControllerState } from './state.ts';

const validAfter = (sentMs: number, durationMs: number): number => sentMs + durationMs - timings.guardMs;

// ---- answers of the register

const from = { region: r1, seq: 21, instance: 'a' };
const commands = {
  acquire: { kind: 'acquire', ...from, epochSeen: epoch(5), ttlMs: timings.ttlMs, policyHash: 'p', force: null },
  renew: { kind: 'renew', ...from, epoch: epoch(5), ttlMs: timings.ttlMs, policyHash: 'p' },
  release: { kind: 'release', ...from, epoch: epoch(5) },
  transfer: { kind: 'transfer', ...from, epoch: epoch(5), id: 's1', to: r2, token },
  setInSync: { kind: 'setInSync', ...from, epoch: epoch(5), inSync: [r1] },
  requestSwitchover: { kind: 'requestSwitchover', ...from, id: 's1', from: r1, to: r2, validForMs: 60_000 },
  answerSwitchover: { kind: 'answerSwitchover', ...from, id: 's1', answer: 'ready', reasons: [] },
} as const satisfies Record<LeaseCommand['kind'], LeaseCommand>;

/** `state` with this command under way since the start. */
function asking(state: ControllerState, request: LeaseCommand, holderSeen: ControllerState['policy']['region'] | null = r1): ControllerState {
  return { ...state, request: { id: 7, request, sentMs: start.monoMs, inSyncSeen: ['r1', 'r2'], holderSeen } };
}

function answer(view: LeaseView, outcome: Outcome = { ok: true }, id = 7): ControllerEvent {
  return { kind: 'register-answered', id, answer: { ok: true, reply: { outcome, view } } };
}

function refusal(code: RefusalCode, view = held): ControllerEvent {
  return answer(view, { ok: false, code, detail: `no: ${code}` });
}

const renewed: LeaseView = { ...held, revision: 12 };
const mine: LeaseView = { ...held, revision: 12, epoch: epoch(6), inSync: [r1] };

test('an answer that nobody waits for, or to another request, changes nothing', async (t) => {
  const idle = holder();
  t.same(take(idle, answer({ ...renewed, remainingMs: 1 })).state, idle);
  const waiting = asking(holder(), commands.renew);
  const draft = take(waiting, answer(renewed, { ok: true }, 6));
  t.same(draft.state, waiting);
  t.same(draft.actions, []);
});

test('a renewal is valid from before it was sent, for the shorter of ttl and what remains, and never shortens', async (t) => {
  const renew = asking(holder(), commands.renew);
  const valid = (state: ControllerState, view: LeaseView): number | undefined => take(state, answer(view), 400).state.grant?.validUntilMs;
  t.equal(valid({ ...renew, grant: { epoch: epoch(5), validUntilMs: monoMs(1) } }, renewed), validAfter(START_MS, timings.ttlMs));
  t.equal(valid({ ...renew, grant: null }, { ...renewed, remainingMs: 900 }), validAfter(START_MS, 900), 'the witness repeated an older answer');
  t.equal(valid(renew, { ...renewed, remainingMs: 900 }), holder().grant?.validUntilMs, 'what was given before stays');
  t.equal(valid({ ...renew, grant: { epoch: epoch(4), validUntilMs: monoMs(START_MS + 50_000) } }, renewed), validAfter(START_MS, timings.ttlMs), 'of another epoch, it does not');
  const shortTtl = { ...asking(holder({ grant: null }), { ...commands.renew, ttlMs: 700 }) };
  t.equal(valid(shortTtl, renewed), validAfter(START_MS, 700));
});

test('a renewal remembers when it was sent, and ends the request', async (t) => {
  const { state, actions } = take(asking(holder({ lastRenewMs: null, registerRefused: true }), commands.renew), answer({ ...renewed, seq: 30 }), 400);
  t.match(state, { request: null, lastRenewMs: START_MS, registerRefused: false, seq: 30, viewMs: START_MS + 400, registerProblem: null });
  t.same(actions, []);
  t.equal(take(asking(holder({ seq: 40 }), commands.renew), answer({ ...renewed, seq: 30 })).state.seq, 40, 'sequence numbers do not go back');
});

test('an accepted request that grants nothing here: another holder, nothing left, another epoch, a newer one heard of', async (t) => {
  const cases: readonly [string, ControllerState, LeaseView][] = [
    ['handed on meanwhile', asking(holder({ grant: null }), commands.renew), { ...renewed, holder: r2 }],
    ['run out meanwhile', asking(holder({ grant: null }), commands.renew), { ...renewed, remainingMs: 0 }],
    ['a newer epoch was heard of', asking(holder({ grant: null, view: { ...taken, revision: 20 }, viewMs: monoMs(START_MS + 1) }), commands.renew), renewed],
    ['acquired again by another command', asking(holder({ grant: null }), commands.renew), { ...renewed, epoch: epoch(6) }],
  ];
  for (const [name, state, view] of cases) {
    const after = take({ ...state, lastRenewMs: null }, answer(view)).state;
    t.equal(after.grant, null, name);
    t.equal(after.lastRenewMs, null, name);
  }
});

test('a register that forgot its epochs grants nothing, says so, and is asked again later', async (t) => {
  const state = asking(contender({ policy: holder().policy, persistedEpoch: 9, view: { ...released, epoch: epoch(5) } }), commands.acquire);
  const draft = take(state, answer(mine), 10);
  t.equal(draft.state.grant, null);
  t.same(only(draft.actions, 'record').at(-1), { kind: 'record', event: 'epoch-behind', detail: { epoch: 6, accepted: 9 } });
  t.ok(draft.state.retryRequestMs > START_MS + 10);
  const even = take({ ...state, persistedEpoch: 6 }, answer(mine), 10);
  t.equal(even.state.grant?.epoch, 6, 'the highest epoch that was accepted is not behind');
});

test('a grant is new, ends the word that asked for it, and records what it was taken on', async (t) => {
  const word = { kind: 'takeover', force: null, atMs: start.monoMs } as const;
  const state = asking(holder({ view: { ...held, holder: r2, remainingMs: 0 }, grant: null, operator: word }), commands.acquire, r2);
  const draft = take(state, answer(mine));
  t.match(draft.state, { operator: null, grant: { epoch: 6, validUntilMs: validAfter(START_MS, timings.ttlMs) }, lastRenewMs: START_MS });
  t.equal(draft.state.fallback.takenFrom, r2);
  t.same(only(draft.actions, 'record').at(-1)?.detail, { epoch: 6, inSyncBefore: ['r1', 'r2'], force: null });
  t.same(records(draft.actions), ['lease-seen', 'granted']);
});

test('whose lease it was matters only when it was another region that nobody overruled', async (t) => {
  const force = { reason: 'r2 burns', estimatedLoss: 'none' };
  const takenFrom = (request: LeaseCommand, seen: typeof r1 | null) =>
    take(asking(holder({ view: released, grant: null }), request, seen), answer(mine)).state.fallback.takenFrom;
  t.equal(takenFrom(commands.acquire, r2), r2);
  t.equal(takenFrom(commands.acquire, r1), null, 'its own');
  t.equal(takenFrom(commands.acquire, null), null, 'nobody\'s');
  t.equal(takenFrom({ ...commands.acquire, force }, r2), null, 'forced');
});

test('a grant that is asked for again before anything was promoted was still taken from whom it was taken first', async (t) => {
  const again = (seen: typeof r1 | null, request: LeaseCommand = commands.acquire) => {
    const state = holder({ view: { ...held, remainingMs: 0 }, grant: null, fallback: { ...holder().fallback, takenFrom: r2 } });
    return take(asking(state, request, seen), answer(mine)).state.fallback.takenFrom;
  };
  t.equal(again(r1), r2, 'it ran out here');
  t.equal(again(null), r2, 'it was given back');
  t.equal(again(r3), r3, 'another one had it meanwhile');
  t.equal(again(r1, { ...commands.acquire, force: { reason: 'r2 burns', estimatedLoss: 'none' } }), null, 'forced');
});

test('what was held or handed on ends the grant at once', async (t) => {
  const gone = take(asking(holder(), commands.release), answer({ ...released, revision: 12 }));
  t.equal(gone.state.grant, null);
  t.same(only(gone.actions, 'record').at(-1), { kind: 'record', event: 'released', detail: { epoch: 5, holder: null } });
  t.equal(gone.state.lastSwitchover, null);
  const given = take(asking(givingHolder('transferring'), commands.transfer), answer({ ...taken, revision: 12 }));
  t.equal(given.state.grant, null);
  t.same(given.state.lastSwitchover, { id: 's1', result: 'transferred to r2' });
  t.same(only(given.actions, 'record').at(-1), { kind: 'record', event: 'transferred', detail: { epoch: 6, holder: 'r2' } });
});

test('a wish to switch over that the witness took is the operator\'s no more; no other command ends it', async (t) => {
  const operator = { kind: 'switchover', id: 's1', to: r2, atMs: start.monoMs } as const;
  t.equal(take(asking(holder({ operator }), commands.requestSwitchover), answer(renewed)).state.operator, null);
  for (const kind of ['renew', 'setInSync', 'answerSwitchover'] as const) {
    const { state } = take(asking(holder({ operator }), commands[kind]), answer(renewed));
    t.equal(state.operator, operator, kind);
    t.match(state.grant, { epoch: 5 }, kind);
  }
});

test('silence of the witness: recorded once, and once more when it is heard again', async (t) => {
  const silent = (code: string, id = 7): ControllerEvent => ({ kind: 'register-answered', id, answer: { ok: false, code, message: 'no answer' } });
  const first = take(asking(holder(), commands.renew), silent('CTM_REGISTER_TIMEOUT'), 100);
  t.same(first.actions, [{ kind: 'record', event: 'witness-unreachable', detail: { code: 'CTM_REGISTER_TIMEOUT', message: 'no answer' } }]);
  t.match(first.state, { request: null, registerProblem: 'CTM_REGISTER_TIMEOUT', retryRequestMs: START_MS + 100 + 200 });
  t.same(first.state.grant, holder().grant, 'what is valid stays valid');
  const again = take(asking(first.state, commands.renew), silent('CTM_REGISTER_TIMEOUT'), 200);
  t.same(again.actions, []);
  t.same(records(take(asking(again.state, commands.renew), silent('CTM_REGISTER_UNREACHABLE')).actions), ['witness-unreachable']);
  const heard = take(asking(again.state, commands.renew), answer(renewed), 300);
  t.same(heard.actions, [{ kind: 'record', event: 'witness-reached', detail: { after: 'CTM_REGISTER_TIMEOUT' } }]);
  t.equal(heard.state.registerProblem, null);
});

test('a refusal is an answer: recorded, retried later, and the end of a grant that it denies', async (t) => {
  const draft = take(asking(holder({ registerProblem: 'CTM_REGISTER_TIMEOUT' }), commands.renew), refusal('held'), 50);
  t.match(draft.state, { registerRefused: true, registerProblem: null, retryRequestMs: START_MS + 250, request: null });
  t.same(only(draft.actions, 'record').at(-1), { kind: 'record', event: 'refused', detail: { request: 'renew', code: 'held', detail: 'no: held' } });
  const ends: RefusalCode[] = ['not-holder', 'epoch-stale', 'expired', 'instance-conflict'];
  const stays: RefusalCode[] = ['held', 'not-in-sync', 'policy-mismatch', 'seq-stale', 'seq-reused', 'switchover-unknown', 'switchover-pending', 'invalid'];
  for (const code of ends) t.equal(take(asking(holder(), commands.renew), refusal(code)).state.grant, null, code);
  for (const code of stays) t.match(take(asking(holder(), commands.renew), refusal(code)).state.grant, { epoch: 5 }, code);
  t.match(take(asking(holder(), { ...commands.renew, epoch: epoch(4) }), refusal('expired')).state.grant, { epoch: 5 }, 'said of an older epoch');
  t.match(take(asking(holder(), commands.acquire), refusal('epoch-stale')).state.grant, { epoch: 5 }, 'said of a request that names no epoch of its own');
  t.equal(take(asking(holder({ grant: null }), commands.renew), refusal('expired')).state.grant, null, 'there was none');
});

test('a switchover that the witness refuses is over, with its reason', async (t) => {
  const operator = { kind: 'switchover', id: 's1', to: r2, atMs: start.monoMs } as const;
  const { state } = take(asking(holder({ operator }), commands.requestSwitchover), refusal('not-in-sync'));
  t.equal(state.operator, null);
  t.same(state.lastSwitchover, { id: 's1', result: 'refused: no: not-in-sync' });
  const other = take(asking(holder({ operator }), commands.renew), refusal('held')).state;
  t.equal(other.operator, operator);
  t.equal(other.lastSwitchover, null);
});

test('a transfer that the target may not have makes this region the primary again; any other refusal of it does not', async (t) => {
  for (const code of ['not-in-sync', 'invalid'] as const) {
    const { state } = take(asking(givingHolder('transferring'), commands.transfer), refusal(code), 30);
    t.same(state.phase, { kind: 'promoting', sinceMs: START_MS + 30, returnable: false }, code);
    t.same(state.lastSwitchover, { id: 's1', result: `refused: no: ${code}` });
    t.equal(state.promotedEpoch, 0, 'its database was demoted: it must be proved again before the gate opens');
  }
  for (const [command, code] of [['transfer', 'seq-reused'], ['setInSync', 'invalid'], ['renew', 'not-in-sync']] as const) {
    const { state } = take(asking(givingHolder('transferring'), commands[command]), refusal(code));
    t.equal(state.phase.kind, 'handing-over', `${command} ${code}`);
    t.equal(state.lastSwitchover, null);
  }
});

// ---- the lease as seen

const pushed = (view: LeaseView): ControllerEvent => ({ kind: 'lease-pushed', event: 'granted', view });

test('an older view that arrives late changes nothing; an equal one is as good as new', async (t) => {
  const state = contender({ viewMs: longAgoMs });
  const late = take(state, pushed({ ...taken, revision: 9 }));
  t.same(late.state, state);
  t.same(late.actions, []);
  const same = take(state, pushed(held), 40);
  t.equal(same.state.viewMs, START_MS + 40);
  t.same(same.actions, []);
});

test('a register that was restored, or lost its store, is believed by what is asked of it from then on, and what it granted before is void', async (t) => {
  const restored: LeaseView = { ...held, revision: 4, remainingMs: 0 };
  const lost: LeaseView = { ...released, revision: 12, epoch: epoch(0), inSync: [] };
  for (const view of [restored, lost]) {
    const { state, actions } = take(asking(holder(), commands.renew), refusal('expired', view));
    t.match(state, { view, grant: null });
    t.same(only(actions, 'record').at(0), {
      kind: 'record',
      event: 'register-went-back',
      detail: { epoch: view.epoch, revision: view.revision, epochBefore: 5, revisionBefore: 10 },
    });
    t.equal(take(state, pushed({ ...held, revision: view.revision + 1 })).state.view?.revision, view.revision + 1, 'and goes on from there');
  }
  const again = take(asking(holder(), commands.renew), answer({ ...held, revision: 4, seq: 21 }));
  t.match(again.state, { view: { revision: 4 }, grant: { epoch: 5, validUntilMs: validAfter(START_MS, timings.ttlMs) } }, 'what it grants now counts');
});

test('an older answer to what was asked before the news came is late, and no sign of a register that went back', async (t) => {
  const state = asking(holder({ viewMs: monoMs(START_MS + 1) }), commands.renew);
  const { view, grant } = take(state, refusal('expired', { ...held, revision: 9, epoch: epoch(4) })).state;
  t.match(view, { revision: 10 });
  t.equal(grant, null, 'it is refused all the same');
  t.match(take(holder(), pushed({ ...held, revision: 11, epoch: epoch(4) })).state.view, { revision: 10 }, 'a push of before a restore, with more changes behind it');
});

test('what is new in a view is recorded: who holds it, or who is in sync', async (t) => {
  const seen = (before: LeaseView | null, view: LeaseView) => take(contender({ view: before }), pushed(view)).actions;
  const handover = { id: 's1', from: r1, to: r2, token };
  t.same(seen(null, held), [{ kind: 'record', event: 'lease-seen', detail: { epoch: 5, holder: 'r1', inSync: ['r1', 'r2'], handover: null } }]);
  t.same(seen(held, { ...taken, handover }), [{ kind: 'record', event: 'lease-seen', detail: { epoch: 6, holder: 'r2', inSync: ['r2'], handover: 's1' } }]);
  t.same(records(seen(held, released)), ['lease-seen'], 'the same epoch, nobody');
  t.same(records(seen(held, { ...held, epoch: epoch(6), revision: 11 })), ['lease-seen'], 'the same holder, another epoch');
  t.same(seen(held, { ...held, revision: 11, inSync: [r1] }), [{ kind: 'record', event: 'in-sync', detail: { epoch: 5, inSync: ['r1'] } }]);
  t.same(seen(held, { ...held, revision: 11, remainingMs: 1 }), [], 'a renewal');
});

test('a region that may be counted on is so until the register has taken the command that asked for it, or a later one', async (t) => {
  const widening = { seq: 22, regions: [r2] };
  const state = holder({ view: { ...held, inSync: [r1], seq: 21 }, widening });
  const left = (view: LeaseView) => take(state, pushed(view)).state.widening;
  t.same(left({ ...held, inSync: [r1], seq: 21, revision: 11 }), widening, 'a renewal before it was taken; it may be on its way');
  t.same(left({ ...held, seq: 22, revision: 11 }), null, 'taken');
  t.same(left({ ...held, inSync: [r1], seq: 23, revision: 11 }), null, 'another was, and it can come no more');
  t.same(left({ ...held, inSync: [r1], seq: 23, revision: 9 }), widening, 'a view that is overtaken says nothing');
});

test('a takeover starts the hold-down; a hand-over, the first grant and a return of the same holder do not', async (t) => {
  const until = (before: LeaseView | null, view: LeaseView, lastHolder = before?.holder ?? null): number =>
    take(contender({ view: before, lastHolder, holdDownUntilMs: longAgoMs }), pushed(view), 70).state.holdDownUntilMs;
  t.equal(until(held, taken), START_MS + 70 + timings.holdDownMs);
  t.equal(until(released, taken, r1), START_MS + 70 + timings.holdDownMs, 'who failed and gave it back does not have it again at once');
  t.equal(until(released, taken, r2), longAgoMs, 'the one that gave it back has it again');
  t.equal(until(released, { ...released, revision: 11, epoch: epoch(6) }, r1), START_MS + 70 + timings.holdDownMs, 'somebody had it meanwhile');
  t.equal(until(held, { ...taken, handover: { id: 's1', from: r1, to: r2, token } }), longAgoMs, 'planned');
  t.equal(until(released, taken), longAgoMs, 'nobody was seen to have had it');
  t.equal(until(null, taken), longAgoMs, 'first heard of');
  t.equal(until(held, released), longAgoMs, 'given back: nobody took it yet');
  t.equal(until(held, { ...held, revision: 11, epoch: epoch(6) }), longAgoMs, 'the same holder anew');
});

test('who held the lease last is remembered while nobody holds it', async (t) => {
  const last = (lastHolder: ControllerState['lastHolder'], view: LeaseView) => take(contender({ view: null, lastHolder }), pushed(view)).state.lastHolder;
  t.equal(last(null, held), r1);
  t.equal(last(r1, { ...released, revision: 20 }), r1);
  t.equal(last(r1, taken), r2);
  t.equal(take(contender({ view: { ...taken, revision: 40 }, lastHolder: r2 }), pushed(held)).state.lastHolder, r2, 'a view that is overtaken says nothing');
});

test('whose lease it was is also learned from the register alone: the answer to the request may be lost', async (t) => {
  const force = { reason: 'r1 burns', estimatedLoss: 'none' };
  const told = (given: typeof force | null) => ({ kind: 'takeover', force: given, atMs: start.monoMs }) as const;
  const from = (before: LeaseView | null, view: LeaseView, operator: ControllerState['operator'] = null) => take(contender({ view: before, operator }), pushed(view)).state.fallback.takenFrom;
  t.equal(from(held, taken), r1);
  t.equal(from(held, taken, told(null)), r1, 'an approval overrules nobody');
  t.equal(from(held, taken, told(force)), null, 'forced');
  t.equal(from(held, { ...taken, handover: { id: 's1', from: r1, to: r2, token } }), null, 'planned');
  t.equal(from(held, { ...taken, holder: r3 }), null, 'taken by another one');
  t.equal(from(released, taken), null, 'it was free');
  t.equal(from(null, taken), null, 'first heard of');
});

test('a newer epoch ends the grant at once; its own does not', async (t) => {
  t.equal(take(holder(), pushed(taken)).state.grant, null);
  t.match(take(holder(), pushed({ ...held, revision: 11 })).state.grant, { epoch: 5 });
  t.equal(take(holder({ grant: null }), pushed(taken)).state.grant, null);
});

// ---- the rest

test('a gate is what it was last seen to be', async (t) => {
  const observation = { connected: true, held: 3, mode: 'hold', epoch: 5 } as const;
  const { state, actions } = take(holder(), { kind: 'gate-observed', observation });
  t.equal(state.gate, observation);
  t.same(actions, []);
});

test('weights are set once it was said so; a failure is retried; an answer to an earlier attempt counts for nothing', async (t) => {
  const weights = { epoch: epoch(5), weights: { r1: 100, r2: 0 } };
  const state = holder({ weights: null, trafficPending: { id: 7, weights } });
  const finish = (id: number, ok: boolean): Draft => take(state, { kind: 'traffic-done', id, ok, detail: 'd' }, 30);
  const set = finish(7, true);
  t.match(set.state, { weights, trafficPending: null, retryTrafficMs: START_MS });
  t.same(set.actions, [{ kind: 'record', event: 'traffic-set', detail: { ok: true, detail: 'd', epoch: 5, weights: { r1: 100, r2: 0 } } }]);
  const unset = finish(7, false);
  t.match(unset.state, { weights: null, trafficPending: null, retryTrafficMs: START_MS + 30 + 200 });
  t.same(only(unset.actions, 'record')[0]?.detail['ok'], false);
  const stray = finish(6, true);
  t.same(stray.state, { ...state, now: stray.state.now });
  t.same(stray.actions, []);
  t.same(take(holder(), { kind: 'traffic-done', id: 7, ok: true, detail: 'd' }).actions, [], 'none is under way');
});

test('an operator\'s word is kept and recorded, and may be taken back', async (t) => {
  const word = { kind: 'takeover', force: null, atMs: start.monoMs } as const;
  const asked = take(contender(), { kind: 'operator-asked', word });
  t.equal(asked.state.operator, word);
  t.same(asked.actions, [{ kind: 'record', event: 'operator', detail: word }]);
  t.equal(take(asked.state, { kind: 'operator-cancelled' }).state.operator, null);
});

test('a forced takeover is recorded with what was measured of its cost, and nothing else is', async (t) => {
  const word = { kind: 'takeover', force: { reason: 'r2 burns', estimatedLoss: 'none' }, atMs: start.monoMs } as const;
  const measuredLoss = 'what would be lost is unknown: no lag prober reports to this controller';
  t.same(only(take(contender(), { kind: 'operator-asked', word }).actions, 'record')[0]?.detail, { ...word, measuredLoss });
  const wish = { kind: 'switchover', id: 's1', to: r2, atMs: start.monoMs } as const;
  t.same(only(take(contender(), { kind: 'operator-asked', word: wish }).actions, 'record')[0]?.detail, wish, 'a switchover loses nothing');
  const request = { ...commands.acquire, force: word.force };
  const granted = take(asking(holder({ view: released, grant: null }), request), answer(mine));
  t.same(only(granted.actions, 'record').at(-1)?.detail, { epoch: 6, inSyncBefore: ['r1', 'r2'], force: word.force, measuredLoss });
});

test('a switchover can be given up until the database is demoted, and not after', async (t) => {
  for (const step of ['preparing', 'holding', 'draining'] as const) {
    const draft = take(givingHolder(step), { kind: 'operator-cancelled' });
    t.same(draft.state.phase, { kind: 'active' }, step);
    t.same(draft.state.lastSwitchover, { id: 's1', result: 'given up: cancelled by an operator' });
    t.same(only(draft.actions, 'record')[0], { kind: 'record', event: 'switchover-given-up', detail: { id: 's1', step, reason: 'cancelled by an operator' } });
  }
  for (const step of ['demoting', 'transferring', 'returning'] as const) {
    const draft = take(givingHolder(step), { kind: 'operator-cancelled' });
    t.match(draft.state, { phase: { step }, lastSwitchover: null });
    t.same(draft.actions, []);
  }
  const nothing = take(contender(), { kind: 'operator-cancelled' });
  t.same(nothing.state, contender());
  t.same(nothing.actions, []);
});

test('what an operator takes back before it has begun is given up by either side, also when the request for it may be under way', async (t) => {
  const cancelled = (state: ControllerState): Draft => take(state, { kind: 'operator-cancelled' });
  const record = (id: string): object => ({ kind: 'record', event: 'switchover-given-up', detail: { id, step: 'not begun', reason: 'cancelled by an operator' } });
  const agreed = { ...held, intent: { id: 's1', from: r1, to: r2, target: 'pending' as const, reasons: [] } };
  for (const state of [holder({ view: agreed }), contender({ view: agreed })]) {
    const draft = cancelled(state);
    t.match(draft.state, { lastSwitchover: { id: 's1', result: 'given up: cancelled by an operator' }, phase: state.phase });
    t.same(draft.actions, [record('s1')]);
  }
  const elsewhere = { ...agreed, intent: { ...agreed.intent, from: r3 } };
  t.same(cancelled(holder({ view: elsewhere })).actions, [], 'for others to give up');
  const operator = { kind: 'switchover', id: 's2', to: r2, atMs: start.monoMs } as const;
  for (const view of [held, null, elsewhere]) {
    const draft = cancelled(holder({ view, operator }));
    t.match(draft.state, { operator: null, lastSwitchover: { id: 's2' } });
    t.same(draft.actions, [record('s2')]);
  }
  const both = cancelled(holder({ view: agreed, operator }));
  t.match(both.state, { operator: null, lastSwitchover: { id: 's1' }, endedSwitchovers: ['s2', 's1'] }, 'what waits for its end too: its request may be under way');
  t.same(both.actions, [record('s2'), record('s1')]);
  const asked = cancelled(asking(holder(), commands.requestSwitchover));
  t.match(asked.state, { lastSwitchover: { id: 's1' }, endedSwitchovers: ['s1'] }, 'its word was dropped for its age, and its request is still under way');
  t.same(cancelled(asking(holder(), commands.renew)).actions, [], 'another request');
  const begun = cancelled(givingHolder('holding', { view: agreed, operator }));
  t.match(begun.state, { phase: { kind: 'active' }, operator: null, endedSwitchovers: ['s2', 's1'] });
  t.same(cancelled(givingHolder('demoting', { view: agreed })).state.endedSwitchovers, [], 'past taking back');
});

test('the wait for the requests in flight is recorded as it ended', async (t) => {
  const state = givingHolder('draining', { drainPending: 7 });
  t.same(take(state, { kind: 'drained', id: 7, ok: true, detail: 'none' }).actions, [{ kind: 'record', event: 'drained', detail: { ok: true, detail: 'none' } }]);
  t.match(take(state, { kind: 'drained', id: 7, ok: false, detail: '2 left' }).state, { drainPending: null, lastSwitchover: { result: 'given up: requests in flight did not end: 2 left' } });
  t.match(take(holder({ drainPending: 7 }), { kind: 'drained', id: 7, ok: false, detail: '2 left' }).state, { drainPending: null, lastSwitchover: null }, 'given up before');
});

test('an event that this version does not know ends the process', async (t) => {
  const event = { kind: 'weather' } as unknown as ControllerEvent;
  t.throws(() => take(holder(), event), { code: 'CTM_ASSERT_UNREACHABLE', message: 'CTM_ASSERT_UNREACHABLE: {"kind":"weather"}' });
});
