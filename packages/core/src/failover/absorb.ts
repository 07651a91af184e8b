// Takes one event into the state. Says what is now known; decides nothing about what to do.

import { unreachable } from '../assert.ts';
import type { LeaseReply, LeaseView } from '../lease/types.ts';
import { absorbObservation, NO_EVIDENCE } from '../replication/member-evidence.ts';
import { nameOf } from '../replication/published.ts';
import { lossSentence } from '../replication/reported.ts';
import type { MonoMs } from '../types.ts';
import { addMs, monoMs } from '../types.ts';
import type { Draft } from './draft.ts';
import { quorumAnswered } from './fallback.ts';
import { acceptedEpoch, isForced, memberLimits, otherHolder } from './facts.ts';
import type { ControllerEvent, ControllerState, DatabaseAction, PendingRequest } from './state.ts';

/** A standby that was just started gets this long to stream before it is rebuilt. */
const REJOIN_PATIENCE_MS = 2_000;

type Of<K extends ControllerEvent['kind']> = Extract<ControllerEvent, { kind: K }>;

export function absorb(draft: Draft, event: ControllerEvent): void {
  const { state } = draft;
  switch (event.kind) {
    case 'tick':
      return;
    case 'register-answered':
      return registerAnswered(draft, event);
    case 'lease-pushed':
      return seeLease(draft, event.view, draft.nowMs);
    case 'database-observed':
      return databaseObserved(draft, event);
    case 'database-done':
      return databaseDone(draft, event);
    case 'lag-reported':
      return lagReported(draft, event);
    case 'gate-observed':
      state.gate = event.observation;
      return;
    case 'drained':
      if (state.drainPending !== event.id) return;
      state.drainPending = null;
      draft.record('drained', { ok: event.ok, detail: event.detail });
      if (!event.ok) giveUpSwitchover(draft, `requests in flight did not end: ${event.detail}`);
      return;
    case 'traffic-done':
      if (state.trafficPending?.id !== event.id) return;
      if (event.ok) state.weights = state.trafficPending.weights;
      else draft.trafficFailed();
      draft.record('traffic-set', { ok: event.ok, detail: event.detail, ...state.trafficPending.weights });
      state.trafficPending = null;
      return;
    case 'operator-asked':
      state.operator = event.word;
      draft.record('operator', { ...event.word, ...measuredLoss(draft, event.word.kind === 'takeover' && event.word.force !== null) });
      return;
    case 'operator-cancelled':
      return operatorCancelled(draft);
    case 'quorum-answered':
      return quorumAnswered(draft, event);
    default:
      return unreachable(event);
  }
}

/** Nothing of a switchover goes on that is known here: begun, agreed upon, or asked for by a request that may still be under way. */
function operatorCancelled(draft: Draft): void {
  const { state } = draft;
  const { operator, phase, view, policy, request } = state;
  const reason = 'cancelled by an operator';
  state.operator = null;
  const intent = view?.intent ?? null;
  const ids = new Set<string>();
  if (operator?.kind === 'switchover') ids.add(operator.id);
  if (request?.request.kind === 'requestSwitchover') ids.add(request.request.id);
  if (intent !== null && (intent.from === policy.region || intent.to === policy.region)) ids.add(intent.id);
  // What has begun is given up in its own way, or is past taking back.
  if (phase.kind === 'handing-over') ids.delete(phase.id);
  for (const id of ids) {
    draft.record('switchover-given-up', { id, step: 'not begun', reason });
    draft.endSwitchover(id, `given up: ${reason}`);
  }
  giveUpSwitchover(draft, reason);
}

/** Before the database was demoted a switchover can be given up: the gate opens again and nothing has happened. */
export function giveUpSwitchover(draft: Draft, reason: string): void {
  const { phase } = draft.state;
  if (phase.kind !== 'handing-over') return;
  if (phase.step !== 'preparing' && phase.step !== 'holding' && phase.step !== 'draining') return;
  draft.record('switchover-given-up', { id: phase.id, step: phase.step, reason });
  draft.endSwitchover(phase.id, `given up: ${reason}`);
  draft.enter({ kind: 'active' });
}

function registerAnswered(draft: Draft, event: Of<'register-answered'>): void {
  const { state } = draft;
  const pending = state.request;
  if (pending === null || pending.id !== event.id) return;
  state.request = null;
  if (!event.answer.ok) {
    if (state.registerProblem !== event.answer.code) {
      draft.record('witness-unreachable', { code: event.answer.code, message: event.answer.message });
    }
    state.registerProblem = event.answer.code;
    return draft.requestFailed();
  }
  if (state.registerProblem !== null) draft.record('witness-reached', { after: state.registerProblem });
  state.registerProblem = null;
  const { outcome, view } = event.answer.reply;
  state.registerRefused = !outcome.ok;
  if (view.seq > state.seq) state.seq = view.seq;
  const known = state.view;
  if (known !== null && isOlder(view, known) && pending.sentMs >= state.viewMs) registerWentBack(draft, known, view);
  seeLease(draft, view, draft.nowMs);
  if (!outcome.ok) {
    draft.record('refused', { request: pending.request.kind, code: outcome.code, detail: outcome.detail });
    draft.requestFailed();
    return refused(draft, pending, outcome.code, outcome.detail);
  }
  accepted(draft, pending, view);
}

