// The gate's state and its waiting room. All judgement is `judge` of the core; this holds what it judges with, keeps the
// requests that wait, and judges them again when the instruction changes or their time is up.

import type { Epoch, GateLimits, TakenInstruction, GateState, GateVerdict, MonoMs, Now, RegionId } from '@continuum/core';
import { judge, newGate, remainingValidityMs, takeInstruction } from '@continuum/core';
import type { Clock } from './clock.ts';

export type FinalVerdict = Exclude<GateVerdict, { kind: 'wait' }>;

export type Arrival = {
  readonly kind: 'well-known' | 'application';
  readonly forwardedBy: readonly string[];
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
  readonly state: () => GateState;
  readonly remainingMs: () => number;
  /** Sends every waiting request back to the gateway without a verdict; returns how many. */
  readonly evict: () => number;
};

type Waiting = {
  readonly arrival: Arrival;
  readonly arrivedMonoMs: MonoMs;
  timer: NodeJS.Timeout | null;
};

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
  const waiting = new Set<Waiting>();
  let state = newGate(options.epochMax, clock());

  const limits = (): GateLimits => ({
    region: options.region,
    held: waiting.size,
    heldMax: options.heldMax,
    holdMsLimit: options.holdMsLimit,
  });

  const remove = (entry: Waiting): boolean => {
    if (entry.timer !== null) clearTimeout(entry.timer);
    return waiting.delete(entry);
  };

  const judgeAgain = (entry: Waiting): void => {
    const now = clock();
    const verdict = judge(state, { ...entry.arrival, arrivedMonoMs: entry.arrivedMonoMs, held: true }, limits(), now);
    if (verdict.kind === 'wait') {
      wakeAt(entry, verdict.untilMonoMs, now);
    } else if (remove(entry)) {
      entry.arrival.settle(verdict);
    }
  };

  const wakeAt = (entry: Waiting, untilMonoMs: MonoMs, now: Now): void => {
    if (entry.timer !== null) clearTimeout(entry.timer);
    entry.timer = setTimeout(judgeAgain, Math.max(1, Math.ceil(untilMonoMs - now.monoMs)), entry);
  };

  const enter = (arrival: Arrival): (() => boolean) => {
    const now = clock();
    const verdict = judge(state, { ...arrival, arrivedMonoMs: now.monoMs, held: false }, limits(), now);
    if (verdict.kind !== 'wait') {
      arrival.settle(verdict);
      return () => false;
    }
    const entry: Waiting = { arrival, arrivedMonoMs: now.monoMs, timer: null };
    waiting.add(entry);
    wakeAt(entry, verdict.untilMonoMs, now);
    return () => remove(entry);
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
    // Only an open gate looks at the validity, and nobody waits at an open gate: more of it releases nobody.
    if (outcome === 'changed') for (const entry of [...waiting]) judgeAgain(entry);
    return outcome;
  };

  const evict = (): number => {
    const out = [...waiting].filter(remove);
    for (const { arrival } of out) arrival.askAgain();
    return out.length;
  };

  return {
    enter,
    instruct,
    held: () => waiting.size,
    state: () => state,
    remainingMs: () => remainingValidityMs(state, clock()),
    evict,
  };
}
