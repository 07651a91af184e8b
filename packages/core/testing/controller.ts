// Two controllers at rest, as the tests of the decisions change them one fact at a time: r1 serves under epoch 5, r2 is
// its standby and has all. At rest means that a tick asks for nothing, so whatever a test sees was caused by its change.

import { absorb } from '../src/failover/absorb.ts';
import { initialState } from '../src/failover/decide.ts';
import { Draft } from '../src/failover/draft.ts';
import { drive } from '../src/failover/drive.ts';
import type { Action, ControllerEvent, ControllerState, Phase, Policy, RegisterRequest } from '../src/failover/state.ts';
import type { DemotionToken, LeaseView } from '../src/lease/types.ts';
import { deriveTimings } from '../src/policy.ts';
import { memberLimits } from '../src/failover/facts.ts';
import { absorbObservation, NO_EVIDENCE } from '../src/replication/member-evidence.ts';
import type { MemberEvidence } from '../src/replication/member-evidence.ts';
import type { DatabaseObservation, StandbyView } from '../src/replication/observation.ts';
import { unknownReading } from '../src/replication/reading.ts';
import type { GivenReport } from '../src/replication/reported.ts';
import type { Verdict } from '../src/replication/verdict.ts';
import { epoch, lsn, monoMs, regionId, wallMs } from '../src/types.ts';
import type { MonoMs, Now, RegionId } from '../src/types.ts';

export const r1 = regionId('r1');
export const r2 = regionId('r2');
export const r3 = regionId('r3');

/** ttl 6 s, renewal 2 s, guard 110 ms, promotion budget 3 s, observations 3 s. */
export const timings = deriveTimings(12_000);
export const START_MS = 100_000;
export const start: Now = { monoMs: monoMs(START_MS), wallMs: wallMs(1_000_000) };
/** Longer ago than anything that a timing waits for. */
export const longAgoMs: MonoMs = monoMs(START_MS - 60_000);

export const token: DemotionToken = { systemIdentifier: '7', timeline: 1, checkpointLsn: lsn('0/100') };
export const databases = { r1: '10.0.0.1:5432', r2: '10.0.0.2:5432', r3: '10.0.0.3:5432' };

export const policy: Policy = { name: 'shop', region: r1, regions: [r1, r2], databases, mode: 'automatic', timings, hash: 'p' };

export const follower: StandbyView = { region: r2, state: 'streaming', syncState: 'sync', replayLsn: lsn('0/100'), replayLagBytes: 0 };

export const primary: DatabaseObservation = {
  role: 'primary',
  shape: 'primary',
  systemIdentifier: '7',
  timeline: 1,
  lsn: lsn('0/100'),
  replayLsn: null,
  receiver: null,
  replayPaused: null,
  standbys: [follower],
  synchronous: [r2],
  epoch: 5,
  recordedEpoch: 5,
  problem: null,
};

export const standby: DatabaseObservation = {
  ...primary,
  role: 'standby',
  shape: 'standby',
  replayLsn: lsn('0/100'),
  receiver: { streaming: true, source: databases.r1, messageAgeMs: 10 },
  replayPaused: false,
  standbys: [],
  synchronous: [],
};

export const unreachable: DatabaseObservation = { ...primary, role: 'unknown', recordedEpoch: null, problem: 'connection timed out' };
export const down: DatabaseObservation = { ...primary, role: 'down', recordedEpoch: null, problem: 'no postmaster' };

/** What the witness says while r1 holds epoch 5. */
export const held: LeaseView = {
  name: 'shop',
  revision: 10,
  epoch: epoch(5),
  holder: r1,
  instance: 'a',
  ttlMs: timings.ttlMs,
  remainingMs: timings.ttlMs,
  inSync: [r1, r2],
  policyHash: 'p',
  handover: null,
  intent: null,
  seq: 20,
};

/** Nobody has it: r1 gave it back. */
export const released: LeaseView = { ...held, revision: 11, holder: null, remainingMs: 0 };

/** r2 was granted the next epoch. */
export const taken: LeaseView = { ...held, revision: 11, epoch: epoch(6), holder: r2, instance: 'b', inSync: [r2] };

/** Its time has run out, and nobody has taken it yet. */
export const expired: LeaseView = { ...held, remainingMs: 0 };

/** From r1 to r2, with the token of its demotion. */
export const handover = { id: 's1', from: r1, to: r2, token };
export const promoting: Extract<Phase, { kind: 'promoting' }> = { kind: 'promoting', sinceMs: start.monoMs, returnable: true };

/** What says whose request it is: r1's, and r2's. */
export const mine = { region: r1, seq: 21, instance: 'a' } as const;
export const theirs = { region: r2, seq: 21, instance: 'b' } as const;
export const three: Policy = { ...policy, regions: [r1, r2, r3] };

/** What is believed after the same was seen often enough. */
export function steadily(observation: DatabaseObservation): MemberEvidence {
  const looks = [400, 300, 200, 100, 0].map((agoMs) => monoMs(START_MS - agoMs));
  const limits = memberLimits(initialState(policy, { instance: 'a', epoch: 5 }, start));
  return looks.reduce((evidence, atMs) => absorbObservation(evidence, observation, atMs, limits), NO_EVIDENCE);
}

