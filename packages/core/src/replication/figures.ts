// The figures of one standby: how much it misses, how much it has not replayed, and on whose word. All of them are as of
// the primary's newest sample; how old that is stands beside each.

import { assert } from '../assert.ts';
import type { MonoMs } from '../types.ts';
import { reading, unknownReading } from './reading.ts';
import type { Reading, Unit } from './reading.ts';
import type { PrimarySample, StandbySample } from './sample.ts';
import { asRole, primaryOf, receivedLsn, walsenderOf } from './state.ts';
import type { ClusterState, EndState, Seen } from './state.ts';
import { behind, commitAgeMs, commitRate } from './time-map.ts';
import type { TimeMap } from './time-map.ts';
import type { StandbyEvidence, StandbyFacts } from './verdict.ts';

export type Figures = {
  readonly lagBytes: Reading;
  readonly lagMs: Reading;
  readonly lossBytes: Reading;
  readonly lossMs: Reading;
  readonly lossCommits: Reading;
};

/** Where the standby is, and on whose word. */
type Position = {
  readonly replayed: StandbySample['replayLsn'];
  readonly received: StandbySample['receiveLsn'];
  readonly source: 'both-ends' | 'primary';
  readonly ageMs: number;
  readonly lastReplayedCommitMs: number | null;
};

export function factsOf(state: ClusterState, name: string, nowMs: MonoMs): StandbyFacts & Figures {
  return { ...evidenceOf(state, name, nowMs), ...figuresOf(state, name, nowMs) };
}

export function evidenceOf(state: ClusterState, name: string, nowMs: MonoMs): StandbyEvidence {
  const { limits } = state.settings;
  const end = endOf(state, name);
  const primary = primaryOf(state);
  const standby = asRole(end.seen, 'standby');
  const linked = primary !== null && isLinked(end, primary.sample);
  const walsender = walsenderOf(primary, end);
  const slot = primary?.sample.slots.find((one) => one.name === end.settings.slot) ?? null;
  return {
    limits,
    primary: primary === null ? null : { sample: primary.sample, ageMs: nowMs - primary.sentMs },
    twoPrimaries: state.twoPrimaries,
    role: end.seen?.sample.role ?? null,
    standby: standby === null ? null : { sample: standby.sample, ageMs: nowMs - standby.sentMs },
    problem: end.failure === null ? null : `${end.failure.code}: ${end.failure.message}`,
    linked,
    streaming: walsender?.state === 'streaming' && standby?.sample.receiver?.streaming === true,
    stalled: end.stalled,
    slotLost: slot?.walStatus === 'lost' || (end.settings.slot !== null && slot === null && primary !== null),
  };
}

/** It was seen streaming within this history. */
function isLinked({ linked }: EndState, { systemIdentifier, timeline }: PrimarySample): boolean {
  return linked?.systemIdentifier === systemIdentifier && linked.timeline === timeline;
}

function endOf(state: ClusterState, name: string): EndState {
  const end = state.ends[name];
  assert(end !== undefined, 'REPLICATION_END_UNKNOWN', name);
  return end;
}

/** Every figure unknown, with the one reason. */
function allUnknown(reason: string, ageMs: number | null): Figures {
  const none = (unit: Unit): Reading => unknownReading(unit, reason, ageMs);
  return { lagBytes: none('bytes'), lagMs: none('milliseconds'), lossBytes: none('bytes'), lossMs: none('milliseconds'), lossCommits: none('commits') };
}

export function figuresOf(state: ClusterState, name: string, nowMs: MonoMs): Figures {
  const end = endOf(state, name);
  const primary = primaryOf(state);
  const { evidenceAgeMaxMs } = state.settings.limits;
  if (state.twoPrimaries) return allUnknown('more than one primary', null);
  if (primary === null || state.map === null) return exporterFigures(state, end, nowMs) ?? allUnknown('no primary was measured', null);
  const primaryAgeMs = nowMs - primary.sentMs;
  const at = positionOf(state, end, primary, nowMs);
  if (at === null) return exporterFigures(state, end, nowMs) ?? allUnknown('the standby was not measured', null);
  const ageMs = Math.max(primaryAgeMs, at.ageMs);
  const why = incomparable(state.map, end, primary.sample);
  if (why !== null) return allUnknown(why, ageMs);
  if (at.ageMs > evidenceAgeMaxMs) return allUnknown(`the standby was last measured ${Math.round(at.ageMs)} ms ago`, ageMs);
  if (primaryAgeMs > evidenceAgeMaxMs) return sincePrimarySilent(state.map, at, primaryAgeMs);
  return compared(state.map, at, ageMs);
}

