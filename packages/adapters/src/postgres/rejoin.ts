// Makes this member a standby of `source` by the cheapest way that is right: follow, start, rewind, base backup.
// Every step can be repeated after a crash at any point: what is half done is either still a cluster, or marked as none.

import type { Epoch, RegionId } from '@continuum/core';
import type { RejoinReport } from '@continuum/ports';
import { takeBaseBackup } from './base-backup.ts';
import type { Replaced } from './base-backup.ts';
import { assertParentUsable, localHistory, markStandby, readControlData, rewindMarker, shapeOf } from './cluster.ts';
import { exists } from './files.ts';
import { acceptInStore } from './fence.ts';
import { followRunning, pointTo } from './follow.ts';
import type { FollowOutcome } from './follow.ts';
import { endLeftoverTools } from './leftover-tools.ts';
import { findLocalEnd } from './local-end.ts';
import type { Member } from './member.ts';
import { readServerState } from './server-state.ts';
import { ensureRunning, findPostmaster, stopHard } from './postmaster.ts';
import { DatabaseProblem, fromOutside } from './problem.ts';
import { rewind } from './rewind.ts';
import { peerConnection, writeFileSettings } from './server-settings.ts';
import { findParting, hasSameLog } from './same-log.ts';
import { assertProved, readSource } from './source.ts';
import type { SourceView } from './source.ts';

export type RejoinRequest = {
  readonly epoch: Epoch;
  readonly source: { readonly region: RegionId; readonly host: string; readonly port: number };
  readonly preserve: boolean;
};

type Discarded = RejoinReport['discarded'];
/** How long a running server may take to say what it is. */
const ASK_MS_MAX = 1_000;

/** One call: what was asked, and what the source said about itself. */
type Task = {
  readonly member: Member;
  readonly request: RejoinRequest;
  readonly source: SourceView;
  readonly signal: AbortSignal;
};

export async function rejoin(member: Member, request: RejoinRequest, signal: AbortSignal): Promise<RejoinReport> {
  const { context } = member;
  await assertParentUsable(context);
  await acceptInStore(context, request.epoch, 0);
  member.step('ending the tools that an earlier call left behind');
  await endLeftoverTools(context, signal);
  if (request.preserve) return startPreserved(member, request, signal);
  member.step('asking the source who it is');
  const source = await readSource(context, request.source, signal);
  await assertSameCluster(member, source, signal);
  await assertProved(context, request.source, request.epoch, signal);
  const task: Task = { member, request, source, signal };

  if ((await findPostmaster(context)) === null) return rejoinFromDown(task);
  if ((await runningRole(member, request.epoch, signal)) === 'standby') {
    const outcome = await follow(task);
    if (outcome.kind === 'streaming') return { method: 'start', discarded: null, keptAt: null };
    await stopHard(context, signal);
    return outcome.kind === 'forked' ? leaveOwnHistory(task, false) : replace(task, null);
  }
  member.step('stopping the running server');
  await stopHard(context, signal);
  return rejoinFromDown(task);
}

async function rejoinFromDown(task: Task): Promise<RejoinReport> {
  const { member, signal } = task;
  const { context } = member;
  const shape = await shapeOf(context);
  const control = shape === 'empty' ? null : await readControlData(context, signal);
  if (control === null) return replace(task, null);
  // A standby finds out itself, by replaying what it has.
  return shape === 'standby' ? startAndFollow(task, 'start', null) : leaveOwnHistory(task, true);
}

/**
 * The server is down. Goes over to the source's history from wherever the two part, keeping all that is common. `start` is
 * false when a start has shown already that it does not follow.
 */
async function leaveOwnHistory(task: Task, start: boolean): Promise<RejoinReport> {
  const { member, request, source, signal } = task;
  const { context } = member;
  member.step('looking for where the histories part');
  const control = await readControlData(context, signal);
  if (control === null) return replace(task, null);
  const local = await findLocalEnd(context, control, signal);
  const parting = findParting(source, local, await localHistory(context, local.timeline));
  const discarded = parting?.ahead === false ? null : { from: parting?.upTo ?? control.checkpointLsn, to: local.endLsn };
  const at = { timeline: local.timeline, walSegmentBytes: control.walSegmentBytes };
  const common = parting !== null && (await hasSameLog(context, request.source, { ...at, upTo: parting.upTo }, signal));
  if (!common || (discarded === null && !start)) return replace(task, discarded ?? { from: control.checkpointLsn, to: local.endLsn });
  if (discarded === null) return startAndFollow(task, 'start', null);
  const rewound = await rewind(member, request.source, signal);
  return rewound ? startAndFollow(task, 'rewind', discarded) : replace(task, discarded);
}

