// What is known of one replicating cluster: its ends as last seen, the primary's position-to-time map, and a debounced
// verdict per standby. `absorbProbe` takes one look at one end; `reportCluster` says what that means at a given time,
// because everything that is known also grows old without any event.

import { assert } from '../assert.ts';
import type { Lsn, MonoMs } from '../types.ts';
import { lsnDiffBytes } from '../types.ts';
import { evidenceOf, factsOf } from './figures.ts';
import { isStalled, trackProgress } from './progress.ts';
import { NEVER_JUDGED, publish } from './published.ts';
import type { PrimarySample, Probe, StandbySample } from './sample.ts';
import { asRole, primaryOf, receivedLsn } from './state.ts';
import type { ClusterSettings, ClusterState, EndState } from './state.ts';
import { extendMap } from './time-map.ts';
import { isCertain, judgeBeforeFigures, judgeStandby } from './verdict.ts';

export function newCluster(settings: ClusterSettings): ClusterState {
  const ends = settings.ends.map((one): [string, EndState] => [
    one.name,
    {
      settings: one,
      seen: null,
      failure: null,
      linked: null,
      progress: null,
      stalled: false,
      ...NEVER_JUDGED,
    },
  ]);
  return { settings, ends: Object.fromEntries(ends), primary: null, twoPrimaries: false, map: null };
}

/** Takes one look into the state. A look at an end that the settings do not name is a programming error. */
export function absorbProbe(state: ClusterState, probe: Probe): ClusterState {
  const before = state.ends[probe.end];
  assert(before !== undefined, 'REPLICATION_END_UNKNOWN', probe.end);
  assert(probe.receivedMs >= probe.sentMs, 'REPLICATION_PROBE_TIMES', probe.end);
  if (before.seen !== null && probe.receivedMs < before.seen.receivedMs) return state;
  const end = seeEnd(before, probe);
  let next = choosePrimary(withEnd(state, end), probe.receivedMs);
  const { outcome } = probe;
  if (outcome.ok && outcome.sample.role === 'primary' && next.primary === probe.end && !next.twoPrimaries) {
    next = seePrimary(next, outcome.sample, probe);
  }
  if (outcome.ok && outcome.sample.role === 'standby') next = withEnd(next, seeProgress(next, end, outcome.sample, probe.receivedMs));
  return judge(next, probe);
}

function withEnd(state: ClusterState, end: EndState): ClusterState {
  return { ...state, ends: { ...state.ends, [end.settings.name]: end } };
}

function seeEnd(end: EndState, { outcome, sentMs, receivedMs }: Probe): EndState {
  if (outcome.ok) {
    const { sample } = outcome;
    // A primary makes a history of its own: what it once followed proves nothing any more.
    const linked = sample.role === 'primary' ? null : end.linked;
    return { ...end, linked, seen: { sample, sentMs, receivedMs }, failure: null };
  }
  const { code, message } = outcome;
  return { ...end, failure: { code, message, sinceMs: end.failure?.sinceMs ?? sentMs } };
}

/** The primary of the newest timeline among those seen lately; the last known one stays until another is seen. */
function choosePrimary(state: ClusterState, nowMs: MonoMs): ClusterState {
  const { evidenceAgeMaxMs } = state.settings.limits;
  const candidates = Object.values(state.ends).flatMap((end) => {
    const seen = asRole(end.seen, 'primary');
    return seen !== null && nowMs - seen.sentMs <= evidenceAgeMaxMs ? [{ name: end.settings.name, timeline: seen.sample.timeline }] : [];
  });
  const newest = Math.max(...candidates.map(({ timeline }) => timeline));
  const best = candidates.filter(({ timeline }) => timeline === newest);
  const [first] = best;
  const primary = first === undefined || best.some(({ name }) => name === state.primary) ? state.primary : first.name;
  return { ...state, primary, twoPrimaries: best.length > 1 };
}

function seePrimary(state: ClusterState, sample: PrimarySample, { sentMs, receivedMs }: Probe): ClusterState {
  const { systemIdentifier, timeline, lsn, nextXid, clockMs } = sample;
  const map = extendMap(state.map, { systemIdentifier, timeline, lsn, nextXid, clockMs, sentMs, receivedMs });
  const streaming = new Set(sample.walsenders.filter((one) => one.state === 'streaming').map((one) => one.name));
  const ends = Object.values(state.ends).map((end): [string, EndState] => {
    const { name, applicationName } = end.settings;
    // Never of an end that is a primary itself, as this one is: another server may use its name.
    const here = streaming.has(applicationName) && end.seen?.sample.role !== 'primary';
    return [name, { ...end, progress: seeBehind(end, lsn, receivedMs), ...(here ? { linked: { systemIdentifier, timeline } } : {}) }];
  });
  return { ...state, map, ends: Object.fromEntries(ends) };
}

/** The ends are looked at together, and either may answer first. */
function seeBehind({ progress }: EndState, primaryLsn: Lsn, nowMs: MonoMs): EndState['progress'] {
  if (progress === null || progress.behindSinceMs !== null) return progress;
  return (lsnDiffBytes(primaryLsn, progress.position) ?? 0) > 0 ? { ...progress, behindSinceMs: nowMs } : progress;
}

/** Stalled: the primary has been further on for long enough, and meanwhile nothing at all has arrived. */
function seeProgress(state: ClusterState, end: EndState, sample: StandbySample, nowMs: MonoMs): EndState {
  const primary = primaryOf(state);
  const received = receivedLsn(sample);
  if (primary === null || received === null) return { ...end, progress: null, stalled: false };
  const progress = trackProgress(end.progress, received, (lsnDiffBytes(primary.sample.lsn, received) ?? 0) > 0, nowMs);
  return { ...end, progress, stalled: isStalled(progress, state.settings.limits.stallMinMs, nowMs) };
}

/** Feeds the debouncers: an end's own with every look at it, the others' only when a look leaves no doubt. */
function judge(state: ClusterState, probe: Probe): ClusterState {
  const { thresholds } = state.settings;
  const ends = Object.entries(state.ends).map(([name, end]): [string, EndState] => {
    // A look at a standby says nothing about the others, unless it is none.
    if (name !== probe.end && state.primary !== probe.end && !state.twoPrimaries) return [name, end];
    // Figures make no verdict certain: they are worked out only for the end that was looked at.
    const evident = judgeBeforeFigures(evidenceOf(state, name, probe.receivedMs));
    const certain = evident !== null && isCertain(evident);
    if (name !== probe.end && !certain) return [name, end];
    const verdict = evident ?? judgeStandby(factsOf(state, name, probe.receivedMs));
    const look = certain ? 'certain' : verdict.kind === 'promotable' && probe.outcome.ok ? 'good' : 'bad';
    return [name, { ...end, ...publish(end, verdict, look, thresholds, probe.receivedMs) }];
  });
  return { ...state, ends: Object.fromEntries(ends) };
}
