// The rules of hold and veto, one at a time, each with the last moment of the one answer and the first of the other. What they
// lead to in a sequence of events is in fallback.test.ts.

import { test } from 'tap';
import { contender, draftOf, held, holder, only, policy, promotingContender, r1, r2, r3, records, released, start, START_MS, taken, timings } from '../../testing/controller.ts';
import type { QuorumOutcome } from '../dns/quorum.ts';
import { CLOCK_RATE_ERROR, FENCE_MS } from '../policy.ts';
import { epoch, monoMs } from '../types.ts';
import {
  darknessCondition,
  darknessWindowMs,
  deriveFallback,
  driveFallback,
  fallbackProblem,
  forgetRounds,
  initialFallback,
  isHeldPastExpiry,
  isSeenActive,
  isTakenFromSeen,
  isVetoed,
  quorumAnswered,
  registerCondition,
} from './fallback.ts';
import type { ControllerState, FallbackState } from './state.ts';

/** holdMs 2000, a round 333 ms, a window 2333 ms; answers count for 999 ms. */
const fallback = deriveFallback(timings.ttlMs, []);
const { holdMs, roundMs } = fallback;
const windowMs = holdMs + roundMs;
const at = (ms: number) => monoMs(START_MS + ms);
const attested: QuorumOutcome = { kind: 'attested', region: r1, epoch: 5 };
const dark: QuorumOutcome = { kind: 'dark' };
const nobody: QuorumOutcome = { kind: 'abstain', reasons: [{ voter: 'a', reason: 'timeout' }, { voter: 'b', reason: 'servfail' }] };
const expired = { ...held, remainingMs: 0 };

const base = initialFallback(start.monoMs);
const over = (change: Partial<FallbackState>, rest: Partial<ControllerState> = {}): ControllerState =>
  contender({ policy: { ...policy, region: r2, fallback }, view: expired, fallback: { ...base, ...change }, ...rest });
const seen = (outcome: QuorumOutcome, target = r1) => ({ target, outcome, startedMs: start.monoMs });
const darkness = (lastedMs: number, target = r1) => ({ target, sinceMs: at(-lastedMs), lastMs: start.monoMs });
/** Without resolvers in the specification, whatever else is known. */
const without = (state: ControllerState): ControllerState => {
  const { fallback: _, ...plain } = state.policy;
  return { ...state, policy: plain };
};

test('timings of a fallback: a third of the ttl, six rounds in it, each at least 100 ms', async (t) => {
  t.same(deriveFallback(6_002, []), { holdMs: 2_000, roundMs: 333, voters: [] });
  t.same(deriveFallback(6_000, [], 1_300), { holdMs: 1_300, roundMs: 216, voters: [] });
  t.equal(darknessWindowMs(fallback), windowMs);
  t.equal(fallbackProblem({ holdMs: 2_000, roundMs: 100, voters: [] }, 6_000), null);
  t.equal(fallbackProblem({ holdMs: 2_001, roundMs: 100, voters: [] }, 6_000), 'must be at most a third of the ttl of 6000 ms, or darkness would delay a takeover');
  t.equal(fallbackProblem({ holdMs: 2_000, roundMs: 99, voters: [] }, 6_000), 'must be at least 600 ms, so that a round has 100 ms: use an rto of 3600 ms or more');
});

// ---- veto

test('a grant on another region\'s lease waits for a whole window of fresh darkness there', async (t) => {
  const vetoed = (change: Partial<FallbackState>, ms = 0): boolean => isVetoed(draftOf(over({ takenFrom: r1, ...change }), ms));
  t.ok(vetoed({}));
  t.notOk(vetoed({ darkness: darkness(windowMs) }));
  t.ok(vetoed({ darkness: darkness(windowMs - 1) }), 'a millisecond short');
  t.ok(vetoed({ darkness: darkness(windowMs, r3) }), 'another region is dark');
  t.notOk(vetoed({ darkness: darkness(windowMs) }, 3 * roundMs - 1));
  t.ok(vetoed({ darkness: darkness(windowMs) }, 3 * roundMs), 'of the past');
  t.notOk(vetoed({ takenFrom: null }), 'nobody\'s lease');
  t.notOk(isVetoed(draftOf(without(over({ takenFrom: r1 })))));
});

