// One region's controller, as a function: what is known, what happened, what time it is -> what is known now, and what
// to do. The daemon and the simulator drive this same function; neither adds a decision of its own.

import { assert } from '../assert.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import type { Epoch, Now } from '../types.ts';
import { addMs, monoMs } from '../types.ts';
import { absorb } from './absorb.ts';
import { checkDecision } from './check-decision.ts';
import { Draft } from './draft.ts';
import { drive, OPERATOR_WORD_MS } from './drive.ts';
import { forgetRounds, initialFallback } from './fallback.ts';
import { step } from './step.ts';
import type { ControllerEvent, ControllerState, Decision, Policy } from './state.ts';

/** Wall time may run ahead of monotonic time by this much between two decisions; more is a suspended machine. */
const SUSPEND_MS = 1_000;
/** The two clocks are not read at one moment: less than this between two decisions is no sleep. */
const SLEEP_MS_MIN = 20;

export type Restored = {
  /** Identity of this controller, stable over restarts with the same state directory. */
  readonly instance: string;
  /** Highest epoch that was persisted; 0 when none. */
  readonly epoch: number;
};

export function initialState(policy: Policy, restored: Restored, now: Now): ControllerState {
  const never = monoMs(Number.MIN_SAFE_INTEGER);
  return {
    policy,
    instance: restored.instance,
    phase: { kind: 'starting' },
    now,
    view: null,
    viewMs: never,
    grant: null,
    promotedEpoch: 0,
    seq: 0,
    nextId: 1,
    request: null,
    lastRenewMs: null,
    retryRequestMs: now.monoMs,
    database: null,
    databaseMs: never,
    databaseAction: null,
    retryDatabaseMs: now.monoMs,
    retryRejoinMs: now.monoMs,
    databaseProblem: null,
    databaseBadSinceMs: null,
    streamLostSinceMs: null,
    evidence: NO_EVIDENCE,
    lagReport: null,
    streaming: { regions: [], sinceMs: now.monoMs },
    synchronous: null,
    caughtUp: [],
    widening: null,
    gate: { connected: false, held: 0, mode: null, epoch: 0 },
    gateDirective: null,
    drainPending: null,
    weights: null,
    trafficPending: null,
    retryTrafficMs: now.monoMs,
    operator: null,
    notBeforeMs: now.monoMs,
    holdDownUntilMs: now.monoMs,
    lastHolder: null,
    persistedEpoch: restored.epoch,
    lastSwitchover: null,
    endedSwitchovers: [],
    registerProblem: null,
    registerRefused: false,
    fallback: initialFallback(now.monoMs),
  };
}

export function decide(before: ControllerState, event: ControllerEvent, now: Now): Decision {
  assert(now.monoMs >= before.now.monoMs, 'CLOCK_MONOTONE', () => `${before.now.monoMs} -> ${now.monoMs}`);
  const draft = new Draft(before, now);
  dropAfterSuspend(draft, before.now);
  absorb(draft, event);
  forgetOldWord(draft);
  step(draft);
  drive(draft);
  checkDecision(draft);
  return { state: draft.state, actions: draft.actions, wakeMs: draft.wakeMs };
}

/** A machine that slept does not know what it missed: its validity is over until the witness renews it. */
function dropAfterSuspend(draft: Draft, last: Now): void {
  const { state } = draft;
  const aheadMs = state.now.wallMs - last.wallMs - (state.now.monoMs - last.monoMs);
  if (aheadMs <= SUSPEND_MS) return countSleep(draft, aheadMs);
  draft.record('suspend-suspected', { wallAheadMs: aheadMs, epoch: state.grant?.epoch ?? null });
  // The answer to a request from before the sleep would count its validity from a time that the sleep is missing in.
  state.request = null;
  state.lastRenewMs = null;
  forgetRounds(state);
  if (state.grant !== null) state.grant = { ...state.grant, validUntilMs: draft.nowMs };
}

/** A short sleep is time that has passed: several of them must not add up to one that nobody counted. */
function countSleep(draft: Draft, sleptMs: number): void {
  const { state } = draft;
  // A wall clock that was set back hides the sleep before it: what was seen of another region may be older than it looks.
  if (sleptMs <= -SLEEP_MS_MIN) return forgetRounds(state);
  if (sleptMs < SLEEP_MS_MIN) return;
  if (state.grant !== null) state.grant = { ...state.grant, validUntilMs: addMs(state.grant.validUntilMs, -sleptMs) };
  if (state.request !== null) state.request = { ...state.request, sentMs: addMs(state.request.sentMs, -sleptMs) };
  forgetRounds(state);
}

/** After the event: a word that waited for a stopped process may be too old when it is taken, and one that is taken back is still known. */
function forgetOldWord(draft: Draft): void {
  const { operator } = draft.state;
  if (operator !== null && draft.due(addMs(operator.atMs, OPERATOR_WORD_MS))) draft.state.operator = null;
}

/** The epoch that this controller acts under now; 0 when it may not act. */
export function actingEpoch(state: ControllerState): Epoch | 0 {
  const { grant, now } = state;
  return grant !== null && now.monoMs < grant.validUntilMs ? grant.epoch : 0;
}