/** What this member has is promised to others: it is started or pointed to its source, also to one that does not answer. */
async function startPreserved(member: Member, request: RejoinRequest, signal: AbortSignal): Promise<RejoinReport> {
  const { context } = member;
  const shape = await shapeOf(context);
  if (shape !== 'standby') {
    throw new DatabaseProblem('CTM_DATABASE_WOULD_DISCARD', `the directory is ${shape === 'empty' ? 'empty' : 'that of a primary'}, not of a standby to preserve`);
  }
  if ((await findPostmaster(context)) === null) await configureStandby(member, request.source, context.dataDir);
  member.step('starting the standby');
  await ensureRunning(context, signal);
  await pointTo(member, request.source, signal);
  return { method: 'start', discarded: null, keptAt: null };
}

/** Configures the directory as a standby, starts it and sees it stream; falls back one step when it cannot. */
async function startAndFollow(task: Task, method: RejoinReport['method'], discarded: Discarded): Promise<RejoinReport> {
  const { member, request, signal } = task;
  const { context } = member;
  await configureStandby(member, request.source, context.dataDir);
  member.step('starting the standby');
  try {
    await ensureRunning(context, signal);
  } catch (error) {
    if (!(error instanceof DatabaseProblem) || error.code !== 'CTM_DATABASE_DAMAGED') throw error;
    return replace(task, discarded);
  }
  const outcome = await follow(task);
  if (outcome.kind === 'streaming') return { method, discarded, keptAt: null };
  member.step('stopping the standby that cannot follow');
  await stopHard(context, signal);
  if (outcome.kind === 'forked' && method === 'start') return leaveOwnHistory(task, false);
  return replace(task, discarded);
}

async function replace(task: Task, discarded: Discarded): Promise<RejoinReport> {
  const { member, request, signal } = task;
  const { context } = member;
  const configure = (directory: string) => configureStandby(member, request.source, directory);
  const keptAt = await takeBaseBackup(member, request, configure, await judge(context, discarded), signal);
  member.step('starting the new copy');
  await ensureRunning(context, signal);
  const outcome = await follow(task);
  if (outcome.kind === 'streaming') return { method: 'base-backup', discarded, keptAt };
  throw new DatabaseProblem('CTM_DATABASE_START_FAILED', `a fresh base backup does not stream (${outcome.kind}): see ${context.logFile}`);
}

/** A rewind begins only where the histories are known to part. */
async function judge(context: Member['context'], discarded: Discarded): Promise<Replaced> {
  if (discarded !== null || (await exists(rewindMarker(context)))) return 'diverged';
  return (await shapeOf(context)) === 'standby' ? 'worthless' : 'unknown';
}

const follow = ({ member, request, source, signal }: Task): Promise<FollowOutcome> =>
  followRunning(member, request.source, source.timeline, signal);

/** The signal file comes last: with settings and without it the directory would come up as a primary, as it would have before. */
async function configureStandby({ context }: Member, source: RejoinRequest['source'], directory: string): Promise<void> {
  await writeFileSettings(context, directory, {
    primary_conninfo: peerConnection(context, source, {}),
    synchronous_standby_names: '',
  });
  await markStandby(context, directory);
}

async function assertSameCluster({ context }: Member, source: SourceView, signal: AbortSignal): Promise<void> {
  const control = await readControlData(context, signal);
  if (control === null || control.systemIdentifier === source.systemIdentifier) return;
  throw new DatabaseProblem(
    'CTM_DATABASE_FOREIGN_CLUSTER',
    `${context.dataDir} holds cluster ${control.systemIdentifier}, but the source is ${source.systemIdentifier}: ` +
      'nothing was touched; move the directory away if it is not needed, or correct dataDir or the source',
  );
}

/** What runs here now. A server that cannot be asked is treated as a primary: it is stopped. */
async function runningRole(member: Member, epoch: Epoch, signal: AbortSignal): Promise<'standby' | 'other'> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS_MAX)]);
  try {
    const state = await readServerState(member.control, bounded);
    await acceptInStore(member.context, epoch, state.epoch);
    return state.standby ? 'standby' : 'other';
  } catch (error) {
    if (error instanceof DatabaseProblem && error.code === 'CTM_EPOCH_STALE') throw error;
    if (!bounded.aborted && fromOutside(error) === null) throw error;
    signal.throwIfAborted();
    return 'other';
  }
}
