// What the server to follow says about itself, asked through psql with the very connection string that the walreceiver,
// pg_rewind and pg_basebackup will use: if this works, they can connect.

import { lsn, lsnBytes } from '@continuum/core';
import type { Lsn } from '@continuum/core';
import { parseHistory } from './cluster.ts';
import type { HistoryEntry } from './cluster.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';
import { peerConnection } from './server-settings.ts';
import { lastWords, runTool } from './tools.ts';

export type SourceAddress = { readonly host: string; readonly port: number };

export type SourceView = {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** End of its flushed log. */
  readonly lsn: Lsn;
  readonly history: readonly HistoryEntry[];
  /** Log before this position is gone there. */
  readonly oldestLsn: Lsn;
};

/** A position in the log: on which timeline, and where the last record there starts or ends. */
export type Position = { readonly timeline: number; readonly lsn: Lsn };

export async function readSource(context: PostgresContext, source: SourceAddress, signal: AbortSignal): Promise<SourceView> {
  const [identity = '', state = ''] = await ask(context, source, signal, [
    'IDENTIFY_SYSTEM',
    `SELECT pg_is_in_recovery(), timeline_id, setting,
       (SELECT min(substr(name, 9)) FROM pg_ls_dir('pg_wal', true, false) AS name WHERE name ~ '^[0-9A-F]{24}$')
     FROM pg_control_checkpoint(), pg_settings WHERE pg_settings.name = 'wal_segment_size'`,
  ]);
  const [systemIdentifier = '', timelineText = '', position = ''] = identity.split('|');
  const [inRecovery = '', checkpointTimeline = '', segmentBytes = '', oldestSegment = ''] = state.split('|');
  const timeline = Number(timelineText);
  if (!/^\d+$/.test(systemIdentifier) || !(timeline > 0) || !/^[0-9A-F]{16}$/.test(oldestSegment)) {
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `${source.host}:${source.port} gave an answer that makes no sense`);
  }
  if (inRecovery !== 'f') {
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_NOT_PRIMARY', `${source.host}:${source.port} is a standby itself: wait until it is promoted`);
  }
  // Right after a promotion its control file still names the old timeline, and pg_rewind before 16 believes that.
  if (Number(checkpointTimeline) !== timeline) await ask(context, source, signal, ['CHECKPOINT']);
  const history = timeline === 1 ? [] : await readHistory(context, source, timeline, signal);
  return { systemIdentifier, timeline, lsn: lsn(position), history, oldestLsn: segmentStart(oldestSegment, Number(segmentBytes)) };
}

/** Where the source's history leaves the one of `position`: null when the position is on it, else the fork (or null: no common timeline). */
export function forkFrom(source: SourceView, position: Position, kind: 'start' | 'end'): { readonly at: Lsn | null } | null {
  const end = position.timeline === source.timeline ? source.lsn : source.history.find((entry) => entry.timeline === position.timeline)?.endLsn;
  if (end === undefined) return { at: null };
  const [at, limit] = [lsnBytes(position.lsn) ?? 0n, lsnBytes(end) ?? 0n];
  // A record that starts before the fork is on both sides of it; a log that ends at the fork is, too.
  return (kind === 'start' ? at < limit : at <= limit) ? null : { at: end };
}

/** One row: the file's name, then its content. */
async function readHistory(context: PostgresContext, source: SourceAddress, timeline: number, signal: AbortSignal): Promise<HistoryEntry[]> {
  const row = (await ask(context, source, signal, [`TIMELINE_HISTORY ${timeline}`])).join('\n');
  const history = parseHistory(row.slice(row.indexOf('|') + 1));
  if (history.length > 0) return history;
  throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `${source.host}:${source.port} gave no history of its timeline ${timeline}`);
}

async function ask(context: PostgresContext, source: SourceAddress, signal: AbortSignal, commands: readonly string[]): Promise<string[]> {
  const connection = peerConnection(context, source, { dbname: context.database, replication: 'database' });
  const args = ['-X', '-A', '-t', '-q', '-w', '-v', 'ON_ERROR_STOP=1', '-d', connection, ...commands.flatMap((command) => ['-c', command])];
  const output = await runTool(context, 'psql', args, signal);
  if (output.code !== 0) {
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `${source.host}:${source.port} cannot be asked: ${lastWords(output)}`);
  }
  return output.stdout.split('\n');
}

/** From a segment file's name without its timeline: two groups of 8 hexadecimal digits. */
function segmentStart(name: string, segmentBytes: number): Lsn {
  const [high, low] = [name.slice(0, 8), name.slice(8)].map((digits) => BigInt(`0x${digits}`)) as [bigint, bigint];
  const start = (high << 32n) + low * BigInt(segmentBytes);
  return lsn(`${(start >> 32n).toString(16)}/${(start & 0xffffffffn).toString(16)}`.toUpperCase());
}
