// What the data directory is while no server answers: its shape, its identity, and where its history ends.

import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lsn } from '@continuum/core';
import type { Lsn } from '@continuum/core';
import { exists, isMissing, readIfThere, removeDurably, writeDurably } from './files.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';
import { runToolOrFail } from './tools.ts';

export type Shape = 'primary' | 'standby' | 'empty';

export type ControlData = {
  readonly systemIdentifier: string;
  /** As PostgreSQL names it: `shut down`, `shut down in recovery`, `in production`, `in archive recovery`, ... */
  readonly state: string;
  readonly checkpointLsn: Lsn;
  readonly redoLsn: Lsn;
  readonly checkpointTimeline: number;
  /** The timeline that recovery would follow: newer than the checkpoint's right after a promotion. */
  readonly timeline: number;
  readonly walSegmentBytes: number;
};

export const rewindMarker = (context: PostgresContext): string => `${context.dataDir}.rewinding`;
export const epochStore = (context: PostgresContext): string => `${context.dataDir}.epoch`;
/** What the directories of base backups under way begin with: each has its own, so that no two write to the same. */
export const incomingPrefix = (context: PostgresContext): string => `${context.dataDir}.incoming-`;

export async function shapeOf(context: PostgresContext): Promise<Shape> {
  // A rewind that did not finish leaves half of each cluster: good for nothing.
  if (await exists(rewindMarker(context))) return 'empty';
  if (!(await exists(join(context.dataDir, 'PG_VERSION')))) return 'empty';
  if (!(await exists(join(context.dataDir, 'global', 'pg_control')))) return 'empty';
  return (await exists(join(context.dataDir, 'standby.signal'))) ? 'standby' : 'primary';
}

export async function markStandby(context: PostgresContext, directory: string): Promise<void> {
  await writeDurably(join(directory, 'standby.signal'), '', context.runAs);
}

export const markRewinding = (context: PostgresContext): Promise<void> =>
  writeDurably(rewindMarker(context), 'pg_rewind has not finished here\n');

export const unmarkRewinding = (context: PostgresContext): Promise<void> => removeDurably(rewindMarker(context));

/** Reads pg_control. Null when there is no cluster at all. */
export async function readControlData(context: PostgresContext, signal: AbortSignal): Promise<ControlData | null> {
  if (!(await exists(join(context.dataDir, 'global', 'pg_control')))) return null;
  return parseControlData((await runToolOrFail(context, 'pg_controldata', ['-D', context.dataDir], signal)).stdout);
}

/**
 * The same, but runs the program only when the file changed: for a status that is asked for all the time. Two writes within
 * one tick of the disk's clock look like one, so nothing is decided by it.
 */
export function createControlWatcher(context: PostgresContext): (signal: AbortSignal) => Promise<ControlData | null> {
  let cached: { readonly key: string; readonly data: ControlData } | null = null;
  return async (signal) => {
    const key = await fingerprint(join(context.dataDir, 'global', 'pg_control'));
    if (key === null) return null;
    if (cached?.key === key) return cached.data;
    const data = await readControlData(context, signal);
    cached = data === null ? null : { key, data };
    return data;
  };
}

export function parseControlData(text: string): ControlData {
  const values = new Map(text.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  const read = (name: string): string => {
    const value = values.get(name);
    if (value !== undefined) return value;
    throw new DatabaseProblem('CTM_DATABASE_TOOL_FAILED', `pg_controldata did not print "${name}": PostgreSQL 15 to 18 do`);
  };
  const checkpointTimeline = Number(read("Latest checkpoint's TimeLineID"));
  return {
    systemIdentifier: read('Database system identifier'),
    state: read('Database cluster state'),
    checkpointLsn: lsn(read('Latest checkpoint location')),
    redoLsn: lsn(read("Latest checkpoint's REDO location")),
    checkpointTimeline,
    timeline: Math.max(checkpointTimeline, Number(read("Min recovery ending loc's timeline"))),
    walSegmentBytes: Number(read('Bytes per WAL segment')),
  };
}

/** Where each timeline before this one ended. */
export type HistoryEntry = { readonly timeline: number; readonly endLsn: Lsn };

export function parseHistory(text: string): HistoryEntry[] {
  return [...text.matchAll(/^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/gim)].map((match) => ({
    timeline: Number(match[1]),
    endLsn: lsn(match[2] ?? ''),
  }));
}

/** The history file of a timeline in this directory; empty for timeline 1. */
export async function localHistory(context: PostgresContext, timeline: number): Promise<HistoryEntry[]> {
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  return parseHistory((await readIfThere(join(context.dataDir, 'pg_wal', name))) ?? '');
}

/** Says early, and by name, what would otherwise be an obscure failure of a tool. */
export async function assertParentUsable(context: PostgresContext): Promise<void> {
  const parent = dirname(context.dataDir);
  const found = await stat(parent).catch((cause: unknown) => {
    throw new DatabaseProblem('CTM_DATABASE_FILE', `${parent}, the parent of dataDir, cannot be used: create it`, cause);
  });
  if (!found.isDirectory()) {
    throw new DatabaseProblem('CTM_DATABASE_FILE', `${parent}, the parent of dataDir, is not a directory: choose another dataDir`);
  }
}

async function fingerprint(path: string): Promise<string | null> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
