// The highest epoch that this member has accepted, kept beside the data directory for when no table can be asked.
//
// One empty file per epoch, named after it; the highest name counts. Creating a name is atomic and never takes another one
// away, so no crash can leave half an epoch, and two controllers at once cannot lower what the other one raised.

import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing, syncDirectory } from './files.ts';
import { DatabaseProblem } from './problem.ts';

const DIGITS = 16;

/** 0 when none was ever accepted. */
export async function highestEpoch(store: string): Promise<number> {
  return Math.max(0, ...(await list(store)));
}

/** Makes `epoch` count, durably, unless a higher one does. Returns the highest. */
export async function raiseEpoch(store: string, epoch: number): Promise<number> {
  const before = await list(store);
  if (Math.max(0, ...before) >= epoch) return Math.max(...before, epoch);
  if ((await mkdir(store, { recursive: true, mode: 0o700 })) !== undefined) await syncDirectory(dirname(store));
  const file = await open(join(store, String(epoch).padStart(DIGITS, '0')), 'a', 0o600);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(store);
  const highest = await highestEpoch(store);
  for (const lower of before) await rm(join(store, String(lower).padStart(DIGITS, '0')), { force: true });
  return highest;
}

async function list(store: string): Promise<number[]> {
  const names = await namesIn(store);
  const strange = names.find((name) => !/^\d{16}$/.test(name));
  if (strange === undefined) return names.map(Number);
  throw new DatabaseProblem(
    'CTM_DATABASE_EPOCH_CORRUPT',
    `${join(store, strange)} is no epoch, so the highest accepted one is in doubt: compare the folder with the lease's epoch ` +
      'at the witness, and remove that file when nothing is missing',
  );
}

async function namesIn(store: string): Promise<string[]> {
  try {
    return await readdir(store);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
