// What a controller may count on, out of the observations of its own member: of each standby, whether it belongs to those that
// may take over (the in-sync set); of itself as a standby, whether it may be promoted (I8). The verdicts and the debouncer are
// the prober's. It rests on nothing but this controller's own looks: no other process is in the way of a failover.

import type { MonoMs } from '../types.ts';
import { DEFAULT_THRESHOLDS } from './debounce.ts';
import { judgeFollower, judgeOwnMember, judgeStalled } from './member-verdict.ts';
import type { DatabaseObservation, StandbyView } from './observation.ts';
import { standstillMs, trackProgress } from './progress.ts';
import type { Progress } from './progress.ts';
import { NEVER_JUDGED, publish } from './published.ts';
import type { Published } from './published.ts';
import { isCertain } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export type Judged = Published & {
  /** Of the newest look alone. */
  readonly newest: Verdict;
  /** When that look began. */
  readonly seenMs: MonoMs;
};

export type Follower = Judged & { readonly progress: Progress | null };

export type MemberEvidence = {
  /** Null before the first look, and for a member with a history of its own: nothing is measured there. */
  readonly own: Judged | null;
  /** By region; as the primary, whoever was seen connected since it is one. */
  readonly followers: Readonly<Record<string, Follower>>;
};

export type MemberLimits = {
  /** Log that a member has not replayed: a promotion ends only when it has. */
  readonly replayLagMaxBytes: number;
  /** Behind for so long without replaying anything: stalled. Above the interval at which a standby reports by itself. */
  readonly stallMinMs: number;
};

export const NO_EVIDENCE: MemberEvidence = { own: null, followers: {} };

/** Takes one observation that began at `atMs`. */
export function absorbObservation(before: MemberEvidence, observation: DatabaseObservation, atMs: MonoMs, limits: MemberLimits): MemberEvidence {
  return { own: judgeOwn(before.own, observation, atMs, limits), followers: judgeFollowers(before.followers, observation, atMs, limits) };
}

/** Promotable by the debouncer and by the newest look: what the debouncer forgives is enough to stay, not to begin something. */
export function promotableNow(judged: Judged | null | undefined): boolean {
  return judged?.verdict.kind === 'promotable' && judged.newest.kind === 'promotable';
}

function judgeOwn(before: Judged | null, observation: DatabaseObservation, atMs: MonoMs, { replayLagMaxBytes }: MemberLimits): Judged | null {
  if (observation.shape === 'primary') return null;
  return judged(before, judgeOwnMember(observation, replayLagMaxBytes).verdict, atMs);
}

function judgeFollowers(before: MemberEvidence['followers'], observation: DatabaseObservation, atMs: MonoMs, limits: MemberLimits): MemberEvidence['followers'] {
  const { role, standbys } = observation;
  // Not asked in time: nothing was seen of them.
  if (role === 'unknown' || role === 'starting') return before;
  if (role !== 'primary') return {};
  const names = new Set<string>([...Object.keys(before), ...standbys.map(({ region }) => region)]);
  return Object.fromEntries([...names].map((name) => [name, judgeOne(name, before[name] ?? null, connectionOf(standbys, name), atMs, limits)]));
}

/** The streaming one when it has several: an old connection may not have ended yet. */
function connectionOf(standbys: readonly StandbyView[], name: string): StandbyView | null {
  const mine = standbys.filter((one) => one.region === name);
  return mine.find((one) => one.state === 'streaming') ?? mine[0] ?? null;
}

function judgeOne(name: string, before: Follower | null, view: StandbyView | null, atMs: MonoMs, { stallMinMs }: MemberLimits): Follower {
  if (view === null) {
    return { ...judged(before, { kind: 'notPromotable', reason: 'not-streaming', detail: `${name}: not connected` }, atMs), progress: null };
  }
  const { replayLsn, replayLagBytes } = view;
  const progress = replayLsn === null ? null : trackProgress(before?.progress ?? null, replayLsn, (replayLagBytes ?? 0) > 0, atMs);
  const verdict = judgeFollower(view);
  const stillMs = standstillMs(progress, atMs) ?? 0;
  const stalled = verdict.kind === 'promotable' && stillMs >= stallMinMs;
  return { ...judged(before, stalled ? judgeStalled(name, stillMs) : verdict, atMs), progress };
}

function judged(before: Judged | null, newest: Verdict, atMs: MonoMs): Judged {
  const look = newest.kind === 'promotable' ? 'good' : isCertain(newest) ? 'certain' : 'bad';
  return { ...publish(before ?? NEVER_JUDGED, newest, look, DEFAULT_THRESHOLDS, atMs), newest, seenMs: atMs };
}