test('a region that was seen to serve gets its lease back, while that was just now', async (t) => {
  const back = (change: Partial<FallbackState>, ms = 0): boolean => isTakenFromSeen(draftOf(over({ takenFrom: r1, last: seen(attested), ...change }), ms));
  t.ok(back({}));
  t.ok(back({}, 3 * roundMs - 1));
  t.notOk(back({}, 3 * roundMs));
  t.notOk(back({ last: seen(dark) }));
  t.notOk(back({ last: seen(attested, r3) }), 'another was seen');
  t.notOk(back({ last: null }));
  t.notOk(back({ takenFrom: null }));
  t.notOk(isTakenFromSeen(draftOf(without(over({ takenFrom: r1, last: seen(attested) })))));
});

test('a region is seen active under the epoch that is known, for as long as it may hold on by what was seen', async (t) => {
  const serving = { target: r1, epoch: 5, startedMs: start.monoMs };
  const active = (change: Partial<FallbackState>, ms = 0, view: ControllerState['view'] = expired): boolean => isSeenActive(draftOf(over({ attested: serving, ...change }, { view }), ms), r1);
  t.ok(active({}));
  t.ok(active({}, holdMs - 1));
  t.notOk(active({}, holdMs));
  t.notOk(active({}, 0, taken), 'under an older epoch');
  t.notOk(active({}, 0, null));
  t.notOk(active({ attested: { ...serving, target: r3 } }));
  t.notOk(active({ attested: null }));
  t.notOk(isSeenActive(draftOf(without(over({ attested: serving }))), r1));
});

test('what was attested outlives a round without an outcome, and no round that finds the region dark', async (t) => {
  const serving = { target: r1, epoch: 5, startedMs: at(-10) };
  const after = (outcome: QuorumOutcome, before: FallbackState['attested'] = serving) => answered(over({ attested: before }), outcome).state.fallback.attested;
  t.same(after(nobody), serving);
  t.equal(after(dark), null);
  t.same(after(attested), { ...serving, startedMs: START_MS });
  t.equal(after(nobody, { ...serving, target: r3 }), null, 'of another region');
  t.equal(after(nobody, null), null);
});

test('what an operator reads of it', async (t) => {
  const line = (state: ControllerState, ms = 0): string => {
    const { name, ok, value, limit, source, ageMs } = darknessCondition(draftOf(state, ms), fallback);
    t.equal(name, 'other-region-dark');
    t.equal(limit, 'dark for 2333 ms through two resolvers of two vendors that answer the control name');
    return `${ok ? 'yes' : 'NO '} ${value} | ${source} | ${ageMs ?? '-'}`;
  };
  t.equal(line(over({})), 'NO  r1: unknown | resolvers | -');
  t.equal(line(over({ last: seen(dark), darkness: darkness(1_000.4) }), 40), 'NO  r1: dark for 1000 ms | resolvers | 40');
  t.equal(line(over({ last: seen(dark), darkness: darkness(windowMs) })), 'yes r1: dark for 2333 ms | resolvers | 0');
  t.equal(line(over({ last: seen(attested) }), 7), 'NO  r1: attested, epoch 5 | resolvers | 7');
  t.equal(line(over({ last: seen(nobody) })), 'NO  r1: no agreement (a: timeout; b: servfail) | resolvers | 0');
  t.equal(line(over({ last: seen(dark, r3), darkness: darkness(windowMs, r3) })), 'NO  r1: unknown | resolvers | -', 'said of another region');
  t.equal(line(over({}, { view: released })), 'yes not needed | resolvers | -');
  t.equal(line(over({}, { view: { ...expired, epoch: epoch(0) } })), 'yes not needed | resolvers | -', 'the first lease of all');
  t.equal(line(over({}, { view: null })), 'yes not needed | resolvers | -');
  const word = { kind: 'takeover', atMs: start.monoMs } as const;
  t.equal(line(over({}, { operator: { ...word, force: { reason: 'r1 burns', estimatedLoss: 'none' } } })), 'yes not needed | resolvers | -');
  t.equal(line(over({}, { operator: { ...word, force: null } })), 'NO  r1: unknown | resolvers | -', 'an approval is no force');
  t.equal(line(over({ takenFrom: r3 }, { view: { ...expired, holder: r2 } })), 'NO  r3: unknown | resolvers | -', 'whose lease it was, once it was granted');
});

