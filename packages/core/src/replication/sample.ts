// What one look at one end of a replicating cluster gave. Positions are PostgreSQL's own, clocks are the end's own.

import type { Lsn, MonoMs } from '../types.ts';

/** One walsender, as its primary sees it. */
export type Walsender = {
  /** `application_name`. */
  readonly name: string;
  /** `streaming`, `catchup`, `startup`, `backup` or `stopping`. */
  readonly state: string;
  readonly syncState: string;
  readonly flushLsn: Lsn | null;
  readonly replayLsn: Lsn | null;
};

export type Slot = {
  readonly name: string;
  readonly active: boolean;
  /** `reserved`, `extended`, `unreserved` or `lost`; null for a slot that never held log. */
  readonly walStatus: string | null;
  readonly retainedBytes: number | null;
};

export type PrimarySample = {
  readonly role: 'primary';
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The primary's wall clock, read just before the position. */
  readonly clockMs: number;
  /** End of the log that is safe on the primary's disk: only that is sent, and only that is acknowledged. */
  readonly lsn: Lsn;
  /** The next transaction id: what lies between two of these was written by as many transactions at most. */
  readonly nextXid: number | null;
  readonly walsenders: readonly Walsender[];
  readonly slots: readonly Slot[];
  /** `synchronous_standby_names` as in force. */
  readonly synchronous: string;
  /** Commits that wait for a standby now, and the longest of these waits. */
  readonly syncWaiters: number | null;
  readonly syncWaitMsMax: number | null;
  /** Roles and databases with a `synchronous_commit` of their own that is weaker than `remote_apply`. */
  readonly weakSettings: number | null;
  /** The heartbeat row's counter; null where no canary is written. */
  readonly beat: number | null;
};

export type StandbySample = {
  readonly role: 'standby';
  readonly systemIdentifier: string;
  readonly timeline: number | null;
  readonly clockMs: number;
  /** Safe on the standby's disk. */
  readonly receiveLsn: Lsn | null;
  readonly replayLsn: Lsn | null;
  /** Commit time of the last replayed commit, on the clock of the primary that made it. */
  readonly lastReplayedCommitMs: number | null;
  readonly receiver: {
    readonly streaming: boolean;
    /** `host:port`. */
    readonly source: string | null;
    /** Since its last message of any kind, on the standby's clock. */
    readonly messageAgeMs: number | null;
  } | null;
  readonly replayPaused: boolean;
  /** `recovery_min_apply_delay`. */
  readonly applyDelayMs: number | null;
  /** Queries that replay has cancelled so far. */
  readonly conflicts: number | null;
  readonly beat: number | null;
};

/** An end of which only CloudNativePG's own exporter can be read: its arithmetic, not ours. */
export type ExporterSample = {
  readonly role: 'exporter';
  readonly inRecovery: boolean | null;
  readonly receiverUp: boolean | null;
  readonly walsenders: readonly {
    readonly name: string;
    readonly replayBytes: number | null;
    readonly replayLagMs: number | null;
  }[];
};

export type EndSample = PrimarySample | StandbySample | ExporterSample;

export type ProbeOutcome =
  | { readonly ok: true; readonly sample: EndSample }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** One look, with this process's monotonic time around it. */
export type Probe = {
  readonly end: string;
  readonly sentMs: MonoMs;
  readonly receivedMs: MonoMs;
  readonly outcome: ProbeOutcome;
};
