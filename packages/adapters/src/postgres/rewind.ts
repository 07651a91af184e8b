// pg_rewind: takes back what this member wrote after the histories parted, and copies only what differs.

import { lsn, lsnBytes } from '@continuum/core';
import { markRewinding, unmarkRewinding } from './cluster.ts';
import type { Member } from './member.ts';
import { DatabaseProblem } from './problem.ts';
import { removeDurably } from './files.ts';
import { join } from 'node:path';
import { peerConnection, writeFileSettings } from './server-settings.ts';
import { markStandby, readControlData } from './cluster.ts';
import { readSource } from './source.ts';
import type { SourceAddress } from './source.ts';
import { lastWords, runTool } from './tools.ts';
import type { ToolOutput } from './tools.ts';

/** True: the directory is a standby of the source now. False: only a base backup helps. */
export async function rewind(member: Member, source: SourceAddress, signal: AbortSignal): Promise<boolean> {
  const { context } = member;
  if (!(await prepareTarget(member, signal))) return false;
  member.step('rewinding');
  await markRewinding(context);
  const connection = peerConnection(context, source, { dbname: context.database });
  const args = ['--target-pgdata', context.dataDir, '--source-server', connection, '--progress'];
  const output = await runTool(context, 'pg_rewind', args, signal);
  if (output.code !== 0) return afterFailure(member, output);
  // Still marked: without that log the directory would never become a whole cluster.
  if (!(await logIsThere(member, source, output, signal))) return false;
  await writeFileSettings(context, context.dataDir, {
    primary_conninfo: peerConnection(context, source, {}),
    synchronous_standby_names: '',
  });
  await markStandby(context, context.dataDir);
  await unmarkRewinding(context);
  return true;
}

/**
 * pg_rewind brings a crashed primary to a clean stop itself, but its single-user server refuses a standby's directory.
 * A standby that was stopped properly needs nothing; a crashed one that also forked is not worth a special way.
 */
async function prepareTarget({ context }: Member, signal: AbortSignal): Promise<boolean> {
  const control = await readControlData(context, signal);
  if (control?.state === 'in archive recovery') return false;
  await removeDurably(join(context.dataDir, 'standby.signal'));
  return true;
}

/** It says "need to copy" right before it changes the first file. Until then the directory is what it was. */
async function afterFailure({ context }: Member, output: ToolOutput): Promise<boolean> {
  if (/need to copy/.test(output.stderr + output.stdout)) return false;
  await unmarkRewinding(context);
  if (/could not connect|connection to server|server closed the connection|terminating connection/.test(output.stderr)) {
    throw new DatabaseProblem('CTM_DATABASE_SOURCE_UNREACHABLE', `pg_rewind lost the source: ${lastWords(output)}`);
  }
  return false;
}

/** The rewound cluster starts replay at the last common checkpoint; before 17 pg_rewind drops local log that the source lacks. */
async function logIsThere({ context }: Member, source: SourceAddress, output: ToolOutput, signal: AbortSignal): Promise<boolean> {
  const from = /rewinding from last common checkpoint at ([0-9A-F]+\/[0-9A-F]+)/.exec(output.stderr + output.stdout)?.[1];
  if (from === undefined) return true;
  const { oldestLsn } = await readSource(context, source, signal);
  return (lsnBytes(lsn(from)) ?? 0n) >= (lsnBytes(oldestLsn) ?? 0n);
}