function accepted(draft: Draft, pending: PendingRequest, view: LeaseReply['view']): void {
  const { state } = draft;
  const { request, sentMs } = pending;
  if (request.kind === 'acquire' || request.kind === 'renew') {
    const { ttlMs } = request;
    if (view.holder !== state.policy.region || view.remainingMs === 0) return;
    // An answer that was overtaken by the news of a newer epoch grants nothing.
    if (state.view !== null && state.view.epoch !== view.epoch) return;
    if (view.epoch < acceptedEpoch(state)) return epochBehind(draft, view.epoch);
    if (request.kind === 'acquire') {
      state.grant = null;
      state.operator = null;
      const { holderSeen } = pending;
      // Asked for again, its own or nobody's, it is still the lease of whoever it was taken from before anything was promoted.
      const from = holderSeen === null || holderSeen === state.policy.region ? state.fallback.takenFrom : holderSeen;
      state.fallback = { ...state.fallback, takenFrom: request.force === null ? from : null };
      draft.record('granted', { epoch: view.epoch, inSyncBefore: pending.inSyncSeen, force: request.force, ...measuredLoss(draft, request.force !== null) });
    } else if (request.epoch !== view.epoch) {
      return;
    }
    const known = state.grant?.epoch === view.epoch ? state.grant.validUntilMs : monoMs(0);
    // Less remains when the witness repeats the answer to an earlier, equal command: validity is from then.
    const validUntilMs = addMs(sentMs, Math.min(ttlMs, view.remainingMs) - state.policy.timings.guardMs);
    state.grant = { epoch: view.epoch, validUntilMs: known > validUntilMs ? known : validUntilMs };
    state.lastRenewMs = sentMs;
    // It has come about, by whatever way: left standing, the word would force a later takeover that nobody asked for.
    if (state.operator?.kind === 'takeover') state.operator = null;
    return;
  }
  if (request.kind === 'release' || request.kind === 'transfer') {
    draft.record(request.kind === 'release' ? 'released' : 'transferred', { epoch: view.epoch, holder: view.holder });
    state.grant = null;
    if (request.kind === 'transfer') draft.endSwitchover(request.id, `transferred to ${request.to}`);
  }
  if (request.kind === 'requestSwitchover') state.operator = null;
}

/** A register that lost its store: what it grants is below what resources here have accepted, and would be refused. */
function epochBehind(draft: Draft, epoch: number): void {
  draft.record('epoch-behind', { epoch, accepted: acceptedEpoch(draft.state) });
  draft.requestFailed();
}

function refused(draft: Draft, pending: PendingRequest, code: string, detail: string): void {
  const { state } = draft;
  const { request } = pending;
  if (request.kind === 'requestSwitchover') {
    draft.endSwitchover(request.id, `refused: ${detail}`);
    state.operator = null;
  }
  if (request.kind === 'transfer' && (code === 'not-in-sync' || code === 'invalid')) {
    // The target may not have it: this region is still the holder, and becomes active again.
    draft.endSwitchover(request.id, `refused: ${detail}`);
    // It was demoted for this: what comes up again must be proved again.
    state.promotedEpoch = 0;
    draft.enter({ kind: 'promoting', sinceMs: draft.nowMs, returnable: false });
  }
  const lost = code === 'not-holder' || code === 'epoch-stale' || code === 'expired' || code === 'instance-conflict';
  if (lost && 'epoch' in request && state.grant?.epoch === request.epoch) state.grant = null;
}

/** Revisions order what one register said; its epochs never go down. */
function isOlder(view: LeaseView, known: LeaseView): boolean {
  return view.revision < known.revision || view.epoch < known.epoch;
}

/**
 * What was asked after all that is known here was heard is answered with something older: the register was restored, or has lost
 * its store. What it said before is void, the grant included: it has forgotten until when that is.
 */
function registerWentBack(draft: Draft, known: LeaseView, { epoch, revision }: LeaseView): void {
  const { state } = draft;
  draft.record('register-went-back', { epoch, revision, epochBefore: known.epoch, revisionBefore: known.revision });
  state.view = null;
  state.grant = null;
}

