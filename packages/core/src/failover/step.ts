// The roles: given what is known, which phase comes next? One function per role; null means stay.

import { assert, unreachable } from '../assert.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import type { RegionId } from '../types.ts';
import { addMs } from '../types.ts';
import { giveUpSwitchover } from './absorb.ts';
import { takeoverConditions } from './conditions.ts';
import type { Draft } from './draft.ts';
import {
  freshDatabase,
  holdsGrant,
  isInSync,
  isLeaseFree,
  isNamedHolder,
  objection,
  otherHolder,
} from './facts.ts';
import { isHeldPastExpiry, isTakenFromSeen } from './fallback.ts';
import type { HandingOver, Phase } from './state.ts';

/** A standby that lost its stream gets this long before the controller acts on it. */
const STREAM_PATIENCE_MS = 2_000;
/** Longer chains of transitions than this, without an event between them, are a programming error. */
const TRANSITIONS_MAX = 8;

/** Follows the transitions until the phase is stable, and records each. */
export function step(draft: Draft): void {
  let next: Phase | null;
  let count = 0;
  do {
    assert(count++ < TRANSITIONS_MAX, 'PHASES_DO_NOT_SETTLE', draft.state.phase.kind);
    next = nextPhase(draft, draft.state.phase);
    if (next !== null && next !== draft.state.phase) draft.enter(next);
  } while (next !== null);
}

function nextPhase(draft: Draft, phase: Phase): Phase | null {
  switch (phase.kind) {
    case 'starting':
      return starting(draft);
    case 'standby':
    case 'fenced':
      return idle(draft, phase.kind);
    case 'acquiring':
      return acquiring(draft);
    case 'promoting':
      return promoting(draft, phase);
    case 'active':
      return active(draft);
    case 'handing-over':
      return handingOver(draft, phase);
    case 'releasing':
      return releasing(draft);
    case 'rejoining':
      return rejoining(draft);
    default:
      return unreachable(phase);
  }
}

function starting(draft: Draft): Phase | null {
  const { view } = draft.state;
  const database = freshDatabase(draft);
  if (view === null || database === null) return null;
  if (holdsGrant(draft)) return promote(draft);
  if (isNamedHolder(draft.state) && !isLeaseFree(draft)) return null;
  return rest(draft);
}

/** Without the lease: wait, take it, or follow who has it. */
function idle(draft: Draft, kind: 'standby' | 'fenced'): Phase | null {
  if (holdsGrant(draft)) return promote(draft);
  const free = isLeaseFree(draft);
  if (free && takeoverConditions(draft).ok) return { kind: 'acquiring' };
  if (!free && otherHolder(draft.state) !== null && needsRejoin(draft)) return { kind: 'rejoining' };
  const resting = rest(draft);
  return resting.kind === kind ? null : resting;
}

function acquiring(draft: Draft): Phase | null {
  if (holdsGrant(draft)) return promote(draft);
  if (draft.state.request?.request.kind === 'acquire') return null;
  return isLeaseFree(draft) && takeoverConditions(draft).ok ? null : rest(draft);
}

function promoting(draft: Draft, phase: Extract<Phase, { kind: 'promoting' }>): Phase | null {
  const { state } = draft;
  const { grant } = state;
  if (grant === null || !holdsGrant(draft)) return { kind: 'fenced' };
  if (state.promotedEpoch === grant.epoch) return { kind: 'active' };
  const database = freshDatabase(draft);
  if (database?.role === 'primary' && database.recordedEpoch === grant.epoch) {
    state.promotedEpoch = grant.epoch;
    return { kind: 'active' };
  }
  // It was not known what the database was when the grant came (it was being restarted): the first sight of it says.
  const returnable = phase.returnable ?? isReturnable(draft);
  if (returnable !== phase.returnable) return { ...phase, returnable };
  if (isTakenFromSeen(draft)) return { kind: 'releasing', reason: `region ${state.fallback.takenFrom} is still seen serving` };
  if (!draft.due(addMs(phase.sinceMs, state.policy.timings.promoteBudgetMs))) return null;
  if (state.databaseAction !== null) return null;
  const handover = state.view?.handover ?? null;
  // Given up, the lease would come back here without the token, and with it the proof would be gone.
  if (handover?.to === state.policy.region && returnable === null) return null;
  if (handover?.to === state.policy.region && returnable === true) {
    const { id, from, token } = handover;
    return { kind: 'handing-over', id, to: from, step: 'returning', token, deadlineMs: grant.validUntilMs };
  }
  return { kind: 'releasing', reason: state.databaseProblem ?? 'the database did not become a primary in time' };
}

