// One process per directory: of state, or of a database. The lock names its owner by pid and start time, so that neither a crash nor a reused
// pid leaves a lock that nobody holds. It comes into being whole: nobody can take one that is being written for a stale one.

import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';

/** Somebody else runs on this directory. */
export class LockedError extends Error {
  readonly code = 'CTM_STATE_LOCKED';
  constructor(file: string, pid: number, what: string) {
    super(`${file}: process ${pid} runs a controller on this ${what}; stop it first, or use another directory`);
    this.name = 'LockedError';
  }
}

/** Takes the lock, or throws `LockedError`. `what` is the directory that it guards, in words. Returns the release. */
export function takeLock(file: string, what = 'state directory'): () => void {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(file)) return () => unlinkSync(file);
    const owner = readOwner(file);
    if (owner !== null && isAlive(owner)) throw new LockedError(file, owner.pid, what);
    removeStale(file);
  }
  throw new LockedError(file, 0, what);
}

function create(file: string): boolean {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify({ pid: process.pid, started: startTime(process.pid) }), { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
}

function readOwner(file: string): { pid: number; started: string } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { pid: number; started: string };
  } catch {
    // Gone meanwhile, or not a lock of this program: nobody holds it.
    return null;
  }
}

function removeStale(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function isAlive(owner: { pid: number; started: string }): boolean {
  const started = startTime(owner.pid);
  return started !== null && started === owner.started;
}

/** Field 22 of /proc/pid/stat: clock ticks since boot when the process started; null when there is no such process any more. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie is dead, and stays where nobody reaps it.
    return state === 'Z' || state === 'X' ? null : (fields[18] ?? null);
  } catch {
    return null;
  }
}
