// Which timeline a standby is on. PostgreSQL has no function for it while in recovery.

import type { Member } from './member.ts';
import type { ServerState } from './server-state.ts';

/**
 * The newest timeline of which this standby holds the log that it replayed last. pg_control and the walreceiver may lag
 * behind (or be gone with the old primary); the log's own files do not.
 */
export async function replayTimeline(member: Member, state: ServerState, signal: AbortSignal): Promise<number> {
  const [row] = await member.control.query(
    signal,
    `SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) AS timeline FROM pg_ls_waldir(),
       (SELECT setting::numeric AS size FROM pg_settings WHERE name = 'wal_segment_size') AS s,
       (SELECT div($1::pg_lsn - '0/0'::pg_lsn - 1, setting::numeric) AS number, div(4294967296, setting::numeric) AS per_id
          FROM pg_settings WHERE name = 'wal_segment_size') AS n
     WHERE name ~ '^[0-9A-F]{24}$'
       AND substr(name, 9) = upper(lpad(to_hex(div(n.number, n.per_id)::bigint), 8, '0') || lpad(to_hex(mod(n.number, n.per_id)::bigint), 8, '0'))`,
    [state.replayLsn],
  );
  return Math.max(state.timeline, Number(row?.['timeline'] ?? 0));
}
