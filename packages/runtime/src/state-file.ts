// Small durable state: written whole to a new file, synced, renamed, and the folder synced. What is read back is either
// what was written last, or an error that says so; a half-written file can never be taken for a whole one.

import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** The file is there and cannot be trusted. An operator decides; nothing starts anew over it. */
export class StateFileError extends Error {
  readonly code = 'CTM_STATE_FILE_CORRUPT';
  constructor(file: string, problem: string, cause?: unknown) {
    super(
      `${file}: ${problem}. It holds the highest epoch that this region was granted. If its content is lost, move the file ` +
        'away while the other region holds the lease (or nobody does), and start again.',
      { cause },
    );
    this.name = 'StateFileError';
  }
}

/** Durable when it returns. Throws when the disk refuses: the caller must not go on. */
export function writeStateFile(file: string, value: unknown): void {
  const body = JSON.stringify(value);
  replaceFile(file, `${JSON.stringify({ sha256: digest(body), body })}\n`);
}

/** All of `text` is in `file` and survives a crash when it returns; throws when the disk refuses. A crash leaves the old or the new file. */
export function replaceFile(file: string, text: string): void {
  const next = `${file}.next`;
  const descriptor = openSync(next, 'w', 0o600);
  try {
    // Not writeSync: on a disk that is filling up one call may write a part, and that is no error.
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(next, file);
  syncFolder(dirname(file));
}

/** Null when there is no such file. Throws `StateFileError` when there is one that is not whole. */
export function readStateFile(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new StateFileError(file, `cannot be read (${code ?? String(error)})`, error);
  }
  let outer: { sha256?: unknown; body?: unknown };
  try {
    outer = JSON.parse(text) as typeof outer;
  } catch (cause) {
    throw new StateFileError(file, 'half-written or damaged (not JSON)', cause);
  }
  if (outer === null || typeof outer !== 'object' || typeof outer.body !== 'string') {
    throw new StateFileError(file, 'not a state file of this program');
  }
  if (digest(outer.body) !== outer.sha256) throw new StateFileError(file, 'its checksum does not match');
  return JSON.parse(outer.body) as unknown;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
