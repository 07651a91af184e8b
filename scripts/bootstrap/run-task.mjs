// Runs a task under the pinned Node as if it had been started directly: same stdio, same exit code, signals passed on.
//
// The task gets a session of its own. Otherwise Ctrl-C reaches it up to three times (from the terminal, from npm, from
// here) and the second one cuts its clean-up short; here it gets exactly one, and a second Ctrl-C ends everything by force.
// Being a session, what it started can be found again after it was killed, so nothing is left behind.

import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';

/** npm passes on the Ctrl-C that the terminal has sent to us as well: within this time both are one. */
const SAME_SIGNAL_MS = 500;

const LIFELINE = fileURLToPath(new URL('./lifeline.mjs', import.meta.url));

/**
 * @param {string} node
 * @param {readonly string[]} args
 * @param {string} cwd
 * @returns {Promise<number>} exit code
 */
export function runTask(node, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(node, ['--import', LIFELINE, ...args], {
      cwd,
      detached: true,
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    const stopForwarding = forwardSignals(child);
    child.once('error', (cause) => reject(new Error(`cannot run ${node}`, { cause })));
    child.once('exit', (code, signal) => {
      const interrupted = stopForwarding();
      if (child.pid !== undefined && (signal !== null || interrupted)) killSession(child.pid);
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}

/** @param {import('node:child_process').ChildProcess} child */
function forwardSignals(child) {
  let firstMs = Number.NaN;
  const end = /** @param {NodeJS.Signals} signal */ (signal) => {
    const nowMs = performance.now();
    if (Number.isNaN(firstMs)) {
      firstMs = nowMs;
      child.kill(signal);
    } else if (nowMs - firstMs > SAME_SIGNAL_MS) {
      child.kill('SIGKILL');
    }
  };
  const resize = () => child.kill('SIGWINCH');
  /** @type {readonly NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, end);
  process.on('SIGWINCH', resize);
  return () => {
    for (const signal of signals) process.off(signal, end);
    process.off('SIGWINCH', resize);
    return !Number.isNaN(firstMs);
  };
}

/**
 * SIGKILL of what is left in a session whose leader is gone.
 * @param {number} session
 */
function killSession(session) {
  if (process.platform !== 'linux') return;
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || sessionOf(pid) !== session) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
    }
  }
}

/** @param {number} pid */
function sessionOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
  } catch {
    return null; // it ended while we looked
  }
}
