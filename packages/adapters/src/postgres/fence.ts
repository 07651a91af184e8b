// The epoch check in the resource itself. The store beside the directory guards the member whatever state it is in; the table guards it among
// its sessions and travels with the log. Both only ever go up.

import type { Epoch, Lsn, RegionId } from '@continuum/core';
import { lsn } from '@continuum/core';
import { epochStore } from './cluster.ts';
import { raiseEpoch } from './epoch-store.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';
import type { Session } from './session.ts';

export const stale = (asked: number, accepted: number | string): DatabaseProblem =>
  new DatabaseProblem('CTM_EPOCH_STALE', `epoch ${asked} is refused: this database has accepted epoch ${accepted}`);

/** Raises the stored epoch, durably, or refuses. `inTable` is what the table says, when it could be read. */
export async function acceptInStore(context: PostgresContext, epoch: Epoch, inTable: number): Promise<void> {
  const accepted = await raiseEpoch(epochStore(context), Math.max(epoch, inTable));
  if (accepted > epoch) throw stale(epoch, accepted);
}

/**
 * Records the epoch in the table unless a higher one is there, and thereby proves that the server accepts writes. The commit
 * waits for no standby: the record must also be made while the standby is lost, and a later primary brings its own epoch.
 */
export async function acceptInTable(session: Session, epoch: Epoch, region: RegionId, signal: AbortSignal): Promise<Lsn> {
  const [row] = await session.query(
    signal,
    `WITH locally AS (SELECT set_config('synchronous_commit', 'local', true))
     INSERT INTO continuum.fence AS f (epoch, region) SELECT $1, $2 FROM locally
     ON CONFLICT (only_one) DO UPDATE SET epoch = excluded.epoch, region = excluded.region, accepted_at = now()
       WHERE f.epoch <= excluded.epoch
     RETURNING pg_current_wal_insert_lsn()::text AS lsn`,
    [epoch, region],
    'continuum-accept',
  );
  if (row === undefined) throw stale(epoch, 'a higher one');
  return lsn(String(row['lsn']));
}

/** A commit that waits exactly as an application's would: it returns when whoever must have it has applied it. */
export async function commitCanary(session: Session, signal: AbortSignal): Promise<Lsn> {
  const [row] = await session.query(
    signal,
    `SELECT pg_logical_emit_message(true, 'continuum', '')::text AS lsn, current_setting('synchronous_commit') AS level`,
    [],
    'continuum-canary',
  );
  if (row?.['level'] !== 'remote_apply') {
    throw new DatabaseProblem(
      'CTM_DATABASE_SETTING_WEAK',
      `synchronous_commit is "${String(row?.['level'])}" for the control role: remove the ALTER ROLE/DATABASE setting, it must be remote_apply`,
    );
  }
  return lsn(String(row['lsn']));
}
