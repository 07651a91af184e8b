// The gate's state and its waiting room. All judgement is `judge` and `judgeProbe` of the core; this holds what they judge with, and
// has the requests and the probes that wait judged again when the instruction changes.

import type { Epoch, GateAnswer, GateLimits, GateProbe, TakenInstruction, GateState, Now, RegionId } from '@continuum/core';
import { judge, judgeProbe, newGate, remainingValidityMs, takeInstruction } from '@continuum/core';
import type { Clock } from '@continuum/runtime';
import { createWaitingRoom } from './waiting-room.ts';
import type { FinalVerdict, Visitor } from './waiting-room.ts';

export type Arrival = {
  readonly kind: 'well-known' | 'application';
  readonly forwardedBy: readonly string[];
  /** Of a probe that would rather hear of the next change than of how it is; 0 for everybody else. */
  readonly waitMs: number;
  /** Called once, maybe before `enter` returns; never after the request left. */
  readonly settle: (verdict: FinalVerdict) => void;
  /** Called instead of `settle` when this process stops: the gateway asks again, maybe another gate process. */
  readonly askAgain: () => void;
};

export type InstructResult = 'changed' | 'extended' | 'epoch-stale' | 'epoch-not-saved';

export type GateRoom = {
  /** Returns how to leave early (the client is gone); that says whether the request was still waiting. */
  readonly enter: (arrival: Arrival) => () => boolean;
  readonly instruct: (instruction: TakenInstruction, asked: Now, remainingMs: number) => InstructResult;
  readonly held: () => number;
  readonly waitingProbes: () => number;
  readonly state: () => GateState;
  readonly remainingMs: () => number;
  /** Sends every waiting request and probe back to the gateway without a verdict; returns how many. */
  readonly evict: () => number;
};

type Waiting = Visitor & { readonly askAgain: () => void };

export type GateRoomOptions = {
  readonly region: RegionId;
  readonly heldMax: number;
  readonly holdMsLimit: number;
  readonly epochMax: Epoch;
  /** Makes an epoch durable; throws when it cannot. */
  readonly saveEpoch: (epoch: Epoch) => void;
  readonly onSaveFailed: (error: unknown) => void;
  readonly clock: Clock;
};

export function createGateRoom(options: GateRoomOptions): GateRoom {
  const { clock } = options;
  const [requests, probes] = [createWaitingRoom<Waiting>(clock), createWaitingRoom<Waiting>(clock)];
  let state = newGate(options.epochMax, clock.now());
  let answer: GateAnswer = { kind: 'deny', sinceMonoMs: state.asked.monoMs };

  const limits = (): GateLimits => ({
    region: options.region,
    held: requests.size(),
    heldMax: options.heldMax,
    holdMsLimit: options.holdMsLimit,
  });

  /** What a probe is told now, and since when: a validity that ran out unseen counts from when it is seen. */
  const answerAt = (now: Now): GateAnswer => {
    const kind = remainingValidityMs(state, now) > 0 ? 'allow' : 'deny';
    if (kind !== answer.kind) answer = { kind, sinceMonoMs: now.monoMs };
    return answer;
  };

  const enter = (arrival: Arrival): (() => boolean) => {
    const now = clock.now();
    const { settle, askAgain, ...rest } = arrival;
    if (arrival.waitMs === 0) {
      const request = { ...rest, arrivedMonoMs: now.monoMs };
      return requests.enter({ judge: (held, at) => judge(state, { ...request, held }, limits(), at), settle, askAgain }, now);
    }
    const probe: Omit<GateProbe, 'waits'> = { ...rest, arrivedMonoMs: now.monoMs, answer: answerAt(now) };
    return probes.enter({ judge: (waits, at) => judgeProbe(state, { ...probe, waits }, probes.size(), limits(), at), settle, askAgain }, now);
  };

  const instruct = (next: TakenInstruction, asked: Now, remainingMs: number): InstructResult => {
    const { state: after, outcome } = takeInstruction(state, next, asked, remainingMs);
    if (outcome === 'epoch-stale') return outcome;
    if (after.epochMax > state.epochMax) {
      try {
        options.saveEpoch(after.epochMax);
      } catch (error) {
        options.onSaveFailed(error);
        return 'epoch-not-saved';
      }
    }
    state = after;
    answerAt(clock.now());
    probes.judgeAll();
    // Only an open gate looks at the validity, and no request waits at an open gate: more of it releases nobody.
    if (outcome === 'changed') requests.judgeAll();
    return outcome;
  };

  const evict = (): number => {
    const out = [...requests.leaveAll(), ...probes.leaveAll()];
    for (const { askAgain } of out) askAgain();
    return out.length;
  };

  return {
    enter,
    instruct,
    held: () => requests.size(),
    waitingProbes: () => probes.size(),
    state: () => state,
    remainingMs: () => remainingValidityMs(state, clock.now()),
    evict,
  };
}
