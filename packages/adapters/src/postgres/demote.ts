// Stops the primary so that its standby has everything, and says where its history ended. A fast shutdown waits until
// every connected walsender's standby has confirmed the shutdown checkpoint; whether the standby really got there is checked
// at the other end, by the token.

import type { DemotionToken, Epoch } from '@continuum/core';
import { readControlData, shapeOf } from './cluster.ts';
import { acceptInStore, acceptInTable } from './fence.ts';
import type { Member } from './member.ts';
import { readServerState } from './server-state.ts';
import { findPostmaster, stopPostmaster } from './postmaster.ts';
import { DatabaseProblem, fromOutside } from './problem.ts';

/** A primary that does not answer is stopped all the same: then the store alone guards the epoch. */
const ASK_MS_MAX = 500;
const IMMEDIATE_MS_MAX = 1_000;

export async function demote(member: Member, request: { readonly epoch: Epoch }, signal: AbortSignal): Promise<DemotionToken> {
  const { context } = member;
  await acceptInStore(context, request.epoch, 0);
  if ((await findPostmaster(context)) !== null) {
    await assertMayDemote(member, request.epoch, signal);
    member.step('waiting for the fast shutdown');
    if (!(await stopPostmaster(context, 'fast', signal))) {
      // A bounded fence matters more than a clean one: past the deadline nobody may write here.
      const stopped = await stopPostmaster(context, 'immediate', AbortSignal.timeout(IMMEDIATE_MS_MAX));
      throw new DatabaseProblem(
        'CTM_DATABASE_TIMEOUT',
        `the fast shutdown did not end in time; an immediate one was sent and ${stopped ? 'ended it: it needs recovery' : 'has not ended it yet'}`,
      );
    }
  }
  return readToken(member, signal);
}

async function assertMayDemote({ control, context }: Member, epoch: Epoch, signal: AbortSignal): Promise<void> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS_MAX)]);
  try {
    const state = await readServerState(control, bounded);
    if (state.standby) throw notPrimary('it is a standby');
    await acceptInStore(context, epoch, state.epoch);
    await acceptInTable(control, epoch, context.region, bounded);
  } catch (error) {
    if (error instanceof DatabaseProblem && error.code !== 'CTM_DATABASE_UNREACHABLE') throw error;
    if (!bounded.aborted && fromOutside(error) === null) throw error;
    if ((await shapeOf(context)) === 'standby') throw notPrimary('its directory is that of a standby');
  }
}

async function readToken({ context }: Member, signal: AbortSignal): Promise<DemotionToken> {
  const shape = await shapeOf(context);
  if (shape !== 'primary') throw notPrimary(`its directory is ${shape === 'empty' ? 'empty' : 'that of a standby'}`);
  const data = await readControlData(context, signal);
  if (data === null || data.state !== 'shut down') {
    throw new DatabaseProblem(
      'CTM_DATABASE_NOT_CLEAN',
      `the primary is down but was left "${data?.state ?? 'without pg_control'}", so where its history ended is unknown: ` +
        'promote it again and demote it, or let the standby take over',
    );
  }
  return { systemIdentifier: data.systemIdentifier, timeline: data.timeline, checkpointLsn: data.checkpointLsn };
}

const notPrimary = (why: string): DatabaseProblem => new DatabaseProblem('CTM_DATABASE_NOT_PRIMARY', `nothing to demote: ${why}`);
