// The adapter's own files: written whole, fsynced, renamed, so that a crash leaves the old content or the new.

import { chmod, chown, lstat, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { DatabaseProblem } from './problem.ts';

type Owner = { readonly uid: number; readonly gid: number } | null;

export async function writeDurably(path: string, text: string, owner: Owner = null): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(temporary, 0o600);
  if (owner !== null) await chown(temporary, owner.uid, owner.gid);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

export async function removeDurably(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await syncDirectory(dirname(path));
}

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** The text, or null when there is no such file. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** The highest epoch that was accepted while SQL could not record it. 0 when there never was one. */
export async function readEpochFile(path: string): Promise<number> {
  const text = await readIfThere(path);
  if (text === null) return 0;
  const match = /^continuum-epoch (\d{1,15}) ([0-9a-f]{8})\n$/.exec(text);
  if (match === null || checksum(match[1] ?? '') !== match[2]) {
    throw new DatabaseProblem(
      'CTM_DATABASE_EPOCH_CORRUPT',
      `${path} is damaged, so the highest accepted epoch is unknown: compare the lease's epoch at the witness with ` +
        'the table continuum.fence of the other region, and remove the file when this region is not ahead of them',
    );
  }
  return Number(match[1]);
}

export async function writeEpochFile(path: string, epoch: number): Promise<void> {
  await writeDurably(path, `continuum-epoch ${epoch} ${checksum(String(epoch))}\n`);
}

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');
