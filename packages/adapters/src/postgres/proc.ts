// What Linux knows about processes. PostgreSQL's own lock file can lie (a crash leaves it behind, its pid is reused).

import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';

export type ProcessView = { readonly parent: number; readonly state: string; readonly commandLine: string };

/** Null when there is no such process, it is a zombie, or it belongs to somebody whom we may not look at. */
export function viewProcess(pid: number): ProcessView | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || state === 'X') return null;
    return { parent: Number(parent), state, commandLine: readFileSync(`/proc/${pid}/cmdline`, 'latin1') };
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** `unseen`: it is another user's, and this one may not look (also root, in a container without CAP_SYS_PTRACE). */
export type Presence = 'inside' | 'elsewhere' | 'unseen';

/** Whether a process works in this directory: a postmaster and its children do, also after the postmaster's death. */
export function presenceIn(directory: string, pid: number): Presence {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === directory ? 'inside' : 'elsewhere';
  } catch (error) {
    if (!isGone(error)) throw error;
    return ['EACCES', 'EPERM'].includes(String((error as NodeJS.ErrnoException).code)) ? 'unseen' : 'elsewhere';
  }
}

/** There is such a process, and /proc does not show it to this user (mounted with `hidepid`). */
export function isHidden(pid: number): boolean {
  if (existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return sendSignal(pid, 0);
  } catch (error) {
    if (isGone(error)) return true;
    throw error;
  }
}

export const listProcesses = (): number[] => readdirSync('/proc').map(Number).filter(Number.isInteger);

/** False when the process was gone already. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(String(error.code));