function active(draft: Draft): Phase | null {
  const { state } = draft;
  const { policy, view } = state;
  if (!holdsGrant(draft)) return { kind: 'fenced' };
  // Acquired anew after a time without the witness: the database has yet to learn the new epoch.
  if (state.promotedEpoch !== state.grant?.epoch) return promote(draft);
  const database = freshDatabase(draft);
  // A standby: somebody has restarted it as one, or a start that was under way before the promotion has ended after it.
  if (database?.role === 'down' || database?.role === 'standby') {
    state.promotedEpoch = 0;
    return { kind: 'promoting', sinceMs: draft.nowMs, returnable: false };
  }
  const { databaseBadSinceMs } = state;
  const peers = view === null ? [] : view.inSync.filter((region) => region !== policy.region);
  if (databaseBadSinceMs !== null && peers.length > 0 && draft.due(addMs(databaseBadSinceMs, policy.timings.ttlMs))) {
    return { kind: 'releasing', reason: state.database?.problem ?? 'the database does not answer' };
  }
  const intent = view?.intent ?? null;
  if (isHeldPastExpiry(draft)) return null;
  if (intent === null || intent.from !== policy.region || intent.target !== 'ready') return null;
  // Given up here, and not yet cancelled at the witness: it must not begin anew meanwhile.
  if (state.endedSwitchovers.includes(intent.id)) return null;
  if (!isInSync(view, intent.to) || !state.streaming.regions.includes(intent.to)) return null;
  const against = objection(draft, intent.to);
  if (against !== null) return objected(draft, intent.id, `the lag prober holds ${intent.to} not promotable: ${against.reason}, ${against.detail}`);
  const deadlineMs = addMs(draft.nowMs, Math.floor(policy.timings.holdMsMax / 2));
  return { kind: 'handing-over', id: intent.id, to: intent.to, step: 'preparing', token: null, deadlineMs };
}

/** Nothing has begun: the intent is answered with the reason, and this region goes on serving. */
function objected(draft: Draft, id: string, reason: string): null {
  draft.record('switchover-given-up', { id, step: 'not begun', reason });
  draft.endSwitchover(id, `given up: ${reason}`);
  return null;
}

function handingOver(draft: Draft, phase: HandingOver): Phase | null {
  const { state } = draft;
  if (state.view?.holder === phase.to) return { kind: 'rejoining' };
  if (!holdsGrant(draft)) return { kind: 'fenced' };
  switch (phase.step) {
    case 'preparing':
    case 'holding':
    case 'draining':
      return beforeDemotion(draft, phase);
    case 'demoting': {
      const late = draft.due(addMs(phase.deadlineMs, state.policy.timings.promoteBudgetMs));
      if (!late || state.databaseAction !== null) return null;
      state.promotedEpoch = 0;
      draft.endSwitchover(phase.id, `failed: ${state.databaseProblem ?? 'demotion took too long'}`);
      return { kind: 'promoting', sinceMs: draft.nowMs, returnable: false };
    }
    case 'transferring':
    case 'returning':
      return null;
    default:
      return unreachable(phase.step);
  }
}

function beforeDemotion(draft: Draft, phase: HandingOver): Phase | null {
  const { state } = draft;
  if (state.view?.intent?.id !== phase.id) giveUpSwitchover(draft, 'the intent is gone from the witness');
  else if (draft.due(phase.deadlineMs)) giveUpSwitchover(draft, `step ${phase.step} took too long`);
  if (state.phase.kind !== 'handing-over') return state.phase;
  if (phase.step === 'holding' && state.gate.mode === 'hold' && state.gate.epoch === state.grant?.epoch) {
    draft.drain();
    return { ...phase, step: 'draining' };
  }
  if (phase.step === 'draining' && state.drainPending === null) return { ...phase, step: 'demoting' };
  return null;
}

