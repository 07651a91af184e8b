// The one question about replication, for a primary and a standby alike: one statement, one round trip, one column. The lag
// prober and the controller ask the same one. Everything in it may be asked with `pg_monitor` alone, but for the row that an
// asker keeps in the database itself (a prober its heartbeat, a controller its epoch).

import { toQuestion } from '../postgres/line.ts';
import type { Question } from '../postgres/line.ts';
import type { Session } from '../postgres/session.ts';
import { readAnswer } from './answer.ts';
import type { EndAnswer } from './answer.ts';

/** What the asker keeps in the database: `heartbeat` the prober's canary, `fence` the accepted epoch. */
export type OwnRow = 'none' | 'heartbeat' | 'fence';

/** A connection, its login and the refusal, over the longest way and with the machines busy. */
const REFUSED_WITHIN_MS = 2_000;

/**
 * The clock is read before the positions. The primary's position is the flushed one: it alone is sent and acknowledged, and
 * unlike the insert position it is comparable to a standby's at the start of a page or segment. pg_control lags behind a
 * promotion, so a primary's timeline comes from its log's file name.
 *
 * A walreceiver calls itself `streaming` as soon as it is connected, also when the source then refuses it (log gone, history
 * forked), again and again. It streams once it has had a message: until then both times of the last message are its own
 * start. An idle source may send none for half of the receiver's timeout, so waiting in the main loop counts too, after a
 * while: a refused receiver waits there as well, for the refusal that is on its way.
 */
const statement = (row: OwnRow): string => `
  SELECT json_build_object(
    'standby', standby, 'clockMs', extract(epoch FROM clock_timestamp()) * 1000, 'system', s.system_identifier::text,
    'timeline', CASE WHEN standby THEN greatest(c.timeline_id, r.min_recovery_end_timeline, w.received_tli)
      ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int END,
    'lsn', CASE WHEN NOT standby THEN pg_current_wal_flush_lsn() END,
    'nextXid', CASE WHEN NOT standby THEN pg_snapshot_xmax(pg_current_snapshot())::text END,
    'walsenders', (SELECT json_agg(json_build_array(application_name, state, sync_state, flush_lsn, replay_lsn))
       FROM pg_stat_replication WHERE state <> 'backup'),
    'slots', CASE WHEN NOT standby THEN (SELECT json_agg(json_build_array(slot_name, active, wal_status,
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn))) FROM pg_replication_slots WHERE slot_type = 'physical') END,
    'synchronous', current_setting('synchronous_standby_names'),
    'syncWaits', CASE WHEN NOT standby THEN (SELECT json_build_array(count(*), extract(epoch FROM max(clock_timestamp() - query_start)) * 1000)
       FROM pg_stat_activity WHERE wait_event = 'SyncRep') END,
    'weak', CASE WHEN NOT standby THEN (SELECT count(*) FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS one
       WHERE one LIKE 'synchronous\\_commit=%' AND one <> 'synchronous_commit=remote_apply') END,
    'receive', CASE WHEN standby THEN pg_last_wal_receive_lsn() END, 'replay', CASE WHEN standby THEN pg_last_wal_replay_lsn() END,
    'commitMs', CASE WHEN standby THEN extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000 END,
    'receiver', CASE WHEN w.pid IS NOT NULL THEN json_build_array(
       CASE WHEN w.status <> 'streaming' OR w.last_msg_send_time <> w.last_msg_receipt_time
         OR (w.last_msg_receipt_time < clock_timestamp() - interval '${REFUSED_WITHIN_MS} ms'
           AND (SELECT wait_event FROM pg_stat_activity AS a WHERE a.pid = w.pid) = 'WalReceiverMain') THEN w.status ELSE 'connected' END,
       w.sender_host || ':' || w.sender_port,
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time) * 1000) END,
    'pause', CASE WHEN standby THEN pg_get_wal_replay_pause_state() END,
    'delayMs', CASE WHEN standby THEN extract(epoch FROM current_setting('recovery_min_apply_delay')::interval) * 1000 END,
    'conflicts', CASE WHEN standby THEN (SELECT sum(confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock)
       FROM pg_stat_database_conflicts) END,
    'beat', ${row === 'heartbeat' ? '(SELECT beat FROM continuum.heartbeat)' : 'NULL'},
    'epoch', ${row === 'fence' ? '(SELECT coalesce(max(epoch), 0) FROM continuum.fence)' : 'NULL'}
  )::text
  FROM pg_is_in_recovery() AS standby, pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r
    LEFT JOIN pg_stat_wal_receiver AS w ON true`;

/** Three texts for all connections: a thousand clusters must not keep two thousand of them. */
const STATEMENTS: Readonly<Record<OwnRow, string>> = { none: statement('none'), heartbeat: statement('heartbeat'), fence: statement('fence') };
const nameOf = (row: OwnRow): string => `continuum-probe-${row}`;
/** The same as bytes, for a connection that asks nothing else. */
export const QUESTIONS: Readonly<Record<Exclude<OwnRow, 'fence'>, Question>> = {
  none: toQuestion(nameOf('none'), STATEMENTS.none),
  heartbeat: toQuestion(nameOf('heartbeat'), STATEMENTS.heartbeat),
};

/** Null: the answer makes no sense. Rejects as the session does. */
export async function askEnd(session: Session, row: OwnRow, signal: AbortSignal): Promise<EndAnswer | null> {
  const [answered] = await session.query(signal, STATEMENTS[row], [], nameOf(row));
  return readAnswer(answered?.['json_build_object']);
}
