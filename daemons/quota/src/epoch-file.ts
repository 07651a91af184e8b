// Remembers the highest epoch that this gate has accepted, across restarts: without it a restarted gate would believe a
// controller of the past (I2). It is on disk, and the folder knows it, before an instruction of that epoch counts.

import { readFileSync } from 'node:fs';
import type { Epoch } from '@continuum/core';
import { epoch } from '@continuum/core';
import { replaceFile } from '@continuum/runtime/state-file';
import { z } from 'zod';

const content = z.strictObject({ epoch: z.number().int().nonnegative() });

export type EpochRead =
  | { readonly ok: true; readonly epoch: Epoch }
  | { readonly ok: false; readonly code: 'CTM_GATE_EPOCH_FILE'; readonly message: string };

/** 0 when the file was never written. Anything but a whole file of ours is a failure: guessing 0 would break I2. */
export function readEpoch(file: string): EpochRead {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { ok: true, epoch: epoch(0) };
    return unreadable(file, `cannot be read (${code ?? String(error)})`);
  }
  const parsed = content.safeParse(parseJson(text));
  return parsed.success ? { ok: true, epoch: epoch(parsed.data.epoch) } : unreadable(file, 'is damaged');
}

/** Returns when the value survives a crash; throws when the disk refuses. A crash leaves the old or the new file. */
export function writeEpoch(file: string, value: Epoch): void {
  replaceFile(file, `${JSON.stringify({ epoch: value })}\n`);
}

function unreadable(file: string, what: string): EpochRead {
  const fix = 'Write {"epoch": N} with the epoch that `continuum status` shows, or remove the file when no controller of the past can reach this gate';
  return { ok: false, code: 'CTM_GATE_EPOCH_FILE', message: `epochFile ${file} ${what}. ${fix}.` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
