// What to ask of the outside, derived from the state alone: after a restart, a lost reply or a failed action the same
// state asks for the same thing again. At most one request to the register and one database action are under way.

import type { LeaseCommand, LeaseView } from '../lease/types.ts';
import type { RegionId } from '../types.ts';
import { addMs, monoMs } from '../types.ts';
import { targetConditions } from './conditions.ts';
import type { Draft } from './draft.ts';
import {
  freshDatabase,
  holdsGrant,
  isInSync,
  isLeaseFree,
  isLeaseOverdue,
  isNamedHolder,
  isProvenFollower,
  objection,
  otherHolder,
  promised,
} from './facts.ts';
import { driveFallback, isHeldPastExpiry, isSeenActive, isVetoed } from './fallback.ts';
import type { GateDirective } from './state.ts';

/** How long a requested switchover may take before it is void. */
const SWITCHOVER_VALID_MS = 60_000;
/** An operator's word is acted upon within this time, or not at all. */
export const OPERATOR_WORD_MS = 60_000;
const REJOIN_TIMEOUT_MS = 600_000;
const PREWARM_TIMEOUT_MS = 30_000;

export function drive(draft: Draft): void {
  persistGrant(draft);
  driveGate(draft);
  driveFallback(draft);
  driveRegister(draft);
  driveDatabase(draft);
  driveTraffic(draft);
}

/** An epoch counts once it is on disk. */
function persistGrant(draft: Draft): void {
  const { state } = draft;
  if (state.grant === null || state.grant.epoch === state.persistedEpoch) return;
  state.persistedEpoch = state.grant.epoch;
  draft.actions.push({ kind: 'persist', epoch: state.grant.epoch });
}

function driveGate(draft: Draft): void {
  const { state } = draft;
  const directive = gateDirective(draft);
  const before = state.gateDirective;
  if (directive === null || (before !== null && sameDirective(before, directive))) return;
  // What the gate was last seen doing may be from before it took the directive that stood until now: it must be seen anew.
  if (before?.mode !== directive.mode || before.epoch !== directive.epoch) state.gate = { ...state.gate, mode: null };
  state.gateDirective = directive;
  draft.actions.push({ kind: 'gate', directive });
}

function sameDirective(a: GateDirective, b: GateDirective): boolean {
  return (
    a.epoch === b.epoch &&
    a.mode === b.mode &&
    a.validUntilMs === b.validUntilMs &&
    a.activeRegion === b.activeRegion &&
    a.holdForwarded === b.holdForwarded
  );
}

function gateDirective(draft: Draft): GateDirective | null {
  const { state } = draft;
  const { phase, view, grant, policy } = state;
  if (phase.kind === 'starting' || view === null) return null;
  const other = otherHolder(state);
  const base: GateDirective = {
    epoch: view.epoch,
    mode: 'closed',
    validUntilMs: monoMs(0),
    activeRegion: other,
    holdForwarded: view.intent?.to === policy.region || view.handover?.to === policy.region,
  };
  if (phase.kind === 'active' && grant !== null && holdsGrant(draft)) {
    return { ...base, mode: 'open', validUntilMs: grant.validUntilMs, activeRegion: policy.region };
  }
  if (phase.kind === 'promoting' || phase.kind === 'acquiring') return { ...base, mode: 'hold' };
  if (phase.kind === 'handing-over') {
    // Preparing is still serving.
    return phase.step === 'preparing' && grant !== null
      ? { ...base, mode: 'open', validUntilMs: grant.validUntilMs, activeRegion: policy.region }
      : { ...base, mode: 'hold' };
  }
  // Handed over, and not yet renewed by this side: what the old gateway forwards meanwhile waits, or a planned switchover fails it.
  const handedHere = other === null && view.handover?.to === policy.region && !isLeaseFree(draft);
  if (handedHere && phase.kind === 'standby') return { ...base, mode: 'hold' };
  // Named as the holder and waiting for the renewal that says for how long: a hand-over to here, or a late answer.
  if (isNamedHolder(state) && phase.kind !== 'releasing' && !isLeaseFree(draft)) return { ...base, mode: 'hold' };
  if (other !== null && isSeenActive(draft, other)) return { ...base, mode: 'forward' };
  if (other === null || isLeaseFree(draft)) return waitsForDarkness(draft) ? { ...base, mode: 'hold' } : base;
  const takeoverNear = isLeaseOverdue(draft) && policy.mode === 'automatic' && isInSync(view, policy.region);
  return { ...base, mode: takeoverNear ? 'hold' : 'forward' };
}

