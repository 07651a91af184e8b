// Where the history of a cluster that is down really ends. After a crash pg_control knows only the last checkpoint; the
// log itself knows the rest, and reading it changes nothing.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { lsn, lsnBytes } from '@continuum/core';
import type { Lsn } from '@continuum/core';
import { localHistory } from './cluster.ts';
import type { ControlData } from './cluster.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';
import { processOptions } from './tools.ts';

export type LocalEnd = {
  readonly timeline: number;
  /** Start and end of the last whole record; the end may fall short by the page headers within that record. */
  readonly lastRecordLsn: Lsn;
  readonly endLsn: Lsn;
};

/** A whole record is printed as: `rmgr: ... len (rec/tot): 114/ 114, tx: 0, lsn: 0/01742038, prev ...`. */
const RECORD = /len \(rec\/tot\):\s*\d+\/\s*(\d+),.* lsn: ([0-9A-F]+\/[0-9A-F]+),/;

export async function findLocalEnd(context: PostgresContext, control: ControlData, signal: AbortSignal): Promise<LocalEnd> {
  const { timeline } = control;
  const branch = control.checkpointTimeline === timeline ? undefined : (await localHistory(context, timeline)).at(-1)?.endLsn;
  const from = branch ?? control.redoLsn;
  let last: { readonly lsn: Lsn; readonly totalBytes: number } | null = null;
  const child = spawn(join(context.binDir, 'pg_waldump'), ['-p', join(context.dataDir, 'pg_wal'), '-t', String(timeline), '-s', from], {
    ...processOptions(context),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'ignore'],
    signal,
    killSignal: 'SIGKILL',
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', (cause) => reject(signal.aborted ? signal.reason : new DatabaseProblem('CTM_DATABASE_TOOL_FAILED', 'cannot run pg_waldump', cause)));
  child.once('close', () => resolve());
  ended.catch(() => undefined);
  for await (const line of createInterface({ input: child.stdout })) {
    const match = RECORD.exec(line);
    if (match !== null) last = { lsn: shorten(match[2] ?? ''), totalBytes: Number(match[1]) };
  }
  // It always ends with "invalid record": that is how the end of a log looks, so its exit code says nothing.
  await ended;
  if (last === null) return { timeline, lastRecordLsn: control.checkpointLsn, endLsn: control.checkpointLsn };
  const end = (lsnBytes(last.lsn) ?? 0n) + BigInt(Math.ceil(last.totalBytes / 8) * 8);
  return { timeline, lastRecordLsn: last.lsn, endLsn: lsn(`${(end >> 32n).toString(16)}/${(end & 0xffffffffn).toString(16)}`.toUpperCase()) };
}

/** pg_waldump pads with zeros; everybody else does not. */
const shorten = (text: string): Lsn => lsn(text.replaceAll(/(^|\/)0+(?=[0-9A-F])/g, '$1'));
