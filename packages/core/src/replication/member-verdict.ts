// The verdict as a controller needs it, from the observation stream that it has anyway: of a standby, by its primary (the
// in-sync set), and of the own member, by itself (I8). The same three answers and the same reasons as the prober's, which
// sees both ends; what one end cannot know is what the in-sync set at the register promises.

import { lsnDiffBytes } from '../types.ts';
import type { DatabaseObservation, StandbyView } from './observation.ts';
import type { Verdict } from './verdict.ts';

/** May this standby be counted on, as far as its primary sees? */
export function judgeFollower({ region, state, replayLagBytes }: StandbyView): Verdict {
  if (state !== 'streaming') return { kind: 'notPromotable', reason: 'not-streaming', detail: `${region}: ${state}` };
  if (replayLagBytes === null) return { kind: 'unknown', reason: 'lag-unknown', detail: `${region}: its replay position is not known` };
  return { kind: 'promotable' };
}

/** The same of one that has stood still, although there was something to replay. */
export function judgeStalled(region: string, stalledMs: number): Verdict {
  return { kind: 'notPromotable', reason: 'replay-stalled', detail: `${region}: behind, and nothing was replayed for ${Math.round(stalledMs)} ms` };
}

export type OwnVerdict = {
  readonly verdict: Verdict;
  /** Log received and not replayed; null when unknown, or when it has a history of its own. */
  readonly replayLagBytes: number | null;
};

/** May this member be promoted, as far as it sees itself? `null`: nothing fresh is known of it. */
export function judgeOwnMember(observation: DatabaseObservation | null, replayLagMaxBytes: number): OwnVerdict {
  if (observation === null) {
    return { verdict: { kind: 'unknown', reason: 'standby-silent', detail: 'no fresh observation' }, replayLagBytes: null };
  }
  if (observation.shape === 'primary') return { verdict: { kind: 'promotable' }, replayLagBytes: null };
  const replayLagBytes = lsnDiffBytes(observation.lsn, observation.replayLsn);
  if (replayLagBytes === null) {
    return { verdict: { kind: 'unknown', reason: 'lag-unknown', detail: observation.problem ?? 'no replay position' }, replayLagBytes };
  }
  if (observation.replayPaused === true) {
    return { verdict: { kind: 'notPromotable', reason: 'replay-paused', detail: 'somebody paused replay on this standby' }, replayLagBytes };
  }
  if (replayLagBytes <= replayLagMaxBytes) return { verdict: { kind: 'promotable' }, replayLagBytes };
  const detail = `${replayLagBytes} bytes, at most ${replayLagMaxBytes} allowed`;
  return { verdict: { kind: 'notPromotable', reason: 'replay-lag-over-limit', detail }, replayLagBytes };
}
