// A wall clock that can be stepped for some processes while they run: libfaketime in front of the C library. Monotonic clocks
// stay true, as they do when an operator or a bad time server sets a machine's clock.

import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locate } from '../../scripts/parts.mjs';

export type SteppedClock = {
  /** For every process that shall have this clock. */
  readonly environment: Readonly<Record<string, string>>;
  /** How far the wall clock is off from now on. */
  readonly set: (offsetSeconds: number) => void;
};

export function createSteppedClock(folder: string): SteppedClock {
  const file = join(folder, 'clock');
  const set = (offsetSeconds: number): void => {
    writeFileSync(`${file}.next`, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}\n`, { mode: 0o644 });
    renameSync(`${file}.next`, file);
  };
  set(0);
  const environment = {
    LD_PRELOAD: locate('faketime').command,
    FAKETIME_TIMESTAMP_FILE: file,
    // Read anew at every call: a step is a step, not a matter of seconds.
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    // What a database does with its clock is not looked at here; it may run as another user, who cannot share ours.
    FAKETIME_SKIP_CMDS: 'postgres',
  };
  return { environment, set };
}

/** Shared memory that the library leaves behind when a process is killed. */
export function removeClockLeftovers(pids: readonly number[]): void {
  const names = new Set(pids.flatMap((pid) => [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`]));
  for (const name of readdirSync('/dev/shm')) if (names.has(name)) rmSync(join('/dev/shm', name), { force: true });
}
