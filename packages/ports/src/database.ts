// One region's database: the local member of a primary/standby pair that replicates synchronously (`remote_apply`).

import type { DemotionToken, Epoch, Lsn, RegionId } from '@continuum/core';
import type { Result } from './result.ts';

/** A standby as its primary sees it (one walsender). */
export type StandbyView = {
  /** `application_name` of the walsender; the standby's region id. */
  readonly region: string;
  readonly state: 'startup' | 'catchup' | 'streaming' | 'backup' | 'stopping';
  readonly syncState: 'async' | 'potential' | 'sync' | 'quorum';
  readonly replayLsn: Lsn | null;
  /** Bytes of log that this primary has and the standby has not replayed; null when unknown. */
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
  /** Primary: current insert position. Standby: last position received. */
  readonly lsn: Lsn | null;
  /** Standby only: last position replayed. */
  readonly replayLsn: Lsn | null;
  /** Standby only: a walreceiver is connected and streaming, and from which `host:port`. */
  readonly receiver: { readonly streaming: boolean; readonly source: string | null } | null;
  /** Primary only. */
  readonly standbys: readonly StandbyView[];
  /** Regions in `synchronous_standby_names` as in force now; empty when commits wait for nobody. */
  readonly synchronous: readonly string[];
  /** Highest epoch that this database has accepted, from its own store; 0 when none. */
  readonly epoch: number;
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

/**
 * Every mutating call carries the epoch under which it is made and is refused with `CTM_EPOCH_STALE` when the database has
 * accepted a higher one (checked in the resource: an SQL predicate, or a compare-and-set file when it is down).
 * All calls are idempotent and may be retried; all end by the signal. Failure codes: `CTM_DATABASE_*`.
 */
export interface DatabasePort {
  /** Never fails: what cannot be learned is `unknown`. Bounded by the signal. */
  observe(signal: AbortSignal): Promise<DatabaseObservation>;
  /**
   * Makes this member a primary that accepts writes, whatever it was (standby: promote; down and primary-shaped: start;
   * primary: nothing), and proves it by a write that records the epoch. With a token: refuses unless this member has
   * replayed exactly that history (`CTM_DATABASE_TOKEN_MISMATCH`). Afterwards no commit waits for a standby.
   */
  promote(
    request: { epoch: Epoch; region: RegionId; token: DemotionToken | null },
    signal: AbortSignal,
  ): Promise<Result<{ timeline: number; lsn: Lsn }>>;
  /** Stops the primary cleanly so that its standby has everything, and returns where its history ended. */
  demote(request: { epoch: Epoch }, signal: AbortSignal): Promise<Result<DemotionToken>>;
  /**
   * Makes this member a standby that follows `source`: start, else rewind, else base backup. Never overwrites a cluster with another
   * system identifier (`CTM_DATABASE_FOREIGN_CLUSTER`). Returns when it is started; streaming is seen by `observe`.
   */
  rejoin(
    request: { epoch: Epoch; source: { region: RegionId; host: string; port: number } },
    signal: AbortSignal,
  ): Promise<Result<RejoinReport>>;
  /**
   * Makes commits wait (`remote_apply`) for all of `standbys`, or for nobody when empty, and returns when that is in
   * force for every session, including that each named standby has replayed all that was committed before.
   */
  setSynchronous(
    request: { epoch: Epoch; standbys: readonly RegionId[] },
    signal: AbortSignal,
  ): Promise<Result<null>>;
}
