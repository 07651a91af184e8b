// What a process has used, from /proc.

import { readFileSync } from 'node:fs';

/** Linux counts processor time in hundredths of a second for every process that we can meet. */
const TICK_MS = 10;

/** Processor time used so far, of all its threads. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Of what is resident now: its own. The rest is mapped from files, most of it Node's, and is there once for all processes. */
export function anonymousMegabytes(pid: number): number {
  const match = /^Anonymous:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'));
  return Number(match?.[1] ?? Number.NaN) / 1_024;
}

/** Resident now. */
export const residentMegabytes = (pid: number): number => statusMegabytes(pid, 'VmRSS');

/** The most that was ever resident since it was started, as the kernel has counted it: no moment is missed. */
export const residentMegabytesMost = (pid: number): number => statusMegabytes(pid, 'VmHWM');

function statusMegabytes(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(match?.[1] ?? Number.NaN) / 1_024;
}
