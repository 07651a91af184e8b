// What is done when the witness cannot be reached. The DNS quorum never grants; it lets a holder hold on, and it vetoes a takeover.
//
// hold: a holder whose questions to the witness fail (nobody answers; a refusal is an answer) may extend its validity to `holdMs` past
//   the moment before it asked the resolvers, each time they return its own attestation for the epoch that it was granted. Only
//   while it is active and valid: what ran out is not revived, and nothing is held past a refusal or a newer epoch.
// veto: a contender acts on another region's expired lease only after darkness: in every round of a window of `holdMs` and one more
//   round, two resolvers of two vendors that answer the control name find nothing at the other region. Anything else starts the
//   window anew. It is sampled from when the lease is overdue, so that it has passed when the lease expires.
//
// The invariant: when a contender acts, the last attested round of the holder began at least `holdMs` before, so that the validity
// which rests on it has ended. The assumption: two honest resolvers show both regions the same reachability within one sampling
// interval (`roundMs`). The longer window pays for that interval, the holder's guard for the drift of two clocks. When the
// assumption fails two regions may believe that they are active; I2 and I3 still hold, because the database and the epoch do not ask DNS.
//
// A controller that restarts between its grant and its promotion goes on without the second look; the first one was before the grant.

import { assert } from '../assert.ts';
import type { QuorumOutcome, Voter } from '../dns/quorum.ts';
import { CLOCK_RATE_ERROR, FENCE_MS } from '../policy.ts';
import type { MonoMs, RegionId } from '../types.ts';
import { addMs, monoMs } from '../types.ts';
import type { Draft } from './draft.ts';
import { holdsGrant, isForced, isLeaseFree, isLeaseOverdue, isNamedHolder, otherHolder } from './facts.ts';
import type { ControllerEvent, ControllerState, Fallback, FallbackState, Precondition } from './state.ts';

/** Rounds in one `holdMs`. */
const ROUNDS = 6;
const ROUND_MS_MIN = 100;
/** Two rounds that began further apart than so many `roundMs` leave time unseen. */
const GAP_ROUNDS_MAX = 2;
/** Evidence older than so many `roundMs` is of the past. */
const FRESH_ROUNDS = 3;
/** While nothing needs a round one is made so often: a quorum that could not vote is found before it is needed. */
const CALM_MS = 15_000;
/** An answer that never came is given up after so many `roundMs`. */
const LOST_ROUNDS = 4;
/** The witness did not answer. Every other failure is an answer of somebody. */
const UNHEARD = new Set(['CTM_REGISTER_UNREACHABLE', 'CTM_REGISTER_TIMEOUT']);

export function deriveFallback(ttlMs: number, voters: readonly Voter[], holdMs = Math.floor(ttlMs / 3)): Fallback {
  return { holdMs, roundMs: Math.floor(holdMs / ROUNDS), voters };
}

/** What is wrong with the timings; null when nothing is. */
export function fallbackProblem({ holdMs, roundMs }: Fallback, ttlMs: number): string | null {
  if (holdMs > ttlMs / 3) return `must be at most a third of the ttl of ${ttlMs} ms, or darkness would delay a takeover`;
  if (roundMs < ROUND_MS_MIN) return `must be at least ${ROUNDS * ROUND_MS_MIN} ms, so that a round has ${ROUND_MS_MIN} ms: use an rto of ${6 * ROUNDS * ROUND_MS_MIN} ms or more`;
  return null;
}

export function initialFallback(now: MonoMs): FallbackState {
  return { pending: null, nextMs: now, last: null, attested: null, darkness: null, takenFrom: null, holding: false };
}

/** How long the other region must have been dark. */
export function darknessWindowMs({ holdMs, roundMs }: Fallback): number {
  return holdMs + roundMs;
}

/** Asks for a round while one is needed, and now and then. */
export function driveFallback(draft: Draft): void {
  const { state } = draft;
  const { fallback } = state.policy;
  if (fallback === undefined) return;
  const before = state.fallback;
  endHold(draft);
  // Given back, the lease is nobody's, and whoever was seen serving still has to be dark before it is asked for again.
  const passedOn = state.view !== null && state.view.holder !== null && !isNamedHolder(state);
  // Promoted is not enough: a promotion may still end well while the lease is given back.
  const takenFrom = state.phase.kind === 'active' || passedOn ? null : before.takenFrom;
  const lost = before.pending !== null && draft.due(addMs(before.pending.askedMs, LOST_ROUNDS * fallback.roundMs));
  const pending = lost ? null : before.pending;
  state.fallback = { ...state.fallback, takenFrom, pending };
  const target = roundTarget(draft);
  // With no target it is kept: the news of a grant may come before the answer that says whom it was taken from. It grows stale by itself.
  if (target !== null && state.fallback.darkness !== null && state.fallback.darkness.target !== target) state.fallback = { ...state.fallback, darkness: null };
  const about = target ?? state.view?.holder ?? null;
  const nextMs = target === null ? addMs(before.nextMs, CALM_MS) : before.nextMs;
  if (about === null || pending !== null || !draft.due(nextMs)) return;
  const id = draft.takeId();
  const asked = { id, target: about, askedMs: draft.nowMs };
  state.fallback = { ...state.fallback, pending: asked, nextMs: addMs(draft.nowMs, fallback.roundMs) };
  draft.actions.push({ kind: 'ask-quorum', id, target: about, timeoutMs: fallback.roundMs });
}

