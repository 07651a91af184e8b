// One question to the running server that answers everything at once.

import { lsn, lsnDiffBytes } from '@continuum/core';
import type { Lsn, StandbyView } from '@continuum/core';
import { parseStandbyList } from './server-settings.ts';
import type { Row, Session } from './session.ts';

/**
 * pg_control's own view lags behind a promotion, so a primary's timeline comes from its log's file name.
 *
 * A walreceiver calls itself `streaming` as soon as it is connected, also when the source then refuses it (log gone, history
 * forked), again and again. It streams once it is in its main loop, or has had a message: until then both times of the last
 * message are its own start.
 */
const SERVER_STATE = `
  SELECT standby, system_identifier::text, setting AS synchronous, epoch,
    CASE WHEN standby THEN greatest(c.timeline_id, r.min_recovery_end_timeline, w.received_tli)
      ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END AS timeline,
    CASE WHEN standby THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
      ELSE pg_current_wal_insert_lsn() END::text AS lsn,
    CASE WHEN standby THEN pg_last_wal_replay_lsn() END::text AS replay_lsn,
    w.status = 'streaming' AND (w.last_msg_send_time <> w.last_msg_receipt_time
      OR (SELECT wait_event FROM pg_stat_activity AS a WHERE a.pid = w.pid) = 'WalReceiverMain') AS streaming,
    w.sender_host || ':' || w.sender_port AS receiver_source,
    (SELECT json_agg(json_build_object('region', application_name, 'state', state, 'sync', sync_state, 'replay', replay_lsn::text))
       FROM pg_stat_replication WHERE state <> 'backup') AS standbys
  FROM pg_is_in_recovery() AS standby,
    pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r,
    (SELECT current_setting('synchronous_standby_names') AS setting) AS y,
    (SELECT coalesce(max(f.epoch), 0)::text AS epoch FROM continuum.fence AS f) AS e
    LEFT JOIN pg_stat_wal_receiver AS w ON true`;

export type ServerState = {
  readonly standby: boolean;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly lsn: Lsn | null;
  readonly replayLsn: Lsn | null;
  readonly receiver: { readonly streaming: boolean; readonly source: string | null } | null;
  readonly standbys: readonly StandbyView[];
  readonly synchronous: readonly string[];
  readonly epoch: number;
};

export async function readServerState(session: Session, signal: AbortSignal): Promise<ServerState> {
  const [row] = await session.query(signal, SERVER_STATE, [], 'continuum-state');
  return toServerState(row ?? {});
}

function toServerState(row: Row): ServerState {
  const position = lsnOrNull(row['lsn']);
  const standby = row['standby'] === true;
  const standbys = Array.isArray(row['standbys']) ? row['standbys'] : [];
  return {
    standby,
    systemIdentifier: String(row['system_identifier']),
    timeline: Number(row['timeline']),
    lsn: position,
    replayLsn: lsnOrNull(row['replay_lsn']),
    receiver: standby
      ? { streaming: row['streaming'] === true, source: (row['receiver_source'] as string | null) ?? null }
      : null,
    standbys: standbys.map((view: Row) => toStandbyView(view, position)),
    synchronous: parseStandbyList(String(row['synchronous'])),
    epoch: Number(row['epoch']),
  };
}

function toStandbyView(view: Row, primaryLsn: Lsn | null): StandbyView {
  const replayLsn = lsnOrNull(view['replay']);
  return {
    region: String(view['region']),
    state: view['state'] as StandbyView['state'],
    syncState: view['sync'] as StandbyView['syncState'],
    replayLsn,
    replayLagBytes: lsnDiffBytes(primaryLsn, replayLsn),
  };
}

const lsnOrNull = (value: unknown): Lsn | null => (typeof value === 'string' ? lsn(value) : null);