test('a witness that does not answer is named', async (t) => {
  const limit = 'answers: nobody else can grant the lease. Bring the witness or the way to it back; its store keeps the epoch';
  t.same(registerCondition(contender(), 30), { name: 'witness-answers', ok: true, value: 'answers', limit, source: 'witness', ageMs: 30 });
  t.same(registerCondition(contender({ registerProblem: 'CTM_X' }), null), { name: 'witness-answers', ok: false, value: 'CTM_X', limit, source: 'witness', ageMs: null });
});

// ---- hold

const unheard = (change: Partial<ControllerState> = {}): ControllerState =>
  holder({ policy: { ...policy, fallback }, registerProblem: 'CTM_REGISTER_TIMEOUT', ...change, fallback: { ...base, ...change.fallback } });

test('a holder lives on its attestations when its lease has run out at the register and its own validity has not', async (t) => {
  const lives = (change: Partial<ControllerState> = {}, ms = 0): boolean => isHeldPastExpiry(draftOf(unheard({ view: expired, ...change }), ms));
  t.ok(lives());
  t.notOk(lives({ view: held }), 'the register has not let it run out');
  t.notOk(lives({ phase: { kind: 'fenced' } }));
  t.notOk(lives({ grant: null }));
  t.notOk(lives({}, timings.ttlMs), 'its validity is over');
  t.notOk(lives({ view: { ...expired, instance: 'other' } }));
  t.notOk(lives({ view: { ...expired, epoch: epoch(4) } }));
  t.notOk(lives({ view: null }));
  t.notOk(isHeldPastExpiry(draftOf(without(unheard({ view: expired })))));
});

/** The answer to round 7, asked at the start about `target`, `ms` later. */
function answered(state: ControllerState, outcome: QuorumOutcome, { ms = 100, startedMs = 0, id = 7, target = r1 } = {}) {
  const draft = draftOf({ ...state, fallback: { ...state.fallback, pending: { id: 7, target, askedMs: start.monoMs } } }, ms);
  quorumAnswered(draft, { kind: 'quorum-answered', id, startedMs: at(startedMs), outcome });
  return draft;
}
const bound = (startedMs: number): number => START_MS + startedMs + holdMs - Math.ceil(holdMs * CLOCK_RATE_ERROR) - FENCE_MS;
const short = { epoch: epoch(5), validUntilMs: at(500) };

test('an attested round carries the holder to holdMs past its questions, less drift and the time to fence', async (t) => {
  const draft = answered(unheard({ grant: short }), attested, { startedMs: 20 });
  t.same(draft.state.grant, { epoch: 5, validUntilMs: bound(20) });
  t.equal(draft.state.fallback.holding, true);
  t.same(draft.actions.at(-1), { kind: 'record', event: 'held-by-quorum', detail: { epoch: 5, untilMs: bound(20) - START_MS - 100 } });
  const again = answered({ ...draft.state, grant: short }, attested, { startedMs: 20 });
  t.equal(again.state.grant?.validUntilMs, bound(20));
  t.notOk(records(again.actions).includes('held-by-quorum'), 'recorded when it begins');
  const longer = { epoch: epoch(5), validUntilMs: monoMs(bound(0)) };
  const kept = answered(unheard({ grant: longer }), attested);
  t.same(kept.state.grant, longer, 'never shortened');
  t.equal(kept.state.fallback.holding, false);
});

test('what carries nobody', async (t) => {
  const carried = (change: Partial<ControllerState>, outcome: QuorumOutcome = attested, rest: Parameters<typeof answered>[2] = {}) =>
    answered(unheard({ grant: short, ...change }), outcome, rest).state.grant?.validUntilMs;
  const cases: readonly [string, number | undefined][] = [
    ['dark', carried({}, dark)],
    ['no agreement', carried({}, nobody)],
    ['another epoch', carried({}, { ...attested, epoch: 4 })],
    ['another region', carried({}, { ...attested, region: r2 })],
    ['a round about another region', carried({}, attested, { target: r2 })],
    ['the witness is heard', carried({ registerProblem: null })],
    ['somebody else answered', carried({ registerProblem: 'CTM_REGISTER_REPLY_INVALID' })],
    ['it refused when it was heard last', carried({ registerRefused: true })],
    ['not active', carried({ phase: { kind: 'fenced' } })],
    ['another round', carried({}, attested, { id: 6 })],
    ['past its validity', carried({}, attested, { ms: 500 })],
  ];
  for (const [name, validUntilMs] of cases) t.equal(validUntilMs, short.validUntilMs, name);
  t.equal(carried({ grant: null }), undefined);
  t.equal(carried({ registerProblem: 'CTM_REGISTER_UNREACHABLE' }), bound(0), 'nobody there is silence too');
  const plain = answered(without(unheard({ grant: short })), attested);
  t.same(plain.state.grant, short);
  t.same(plain.actions, []);
});

