// One end's sample as its controller looks at it: the same measurement as the prober's, told from one side.

import { lsnDiffBytes } from '../types.ts';
import type { DatabaseObservation, StandbyView } from './observation.ts';
import type { PrimarySample, StandbySample, Walsender } from './sample.ts';
import { receivedLsn } from './state.ts';

export type MemberView = Pick<DatabaseObservation, 'systemIdentifier' | 'timeline' | 'lsn' | 'replayLsn' | 'receiver' | 'replayPaused' | 'standbys'>;

export function viewOf(sample: PrimarySample | StandbySample): MemberView {
  const { systemIdentifier, timeline } = sample;
  if (sample.role === 'primary') {
    const standbys = sample.walsenders.map((one) => followerOf(sample, one));
    return { systemIdentifier, timeline, lsn: sample.lsn, replayLsn: null, receiver: null, replayPaused: null, standbys };
  }
  const { replayLsn, replayPaused } = sample;
  const receiver = sample.receiver ?? NO_RECEIVER;
  return { systemIdentifier, timeline, lsn: receivedLsn(sample), replayLsn, receiver, replayPaused, standbys: [] };
}

const NO_RECEIVER: NonNullable<MemberView['receiver']> = { streaming: false, source: null, messageAgeMs: null };
const STATES: Readonly<Record<string, StandbyView['state']>> = { startup: 'startup', catchup: 'catchup', streaming: 'streaming', backup: 'backup' };
const SYNC_STATES: Readonly<Record<string, StandbyView['syncState']>> = { potential: 'potential', sync: 'sync', quorum: 'quorum' };

/** A state that is not known is none of those that are counted on. */
function followerOf({ lsn }: PrimarySample, { name, state, syncState, replayLsn }: Walsender): StandbyView {
  return {
    region: name,
    state: STATES[state] ?? 'stopping',
    syncState: SYNC_STATES[syncState] ?? 'async',
    replayLsn,
    replayLagBytes: lsnDiffBytes(lsn, replayLsn),
  };
}
