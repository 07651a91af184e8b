// Starts, finds and stops the postmaster. It runs in a session of its own and survives the controller: a controller that
// comes back finds it by its lock file, after checking that the pid in there really is the postmaster of this directory.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, readIfThere } from './files.ts';
import { DatabaseProblem } from './problem.ts';
import { isHidden, listProcesses, presenceIn, sendSignal, viewProcess } from './proc.ts';
import { mayServe, namesDirectory } from './server-process.ts';
import type { PostgresContext } from './options.ts';
import { commandLineSettings } from './server-settings.ts';
import { processOptions } from './tools.ts';
import { pollUntil, pollWhile } from './wait.ts';

export type Postmaster = {
  readonly pid: number;
  /** As it writes itself into its lock file; a hot standby is `ready` once it answers queries. */
  readonly status: 'starting' | 'ready' | 'stopping';
  /** SIGSTOP or a debugger: it accepts nobody. */
  readonly paused: boolean;
};

const LOG_BYTES_MAX = 32 * 1024 * 1024;
const POLL_MS = 5;
/** What the server says when no configuration and no second attempt can help. */
const DAMAGE =
  /PANIC: |valid checkpoint|not a child of this server's history|WAL ends before|incorrect checksum in control file|could not locate required checkpoint|backup_label.*(invalid|corrupt)/;

export async function findPostmaster(context: PostgresContext): Promise<Postmaster | null> {
  const lines = ((await readIfThere(lockFile(context))) ?? '').split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const view = viewProcess(pid);
  if (view === null && isHidden(pid)) throw unseen(context, pid);
  // Its children work in the same directory, but rename themselves to "postgres: ..."; one that is ending has no command line any more.
  if (view === null || view.commandLine === '' || view.commandLine.startsWith('postgres:')) return null;
  const directory = realpathSync(context.dataDir);
  const presence = presenceIn(directory, pid);
  if (presence === 'elsewhere') return null;
  if (presence === 'unseen' && namesDirectory(view, directory) !== true) {
    if (mayServe(view, directory)) throw unseen(context, pid);
    return null;
  }
  const word = (lines[7] ?? '').trim();
  const status = word === 'ready' || word === 'stopping' ? word : 'starting';
  return { pid, status, paused: view.state === 'T' || view.state === 't' };
}

/** Returns when a postmaster of this directory accepts connections; starts one when there is none. */
export async function ensureRunning(context: PostgresContext, signal: AbortSignal): Promise<void> {
  for (;;) {
    const found = await findPostmaster(context);
    if (found === null) {
      if (await startOnce(context, signal)) return;
      continue;
    }
    if (found.status === 'ready') return;
    await pollUntil(signal, POLL_MS, async () => {
      const now = await findPostmaster(context);
      return now === null || now.pid !== found.pid || now.status === 'ready' ? true : null;
    });
  }
}

export type StopMode = 'fast' | 'immediate';

