// One set-up at a time. A set-up can be killed at any moment, so the lock names its holder and a dead holder's lock is
// taken over. The lock saves work; correctness does not rest on it alone: every part is unpacked aside and renamed.

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { processStart } from './process-start.mjs';

const POLL_MS = 100;

/**
 * @typedef {{ readonly pid: number, readonly start: string }} Identity
 * @typedef {Identity & { readonly child?: Identity | undefined }} Holder
 * @typedef {{ readonly release: () => void, readonly setChild: (pid: number | undefined) => void }} Lock
 */

/**
 * Waits until the lock is ours. `onWait` is called once when somebody else has it.
 * @param {string} file
 * @param {{ onWait?: (holder: Holder) => void, timeoutMs?: number }} [options]
 * @returns {Promise<Lock>}
 */
export async function acquireLock(file, { onWait, timeoutMs = 15 * 60_000 } = {}) {
  const self = { pid: process.pid, start: processStart(process.pid) ?? '' };
  const own = `${file}.${process.pid}`;
  const deadline = performance.now() + timeoutMs;
  let told = false;
  writeFileSync(own, JSON.stringify(self));
  try {
    while (!tryLink(own, file)) {
      const holder = readHolder(file);
      if (holder === null) continue;
      if (!isAlive(holder)) {
        takeAway(file, holder, own);
        continue;
      }
      if (!told) onWait?.(holder);
      told = true;
      if (performance.now() > deadline) {
        throw new Error(`${file}: held by process ${holder.pid} for too long; end that process and try again`);
      }
      await delay(POLL_MS);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return {
    release: () => rmSync(file, { force: true }),
    setChild: (pid) => {
      const child = pid === undefined ? undefined : { pid, start: processStart(pid) ?? '' };
      writeFileSync(own, JSON.stringify({ ...self, child }));
      renameSync(own, file);
    },
  };
}

/**
 * A killed set-up may leave its package manager running: until that ends too, the lock is held.
 * @param {Holder} holder
 */
function isAlive(holder) {
  return [holder, holder.child].some((one) => one !== undefined && processStart(one.pid) === one.start);
}

/**
 * @param {string} from
 * @param {string} to
 */
function tryLink(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * @param {string} file
 * @returns {Holder | null}
 */
function readHolder(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null;
    if (error instanceof SyntaxError) return { pid: 0, start: 'unreadable' };
    throw error;
  }
}

/**
 * Moves a dead holder's lock aside. Two waiters may try at once: who moved a live lock by mistake puts it back.
 * @param {string} file
 * @param {Holder} dead
 * @param {string} own
 */
function takeAway(file, dead, own) {
  const aside = `${own}.stale`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== null && (moved.pid !== dead.pid || moved.start !== dead.start)) tryLink(aside, file);
  rmSync(aside, { force: true });
}
