// Every PostgreSQL leaves one System V segment behind when it is killed: the lock on its data directory, which only a start in that
// directory takes away. A directory that is removed instead would leave it for good, and a machine has 4,096 of them.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const TABLE = '/proc/sysvipc/shm';
const LOCK_FILE = 'postmaster.pid';
/** Of the lock file: the key and the id of the segment. */
const SEGMENT_LINE = 6;
/** Data directories lie no deeper in the folder of a run. */
const DEPTH_MAX = 6;

/** Takes away the segments of every server that was killed in `folder`. To be called when nothing runs in it any more. */
export function removeSharedMemory(folder: string): void {
  if (!existsSync(folder) || !existsSync(TABLE)) return;
  const named = lockFiles(folder, DEPTH_MAX).flatMap(segmentOf);
  if (named.length === 0) return;
  const there = new Set(readFileSync(TABLE, 'latin1').split('\n').map((line) => line.trim().split(/\s+/).slice(0, 2).join(' ')));
  // An id is used again: only with the same key it is still the one that the server made.
  const left = named.filter((segment) => there.has(segment)).flatMap((segment) => ['-m', segment.split(' ')[1] ?? '']);
  if (left.length > 0) spawnSync('ipcrm', left, { stdio: 'ignore' });
}

function lockFiles(folder: string, depth: number): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  const lock = entries.find((one) => one.isFile() && one.name === LOCK_FILE);
  if (lock !== undefined) return [join(folder, LOCK_FILE)];
  if (depth === 0) return [];
  return entries.filter((one) => one.isDirectory()).flatMap(({ name }) => lockFiles(join(folder, name), depth - 1));
}

/** `key id`, as the table of the kernel begins its lines; nothing when the server ended before it had one. */
function segmentOf(file: string): string[] {
  const [key, id] = (readFileSync(file, 'latin1').split('\n')[SEGMENT_LINE] ?? '').trim().split(/\s+/);
  return key === undefined || id === undefined ? [] : [`${key} ${id}`];
}