export const STALLED: Verdict = { kind: 'notPromotable', reason: 'receiver-stalled', detail: 'nothing moves' };

/** What a lag prober that looks every second said of one standby at the start. */
export function lagReport(name: RegionId, verdict: Verdict): GivenReport {
  const nothing = unknownReading('bytes', 'not measured', null);
  const figures = { bytes: nothing, milliseconds: nothing, commits: nothing };
  const standby = { name, verdict, verdictForMs: null, syncState: null, lag: figures, loss: figures };
  return { report: { cluster: 'shop', intervalMs: 1_000, primary: null, standbys: [standby] }, receivedMs: start.monoMs };
}

const atRest = {
  seq: 20,
  nextId: 100,
  view: held,
  viewMs: start.monoMs,
  databaseMs: start.monoMs,
  gate: { connected: true, held: 0, mode: null, epoch: 5 },
  persistedEpoch: 5,
  weights: { epoch: epoch(5), weights: { r1: 100, r2: 0 } },
} as const;

/** r1, active under epoch 5, valid for a while, everything in place. */
export function holder(changes: Partial<ControllerState> = {}): ControllerState {
  const validUntilMs = monoMs(START_MS + timings.ttlMs - timings.guardMs);
  return {
    ...initialState(policy, { instance: 'a', epoch: 5 }, start),
    ...atRest,
    phase: { kind: 'active' },
    grant: { epoch: epoch(5), validUntilMs },
    promotedEpoch: 5,
    lastRenewMs: start.monoMs,
    database: primary,
    evidence: steadily(primary),
    streaming: { regions: [r2], sinceMs: longAgoMs },
    synchronous: [r2],
    caughtUp: [r2],
    gateDirective: { epoch: epoch(5), mode: 'open', validUntilMs, activeRegion: r1, holdForwarded: false },
    ...changes,
  };
}

/** r2, the standby of r1, which holds epoch 5. */
export function contender(changes: Partial<ControllerState> = {}): ControllerState {
  return {
    ...initialState({ ...policy, region: r2 }, { instance: 'b', epoch: 5 }, start),
    ...atRest,
    phase: { kind: 'standby' },
    database: standby,
    evidence: steadily(standby),
    gateDirective: { epoch: epoch(5), mode: 'forward', validUntilMs: monoMs(0), activeRegion: r1, holdForwarded: false },
    ...changes,
  };
}

/** r2, just granted epoch 6 for r1's, its database still a standby. */
export function promotingContender(changes: Partial<ControllerState> = {}): ControllerState {
  return contender({
    phase: { kind: 'promoting', sinceMs: start.monoMs, returnable: true },
    view: taken,
    grant: { epoch: epoch(6), validUntilMs: monoMs(START_MS + timings.ttlMs - timings.guardMs) },
    lastRenewMs: start.monoMs,
    persistedEpoch: 6,
    ...changes,
  });
}

/** r1, handing over to r2 under intent `s1`. */
export function givingHolder(step: Extract<Phase, { kind: 'handing-over' }>['step'], changes: Partial<ControllerState> = {}): ControllerState {
  const intent = { id: 's1', from: r1, to: r2, target: 'ready', reasons: [] } as const;
  const gave = step === 'transferring' || step === 'returning';
  return holder({
    phase: { kind: 'handing-over', id: 's1', to: r2, step, token: gave ? token : null, deadlineMs: monoMs(START_MS + 3_000) },
    view: { ...held, intent },
    ...changes,
  });
}

export function later(ms: number, wallAheadMs = 0): Now {
  return { monoMs: monoMs(START_MS + ms), wallMs: wallMs(start.wallMs + ms + wallAheadMs) };
}

/** A decision in the making on this state, `ms` after the start. */
export function draftOf(state: ControllerState, ms = 0): Draft {
  return new Draft({ ...state, now: later(ms) });
}

/** The actions of one kind, in their order. */
export function only<K extends Action['kind']>(actions: readonly Action[], kind: K): Extract<Action, { kind: K }>[] {
  return actions.filter((action): action is Extract<Action, { kind: K }> => action.kind === kind);
}

/** The names of what was recorded, in order. */
export function records(actions: readonly Action[]): string[] {
  return only(actions, 'record').map((action) => action.event);
}

/** Takes the event `ms` after the start. */
export function take(state: ControllerState, event: ControllerEvent, ms = 0): Draft {
  const draft = draftOf(state, ms);
  absorb(draft, event);
  return draft;
}

/** What is asked for `ms` after the start. */
export function ask(state: ControllerState, ms = 0) {
  const draft = draftOf(state, ms);
  drive(draft);
  return { actions: draft.actions, state: draft.state, wakeMs: draft.wakeMs };
}

/** What the register is asked for. */
export function command(state: ControllerState, ms = 0): RegisterRequest | null {
  return only(ask(state, ms).actions, 'register')[0]?.request ?? null;
}