export function quorumAnswered(draft: Draft, event: Extract<ControllerEvent, { kind: 'quorum-answered' }>): void {
  const { state } = draft;
  const { pending, last } = state.fallback;
  const { fallback } = state.policy;
  if (fallback === undefined || pending === null || pending.id !== event.id) return;
  assert(event.startedMs >= pending.askedMs, 'ROUND_BEFORE_ASKED', () => `${event.startedMs} < ${pending.askedMs}`);
  const { target } = pending;
  const late = draft.nowMs - event.startedMs > GAP_ROUNDS_MAX * fallback.roundMs;
  const outcome: QuorumOutcome = late ? { kind: 'abstain', reasons: [{ voter: 'all', reason: 'the round ended after its deadline' }] } : event.outcome;
  if (last === null || last.target !== target || last.outcome.kind !== outcome.kind) draft.record('quorum', { target, ...outcome });
  const { startedMs } = event;
  const attested = attestedAfter(state.fallback, target, outcome, startedMs);
  state.fallback = { ...state.fallback, pending: null, last: { target, outcome, startedMs }, attested, darkness: darknessAfter(draft, target, outcome, startedMs) };
  if (target === state.policy.region) extend(draft, outcome, startedMs);
}

/** After a sleep, or what may hide one, nothing that was asked or seen before it counts. */
export function forgetRounds(state: ControllerState): void {
  state.fallback = { ...state.fallback, pending: null, last: null, attested: null, darkness: null };
}

/** May this region act on the lease that another one let run out? */
export function darknessCondition(draft: Draft, fallback: Fallback): Precondition {
  const { state } = draft;
  const target = vetoTarget(draft);
  const { last } = state.fallback;
  const about = last !== null && last.target === target ? last : null;
  return {
    name: 'other-region-dark',
    ok: target === null || isDark(draft, target),
    value: target === null ? 'not needed' : `${target}: ${about === null ? 'unknown' : describe(about.outcome)}${darkFor(draft, target)}`,
    limit: `dark for ${darknessWindowMs(fallback)} ms through two resolvers of two vendors that answer the control name`,
    source: 'resolvers',
    ageMs: about === null ? null : draft.nowMs - about.startedMs,
  };
}

/** Nobody but the register grants: without it there is no takeover, forced or not. */
export function registerCondition(state: ControllerState, ageMs: number | null): Precondition {
  return {
    name: 'witness-answers',
    ok: state.registerProblem === null,
    value: state.registerProblem ?? 'answers',
    limit: 'answers: nobody else can grant the lease. Bring the witness or the way to it back; its store keeps the epoch',
    source: 'witness',
    ageMs,
  };
}

/** A region that was granted another one's lease may still have to prove that the other one is dark. */
export function isVetoed(draft: Draft): boolean {
  const { policy, fallback } = draft.state;
  const { takenFrom } = fallback;
  return policy.fallback !== undefined && takenFrom !== null && !isDark(draft, takenFrom);
}

/**
 * The world sees `region` serve under the epoch that is known here: for as long as it may hold on by what was seen. A round that a
 * resolver spoils must not turn away what that region answers.
 */
export function isSeenActive(draft: Draft, region: RegionId): boolean {
  const { policy, fallback, view } = draft.state;
  const { attested } = fallback;
  if (policy.fallback === undefined || attested === null || attested.target !== region) return false;
  return attested.epoch === view?.epoch && !draft.due(addMs(attested.startedMs, policy.fallback.holdMs));
}

/** The region whose lease this one was granted turned out to serve: what was granted must go back. */
export function isTakenFromSeen(draft: Draft): boolean {
  const { policy, fallback } = draft.state;
  const { last, takenFrom } = fallback;
  if (policy.fallback === undefined || takenFrom === null || last?.target !== takenFrom) return false;
  return last.outcome.kind === 'attested' && !draft.due(addMs(last.startedMs, FRESH_ROUNDS * policy.fallback.roundMs));
}