/** This region would take the lease over but for the last rounds of darkness: what asks meanwhile waits for it. */
function waitsForDarkness(draft: Draft): boolean {
  const { policy, view, registerProblem } = draft.state;
  const willing = policy.mode === 'automatic' && isInSync(view, policy.region);
  return policy.fallback !== undefined && otherHolder(draft.state) !== null && registerProblem === null && willing;
}

function driveRegister(draft: Draft): void {
  const { state } = draft;
  if (state.request !== null || !draft.due(state.retryRequestMs)) return;
  if (state.view === null) return draft.ask({ kind: 'read' });
  const command = nextCommand(draft, state.view);
  if (command !== null) return draft.ask(command);
  if (draft.due(addMs(state.viewMs, state.policy.timings.renewMs))) draft.ask({ kind: 'read' });
}

function nextCommand(draft: Draft, view: LeaseView): LeaseCommand | null {
  const { state } = draft;
  const { policy, instance, phase } = state;
  const from = { region: policy.region, seq: state.seq + 1, instance };
  const reacquires = isHeldPastExpiry(draft) && state.registerProblem === null;
  if (phase.kind === 'acquiring' || reacquires) {
    const { ttlMs } = policy.timings;
    const force = state.operator?.kind === 'takeover' ? state.operator.force : null;
    return { kind: 'acquire', ...from, epochSeen: view.epoch, ttlMs, policyHash: policy.hash, force };
  }
  if (isNamedHolder(state) && !isLeaseFree(draft)) {
    const { epoch } = view;
    if (phase.kind === 'releasing') return isGateShut(draft) ? { kind: 'release', ...from, epoch } : null;
    if (renewalDue(draft)) {
      return { kind: 'renew', ...from, epoch, ttlMs: policy.timings.ttlMs, policyHash: policy.hash };
    }
    const command = holderCommand(draft, view, from);
    if (command !== null) return command;
  }
  return intentCommand(draft, view, from);
}

/** A gate that still serves keeps the lease from being given back: it then runs out, and the gate's validity before it (I4). */
function isGateShut(draft: Draft): boolean {
  const { connected, mode } = draft.state.gate;
  return connected && mode !== null && mode !== 'open';
}

type From = { readonly region: RegionId; readonly seq: number; readonly instance: string };

function renewalDue(draft: Draft): boolean {
  const { lastRenewMs, policy } = draft.state;
  if (lastRenewMs === null || !holdsGrant(draft)) return true;
  return draft.due(addMs(lastRenewMs, policy.timings.renewMs));
}

function holderCommand(draft: Draft, view: LeaseView, from: From): LeaseCommand | null {
  const { phase, policy } = draft.state;
  const { epoch } = view;
  const only = [policy.region];
  if (phase.kind === 'handing-over' && phase.token !== null) {
    const { id, to, token } = phase;
    // Nothing was served here since the hand-over: the giver has everything, and may have the lease back.
    if (phase.step === 'returning' && !isInSync(view, to)) {
      return { kind: 'setInSync', ...from, epoch, inSync: [...only, to].sort() };
    }
    if (phase.step === 'transferring' || phase.step === 'returning') {
      return { kind: 'transfer', ...from, epoch, id, to, token };
    }
  }
  if (phase.kind === 'promoting' && mustPromote(draft) && promised(draft.state).length > 1) {
    return { kind: 'setInSync', ...from, epoch, inSync: only };
  }
  if (phase.kind !== 'active') return null;
  const inSync = nextInSync(draft, view);
  return inSync === null ? null : { kind: 'setInSync', ...from, epoch, inSync };
}

/**
 * The in-sync set that the register should hold now, or null when it is right. Widen before you narrow: a region is added only
 * while commits wait for it, and it is removed *before* commits stop waiting for it (I3, I8).
 */
