// What is said about a cluster to whoever asks: controllers, operators, metrics. Every figure with its age; what has grown
// too old since the last look is unknown now, whatever the last verdict was.

import type { MonoMs } from '../types.ts';
import { evidenceOf, factsOf, figuresOf } from './figures.ts';
import type { Figures } from './figures.ts';
import { nameOf } from './published.ts';
import { asRole, primaryOf, walsenderOf } from './state.ts';
import type { ClusterState, EndState } from './state.ts';
import { judgeBeforeFigures, judgeStandby } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export type StandbyReport = {
  readonly name: string;
  /** Debounced. */
  readonly verdict: Verdict;
  /** How long it has been this; null before the first look. */
  readonly verdictForMs: number | null;
  /** Of the newest look alone. */
  readonly newest: Verdict;
  readonly lag: { readonly bytes: Figures['lagBytes']; readonly milliseconds: Figures['lagMs'] };
  /** What a promotion now would lose: log that the standby does not have. */
  readonly loss: {
    readonly bytes: Figures['lossBytes'];
    readonly milliseconds: Figures['lossMs'];
    readonly commits: Figures['lossCommits'];
    /** For the record of a forced promotion. */
    readonly text: string;
  };
  /** `sync` or `quorum`: commits wait for it, at the primary's last word. */
  readonly syncState: string | null;
  readonly walsender: string | null;
  readonly receiver: { readonly streaming: boolean; readonly source: string | null; readonly messageAgeMs: number | null } | null;
  readonly replayPaused: boolean | null;
  readonly applyDelayMs: number | null;
  readonly conflicts: number | null;
  readonly slot: { readonly name: string; readonly walStatus: string | null; readonly retainedBytes: number | null } | null;
};

/** What is kept of every round: the report's figures and verdict, without what is only made for a reader. */
export type StandbySummary = Pick<StandbyReport, 'name' | 'verdict' | 'lag'> & { readonly loss: Pick<StandbyReport['loss'], 'milliseconds'> };

export type EndReport = {
  readonly name: string;
  readonly role: 'primary' | 'standby' | 'exporter' | 'unknown';
  readonly timeline: number | null;
  /** Since the last answer was asked for; null without one. */
  readonly ageMs: number | null;
  readonly failure: { readonly code: string; readonly message: string; readonly forMs: number } | null;
};

export type ClusterReport = {
  readonly cluster: string;
  readonly primary: {
    readonly name: string;
    readonly timeline: number;
    readonly lsn: string;
    readonly ageMs: number;
    readonly synchronous: string;
    readonly syncWaiters: number | null;
    readonly syncWaitMsMax: number | null;
    readonly weakSettings: number | null;
  } | null;
  readonly standbys: readonly StandbyReport[];
  readonly ends: readonly EndReport[];
};

export function reportCluster(state: ClusterState, nowMs: MonoMs): ClusterReport {
  const primary = primaryOf(state);
  return {
    cluster: state.settings.name,
    primary:
      primary === null || state.primary === null
        ? null
        : {
            name: state.primary,
            timeline: primary.sample.timeline,
            lsn: primary.sample.lsn,
            ageMs: nowMs - primary.sentMs,
            synchronous: primary.sample.synchronous,
            syncWaiters: primary.sample.syncWaiters,
            syncWaitMsMax: primary.sample.syncWaitMsMax,
            weakSettings: primary.sample.weakSettings,
          },
    standbys: standbysOf(state).map((end) => reportStandby(state, end, nowMs)),
    ends: Object.values(state.ends).map((end) => reportEnd(end, nowMs)),
  };
}

export function summariseStandbys(state: ClusterState, nowMs: MonoMs): StandbySummary[] {
  return standbysOf(state).map((end) => {
    const { name } = end.settings;
    const { lagBytes, lagMs, lossMs } = figuresOf(state, name, nowMs);
    // Figures say nothing of what went stale.
    const verdict = verdictInForce(end, judgeBeforeFigures(evidenceOf(state, name, nowMs)));
    return { name, verdict, lag: { bytes: lagBytes, milliseconds: lagMs }, loss: { milliseconds: lossMs } };
  });
}

const standbysOf = (state: ClusterState): EndState[] => Object.values(state.ends).filter((end) => end.settings.name !== state.primary || state.twoPrimaries);

/** Evidence that went stale without any look counts at once: nobody was there to feed the debouncer. */
const verdictInForce = (end: EndState, newest: Verdict | null): Verdict => (newest !== null && ['standby-silent', 'primary-silent'].includes(nameOf(newest)) ? newest : end.verdict);

function reportStandby(state: ClusterState, end: EndState, nowMs: MonoMs): StandbyReport {
  const facts = factsOf(state, end.settings.name, nowMs);
  const newest = judgeStandby(facts);
  const verdict = verdictInForce(end, newest);
  const primary = primaryOf(state);
  const walsender = walsenderOf(primary, end);
  const sample = asRole(end.seen, 'standby')?.sample ?? null;
  const slot = primary?.sample.slots.find((one) => one.name === end.settings.slot) ?? null;
  const { lossBytes, lossMs, lossCommits } = facts;
  return {
    name: end.settings.name,
    verdict,
    verdictForMs: end.verdictSinceMs === null || verdict !== end.verdict ? null : nowMs - end.verdictSinceMs,
    newest,
    lag: { bytes: facts.lagBytes, milliseconds: facts.lagMs },
    loss: { bytes: lossBytes, milliseconds: lossMs, commits: lossCommits, text: lossText(facts, walsender?.syncState ?? null) },
    syncState: walsender?.syncState ?? null,
    walsender: walsender?.state ?? null,
    receiver: sample?.receiver ?? null,
    replayPaused: sample?.replayPaused ?? null,
    applyDelayMs: sample?.applyDelayMs ?? null,
    conflicts: sample?.conflicts ?? null,
    slot: slot === null ? null : { name: slot.name, walStatus: slot.walStatus, retainedBytes: slot.retainedBytes },
  };
}

/** One sentence for `--estimated-loss`. Never says "nothing" of what it does not know. */
export function lossText({ lossBytes, lossMs, lossCommits }: Pick<Figures, 'lossBytes' | 'lossMs' | 'lossCommits'>, syncState: string | null): string {
  const age = lossMs.ageMs === null ? '' : `, measured ${(lossMs.ageMs / 1_000).toFixed(1)} s ago`;
  const promise = syncState === 'sync' || syncState === 'quorum' ? '; commits waited for this standby then' : '';
  if (lossBytes.value === 0) return `nothing was missing${age}`;
  const seconds = lossMs.value === null ? null : `the last ${(lossMs.value / 1_000).toFixed(1)} s`;
  const commits = lossCommits.value === null ? null : `${lossCommits.confidence === 'weak' ? 'about' : 'at most'} ${lossCommits.value} transactions`;
  const known = [commits, seconds].filter((part) => part !== null).join(', ');
  if (known === '') return `unknown (${lossMs.reason ?? 'not measured'})`;
  return `${lossMs.confidence === 'weak' ? 'estimated: ' : ''}${known}${age}${promise}`;
}

function reportEnd({ settings, seen, failure }: EndState, nowMs: MonoMs): EndReport {
  const { sample } = seen ?? { sample: null };
  return {
    name: settings.name,
    role: sample?.role ?? 'unknown',
    timeline: sample === null || sample.role === 'exporter' ? null : sample.timeline,
    ageMs: seen === null ? null : nowMs - seen.sentMs,
    failure: failure === null ? null : { code: failure.code, message: failure.message, forMs: nowMs - failure.sinceMs },
  };
}