test('a round that began before it was asked for ends the process', async (t) => {
  t.throws(() => answered(unheard(), attested, { startedMs: -1 }), { message: `CTM_ASSERT_ROUND_BEFORE_ASKED: ${START_MS - 1} < ${START_MS}` });
});

test('a round that ended late is no evidence, and says so', async (t) => {
  const fresh = answered(unheard({ grant: { ...short, validUntilMs: at(3_000) } }), dark, { ms: 2 * roundMs });
  t.same(fresh.state.fallback.last, { target: r1, outcome: dark, startedMs: START_MS });
  const late = answered(unheard({ grant: { ...short, validUntilMs: at(3_000) } }), dark, { ms: 2 * roundMs + 1 });
  const outcome = { kind: 'abstain', reasons: [{ voter: 'all', reason: 'the round ended after its deadline' }] };
  t.same(late.state.fallback.last, { target: r1, outcome, startedMs: START_MS });
  t.same(late.actions, [{ kind: 'record', event: 'quorum', detail: { target: 'r1', ...outcome } }]);
});

test('a round is recorded when it says something new', async (t) => {
  const said = (last: FallbackState['last']) => records(answered(over({ last }), dark).actions);
  t.same(said(null), ['quorum']);
  t.same(said(seen(dark)), []);
  t.same(said(seen(attested)), ['quorum']);
  t.same(said(seen(dark, r3)), ['quorum']);
  t.same(answered(over({}), dark).actions, [{ kind: 'record', event: 'quorum', detail: { target: 'r1', kind: 'dark' } }]);
});

test('darkness lasts while each round finds it and none is missing', async (t) => {
  const after = (before: FallbackState['darkness'], outcome: QuorumOutcome = dark, startedMs = 0) => answered(over({ darkness: before }), outcome, { startedMs }).state.fallback.darkness;
  const since = at(-900);
  const before = (lastMs: number, target = r1) => ({ target, sinceMs: since, lastMs: at(lastMs) });
  t.same(after(null), { target: r1, sinceMs: START_MS, lastMs: START_MS });
  t.same(after(before(-2 * roundMs)), { target: r1, sinceMs: since, lastMs: START_MS });
  t.same(after(before(-2 * roundMs - 1)), { target: r1, sinceMs: START_MS, lastMs: START_MS }, 'time that nobody saw');
  t.same(after(before(-10, r3)), { target: r1, sinceMs: START_MS, lastMs: START_MS }, 'another region was dark');
  for (const outcome of [attested, nobody]) t.equal(after(before(-10), outcome), null, outcome.kind);
  t.equal(answered(over({}), dark).state.fallback.pending, null);
});

test('the hold ends when the witness is heard or the validity is over, and is recorded', async (t) => {
  const ended = (change: Partial<ControllerState>, ms = 0) => {
    const state = unheard(change);
    const draft = draftOf({ ...state, fallback: { ...state.fallback, holding: true } }, ms);
    driveFallback(draft);
    return { holding: draft.state.fallback.holding, said: only(draft.actions, 'record') };
  };
  t.same(ended({}), { holding: true, said: [] });
  t.same(ended({ registerProblem: null }), { holding: false, said: [{ kind: 'record', event: 'hold-ended', detail: { epoch: 5, valid: true, witness: 'answers' } }] });
  t.same(ended({}, timings.ttlMs).said[0]?.detail, { epoch: 5, valid: false, witness: 'CTM_REGISTER_TIMEOUT' });
  t.same(ended({ grant: null }).said[0]?.detail, { epoch: null, valid: false, witness: 'CTM_REGISTER_TIMEOUT' });
  const idle = draftOf(unheard({ registerProblem: null }));
  driveFallback(idle);
  t.same(only(idle.actions, 'record'), [], 'nothing was held');
});

