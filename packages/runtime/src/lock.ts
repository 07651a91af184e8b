// One process per directory: of state, or of a database. The lock is the kernel's, a record lock that SQLite takes on an empty file: it
// ends with its holder however that ends. So there is no stale lock, no reused pid, and no race about who may clear one; it also holds
// between containers that share the directory and see none of each other's processes. The file stays: who removes it takes another's.

import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** A holder that was killed just now has threads which are still ending. */
const HOLDER_ENDS_MS_MAX = 500;
/** `SQLITE_BUSY`. */
const BUSY = 5;
/** A handle that nobody refers to would be closed, and its lock with it. */
const held = new Set<DatabaseSync>();

/** Somebody else runs on this directory. */
export class LockedError extends Error {
  readonly code = 'CTM_STATE_LOCKED';
  constructor(file: string, pid: number | null, what: string) {
    super(`${file}: ${pid === null ? 'another process' : `process ${pid}`} runs a controller on this ${what}; stop it first, or use another directory`);
    this.name = 'LockedError';
  }
}

/** Takes the lock, or throws `LockedError`; any other error means that nobody can know who holds it. `what` is the directory that it
 * guards, in words. Returns the release. */
export function takeLock(file: string, what = 'state directory'): () => void {
  const isNew = !existsSync(file);
  const database = attempt(file, () => new DatabaseSync(file, { timeout: HOLDER_ENDS_MS_MAX }));
  try {
    attempt(file, () => database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE'));
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === BUSY) throw new LockedError(file, holderOf(file), what);
    throw error;
  }
  // By its name: another descriptor of this file, closed, would end the lock.
  if (isNew) chmodSync(file, 0o600);
  held.add(database);
  return () => {
    held.delete(database);
    database.close();
  };
}

function attempt<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { message, errcode } = error as { message: string; errcode?: number };
    const text = `${file} cannot be locked (${message}); make it and its directory writable for this user, or remove the file when no controller runs here`;
    throw Object.assign(new Error(text, { cause: error }), { errcode });
  }
}

/** As the kernel knows it; null where it does not tell, or the holder is in a container of its own. */
function holderOf(file: string): number | null {
  try {
    const { ino } = statSync(file);
    const line = readFileSync('/proc/locks', 'latin1').split('\n').find((one) => one.includes(`:${ino} `));
    const pid = Number(/ WRITE +(\d+) /.exec(line ?? '')?.[1] ?? 0);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
