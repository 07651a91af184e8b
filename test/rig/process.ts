// Starts and stops the real parts. Whatever a test or the demo starts is stopped by pid when this process ends,
// however it ends (return, throw, Ctrl-C), with everything below it.

import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, readdirSync, rmSync, chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeSharedMemory } from './shared-memory.ts';

export type Started = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves with the exit code or signal. */
  readonly exited: Promise<string>;
  readonly running: () => boolean;
  /** SIGTERM, then SIGKILL of everything below after `graceMs`. */
  readonly stop: (graceMs?: number) => Promise<void>;
  /** SIGKILL of the process and everything below it, at once. */
  readonly kill: () => Promise<void>;
};

export type Start = {
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly logFile: string;
  /** Drop to this user (only as root). */
  readonly uid?: number;
  readonly gid?: number;
};

const live = new Map<number, Started>();
/** Processes that somebody below started and let go of (a postmaster outlives its controller). */
const adopted = new Set<() => readonly number[]>();
const folders = new Set<string>();
let hooked = false;

/** Starts one process. Throws at once when the command cannot be run. */
export async function start(options: Start): Promise<Started> {
  hookExit();
  const child = spawn(options.command, [...(options.args ?? [])], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
  });
  const log = createWriteStream(options.logFile, { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new Error(`${options.name}: cannot run ${options.command}`, { cause })));
  });
  const pid = child.pid as number;
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      live.delete(pid);
      resolve(signal ?? `code ${code}`);
    });
  });
  const started: Started = {
    name: options.name,
    pid,
    logFile: options.logFile,
    exited,
    running: () => live.has(pid),
    stop: async (graceMs = 3_000) => {
      if (!live.has(pid)) return;
      const below = descendants(pid);
      signalAll([pid], 'SIGTERM');
      await Promise.race([exited, delay(graceMs, undefined, { ref: false })]);
      signalAll([pid, ...below, ...descendants(pid)], 'SIGKILL');
      await exited;
    },
    kill: async () => {
      signalAll([pid, ...descendants(pid)], 'SIGKILL');
      if (live.has(pid)) await exited;
    },
  };
  live.set(pid, started);
  return started;
}

/** Every process below `root` (not `root` itself), whoever's session or group it moved to. */
export function descendants(root: number): number[] {
  const parents = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const parent = parentOf(pid);
    if (parent !== null) parents.set(parent, [...(parents.get(parent) ?? []), pid]);
  }
  const found: number[] = [];
  const queue = [root];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const child of parents.get(next) ?? []) {
      found.push(child);
      queue.push(child);
    }
  }
  return found;
}

/** Every process whose command line names this folder: also what was started a moment ago and has told nobody. */
export function naming(folder: string): number[] {
  return readdirSync('/proc').map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid && commandOf(pid).includes(folder));
}

/** Until there are none: a postmaster that its controller was just starting is below nobody when that controller is killed. */
export function killNaming(folder: string): Promise<unknown> {
  return waitFor(`all that names ${folder} to be gone`, () => {
    const left = naming(folder);
    signalAll(left, 'SIGKILL');
    return left.length === 0;
  });
}

export function commandOf(pid: number): string {
  try {
    return readFileSync(join('/proc', String(pid), 'cmdline'), 'latin1').replaceAll('\0', ' ');
  } catch {
    // It ended while it was looked at.
    return '';
  }
}

/** Signals each pid; one that is gone already is fine. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Polls until `condition` gives something truthy. The error names what was waited for and the last problem. */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  { timeoutMs = 30_000, everyMs = 20 } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let problem: unknown;
  do {
    try {
      const value = await condition();
      if (value) return value;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    await delay(everyMs);
  } while (performance.now() < deadline);
  throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: problem });
}

/** A port that is free now for TCP and UDP on every one of `addresses`. */
export async function freePort(...addresses: readonly string[]): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await Promise.all((addresses.length > 0 ? addresses : ['127.0.0.1']).map((at) => isFree(at, port)));
    if (free.every(Boolean)) return port;
  }
  throw new Error(`no free port on ${addresses.join(', ')}`);
}

/** A new folder for one run; removed at exit unless CONTINUUM_KEEP is set. Readable by an unprivileged PostgreSQL. */
export function runFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `continuum-${name}-`));
  chmodSync(folder, 0o711);
  hookExit();
  folders.add(folder);
  return folder;
}

/** Kills what `pids` names, too, when this process ends. Returns the way to take that back. */
export function adopt(pids: () => readonly number[]): () => void {
  hookExit();
  adopted.add(pids);
  return () => adopted.delete(pids);
}

/** Stops everything that `start` started, last started first. */
export async function stopAll(): Promise<void> {
  for (const started of [...live.values()].reverse()) await started.stop();
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  const killAll = () => {
    const roots = [...live.keys(), ...[...adopted].flatMap((pids) => pids())];
    const pids = roots.flatMap((pid) => [pid, ...descendants(pid)]);
    signalAll(pids, 'SIGKILL');
  };
  process.once('exit', () => {
    killAll();
    for (const folder of folders) removeSharedMemory(folder);
    if (process.env['CONTINUUM_KEEP'] !== undefined) return;
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  // SIGALRM is how the test runner ends a file that takes too long.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGALRM'] as const) {
    process.once(signal, () => {
      killAll();
      process.exit(signal === 'SIGINT' ? 130 : 143);
    });
  }
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

async function isFree(address: string, port: number): Promise<boolean> {
  const tcp = await new Promise<boolean>((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, address, () => server.close(() => resolve(true)));
  });
  if (!tcp) return false;
  return new Promise<boolean>((resolve) => {
    const socket = createSocket('udp4').once('error', () => resolve(false));
    socket.bind(port, address, () => socket.close(() => resolve(true)));
  });
}