/** The holder lives on its attestations: by the register's own account its lease has run out. */
export function isHeldPastExpiry(draft: Draft): boolean {
  const { state } = draft;
  const { grant, phase, view } = state;
  if (state.policy.fallback === undefined || phase.kind !== 'active' || grant === null) return false;
  return isNamedHolder(state) && view?.epoch === grant.epoch && isLeaseFree(draft) && holdsGrant(draft);
}

function roundTarget(draft: Draft): RegionId | null {
  const { state } = draft;
  if (mayHold(draft)) return state.policy.region;
  const over = vetoTarget(draft);
  if (over === null) return null;
  return state.fallback.takenFrom !== null || isLeaseOverdue(draft) ? over : null;
}

/** Only an active region, valid, whose witness is not heard, and which the witness did not refuse when it was heard last. */
function mayHold(draft: Draft): boolean {
  const { registerProblem, registerRefused, phase } = draft.state;
  return phase.kind === 'active' && registerProblem !== null && UNHEARD.has(registerProblem) && !registerRefused && holdsGrant(draft);
}

function vetoTarget(draft: Draft): RegionId | null {
  const { state } = draft;
  if (state.policy.fallback === undefined || state.view === null || state.view.epoch === 0) return null;
  if (isForced(state)) return null;
  return state.fallback.takenFrom ?? otherHolder(state);
}

function attestedAfter({ attested }: FallbackState, target: RegionId, outcome: QuorumOutcome, startedMs: MonoMs): FallbackState['attested'] {
  if (outcome.kind === 'attested') return { target, epoch: outcome.epoch, startedMs };
  return outcome.kind === 'abstain' && attested?.target === target ? attested : null;
}

function darknessAfter(draft: Draft, target: RegionId, outcome: QuorumOutcome, startedMs: MonoMs): FallbackState['darkness'] {
  const { fallback, policy } = draft.state;
  if (outcome.kind !== 'dark' || policy.fallback === undefined) return null;
  const before = fallback.darkness;
  const unbroken = before !== null && before.target === target && startedMs - before.lastMs <= GAP_ROUNDS_MAX * policy.fallback.roundMs;
  return { target, sinceMs: unbroken ? before.sinceMs : startedMs, lastMs: startedMs };
}

function isDark(draft: Draft, target: RegionId): boolean {
  const { fallback, policy } = draft.state;
  const { darkness } = fallback;
  if (policy.fallback === undefined || darkness === null || darkness.target !== target) return false;
  const seenMs = darkness.lastMs - darkness.sinceMs;
  return seenMs >= darknessWindowMs(policy.fallback) && !draft.due(addMs(darkness.lastMs, FRESH_ROUNDS * policy.fallback.roundMs));
}

function darkFor(draft: Draft, target: RegionId): string {
  const { darkness } = draft.state.fallback;
  return darkness !== null && darkness.target === target ? ` for ${Math.round(darkness.lastMs - darkness.sinceMs)} ms` : '';
}

function extend(draft: Draft, outcome: QuorumOutcome, startedMs: MonoMs): void {
  const { state } = draft;
  const { grant, policy } = state;
  if (policy.fallback === undefined || grant === null || outcome.kind !== 'attested' || !mayHold(draft)) return;
  if (outcome.region !== policy.region || outcome.epoch !== grant.epoch) return;
  const { holdMs } = policy.fallback;
  const untilMs = addMs(startedMs, holdMs - Math.ceil(holdMs * CLOCK_RATE_ERROR) - FENCE_MS);
  if (untilMs <= grant.validUntilMs) return;
  assert(untilMs <= monoMs(startedMs + holdMs), 'HOLD_BEYOND_BOUND', `${untilMs}`);
  state.grant = { ...grant, validUntilMs: untilMs };
  if (!state.fallback.holding) draft.record('held-by-quorum', { epoch: grant.epoch, untilMs: Math.round(untilMs - draft.nowMs) });
  state.fallback = { ...state.fallback, holding: true };
}

function endHold(draft: Draft): void {
  const { state } = draft;
  if (!state.fallback.holding || (holdsGrant(draft) && state.registerProblem !== null)) return;
  draft.record('hold-ended', { epoch: state.grant?.epoch ?? null, valid: holdsGrant(draft), witness: state.registerProblem ?? 'answers' });
  state.fallback = { ...state.fallback, holding: false };
}

function describe(outcome: QuorumOutcome): string {
  if (outcome.kind === 'attested') return `attested, epoch ${outcome.epoch}`;
  if (outcome.kind === 'dark') return 'dark';
  return `no agreement (${outcome.reasons.map(({ voter, reason }) => `${voter}: ${reason}`).join('; ')})`;
}