/** An older view that arrives late changes nothing. */
function seeLease(draft: Draft, view: LeaseView, atMs: MonoMs): void {
  const { state } = draft;
  const before = state.view;
  if (before !== null && isOlder(view, before)) return;
  const grantedAnew = before !== null && view.epoch > before.epoch && view.handover === null;
  // Also one that was given back first: a region whose database fails gives its lease back, and must not have it again at once.
  if (grantedAnew && state.lastHolder !== null && state.lastHolder !== view.holder) {
    state.holdDownUntilMs = addMs(atMs, state.policy.timings.holdDownMs);
  }
  const takenFrom = view.holder === state.policy.region ? otherHolder(state) : null;
  // However it was learned: the answer to the request for it may be lost, or slept through.
  if (grantedAnew && takenFrom !== null && !isForced(state)) state.fallback = { ...state.fallback, takenFrom };
  if (before === null || view.epoch !== before.epoch || view.holder !== before.holder) {
    const { epoch, holder, inSync, handover } = view;
    draft.record('lease-seen', { epoch, holder, inSync, handover: handover?.id ?? null });
  } else if (view.inSync.join() !== before.inSync.join()) {
    // However it was learned: the answer to the request for it may be the one that is lost.
    draft.record('in-sync', { epoch: view.epoch, inSync: view.inSync });
  }
  state.lastHolder = view.holder ?? state.lastHolder;
  state.view = view;
  state.viewMs = atMs;
  if (state.widening !== null && view.seq >= state.widening.seq) state.widening = null;
  if (state.grant !== null && view.epoch > state.grant.epoch) state.grant = null;
}

function databaseObserved(draft: Draft, event: Of<'database-observed'>): void {
  const { state } = draft;
  if (state.databaseAction !== null || event.startedMs < state.databaseMs) return;
  const { observation } = event;
  if (state.database?.role !== observation.role) {
    const { role, shape, timeline, problem } = observation;
    draft.record('database-role', { role, shape, timeline, problem });
  }
  state.database = observation;
  state.databaseMs = event.startedMs;
  const good = observation.role === 'primary' || observation.role === 'standby';
  state.databaseBadSinceMs = good ? null : (state.databaseBadSinceMs ?? event.startedMs);
  state.evidence = absorbObservation(state.evidence, observation, event.startedMs, memberLimits(state));
  if (observation.role !== 'primary') return;
  state.synchronous = observation.synchronous;
  const { followers } = state.evidence;
  const regions = Object.keys(followers).filter((region) => followers[region]?.verdict.kind === 'promotable').sort();
  const same = regions.join() === state.streaming.regions.join();
  if (!same) state.streaming = { regions, sinceMs: event.startedMs };
}

/** Recorded when the prober changes its mind, not with every report. */
function lagReported(draft: Draft, { report }: Of<'lag-reported'>): void {
  const { state } = draft;
  for (const { name, verdict } of report.standbys) {
    const before = state.lagReport?.report.standbys.find((one) => one.name === name)?.verdict;
    if (before !== undefined && nameOf(before) === nameOf(verdict)) continue;
    draft.record('lag-verdict', { standby: name, ...verdict });
  }
  state.lagReport = { report, receivedMs: draft.nowMs };
}

/** What a forced takeover would cost as far as anybody measured it, beside what the operator says. */
function measuredLoss({ state, nowMs }: Draft, forced: boolean): { readonly measuredLoss?: string } {
  return forced ? { measuredLoss: lossSentence(state.lagReport, state.policy.region, nowMs) } : {};
}

function databaseDone(draft: Draft, event: Of<'database-done'>): void {
  const { state } = draft;
  const pending = state.databaseAction;
  if (pending === null || pending.id !== event.id) return;
  state.databaseAction = null;
  const { result } = event;
  const durationMs = draft.nowMs - pending.sinceMs;
  const detail = result.ok ? result.detail : `${result.code}: ${result.message}`;
  draft.record(`database-${pending.action.kind}`, { ok: result.ok, durationMs, detail });
  // What was observed before or during the action says nothing about what is now.
  state.database = null;
  state.databaseMs = draft.nowMs;
  if (!result.ok) {
    if (pending.action.kind === 'set-synchronous') {
      state.synchronous = null;
      state.caughtUp = [];
    }
    return draft.databaseFailed(detail);
  }
  state.databaseProblem = null;
  if (pending.action.kind === 'rejoin') state.retryRejoinMs = addMs(draft.nowMs, REJOIN_PATIENCE_MS);
  succeeded(draft, pending.action, result.token);
}

function succeeded(
  draft: Draft,
  action: DatabaseAction,
  token: Extract<ControllerState['phase'], { kind: 'handing-over' }>['token'],
): void {
  const { state } = draft;
  const { phase } = state;
  // Another history, or another role: what was proved of the one before proves nothing any more.
  if (action.kind === 'promote' || action.kind === 'demote' || action.kind === 'rejoin') state.evidence = NO_EVIDENCE;
  if (action.kind === 'promote') {
    state.promotedEpoch = action.epoch;
    state.synchronous = [];
    state.caughtUp = [];
  }
  if (action.kind === 'set-synchronous') {
    state.synchronous = action.standbys;
    state.caughtUp = action.standbys;
  }
  if (phase.kind !== 'handing-over') return;
  if (action.kind === 'prewarm' && phase.step === 'preparing') draft.enter({ ...phase, step: 'holding' });
  if (action.kind === 'demote' && phase.step === 'demoting') draft.enter({ ...phase, step: 'transferring', token });
}