function nextInSync(draft: Draft, view: LeaseView): readonly RegionId[] | null {
  const { state } = draft;
  const { policy, streaming, synchronous, caughtUp } = state;
  if (synchronous === null || state.databaseAction !== null) return null;
  const lost = lostStandbys(draft, view);
  const keep = view.inSync.filter(
    (region) => region === policy.region || (policy.regions.includes(region) && synchronous.includes(region) && !lost.includes(region)),
  );
  const add = policy.regions.filter(
    (region) => !keep.includes(region) && [synchronous, caughtUp, streaming.regions].every((all) => all.includes(region)),
  );
  const stable = draft.due(addMs(streaming.sinceMs, policy.timings.standbyStableMs));
  const proven = add.filter((region) => isProvenFollower(draft, region) && objection(draft, region) === null);
  const next = [...keep, ...(stable ? proven : [])].sort();
  return sameRegions(next, view.inSync) ? null : next;
}

/** Standbys in the in-sync set that have been missed for long enough. */
function lostStandbys(draft: Draft, view: LeaseView): readonly string[] {
  const { policy, streaming } = draft.state;
  if (freshDatabase(draft) === null) return [];
  const missing = view.inSync.filter((region) => region !== policy.region && !streaming.regions.includes(region));
  if (missing.length === 0 || !draft.due(addMs(streaming.sinceMs, policy.timings.standbyLossMs))) return [];
  return missing;
}

function intentCommand(draft: Draft, { intent, holder }: LeaseView, from: From): LeaseCommand | null {
  const { state } = draft;
  const { policy, operator } = state;
  const givenUp = intent !== null && state.endedSwitchovers.includes(intent.id);
  if (givenUp && (intent.to === policy.region || (intent.from === policy.region && state.phase.kind === 'active'))) {
    return { kind: 'answerSwitchover', ...from, id: intent.id, answer: 'cancelled', reasons: [] };
  }
  if (intent !== null && intent.to === policy.region && intent.target === 'pending') {
    const { preconditions, ok } = targetConditions(draft);
    const reasons = preconditions.filter((one) => !one.ok).map((one) => `${one.name}: ${one.value}, needs ${one.limit}`);
    return { kind: 'answerSwitchover', ...from, id: intent.id, answer: ok ? 'ready' : 'refused', reasons };
  }
  if (intent !== null && intent.from === policy.region && intent.target === 'refused') {
    draft.endSwitchover(intent.id, `refused by ${intent.to}: ${intent.reasons.join('; ')}`);
    return { kind: 'answerSwitchover', ...from, id: intent.id, answer: 'cancelled', reasons: intent.reasons };
  }
  if (operator?.kind === 'switchover' && intent === null && holder !== null && holder !== operator.to) {
    const { id, to } = operator;
    return { kind: 'requestSwitchover', region: from.region, seq: from.seq, instance: from.instance, id, from: holder, to, validForMs: SWITCHOVER_VALID_MS };
  }
  return null;
}

/** The database has not been proved a primary under the grant. */
function mustPromote(draft: Draft): boolean {
  const { state } = draft;
  const database = freshDatabase(draft);
  if (state.grant === null || database === null) return false;
  return !(database.role === 'primary' && database.recordedEpoch === state.grant.epoch);
}

function driveDatabase(draft: Draft): void {
  const { state } = draft;
  const { phase, grant, view, policy } = state;
  if (view === null || state.databaseAction !== null) return;
  if (phase.kind === 'rejoining') return driveRejoin(draft, view);
  if (phase.kind === 'standby' || phase.kind === 'fenced') return driveStandbyStart(draft, view);
  if (grant === null || !holdsGrant(draft) || !draft.databaseFree()) return;
  const { epoch } = grant;
  if (phase.kind === 'promoting') {
    const alone = promised(state).join() === policy.region;
    if (!mustPromote(draft) || !alone || view.epoch !== epoch || isVetoed(draft)) return;
    const token = view.handover?.to === policy.region && phase.returnable !== false ? view.handover.token : null;
    return draft.run({ kind: 'promote', epoch, token }, policy.timings.promoteBudgetMs);
  }
  if (phase.kind === 'active') {
    const standbys = nextSynchronous(draft);
    if (standbys !== null) draft.run({ kind: 'set-synchronous', epoch, standbys }, policy.timings.renewMs + 1_000);
    return;
  }
  if (phase.kind !== 'handing-over') return;
  if (phase.step === 'preparing') draft.run({ kind: 'prewarm' }, PREWARM_TIMEOUT_MS);
  if (phase.step === 'demoting') draft.run({ kind: 'demote', epoch }, policy.timings.promoteBudgetMs);
}

