// What is known of one replicating cluster: its ends as last seen, the primary's position-to-time map, and a debounced
// verdict per standby. `absorbProbe` takes one look at one end; `reportCluster` says what that means at a given time,
// because everything that is known also grows old without any event.

import { assert } from '../assert.ts';
import type { Lsn, MonoMs } from '../types.ts';
import { lsnDiffBytes } from '../types.ts';
import { evidenceOf, figuresOf } from './figures.ts';
import { isStalled, trackProgress } from './progress.ts';
import { NEVER_JUDGED, publish } from './published.ts';
import type { PrimarySample, Probe, StandbySample } from './sample.ts';
import { asRole, primaryOf, receivedLsn } from './state.ts';
import type { ClusterSettings, ClusterState, EndState } from './state.ts';
import { extendMap } from './time-map.ts';
import { isCertain, judgeBeforeFigures, judgeFigures, PROMOTABLE } from './verdict.ts';

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

/** The state that a look makes, while it is made: a copy of the one before, of which nothing else knows yet. */
type Draft = { -readonly [Key in keyof ClusterState]: ClusterState[Key] } & { readonly ends: Record<string, EndState> };
type EndDraft = { -readonly [Key in keyof EndState]: EndState[Key] };

/** Takes one look into the state. A look at an end that the settings do not name is a programming error. */
export function absorbProbe(state: ClusterState, probe: Probe): ClusterState {
  const before = state.ends[probe.end];
  assert(before !== undefined, 'REPLICATION_END_UNKNOWN', probe.end);
  assert(probe.receivedMs >= probe.sentMs, 'REPLICATION_PROBE_TIMES', probe.end);
  if (before.seen !== null && probe.receivedMs < before.seen.receivedMs) return state;
  const end: EndDraft = { ...before };
  const draft: Draft = { ...state, ends: { ...state.ends, [probe.end]: end } };
  seeEnd(end, probe);
  choosePrimary(draft, probe.receivedMs);
  const { outcome } = probe;
  if (outcome.ok && outcome.sample.role === 'primary' && draft.primary === probe.end && !draft.twoPrimaries) seePrimary(draft, outcome.sample, probe);
  if (outcome.ok && outcome.sample.role === 'standby') seeProgress(draft, end, outcome.sample, probe.receivedMs);
  judge(draft, probe);
  return draft;
}

function seeEnd(end: EndDraft, { outcome, sentMs, receivedMs }: Probe): void {
  if (outcome.ok) {
    const { sample } = outcome;
    // A primary makes a history of its own: what it once followed proves nothing any more.
    if (sample.role === 'primary') end.linked = null;
    end.seen = { sample, sentMs, receivedMs };
    end.failure = null;
    return;
  }
  const { code, message } = outcome;
  end.failure = { code, message, sinceMs: end.failure?.sinceMs ?? sentMs };
}

/** The primary of the newest timeline among those seen lately; the last known one stays until another is seen. */
function choosePrimary(draft: Draft, nowMs: MonoMs): void {
  const { evidenceAgeMaxMs } = draft.settings.limits;
  let [newest, found]: [number, string[]] = [Number.NEGATIVE_INFINITY, []];
  for (const [name, { seen }] of Object.entries(draft.ends)) {
    const primary = asRole(seen, 'primary');
    if (primary === null || nowMs - primary.sentMs > evidenceAgeMaxMs || primary.sample.timeline < newest) continue;
    if (primary.sample.timeline > newest) [newest, found] = [primary.sample.timeline, []];
    found.push(name);
  }
  const [first] = found;
  if (first !== undefined && !found.some((name) => name === draft.primary)) draft.primary = first;
  draft.twoPrimaries = found.length > 1;
}

function seePrimary(draft: Draft, sample: PrimarySample, { sentMs, receivedMs }: Probe): void {
  const { systemIdentifier, timeline, lsn, nextXid, clockMs } = sample;
  draft.map = extendMap(draft.map, { systemIdentifier, timeline, lsn, nextXid, clockMs, sentMs, receivedMs });
  for (const [name, end] of Object.entries(draft.ends)) {
    const { applicationName } = end.settings;
    // Never of an end that is a primary itself, as this one is: another server may use its name.
    const isHere = end.seen?.sample.role !== 'primary' && sample.walsenders.some((one) => one.state === 'streaming' && one.name === applicationName);
    const isKnown = end.linked?.systemIdentifier === systemIdentifier && end.linked.timeline === timeline;
    const linked = isHere && !isKnown ? { systemIdentifier, timeline } : end.linked;
    const progress = seeBehind(end, lsn, receivedMs);
    if (progress !== end.progress || linked !== end.linked) draft.ends[name] = { ...end, progress, linked };
  }
}

/** The ends are looked at together, and either may answer first. */
function seeBehind({ progress }: EndState, primaryLsn: Lsn, nowMs: MonoMs): EndState['progress'] {
  if (progress === null || progress.behindSinceMs !== null) return progress;
  return (lsnDiffBytes(primaryLsn, progress.position) ?? 0) > 0 ? { ...progress, behindSinceMs: nowMs } : progress;
}

/** Stalled: the primary has been further on for long enough, and meanwhile nothing at all has arrived. */
function seeProgress(draft: Draft, end: EndDraft, sample: StandbySample, nowMs: MonoMs): void {
  const primary = primaryOf(draft);
  const received = receivedLsn(sample);
  if (primary === null || received === null) {
    end.progress = null;
    end.stalled = false;
    return;
  }
  end.progress = trackProgress(end.progress, received, (lsnDiffBytes(primary.sample.lsn, received) ?? 0) > 0, nowMs);
  end.stalled = isStalled(end.progress, draft.settings.limits.stallMinMs, nowMs);
}

/** Feeds the debouncers: an end's own with every look at it, the others' only when a look leaves no doubt. */
function judge(draft: Draft, probe: Probe): void {
  const { thresholds } = draft.settings;
  for (const [name, end] of Object.entries(draft.ends)) {
    // A look at a standby says nothing about the others, unless it is none.
    if (name !== probe.end && draft.primary !== probe.end && !draft.twoPrimaries) continue;
    // Figures make no verdict certain: they are worked out only for the end that was looked at.
    const evident = judgeBeforeFigures(evidenceOf(draft, name, probe.receivedMs));
    const certain = evident !== null && isCertain(evident);
    if (name !== probe.end && !certain) continue;
    const verdict = evident ?? judgeFigures(draft.settings.limits, figuresOf(draft, name, probe.receivedMs)) ?? PROMOTABLE;
    const look = certain ? 'certain' : verdict.kind === 'promotable' && probe.outcome.ok ? 'good' : 'bad';
    draft.ends[name] = { ...end, ...publish(end, verdict, look, thresholds, probe.receivedMs) };
  }
}
