// What an operator is shown: every value with its age, every refusal with its conditions. Unknown is null, never 0.

import type { ControllerState, MonoMs, Now, Precondition } from '@continuum/core';
import { actingEpoch, Draft, regionId, takeoverConditions, targetConditions } from '@continuum/core';
import { objectionConditions } from '@continuum/core/failover/conditions';
import type { Judged } from '@continuum/core/replication/member-evidence';
import { lossSentence, reportNow } from '@continuum/core/replication/reported';
import type { ReportNow } from '@continuum/core/replication/reported';
import type { Verdict } from '@continuum/core/replication/verdict';

export type Status = {
  readonly name: string;
  readonly region: string;
  readonly mode: string;
  readonly phase: ControllerState['phase'];
  /** The epoch under which this region may act now; 0 when it may not. */
  readonly actingEpoch: number;
  /** Until this region stops by itself; 0 when it may not act. */
  readonly validityMs: number;
  readonly lease: (NonNullable<ControllerState['view']> & { readonly ageMs: number }) | null;
  readonly witnessProblem: string | null;
  readonly database: (NonNullable<ControllerState['database']> & { readonly ageMs: number }) | null;
  readonly databaseAction: string | null;
  readonly databaseProblem: string | null;
  readonly synchronous: readonly string[] | null;
  readonly replication: ReplicationStatus;
  readonly gate: ControllerState['gate'] & { readonly directed: string | null };
  readonly weights: ControllerState['weights'];
  readonly lastSwitchover: ControllerState['lastSwitchover'];
  readonly timings: ControllerState['policy']['timings'];
  /** Why this region would, or would not, take over now; null while it is the holder. */
  readonly takeover: readonly Precondition[] | null;
};

/** A standby, as this controller's own looks prove it: what decides. */
export type MemberStatus = {
  readonly region: string;
  readonly verdict: Verdict;
  /** How long it has been this. */
  readonly forMs: number | null;
  readonly newest: Verdict;
  readonly ageMs: number;
};

export type ReplicationStatus = {
  readonly members: readonly MemberStatus[];
  /** A lag prober's last report, its ages as of now; null when none ever came. Its objections count while it is fresh. */
  readonly reported: ReportNow | null;
  /** What a forced takeover of this region would cost, as far as anybody measured; null while it may act. */
  readonly forcedLoss: string | null;
};

export function statusOf(state: ControllerState, now: Now): Status {
  const draft = new Draft({ ...state, now });
  const { grant, view, database } = state;
  const acting = actingEpoch({ ...state, now });
  return {
    name: state.policy.name,
    region: state.policy.region,
    mode: state.policy.mode,
    phase: state.phase,
    actingEpoch: acting,
    validityMs: acting === 0 || grant === null ? 0 : Math.max(0, Math.round(grant.validUntilMs - now.monoMs)),
    lease: view === null ? null : { ...view, ageMs: Math.round(now.monoMs - state.viewMs) },
    witnessProblem: state.registerProblem,
    database: database === null ? null : { ...database, ageMs: Math.round(now.monoMs - state.databaseMs) },
    databaseAction: state.databaseAction?.action.kind ?? null,
    databaseProblem: state.databaseProblem,
    synchronous: state.synchronous,
    replication: replicationOf(state, now.monoMs, acting > 0),
    gate: { ...state.gate, directed: state.gateDirective?.mode ?? null },
    weights: state.weights,
    lastSwitchover: state.lastSwitchover,
    timings: state.policy.timings,
    takeover: acting > 0 ? null : takeoverConditions(draft).preconditions,
  };
}

function replicationOf({ evidence, lagReport, policy }: ControllerState, nowMs: MonoMs, acting: boolean): ReplicationStatus {
  const member = (region: string, { verdict, verdictSinceMs, newest, seenMs }: Judged): MemberStatus => {
    return { region, verdict, forMs: verdictSinceMs === null ? null : Math.round(nowMs - verdictSinceMs), newest, ageMs: Math.round(nowMs - seenMs) };
  };
  return {
    members: [
      ...(evidence.own === null ? [] : [member(policy.region, evidence.own)]),
      ...Object.entries(evidence.followers).map(([region, follower]) => member(region, follower)),
    ],
    reported: lagReport === null ? null : reportNow(lagReport, nowMs),
    forcedLoss: acting ? null : lossSentence(lagReport, policy.region, nowMs),
  };
}

export type SwitchoverPlan = {
  readonly from: string | null;
  readonly to: string;
  /** Whether this region's side of the conditions holds now; the other side answers for itself when asked. */
  readonly possible: boolean;
  readonly preconditions: readonly Precondition[];
  readonly steps: readonly { readonly region: string; readonly step: string; readonly boundMs: number }[];
};

/** What a switchover would do, checked as far as this region can see. Changes nothing. */
export function planSwitchover(state: ControllerState, to: string, now: Now): SwitchoverPlan {
  const draft = new Draft({ ...state, now });
  const { view, policy } = state;
  const { timings } = policy;
  const from = view?.holder ?? null;
  const ageMs = view === null ? null : Math.round(now.monoMs - state.viewMs);
  const condition = (name: string, ok: boolean, value: string, limit: string): Precondition => ({
    name,
    ok,
    value,
    limit,
    source: 'witness',
    ageMs,
  });
  const shared = [
    condition('region-known', (policy.regions as readonly string[]).includes(to), to, `one of ${policy.regions.join(', ')}`),
    condition('other-holder', from !== null && from !== to, from ?? 'nobody', `held, and not by ${to}`),
    condition('lease-valid', (view?.remainingMs ?? 0) > 0, `${view?.remainingMs ?? 0} ms left`, 'more than 0 ms'),
    condition('target-in-sync', view?.inSync.some((region) => region === to) === true, `[${view?.inSync.join(', ') ?? ''}]`, `contains ${to}`),
    condition('no-other-switchover', view !== null && view.intent === null, view?.intent?.id ?? 'none', 'none under way'),
  ];
  const preconditions = policy.region === to ? [...shared, ...targetConditions(draft).preconditions] : [...shared, ...objectionConditions(draft, regionId(to))];
  const source = from ?? '(nobody)';
  return {
    from,
    to,
    possible: preconditions.every((one) => one.ok),
    preconditions,
    steps: [
      { region: to, step: 'answer whether its database streams and its gate is connected', boundMs: timings.commandMs },
      { region: source, step: 'checkpoint, so that the stop is quick', boundMs: 30_000 },
      { region: source, step: 'hold new requests at the gate', boundMs: timings.holdMsMax },
      { region: source, step: 'wait for the requests in flight', boundMs: timings.drainMs },
      { region: source, step: 'stop the database cleanly: demotion token', boundMs: timings.promoteBudgetMs },
      { region: source, step: 'transfer the lease with the token (epoch + 1)', boundMs: timings.commandMs },
      { region: to, step: 'promote with exactly that token, verify a write', boundMs: timings.promoteBudgetMs },
      { region: to, step: `open the gate; held requests go to ${to}`, boundMs: timings.holdMsMax },
      { region: to, step: 'route weights, then confirm the DNS answer', boundMs: 30_000 },
      { region: source, step: 'rejoin as standby, stream, return to the in-sync set', boundMs: 600_000 },
    ],
  };
}
