// One process per state directory. The lock names its owner by pid and start time, so that neither a crash nor a reused
// pid leaves a lock that nobody holds.

import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';

/** Somebody else runs on this directory. */
export class LockedError extends Error {
  readonly code = 'CTM_STATE_LOCKED';
  constructor(file: string, pid: number) {
    super(`${file}: process ${pid} runs a controller on this state directory; stop it first, or use another directory`);
    this.name = 'LockedError';
  }
}

/** Takes the lock, or throws `LockedError`. Returns the release. */
export function takeLock(file: string): () => void {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(file)) return () => unlinkSync(file);
    const owner = readOwner(file);
    if (owner !== null && startTime(owner.pid) === owner.started) throw new LockedError(file, owner.pid);
    removeStale(file);
  }
  throw new LockedError(file, 0);
}

function create(file: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  writeSync(descriptor, JSON.stringify({ pid: process.pid, started: startTime(process.pid) }));
  closeSync(descriptor);
  return true;
}

function readOwner(file: string): { pid: number; started: string } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { pid: number; started: string };
  } catch {
    // Gone meanwhile, or its owner died between creating and writing it: nobody holds it.
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

/** Field 22 of /proc/pid/stat: clock ticks since boot when the process started; null when there is no such process. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
