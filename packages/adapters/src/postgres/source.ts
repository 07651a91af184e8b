// What the server to follow says about itself, asked through psql with the very connection string that the walreceiver,
// pg_rewind and pg_basebackup will use: if this works, they can connect.

import { lsn } from '@continuum/core';
import type { Epoch, Lsn } from '@continuum/core';
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

/** A piece of one log segment: its name without the timeline, and the bytes in it. */
export type LogPage = { readonly segment: string; readonly offset: number; readonly length: number };

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

/**
 * A promotion that was given up may take effect in a later hand-over: its server is a primary then, and lacks what the giver wrote last.
 * Until the source has recorded this epoch, what would be replaced may be all that can still serve.
 */
export async function assertProved(context: PostgresContext, source: SourceAddress, epoch: Epoch, signal: AbortSignal): Promise<void> {
  const [recorded = ''] = await ask(context, source, signal, ['SELECT coalesce(max(epoch), 0) FROM continuum.fence']).catch((error: unknown) => {
    if (!(error instanceof DatabaseProblem) || !/permission denied/.test(error.message)) throw error;
    const fix = `let ${context.replicationUser} read continuum.fence: run the statements of setup again, on the primary`;
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNPROVED', `${source.host}:${source.port} does not tell under which epoch it was promoted: ${fix}`);
  });
  if (Number(recorded) >= epoch) return;
  throw new DatabaseProblem(
    'CTM_DATABASE_SOURCE_UNPROVED',
    `${source.host}:${source.port} has recorded epoch ${recorded}: nothing is given up for it before it has recorded ${epoch}`,
  );
}

/** Up to where the source's history has this timeline; null when it never had it. */
export function endOnSource(source: SourceView, timeline: number): Lsn | null {
  if (timeline === source.timeline) return source.lsn;
  return source.history.find((entry) => entry.timeline === timeline)?.endLsn ?? null;
}

/**
 * The source's bytes of the log's page that ends at or contains `upTo`, up to there; null when it has dropped them.
 * The newest file of that segment holds the log of the older timelines up to where they ended.
 */
export async function readSourcePage(context: PostgresContext, source: SourceAddress, page: LogPage, signal: AbortSignal): Promise<Buffer | null> {
  const [hex = ''] = await ask(context, source, signal, [
    `SELECT encode(pg_read_binary_file('pg_wal/' || max(name), ${page.offset}, ${page.length}, true), 'hex')
     FROM pg_ls_dir('pg_wal', true, false) AS name WHERE name ~ '^[0-9A-F]{24}$' AND substr(name, 9) = '${page.segment}'`,
  ]);
  return hex === '' ? null : Buffer.from(hex, 'hex');
}

/** One row: the file's name, then its content. */
async function readHistory(context: PostgresContext, source: SourceAddress, timeline: number, signal: AbortSignal): Promise<HistoryEntry[]> {
  const row = (await ask(context, source, signal, [`TIMELINE_HISTORY ${timeline}`])).join('\n');
  const history = parseHistory(row.slice(row.indexOf('|') + 1));
  if (history.length > 0) return history;
  throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `${source.host}:${source.port} gave no history of its timeline ${timeline}`);
}

async function ask(context: PostgresContext, source: SourceAddress, signal: AbortSignal, commands: readonly string[]): Promise<string[]> {
  const connection = peerConnection(context, source, {
    dbname: context.database,
    replication: 'database',
    // Not the standby's own name: nobody may take this connection for a standby.
    application_name: `${context.region}-question`,
  });
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