// ---- rounds

const rounds = (state: ControllerState, ms = 0) => {
  const draft = draftOf(state, ms);
  driveFallback(draft);
  return { asked: only(draft.actions, 'ask-quorum')[0] ?? null, state: draft.state, wakeMs: draft.wakeMs };
};

test('a round is asked for about whom it matters, one at a time', async (t) => {
  const { asked, state } = rounds(over({}));
  t.same(asked, { kind: 'ask-quorum', id: 100, target: r1, timeoutMs: roundMs });
  t.same(state.fallback.pending, { id: 100, target: r1, askedMs: START_MS });
  t.equal(state.fallback.nextMs, START_MS + roundMs);
  t.equal(rounds(over({ pending: { id: 7, target: r1, askedMs: start.monoMs } })).asked, null);
  t.equal(rounds(over({ nextMs: at(1) })).asked, null);
  t.equal(rounds(over({ nextMs: at(40) })).wakeMs, START_MS + 40);
  t.match(rounds(unheard()).asked, { target: r1 }, 'a holder that hears nobody asks about itself');
  t.equal(rounds(without(over({}))).asked, null);
  t.equal(rounds(over({}, { view: null })).asked, null, 'nothing is known of the lease');
  t.equal(rounds(over({}, { view: released })).asked, null, 'nobody has it');
});

test('while nothing needs it a round is made every fifteen seconds', async (t) => {
  const calm = (nextMs: number, view: ControllerState['view'] = held) => rounds(over({ nextMs: at(nextMs) }, { view })).asked;
  t.match(calm(-15_000), { target: r1 });
  t.equal(calm(-14_999), null);
  t.match(rounds(holder({ policy: { ...policy, fallback }, fallback: { ...base, nextMs: at(-15_000) } })).asked, { target: r1 });
  t.match(calm(-1, { ...held, remainingMs: timings.ttlMs / 2 }), { target: r1 }, 'overdue');
  t.equal(calm(-1, { ...held, remainingMs: timings.ttlMs / 2 + 1 }), null);
  t.match(rounds(over({ takenFrom: r1, nextMs: at(-1) }, { view: taken, grant: null })).asked, { target: r1 }, 'granted, and not yet promoted');
});

test('darkness of another region than the one that is asked about is forgotten; with nobody to ask about it grows old by itself', async (t) => {
  t.same(rounds(over({ darkness: darkness(500) })).state.fallback.darkness, darkness(500));
  t.equal(rounds(over({ darkness: darkness(500, r3) })).state.fallback.darkness, null);
  t.same(rounds(over({ darkness: darkness(500) }, { view: held })).state.fallback.darkness, darkness(500), 'the answer that says whose lease it was may still come');
});

test('whose lease it was is kept until this region serves, or is not the holder any more', async (t) => {
  const kept = (change: Partial<ControllerState>) => rounds(promotingContender({ policy: { ...policy, region: r2, fallback }, fallback: { ...base, takenFrom: r1 }, ...change })).state.fallback.takenFrom;
  t.equal(kept({}), r1);
  t.equal(kept({ phase: { kind: 'active' }, promotedEpoch: 6 }), null);
  t.equal(kept({ phase: { kind: 'releasing', reason: 'r1 is still seen serving' }, promotedEpoch: 6 }), r1, 'promoted while it was given back already');
  t.equal(kept({ phase: { kind: 'standby' }, grant: null, view: { ...taken, revision: 12, holder: null, remainingMs: 0 } }), r1, 'given back: it still has to be dark');
  t.equal(kept({ view: { ...taken, holder: r1, instance: 'a' } }), null);
  t.equal(kept({ view: { ...taken, instance: 'other' } }), null);
  t.equal(kept({ grant: null }), r1, 'its validity ran out, the register still names it');
});

test('a sleep forgets what was asked and seen, and keeps whose lease it was', async (t) => {
  const state = over({ takenFrom: r1, last: seen(dark), attested: { target: r1, epoch: 5, startedMs: start.monoMs }, darkness: darkness(500), pending: { id: 7, target: r1, askedMs: start.monoMs }, nextMs: at(3) });
  forgetRounds(state);
  t.same(state.fallback, { ...base, takenFrom: r1, nextMs: at(3) });
});
