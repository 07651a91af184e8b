// What the running server says about itself, as the controller's calls use it. The question and its arithmetic are the lag
// prober's: there is one measurement of replication, asked here in this process and on this adapter's own connections.

import type { MemberView } from '@continuum/core/replication/member-view';
import { viewOf } from '@continuum/core/replication/member-view';
import { askEnd } from '../postgres-probe/statement.ts';
import { DatabaseProblem } from './problem.ts';
import { parseStandbyList } from './server-settings.ts';
import type { Session } from './session.ts';

export type ServerState = MemberView & {
  readonly standby: boolean;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Primary: for whom commits wait; empty on a standby, where nothing commits. */
  readonly synchronous: readonly string[];
  readonly epoch: number;
};

export async function readServerState(session: Session, signal: AbortSignal): Promise<ServerState> {
  const answer = await askEnd(session, 'fence', signal);
  const timeline = answer?.sample.timeline ?? null;
  if (answer === null || answer.epoch === null || timeline === null) {
    throw new DatabaseProblem('CTM_DATABASE_GARBAGE', 'the server said something about itself that makes no sense');
  }
  const { sample, epoch } = answer;
  const view = viewOf(sample);
  return {
    ...view,
    standby: sample.role === 'standby',
    systemIdentifier: sample.systemIdentifier,
    timeline,
    synchronous: sample.role === 'primary' ? parseStandbyList(sample.synchronous) : [],
    epoch,
  };
}