function releasing(draft: Draft): Phase | null {
  const { state } = draft;
  if (isNamedHolder(state) && holdsGrant(draft)) return null;
  state.grant = null;
  state.notBeforeMs = addMs(draft.nowMs, state.policy.timings.ttlMs);
  return { kind: 'fenced' };
}

function rejoining(draft: Draft): Phase | null {
  if (holdsGrant(draft)) return promote(draft);
  const source = otherHolder(draft.state);
  if (source === null || isLeaseFree(draft)) return draft.state.databaseAction === null ? rest(draft) : null;
  return follows(draft, source) ? { kind: 'standby' } : null;
}

function promote(draft: Draft): Phase {
  return { kind: 'promoting', sinceMs: draft.nowMs, returnable: isReturnable(draft) };
}

/**
 * Whether nobody can have served here under this hand-over; then the lease may be handed back. Null: not known; then the giver's history
 * is asked for before anything is promoted, and the lease is not given up, for it would come back without the token.
 */
function isReturnable(draft: Draft): boolean | null {
  const database = freshDatabase(draft);
  if (database === null) return null;
  return database.shape === 'standby' ? isUntouched(draft, database) : isPromotedUnproved(draft, database);
}

/**
 * A standby may have served all the same: a promotion that is recorded under this epoch was completed, and somebody, or a start that ended
 * late, has made a standby of its server since. Down, its store says that nothing was tried under this epoch; where something was, only
 * the start says what came of it.
 */
function isUntouched({ state }: Draft, { recordedEpoch, role, epoch }: DatabaseObservation): boolean | null {
  const { view } = state;
  if (view?.handover?.to !== state.policy.region) return true;
  if (recordedEpoch !== null) return recordedEpoch < view.epoch;
  return role === 'down' && epoch < view.epoch ? true : null;
}

/**
 * A promotion that was given up may take effect much later, in the middle of the next hand-over: the server is a primary then,
 * and nobody has proved that it branched off where the giver ended. The giver itself, given back its own, is on its own timeline.
 * Down, its log cannot be asked. Its store can: an epoch is accepted there before anything is tried under it. Once something was,
 * by a controller that has restarted since, only the start says whether it served: the database port judges by both.
 */
function isPromotedUnproved({ state }: Draft, database: DatabaseObservation): boolean | null {
  const { view } = state;
  if (database.shape !== 'primary' || view?.handover?.to !== state.policy.region) return false;
  const { timeline, checkpointLsn } = view.handover.token;
  const { recordedEpoch } = database;
  if (recordedEpoch !== null) return recordedEpoch < view.epoch && database.timeline !== timeline;
  if (database.role !== 'down') return null;
  if (database.timeline === timeline && database.lsn === checkpointLsn) return false;
  return database.epoch < view.epoch ? true : null;
}

/** Where a region without the lease rests: fenced while its database is, or would come up as, a primary. */
function rest(draft: Draft): Phase {
  const { database, phase } = draft.state;
  const primary = database === null ? phase.kind !== 'standby' : database.shape === 'primary';
  return primary ? { kind: 'fenced' } : { kind: 'standby' };
}

function needsRejoin(draft: Draft): boolean {
  const { state } = draft;
  const source = otherHolder(state);
  const database = freshDatabase(draft);
  if (source === null || database === null || database.role === 'unknown' || database.role === 'starting') return false;
  if (database.role !== 'standby') return true;
  if (database.receiver?.source !== null && database.receiver?.source !== state.policy.databases[source]) return true;
  if (follows(draft, source)) {
    state.streamLostSinceMs = null;
    return false;
  }
  state.streamLostSinceMs ??= draft.nowMs;
  return !isInSync(state.view, state.policy.region) && draft.due(addMs(state.streamLostSinceMs, STREAM_PATIENCE_MS));
}

function follows(draft: Draft, source: RegionId): boolean {
  const database = freshDatabase(draft);
  if (database?.role !== 'standby') return false;
  return database.receiver?.streaming === true && database.receiver.source === draft.state.policy.databases[source];
}
