// The one question about replication, for a primary and a standby alike: one statement, one round trip, one column. The lag
// prober and the controller ask the same one. Everything in it may be asked with `pg_monitor` alone, but for the row that an
// asker keeps in the database itself (a prober its heartbeat, a controller its epoch).

import { lsn } from '@continuum/core';
import type { PrimarySample, StandbySample } from '@continuum/core/replication/sample';
import { z } from 'zod';
import type { Session } from '../postgres/session.ts';

/** What the asker keeps in the database: `heartbeat` the prober's canary, `fence` the accepted epoch. */
export type OwnRow = 'none' | 'heartbeat' | 'fence';

export type EndAnswer = {
  readonly sample: PrimarySample | StandbySample;
  /** Highest epoch in the fence row; null when it was not asked for. */
  readonly epoch: number | null;
};

/**
 * The clock is read before the positions. The primary's position is the flushed one: it alone is sent and acknowledged, and
 * unlike the insert position it is comparable to a standby's at the start of a page or segment. pg_control lags behind a
 * promotion, so a primary's timeline comes from its log's file name.
 *
 * A walreceiver calls itself `streaming` as soon as it is connected, also when the source then refuses it (log gone, history
 * forked), again and again. It streams once it is in its main loop, or has had a message: until then both times of the last
 * message are its own start.
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
         OR (SELECT wait_event FROM pg_stat_activity AS a WHERE a.pid = w.pid) = 'WalReceiverMain' THEN w.status ELSE 'connected' END,
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

/** Null: the answer makes no sense. Rejects as the session does. */
export async function askEnd(session: Session, row: OwnRow, signal: AbortSignal): Promise<EndAnswer | null> {
  const [answered] = await session.query(signal, STATEMENTS[row], [], `continuum-probe-${row}`);
  return readAnswer(answered?.['json_build_object']);
}

const position = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i).transform(lsn).nullable();
const count = z.number().nonnegative();
/** A clock's difference may come out a little negative. */
const elapsedMs = z.number().transform((value) => Math.max(0, value));

const answer = z.object({
  standby: z.boolean(),
  clockMs: z.number(),
  system: z.string().regex(/^\d{1,20}$/),
  timeline: z.number().int().positive().nullable(),
  lsn: position,
  nextXid: z.string().regex(/^\d{1,20}$/).transform(Number).nullable(),
  walsenders: z.array(z.tuple([z.string(), z.string(), z.string(), position, position])).max(1_000).nullable(),
  slots: z.array(z.tuple([z.string(), z.boolean(), z.string().nullable(), z.number().nullable()])).max(1_000).nullable(),
  synchronous: z.string(),
  syncWaits: z.tuple([count, elapsedMs.nullable()]).nullable(),
  weak: count.nullable(),
  receive: position,
  replay: position,
  commitMs: z.number().nullable(),
  receiver: z.tuple([z.string(), z.string().nullable(), elapsedMs.nullable()]).nullable(),
  pause: z.enum(['not paused', 'pause requested', 'paused']).nullable(),
  delayMs: count.nullable(),
  conflicts: count.nullable(),
  beat: count.nullable(),
  epoch: count.nullable(),
});

type Answer = z.infer<typeof answer>;

/** The sample in the server's answer; null when the answer makes no sense. */
export function readAnswer(text: unknown): EndAnswer | null {
  if (typeof text !== 'string') return null;
  const parsed = answer.safeParse(parseJson(text));
  if (!parsed.success) return null;
  const { standby, epoch } = parsed.data;
  const sample = standby ? toStandby(parsed.data) : toPrimary(parsed.data);
  return sample === null ? null : { sample, epoch };
}

function toPrimary(given: Answer): PrimarySample | null {
  if (given.lsn === null || given.timeline === null) return null;
  return {
    role: 'primary',
    systemIdentifier: given.system,
    timeline: given.timeline,
    clockMs: given.clockMs,
    lsn: given.lsn,
    nextXid: given.nextXid,
    walsenders: (given.walsenders ?? []).map(([name, state, syncState, flushLsn, replayLsn]) => ({ name, state, syncState, flushLsn, replayLsn })),
    slots: (given.slots ?? []).map(([name, active, walStatus, retainedBytes]) => ({ name, active, walStatus, retainedBytes })),
    synchronous: given.synchronous,
    syncWaiters: given.syncWaits?.[0] ?? null,
    syncWaitMsMax: given.syncWaits?.[1] ?? null,
    weakSettings: given.weak,
    beat: given.beat,
  };
}

function toStandby(given: Answer): StandbySample {
  const { receiver } = given;
  return {
    role: 'standby',
    systemIdentifier: given.system,
    timeline: given.timeline,
    clockMs: given.clockMs,
    receiveLsn: given.receive,
    replayLsn: given.replay,
    lastReplayedCommitMs: given.commitMs,
    receiver: receiver === null ? null : { streaming: receiver[0] === 'streaming', source: receiver[1], messageAgeMs: receiver[2] },
    replayPaused: given.pause !== 'not paused',
    applyDelayMs: given.delayMs,
    conflicts: given.conflicts,
    beat: given.beat,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