/** The standby's own word, else what it last told its primary. */
function positionOf(state: ClusterState, end: EndState, primary: Seen<PrimarySample>, nowMs: MonoMs): Position | null {
  const standby = asRole(end.seen, 'standby');
  const walsender = walsenderOf(primary, end);
  const isFresh = standby !== null && nowMs - standby.sentMs <= state.settings.limits.evidenceAgeMaxMs;
  if (standby !== null && (isFresh || walsender === null)) {
    const { sample, sentMs } = standby;
    const { replayLsn: replayed, lastReplayedCommitMs } = sample;
    return { replayed, received: receivedLsn(sample), source: 'both-ends', ageMs: nowMs - sentMs, lastReplayedCommitMs };
  }
  if (walsender === null || end.seen?.sample.role === 'primary') return null;
  const { flushLsn, replayLsn } = walsender;
  return { replayed: replayLsn, received: flushLsn, source: 'primary', ageMs: nowMs - primary.sentMs, lastReplayedCommitMs: null };
}

/** Positions may be compared only within one history. Null when they may. */
function incomparable(map: TimeMap, end: EndState, primary: PrimarySample): string | null {
  const { systemIdentifier, timeline } = primary;
  const standby = asRole(end.seen, 'standby')?.sample ?? null;
  if (standby !== null && standby.systemIdentifier !== systemIdentifier) return 'another cluster: other system identifier';
  if (standby !== null && standby.timeline !== timeline) return `on timeline ${standby.timeline ?? 'unknown'}, the primary is on ${timeline}`;
  if (!isLinked(end, primary)) return 'never seen streaming from this primary on this timeline';
  if (map.timeline !== timeline || map.systemIdentifier !== systemIdentifier) return 'the primary changed its history';
  return null;
}

function compared(map: TimeMap, at: Position, ageMs: number): Figures {
  const replay = at.replayed === null ? null : behind(map, at.replayed);
  const receive = at.received === null ? null : behind(map, at.received);
  const { source } = at;
  const figure = (unit: Unit, value: number | null | undefined, bounded: boolean, missing: string): Reading =>
    value === null || value === undefined
      ? unknownReading(unit, missing, ageMs)
      : reading(unit, value, { ageMs, source, confidence: bounded && value > 0 ? 'bounded' : 'proven' });
  const noPosition = 'the standby names no position';
  const tooOld = 'older than what is known of the primary';
  const lagMs = replay?.msMax ?? (replay === null || at.lastReplayedCommitMs === null ? null : commitAgeMs(map, at.lastReplayedCommitMs));
  return {
    lagBytes: figure('bytes', replay?.bytes, source === 'primary', noPosition),
    lagMs: figure('milliseconds', lagMs, true, replay === null ? noPosition : tooOld),
    lossBytes: figure('bytes', receive?.bytes, source === 'primary', noPosition),
    lossMs: figure('milliseconds', receive?.msMax, true, receive === null ? noPosition : tooOld),
    lossCommits: figure('commits', receive?.commitsMax, true, receive === null ? noPosition : tooOld),
  };
}

/**
 * The primary is not heard: what it wrote since is not known, so lag and loss are not either. What is left for an operator
 * who must decide is an estimate: what was missing then, and what it used to write in such a time.
 */
function sincePrimarySilent(map: TimeMap, at: Position, primaryAgeMs: number): Figures {
  const reason = `the primary was last measured ${Math.round(primaryAgeMs)} ms ago`;
  const none = allUnknown(reason, primaryAgeMs);
  const missing = at.received === null ? null : behind(map, at.received);
  const rate = commitRate(map);
  if (missing === null || missing.msMax === null) return none;
  const weak = { ageMs: primaryAgeMs, source: at.source, confidence: 'weak' } as const;
  const commits = missing.commitsMax === null || rate === null ? null : Math.ceil(missing.commitsMax + rate * primaryAgeMs);
  return {
    ...none,
    lossMs: reading('milliseconds', missing.msMax + primaryAgeMs, weak),
    lossCommits: commits === null ? none.lossCommits : reading('commits', commits, weak),
  };
}

/** CloudNativePG's exporter on the primary's side knows what the standby last confirmed. Its standby's side says 0 when cut off. */
function exporterFigures(state: ClusterState, end: EndState, nowMs: MonoMs): Figures | null {
  for (const other of Object.values(state.ends)) {
    const seen = asRole(other.seen, 'exporter');
    if (seen === null || seen.sample.inRecovery !== false || other === end) continue;
    const ageMs = nowMs - seen.sentMs;
    if (ageMs > state.settings.limits.evidenceAgeMaxMs) continue;
    const mine = seen.sample.walsenders.find((one) => one.name === end.settings.applicationName);
    if (mine === undefined) return allUnknown('the exporter of the primary shows no walsender for it', ageMs);
    const none = allUnknown('the exporter does not say', ageMs);
    const weak = { ageMs, source: 'exporter', confidence: 'weak' } as const;
    // Its time lag is absent or 0 while nothing is confirmed, so it counts only beside a byte lag.
    const lagMs = mine.replayBytes === null || (mine.replayBytes > 0 && (mine.replayLagMs ?? 0) <= 0) ? null : mine.replayBytes === 0 ? 0 : mine.replayLagMs;
    return {
      ...none,
      lagBytes: mine.replayBytes === null ? none.lagBytes : reading('bytes', mine.replayBytes, weak),
      lagMs: lagMs === null ? none.lagMs : reading('milliseconds', lagMs, weak),
    };
  }
  return null;
}
