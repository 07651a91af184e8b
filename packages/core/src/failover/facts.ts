// Questions about the state that several roles ask. Pure reading; none of them changes anything.

import type { LeaseView } from '../lease/types.ts';
import type { MemberLimits } from '../replication/member-evidence.ts';
import { promotableNow } from '../replication/member-evidence.ts';
import { objectionTo, reportGoodUntilMs } from '../replication/reported.ts';
import type { Objection } from '../replication/reported.ts';
import type { RegionId } from '../types.ts';
import { addMs } from '../types.ts';
import type { Draft } from './draft.ts';
import type { ControllerState } from './state.ts';

/** More log than this still to replay, and a promotion could not end within any budget. */
const REPLAY_BYTES_MAX = 64 * 1024 * 1024;
/** A standby tells its primary every second what it has replayed, also when nobody waits for it. */
const STALL_MS_MIN = 3_000;

/** This region may act: it has a grant whose validity has not run out. */
export function holdsGrant(draft: Draft): boolean {
  const { grant } = draft.state;
  return grant !== null && !draft.due(grant.validUntilMs);
}

/** The register's record names this controller as the holder (whether or not it is still valid). */
export function isNamedHolder(state: ControllerState): boolean {
  const { view, policy, instance } = state;
  return view !== null && view.holder === policy.region && (view.instance === null || view.instance === instance);
}

/** Nobody holds the lease, or it has run out as far as can be told from here. The register decides. */
export function isLeaseFree(draft: Draft): boolean {
  const { view, viewMs } = draft.state;
  if (view === null) return false;
  return view.holder === null || draft.due(addMs(viewMs, view.remainingMs));
}

/** The holder missed a renewal and a half: a takeover may be near. */
export function isLeaseOverdue(draft: Draft): boolean {
  const { view, viewMs } = draft.state;
  if (view === null || view.holder === null) return false;
  return draft.due(addMs(viewMs, view.remainingMs - Math.ceil(view.ttlMs / 2)));
}

/** A region that is the holder and is not this one. */
export function otherHolder(state: ControllerState): RegionId | null {
  const holder = state.view?.holder ?? null;
  return holder === null || holder === state.policy.region ? null : holder;
}

/** An operator has said that this region shall take over whatever it costs. */
export function isForced({ operator }: ControllerState): boolean {
  return operator?.kind === 'takeover' && operator.force !== null;
}

/** What was observed of the database lately enough to act on; null is unknown. */
export function freshDatabase(draft: Draft): ControllerState['database'] {
  const { database, databaseMs, policy } = draft.state;
  if (database === null || draft.due(addMs(databaseMs, policy.timings.observationMaxAgeMs))) return null;
  return database;
}

export function memberLimits({ policy }: ControllerState): MemberLimits {
  return { replayLagMaxBytes: REPLAY_BYTES_MAX, stallMinMs: Math.max(STALL_MS_MIN, policy.timings.observationMaxAgeMs) };
}

/** Proved by this controller's own fresh looks, the newest one included. */
export function isProvenFollower(draft: Draft, region: RegionId): boolean {
  return freshDatabase(draft) !== null && promotableNow(draft.state.evidence.followers[region]);
}

/** What a lag prober has against this standby; null when it says nothing against it, or is not heard. */
export function objection(draft: Draft, region: RegionId): Objection | null {
  const { lagReport } = draft.state;
  // An objection ends without any event: be woken then.
  if (lagReport === null || draft.due(reportGoodUntilMs(lagReport))) return null;
  return objectionTo(lagReport, region, draft.nowMs);
}

export function isInSync(view: LeaseView | null, region: RegionId): boolean {
  return view !== null && view.inSync.includes(region);
}

/** The regions that the register counts on, and those that it may count on by now: the answer to the command that added them is missing. */
export function promised({ view, widening }: ControllerState): readonly RegionId[] {
  const inSync = view?.inSync ?? [];
  return widening === null ? inSync : [...inSync, ...widening.regions.filter((region) => !inSync.includes(region))];
}

/** The highest epoch that this region's stores have accepted. */
export function acceptedEpoch(state: ControllerState): number {
  return Math.max(state.persistedEpoch, state.database?.epoch ?? 0);
}
