// Ends the programs that still write to this data directory on behalf of nobody. A tool is killed when its caller's signal
// ends, but a controller that is killed, or exits, leaves it running. It writes by path: older pages would get into the
// cluster that the next controller puts in the directory's place.
//
// Where they may not write: a base backup that was not found here fills a folder of its own (base-backup.ts); a rewind left
// its marker before its first write, so `promote` finds no cluster, and `rejoin` comes here first.
//
// They are told by their command lines, which everybody may read. A process of another PID namespace is not seen.

import { basename } from 'node:path';
import type { PostgresContext } from './options.ts';
import { listProcesses, sendSignal, viewProcess } from './proc.ts';
import { DatabaseProblem } from './problem.ts';
import { pollWhile } from './wait.ts';

const POLL_MS = 5;
const END_MS_MAX = 5_000;
const WRITERS = ['pg_basebackup', 'pg_rewind'];

type Leftover = { readonly pid: number; readonly program: string; readonly state: string };

/** Only between calls that change the directory, and only for an epoch that was accepted: then none of them is anybody's. */
export async function endLeftoverTools(context: PostgresContext, signal: AbortSignal): Promise<void> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(END_MS_MAX)]);
  const ended = await pollWhile(bounded, POLL_MS, () => {
    const left = leftoverTools(context);
    for (const leftover of left) kill(context, leftover);
    return left.length === 0 ? true : null;
  });
  if (ended !== null) return;
  signal.throwIfAborted();
  const [left] = leftoverTools(context);
  if (left !== undefined) throw inTheWay(context, left, `is in state ${left.state} and outlives SIGKILL: see to its disk`);
}

/** What writes to the directory or to a copy that is to take its place: a tool, its fork, or the server that pg_rewind starts. */
export function leftoverTools({ dataDir }: PostgresContext): Leftover[] {
  // The command line is read byte by byte.
  const directory = Buffer.from(dataDir).toString('latin1');
  return listProcesses().flatMap((pid) => {
    const view = viewProcess(pid);
    if (view === null || !isWriter(view.commandLine) || !names(view.commandLine, directory)) return [];
    return [{ pid, program: basename(view.commandLine.split('\0')[0] ?? ''), state: view.state }];
  });
}

/** A tool itself or a script around it; `--single` is how pg_rewind recovers its target, by way of a shell. */
const isWriter = (commandLine: string): boolean =>
  commandLine.includes('--single') ||
  commandLine.split('\0').slice(0, 2).some((argument) => WRITERS.includes(basename(argument)));

/** `/data` is not named by `/data-2`, but by `/data.incoming-Ab3dEf`. */
function names(commandLine: string, directory: string): boolean {
  const pieces = commandLine.split(directory);
  return pieces.some(
    (piece, index) => index > 0 && /[\0 "']$/.test(pieces[index - 1] ?? '') && /^(\.incoming(-\w+)?)?[\0 "']/.test(piece),
  );
}

function kill(context: PostgresContext, leftover: Leftover): void {
  try {
    sendSignal(leftover.pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) throw error;
    throw inTheWay(context, leftover, 'belongs to another user: end it');
  }
}

const inTheWay = (context: PostgresContext, { pid, program }: Leftover, why: string): DatabaseProblem =>
  new DatabaseProblem('CTM_DATABASE_TOOL_FAILED', `process ${pid} (${program}) still writes to ${context.dataDir} and ${why}`);