function driveRejoin(draft: Draft, view: LeaseView): void {
  const { state } = draft;
  const source = otherHolder(state);
  if (source === null || isLeaseFree(draft)) return;
  const database = freshDatabase(draft);
  if (database === null || database.role === 'unknown') return;
  if (!draft.databaseFree() || !draft.due(state.retryRejoinMs)) return;
  const counted = isInSync(view, state.policy.region);
  // A history of its own is given up when the holder has let it go: the lease may just be on its way here.
  if (counted && database.shape === 'primary') return;
  const preserve = counted && database.shape === 'standby';
  draft.run({ kind: 'rejoin', epoch: view.epoch, source, preserve }, REJOIN_TIMEOUT_MS);
}

/** Nobody holds the lease and the register counts on this standby: it must run to be able to take over, with nobody to follow. */
function driveStandbyStart(draft: Draft, view: LeaseView): void {
  const { policy } = draft.state;
  const database = freshDatabase(draft);
  if (database?.role !== 'down' || database.shape !== 'standby') return;
  const source = policy.regions.find((region) => region !== policy.region);
  if (source === undefined || !isLeaseFree(draft) || !isInSync(view, policy.region) || !draft.databaseFree()) return;
  draft.run({ kind: 'rejoin', epoch: view.epoch, source, preserve: true }, REJOIN_TIMEOUT_MS);
}

/** For whom commits should wait, or null when it is so: all that the register promises, and all that stream steadily. */
function nextSynchronous(draft: Draft): readonly RegionId[] | null {
  const { state } = draft;
  const { policy, streaming, synchronous, caughtUp } = state;
  if (synchronous === null || freshDatabase(draft) === null) return null;
  const stable = draft.due(addMs(streaming.sinceMs, policy.timings.standbyStableMs));
  // A region that has left the specification is waited for until the register has let it go.
  const counted = promised(state);
  const known = [...policy.regions, ...counted.filter((region) => !policy.regions.includes(region))];
  const want = known.filter(
    (region) =>
      region !== policy.region &&
      (counted.includes(region) || (maySynchronize(draft, region) && (stable || synchronous.includes(region)))),
  );
  const proven = want.every((region) => counted.includes(region) || caughtUp.includes(region));
  return proven && sameRegions(want, synchronous) ? null : want;
}

/** The same set, in whatever order. `once` names no region twice. */
function sameRegions(once: readonly string[], others: readonly string[]): boolean {
  return once.length === others.length && once.every((region) => others.includes(region));
}

/** Commits that wait for a standby which does not move would wait for ever. */
function maySynchronize(draft: Draft, region: RegionId): boolean {
  return draft.state.streaming.regions.includes(region) && objection(draft, region) === null;
}

/** Weights follow the holder: the own region only once it is active, another one once it is known. */
function driveTraffic(draft: Draft): void {
  const { state } = draft;
  const { view, phase, policy } = state;
  if (view === null || view.epoch === 0 || state.trafficPending !== null) return;
  const target = phase.kind === 'active' ? policy.region : otherHolder(state);
  if (target === null || (state.weights !== null && state.weights.epoch > view.epoch)) return;
  if (state.weights?.epoch === view.epoch && state.weights.weights[target] === 100) return;
  if (!draft.due(state.retryTrafficMs)) return;
  const entries = policy.regions.map((region) => [region, region === target ? 100 : 0] as const);
  const weights = { epoch: view.epoch, weights: Object.fromEntries(entries) };
  const id = draft.takeId();
  state.trafficPending = { id, weights };
  draft.actions.push({ kind: 'traffic', id, weights });
  if (target === policy.region) draft.actions.push({ kind: 'confirm-dns', epoch: view.epoch });
}

