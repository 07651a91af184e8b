// One region's database: the local member of a primary/standby pair that replicates synchronously (`remote_apply`).

import type { DatabaseObservation, DemotionToken, Epoch, Lsn, RegionId, RejoinReport } from '@continuum/core';
import type { Result } from './result.ts';

export type { DatabaseObservation, RejoinReport, StandbyView } from '@continuum/core';

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
   * replayed exactly that history, gave the token itself, or has recorded this very epoch (`CTM_DATABASE_TOKEN_MISMATCH`). A refusal
   * raises the accepted epoch and records nothing. Afterwards no commit waits for a standby; only a running
   * primary that had completed this very promotion before keeps whom its commits wait for since.
   * A promotion that timed out may still complete by itself: repeat it, or stop the member by `demote` or `rejoin`.
   */
  promote(
    request: { epoch: Epoch; region: RegionId; token: DemotionToken | null },
    signal: AbortSignal,
  ): Promise<Result<{ timeline: number; lsn: Lsn }>>;
  /** Makes the next clean stop quick (a checkpoint now), while the primary goes on serving. Failure: nothing is lost. */
  prewarm(signal: AbortSignal): Promise<Result<null>>;
  /**
   * Stops the primary cleanly so that its standby has everything, and returns where its history ended. Out of time, it is
   * stopped all the same (`CTM_DATABASE_TIMEOUT`), without a token; then and after a crash: `CTM_DATABASE_NOT_CLEAN`.
   */
  demote(request: { epoch: Epoch }, signal: AbortSignal): Promise<Result<DemotionToken>>;
  /**
   * Makes this member a standby that follows `source`: start, else rewind, else base backup. Never overwrites a cluster with another
   * system identifier (`CTM_DATABASE_FOREIGN_CLUSTER`), and touches nothing before `source` was proved a primary under this epoch or
   * a higher one (`CTM_DATABASE_SOURCE_UNPROVED`). Returns when it streams; give it minutes: one that is cut off while it
   * rewinds or copies begins anew with a base backup.
   * With `preserve` it is only started or pointed at `source`, never rewound or copied over: the register still counts on it.
   * It returns at once then, whether `source` answers or not; `CTM_DATABASE_WOULD_DISCARD` when it is not standby-shaped.
   */
  rejoin(
    request: { epoch: Epoch; source: { region: RegionId; host: string; port: number }; preserve: boolean },
    signal: AbortSignal,
  ): Promise<Result<RejoinReport>>;
  /**
   * Makes commits wait (`remote_apply`) for all of `standbys`, or for nobody when empty, and returns when that is in
   * force for every session, including that each named standby has replayed all that was committed before.
   * `CTM_DATABASE_STANDBY_MISSING` when one is not connected: nothing was changed. Out of time, it may be in force.
   */
  setSynchronous(
    request: { epoch: Epoch; standbys: readonly RegionId[] },
    signal: AbortSignal,
  ): Promise<Result<null>>;
}
