// What is known of one replicating cluster. Plain data; measure.ts changes it, figures.ts and report.ts read it.

import type { Lsn, MonoMs } from '../types.ts';
import { lsnDiffBytes } from '../types.ts';
import type { Thresholds } from './debounce.ts';
import type { Progress } from './progress.ts';
import type { Published } from './published.ts';
import type { EndSample, PrimarySample, StandbySample, Walsender } from './sample.ts';
import type { TimeMap } from './time-map.ts';
import type { Limits } from './verdict.ts';

export type EndSettings = {
  readonly name: string;
  /** `application_name` of its walreceiver. */
  readonly applicationName: string;
  /** The replication slot that it uses on its primary, if any. */
  readonly slot: string | null;
};

export type ClusterSettings = {
  readonly name: string;
  readonly ends: readonly EndSettings[];
  readonly limits: Limits;
  readonly thresholds: Thresholds;
};

export type Seen<S extends EndSample = EndSample> = { readonly sample: S; readonly sentMs: MonoMs; readonly receivedMs: MonoMs };

/** Its verdict is what is published. */
export type EndState = Published & {
  readonly settings: EndSettings;
  /** The newest sample. */
  readonly seen: Seen | null;
  readonly failure: { readonly code: string; readonly message: string; readonly sinceMs: MonoMs } | null;
  /** The history in which it was seen streaming from the primary. */
  readonly linked: { readonly systemIdentifier: string; readonly timeline: number } | null;
  /** Standby: where its received log ends, and whether that moves. */
  readonly progress: Progress | null;
  readonly stalled: boolean;
};

export type ClusterState = {
  readonly settings: ClusterSettings;
  readonly ends: Readonly<Record<string, EndState>>;
  /** The end that is, or was last, the primary of the newest timeline. */
  readonly primary: string | null;
  readonly twoPrimaries: boolean;
  readonly map: TimeMap | null;
};

/** The end that is the primary, with its newest sample; null when none was ever seen. */
export function primaryOf(state: ClusterState): Seen<PrimarySample> | null {
  return state.primary === null ? null : asRole(state.ends[state.primary]?.seen, 'primary');
}

export function asRole<R extends EndSample['role']>(seen: Seen | null | undefined, role: R): Seen<Extract<EndSample, { role: R }>> | null {
  return seen?.sample.role === role ? (seen as Seen<Extract<EndSample, { role: R }>>) : null;
}

export function receivedLsn(sample: StandbySample): Lsn | null {
  // After a restart the receiver reports nothing, or the start of a segment, although all that was replayed is there.
  const { receiveLsn, replayLsn } = sample;
  if (receiveLsn === null || replayLsn === null) return receiveLsn ?? replayLsn;
  return (lsnDiffBytes(receiveLsn, replayLsn) ?? 0) >= 0 ? receiveLsn : replayLsn;
}

/** The primary's walsender for this end, the streaming one if it has several. */
export function walsenderOf(primary: Seen<PrimarySample> | null, end: EndState): Walsender | null {
  let mine: Walsender | null = null;
  for (const one of primary?.sample.walsenders ?? []) {
    if (one.name !== end.settings.applicationName) continue;
    if (one.state === 'streaming') return one;
    mine ??= one;
  }
  return mine;
}
