// What a region's database looks like from its controller. Every field that can be unknown says so; unknown is never 0.

import type { Lsn } from '../types.ts';

/** A standby as its primary sees it (one walsender). */
export type StandbyView = {
  /** `application_name` of the walsender; the standby's region id. */
  readonly region: string;
  readonly state: 'startup' | 'catchup' | 'streaming' | 'backup' | 'stopping';
  readonly syncState: 'async' | 'potential' | 'sync' | 'quorum';
  readonly replayLsn: Lsn | null;
  /** Bytes of log that this primary has on disk and the standby has not replayed; null when unknown. */
  readonly replayLagBytes: number | null;
};

export type DatabaseObservation = {
  /**
   * `down`: no postmaster answers. `starting`: one exists, and is in crash recovery, starting or stopping.
   * `unknown`: it could not be asked in time; never read as "down" or as lag 0.
   */
  readonly role: 'primary' | 'standby' | 'down' | 'starting' | 'unknown';
  /**
   * What the data directory is, whether or not it runs. `empty`: no cluster there (also after a base backup that did not finish).
   * `primary` / `standby`: what it would come up as.
   */
  readonly shape: 'primary' | 'standby' | 'empty';
  readonly systemIdentifier: string | null;
  readonly timeline: number | null;
  /** Primary: end of the log on its disk, which alone is sent and acknowledged. Standby: last position received. */
  readonly lsn: Lsn | null;
  /** Standby only: last position replayed. */
  readonly replayLsn: Lsn | null;
  /** Standby only: a walreceiver is connected and streaming, and from which `host:port`. */
  readonly receiver: {
    readonly streaming: boolean;
    readonly source: string | null;
    /** Since its last message of any kind, on this member's own clock; null before the first. */
    readonly messageAgeMs: number | null;
  } | null;
  /** Standby only: somebody paused replay. Null when unknown, or not a standby. */
  readonly replayPaused: boolean | null;
  /** Primary only. */
  readonly standbys: readonly StandbyView[];
  /** Regions in `synchronous_standby_names` as in force now; empty when commits wait for nobody. */
  readonly synchronous: readonly string[];
  /** Highest epoch that this database has accepted, from its own store; 0 when none. An attempt raises it, also one that was refused. */
  readonly epoch: number;
  /** Epoch of the last promotion that was proved, as the log itself says, here or where the log came from. Null: nobody could be asked. */
  readonly recordedEpoch: number | null;
  /** Why the role is `unknown` or `down`, for status; null otherwise. */
  readonly problem: string | null;
};

export type RejoinReport = {
  readonly method: 'start' | 'rewind' | 'base-backup';
  /** Log this member had and the new history has not: from..to on its old timeline; null when nothing was discarded. */
  readonly discarded: { readonly from: Lsn; readonly to: Lsn } | null;
  /** Where the divergent data directory was moved to, when it was kept. */
  readonly keptAt: string | null;
};
