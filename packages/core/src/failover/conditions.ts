// What must hold before this region takes the lease, or is handed it: every condition with its value, limit, source and age.
// An operator reads this list; the decision is made from nothing else.

import { judgeOwnMember } from '../replication/member-verdict.ts';
import { NEVER_JUDGED } from '../replication/published.ts';
import type { Verdict } from '../replication/verdict.ts';
import type { RegionId } from '../types.ts';
import type { Draft } from './draft.ts';
import { acceptedEpoch, freshDatabase, isInSync, isLeaseFree, memberLimits, objection } from './facts.ts';
import { darknessCondition, registerCondition } from './fallback.ts';
import type { Precondition } from './state.ts';

export type Answers = { readonly preconditions: readonly Precondition[]; readonly ok: boolean };

/** May this region take the lease now? Every condition with its value, limit, source and age (I8, L2). */
export function takeoverConditions(draft: Draft): Answers {
  const { state } = draft;
  const { policy, view } = state;
  const viewAgeMs = view === null ? null : draft.nowMs - state.viewMs;
  const forced = state.operator?.kind === 'takeover' && state.operator.force !== null;
  const first = view !== null && view.epoch === 0;
  const list: Precondition[] = [
    {
      name: 'lease-free',
      ok: isLeaseFree(draft),
      value: view === null ? 'unknown' : `${view.holder ?? 'nobody'}, epoch ${view.epoch}`,
      limit: 'free or expired',
      source: 'witness',
      ageMs: viewAgeMs,
    },
    {
      name: 'in-sync',
      ok: first || forced || isInSync(view, policy.region),
      value: view === null ? 'unknown' : `[${view.inSync.join(', ')}]`,
      limit: `contains ${policy.region}`,
      source: 'witness',
      ageMs: viewAgeMs,
    },
    epochCondition(draft, viewAgeMs),
    databaseCondition(draft, first, forced),
    replayCondition(draft, forced),
    {
      name: 'gate-connected',
      ok: state.gate.connected,
      value: state.gate.connected ? 'connected' : 'not connected',
      limit: 'connected',
      source: 'gate',
      ageMs: 0,
    },
    {
      name: 'hold-down',
      ok: forced || state.operator?.kind === 'takeover' || draft.due(latest(state.holdDownUntilMs, state.notBeforeMs)),
      value: `${Math.max(0, latest(state.holdDownUntilMs, state.notBeforeMs) - draft.nowMs)} ms left`,
      limit: '0 ms',
      source: 'controller',
      ageMs: 0,
    },
    {
      name: 'mode',
      ok: first || policy.mode === 'automatic' || state.operator?.kind === 'takeover',
      value: policy.mode,
      limit: 'automatic, or an operator approved',
      source: 'specification',
      ageMs: null,
    },
    ...(policy.fallback === undefined ? [] : [registerCondition(state, viewAgeMs), darknessCondition(draft, policy.fallback)]),
  ];
  return { preconditions: list, ok: list.every((condition) => condition.ok) };
}

/** Can this region be the target of a planned switchover? */
export function targetConditions(draft: Draft): Answers {
  const database = freshDatabase(draft);
  const streaming = database?.role === 'standby' && database.receiver?.streaming === true;
  const { state } = draft;
  const list: Precondition[] = [
    {
      name: 'standby-streaming',
      ok: streaming,
      value: database === null ? 'unknown' : streaming ? 'streaming' : `${database.role}, not streaming`,
      limit: 'streaming',
      source: 'database',
      ageMs: state.database === null ? null : draft.nowMs - state.databaseMs,
    },
    replayCondition(draft, false),
    ...objectionConditions(draft, state.policy.region),
    {
      name: 'gate-connected',
      ok: state.gate.connected,
      value: state.gate.connected ? 'connected' : 'not connected',
      limit: 'connected',
      source: 'gate',
      ageMs: 0,
    },
  ];
  return { preconditions: list, ok: list.every((condition) => condition.ok) };
}

/** A register that lost its store counts from below what this region has accepted: nothing it grants may be used (I6). */
function epochCondition(draft: Draft, ageMs: number | null): Precondition {
  const { view } = draft.state;
  const accepted = acceptedEpoch(draft.state);
  return {
    name: 'epoch-not-behind',
    ok: view !== null && view.epoch >= accepted,
    value: view === null ? 'unknown' : `epoch ${view.epoch}`,
    limit: `at least ${accepted}, which this region has accepted; restore the lease at the witness above it`,
    source: 'witness',
    ageMs,
  };
}

function databaseCondition(draft: Draft, first: boolean, forced: boolean): Precondition {
  const database = freshDatabase(draft);
  const primaryShaped = database !== null && database.shape === 'primary';
  const running = database !== null && (database.role === 'standby' || database.role === 'primary');
  const ok = first ? primaryShaped : primaryShaped || running || (forced && database?.shape === 'standby');
  return {
    name: first ? 'database-first-primary' : 'database-usable',
    ok,
    value: database === null ? 'unknown' : `${database.role}, ${database.shape}-shaped`,
    limit: first ? 'primary-shaped' : 'a running standby, or a primary of its own',
    source: 'database',
    ageMs: draft.state.database === null ? null : draft.nowMs - draft.state.databaseMs,
  };
}

function replayCondition(draft: Draft, forced: boolean): Precondition {
  const database = freshDatabase(draft);
  const { replayLagMaxBytes } = memberLimits(draft.state);
  const { verdict: newest, replayLagBytes } = judgeOwnMember(database, replayLagMaxBytes);
  const verdict = ownVerdict(draft, newest);
  return {
    name: 'replay-lag',
    ok: forced || verdict.kind === 'promotable',
    value: database?.shape === 'primary' ? 'its own history' : replayLagBytes === null ? 'unknown' : `${replayLagBytes} bytes${whyNot(newest, verdict)}`,
    limit: `known, at most ${replayLagMaxBytes} bytes, and steadily so`,
    source: 'database',
    ageMs: draft.state.database === null ? null : draft.nowMs - draft.state.databaseMs,
  };
}

/** The newest look must be good, and the debouncer must agree: one good look of a member that comes and goes proves nothing. */
function ownVerdict(draft: Draft, newest: Verdict): Verdict {
  if (newest.kind !== 'promotable' || freshDatabase(draft)?.shape === 'primary') return newest;
  return (draft.state.evidence.own ?? NEVER_JUDGED).verdict;
}

function whyNot(newest: Verdict, verdict: Verdict): string {
  if (verdict.kind === 'promotable') return '';
  return newest.kind === 'promotable' ? `, but not for long enough: ${verdict.detail}` : `: ${verdict.detail}`;
}

/** What a lag prober has against this region as the target of a planned change. Empty when no prober ever reported. */
export function objectionConditions(draft: Draft, region: RegionId): readonly Precondition[] {
  const { lagReport } = draft.state;
  if (lagReport === null) return [];
  const against = objection(draft, region);
  return [
    {
      name: 'lag-prober',
      ok: against === null,
      value: against === null ? 'nothing against it' : `not promotable (${against.reason}: ${against.detail})`,
      limit: 'no fresh objection',
      source: 'lag prober',
      ageMs: draft.nowMs - lagReport.receivedMs,
    },
  ];
}

function latest<T extends number>(a: T, b: T): T {
  return a > b ? a : b;
}