/** False when a postmaster is left at the end of the signal; it is not killed harder than asked. */
export async function stopPostmaster(context: PostgresContext, mode: StopMode, signal: AbortSignal): Promise<boolean> {
  const found = await findPostmaster(context);
  if (found === null) return true;
  sendSignal(found.pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  return (await pollWhile(signal, POLL_MS, () => (viewProcess(found.pid) === null ? true : null))) ?? false;
}

/** Stops whatever runs in this directory: fast, then immediate, then SIGKILL of everything. For data that is given up. */
export async function stopHard(context: PostgresContext, signal: AbortSignal): Promise<void> {
  for (const mode of ['fast', 'immediate'] as const) {
    if (await stopPostmaster(context, mode, AbortSignal.any([signal, AbortSignal.timeout(context.stopTimeoutMs)]))) return;
    signal.throwIfAborted();
  }
  const directory = realpathSync(context.dataDir);
  await pollUntil(signal, POLL_MS, () => {
    const left = processesOf(directory);
    // One that may be of another cluster is waited for: a child ends by itself when its postmaster is gone.
    for (const pid of left) if (presenceIn(directory, pid) === 'inside') sendSignal(pid, 'SIGKILL');
    return left.length === 0 ? true : null;
  });
}

/** Every process that works in this directory, and each of a server of which nobody can know where it works. */
function processesOf(directory: string): number[] {
  return listProcesses().filter((pid) => {
    const presence = presenceIn(directory, pid);
    if (presence !== 'unseen') return presence === 'inside';
    const view = viewProcess(pid);
    return view !== null && mayServe(view, directory);
  });
}

const unseen = (context: PostgresContext, pid: number): DatabaseProblem =>
  new DatabaseProblem(
    'CTM_DATABASE_SERVER_UNSEEN',
    `process ${pid}, which ${lockFile(context)} names, may be the server of ${context.dataDir}, and this user may not look at it: run the controller as the user that the server runs as, or give it CAP_SYS_PTRACE`,
  );

const lockFile = (context: PostgresContext): string => join(context.dataDir, 'postmaster.pid');

/** One attempt. False when children of a killed postmaster still hold the shared memory: try again. */
async function startOnce(context: PostgresContext, signal: AbortSignal): Promise<boolean> {
  await clearForeignLock(context);
  const logStart = await rotateLog(context.logFile);
  const child = await launch(context);
  const outcome = await pollUntil(signal, POLL_MS, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return 'exited';
    return (await findPostmaster(context))?.status === 'ready' ? 'ready' : null;
  });
  if (outcome === 'ready') return true;
  const log = await readFrom(context.logFile, logStart);
  if (/is still in use|lock file "postmaster\.pid" already exists/.test(log)) {
    await pollUntil(signal, POLL_MS, () => (processesOf(realpathSync(context.dataDir)).length === 0 ? true : null));
    return false;
  }
  if (/could not bind .*Address already in use/.test(log)) {
    throw new DatabaseProblem(
      'CTM_DATABASE_PORT_IN_USE',
      `${context.host}:${context.port} is taken by another process: stop it or change the port of this database`,
    );
  }
  const said = log.split('\n').filter((line) => /(FATAL|PANIC|DETAIL|HINT): /.test(line)).slice(-3).map((line) => line.trim());
  const code = DAMAGE.test(log) ? 'CTM_DATABASE_DAMAGED' : 'CTM_DATABASE_START_FAILED';
  throw new DatabaseProblem(code, `postgres ended at start: ${said.join(' | ') || 'no message'}; see ${context.logFile}`);
}

async function launch(context: PostgresContext): Promise<ChildProcess> {
  const log = await open(context.logFile, 'a', 0o600);
  try {
    const settings = Object.entries(commandLineSettings(context)).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(context.binDir, 'postgres'), ['-D', context.dataDir, ...settings], {
      ...processOptions(context),
      cwd: '/',
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new DatabaseProblem('CTM_DATABASE_START_FAILED', 'cannot run postgres', error)));
    await promise;
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

/**
 * A crash left the lock file and its pid belongs to another program now: the server would refuse to start for ever.
 * Removed only when nothing at all works in the directory; the shared memory check of the server stays behind that.
 */
async function clearForeignLock(context: PostgresContext): Promise<void> {
  const pid = Number(((await readIfThere(lockFile(context))) ?? '').split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0 || viewProcess(pid) === null) return;
  if (processesOf(realpathSync(context.dataDir)).length === 0) await rm(lockFile(context), { force: true });
}

/** At a start only: while the server runs its log is the operator's to rotate (README). Returns where this start's part begins. */
async function rotateLog(path: string): Promise<number> {
  const size = await sizeOf(path);
  if (size <= LOG_BYTES_MAX) return size;
  await rename(path, `${path}.1`);
  return 0;
}

async function readFrom(path: string, offset: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, offset);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}
