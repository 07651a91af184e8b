// The last way: a new copy of the source. It is made beside the data directory and takes its place by rename, so a crash
// leaves the old cluster, or none, and never a half one that looks whole. What a crash finds after each step:
//
//   1. the copy is made and configured   the old cluster, with a rewind's mark if it had one
//   2. the old cluster is moved away     none, perhaps marked: it is whole under its new name, and no later call moves it
//   3. the mark is taken away            none
//   4. the copy is moved into place      the copy: a standby without a mark, so it is never taken for a cluster to keep
//   5. what nobody needs is removed      the copy; the next replacement removes the rest
//
// The mark goes in step 3 because it speaks of the directory's place: in step 4 it would belie the copy.

import { chown, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Epoch } from '@continuum/core';
import { exists, syncDirectory } from './files.ts';
import { incomingPrefix, unmarkRewinding } from './cluster.ts';
import type { Member } from './member.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';
import { peerConnection } from './server-settings.ts';
import type { SourceAddress } from './source.ts';
import { lastWords, runTool } from './tools.ts';

/**
 * The cluster that is replaced. `diverged`: it has log of its own, perhaps commits that nobody else has. `worthless`: a standby
 * that only fell behind. `unknown`: what is there is no cluster.
 */
export type Replaced = 'diverged' | 'worthless' | 'unknown';

/** Returns where the replaced cluster is kept, or null. */
export async function takeBaseBackup(
  member: Member,
  request: { readonly epoch: Epoch; readonly source: SourceAddress },
  configure: (directory: string) => Promise<void>,
  replaced: Replaced,
  signal: AbortSignal,
): Promise<string | null> {
  const { context } = member;
  member.step('taking a base backup');
  await dropUnfinished(context);
  const incoming = await mkdtemp(incomingPrefix(context));
  if (context.runAs !== null) await chown(incoming, context.runAs.uid, context.runAs.gid);
  const connection = peerConnection(context, request.source, { application_name: `${context.region}-base-backup` });
  const args = ['-D', incoming, '-d', connection, '-X', 'stream', '-c', 'fast', '-w'];
  const output = await runTool(context, 'pg_basebackup', args, signal);
  if (output.code !== 0) {
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `pg_basebackup failed: ${lastWords(output)}`);
  }
  await configure(incoming);
  member.step('putting the base backup in place');
  const diverged = `${context.dataDir}.diverged-${request.epoch}`;
  const name = await placeFor(context, replaced, diverged);
  const moved = await moveAway(context, name);
  await unmarkRewinding(context);
  await rename(incoming, context.dataDir);
  await syncDirectory(dirname(context.dataDir));
  if (replaced === 'worthless') await rm(name, { recursive: true, force: true });
  if (replaced === 'worthless' || !moved) return null;
  if (name === diverged) await dropOlderKept(context, name);
  return name;
}

/**
 * The first that diverged in an epoch stays: what is replaced after it is a copy of that epoch's primary. That, and what
 * nobody can judge, is set aside, the newest only.
 */
async function placeFor(context: PostgresContext, replaced: Replaced, diverged: string): Promise<string> {
  if (replaced === 'worthless') return `${context.dataDir}.replaced`;
  return replaced === 'diverged' && !(await exists(diverged)) ? diverged : `${context.dataDir}.set-aside`;
}

/** False when there was nothing in the place of the data directory. */
async function moveAway(context: PostgresContext, name: string): Promise<boolean> {
  if (!(await exists(context.dataDir))) return false;
  if ((await readdir(context.dataDir)).length === 0) {
    await rm(context.dataDir, { recursive: true });
    return false;
  }
  await rm(name, { recursive: true, force: true });
  await rename(context.dataDir, name);
  await syncDirectory(dirname(context.dataDir));
  return true;
}

/** Copies that were cut off. */
async function dropUnfinished(context: PostgresContext): Promise<void> {
  const parent = dirname(context.dataDir);
  const prefix = basename(incomingPrefix(context));
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** One is enough, and more would fill the disk. */
async function dropOlderKept(context: PostgresContext, newest: string): Promise<void> {
  const parent = dirname(context.dataDir);
  const prefix = `${basename(context.dataDir)}.diverged-`;
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix) && join(parent, name) !== newest) await rm(join(parent, name), { recursive: true, force: true });
  }
}
