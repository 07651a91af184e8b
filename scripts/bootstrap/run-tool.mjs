// Runs apt-get, dpkg-deb, pip and npm for the set-up: output is kept for the error message, and a set-up that is
// interrupted takes its tool with it.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const KEPT_CHARACTERS = 64 * 1024;
const SHOWN_LINES = 15;

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** A tool that could not be run or failed; the message ends with what it said last. */
export class ToolError extends Error {
  /**
   * @param {string} message
   * @param {string} output
   */
  constructor(message, output) {
    super(message);
    this.name = 'ToolError';
    this.output = output;
  }
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string>, onSpawn?: (pid: number | undefined) => void }} [options]
 * @returns {Promise<string>} everything that it printed
 */
export function runTool(command, args, { cwd, env = {}, onSpawn } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    track(child);
    onSpawn?.(child.pid);
    let output = '';
    /** @param {Buffer} chunk */
    const keep = (chunk) => {
      output = (output + chunk.toString('utf8')).slice(-KEPT_CHARACTERS);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (cause) => {
      untrack(child);
      reject(new ToolError(`cannot run ${command}: ${cause.message}`, ''));
    });
    child.once('close', (code, signal) => {
      untrack(child);
      onSpawn?.(undefined);
      if (code === 0) return resolve(output);
      const last = output.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n  ');
      reject(new ToolError(`${command} ${args.slice(-4).join(' ')}: ended with ${signal ?? code}:\n  ${last}`, output));
    });
  });
}

/** @param {import('node:child_process').ChildProcess} child */
function track(child) {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, end);
  running.add(child);
}

/**
 * Without a tool at work a signal ends this process as it would any other.
 * @param {import('node:child_process').ChildProcess} child
 */
function untrack(child) {
  running.delete(child);
  if (running.size === 0) for (const signal of SIGNALS) process.off(signal, end);
}

/** @param {NodeJS.Signals} signal */
function end(signal) {
  for (const child of running) child.kill('SIGTERM');
  process.exit(128 + constants.signals[signal]);
}
