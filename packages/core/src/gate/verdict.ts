// The gate's whole judgement: what happens to one request, now. The gate daemon runs it for every request and again for
// every held one; the simulator runs it as the gate of each region. It compares clocks when it is asked and never trusts
// that a timer fired: a process that was paused past its validity refuses its first request after it wakes (I4).

import { unreachable } from '../assert.ts';
import { mayEnterEpoch } from '../invariants.ts';
import type { Epoch, MonoMs, Now, RegionId } from '../types.ts';
import { addMs, monoMs } from '../types.ts';

/** How far the wall clock may run ahead of the monotonic one before nothing is known of how long the machine slept. */
const SUSPEND_TOLERANCE_MS = 1_000;

/** A request that was forwarded so often goes nowhere else. */
const FORWARDS_MAX = 2;

/** What the controller told the gate last. `remainingMs` is gone: it became `validUntilMonoMs`. */
export type TakenInstruction = {
  readonly version: number;
  readonly epoch: Epoch;
  readonly mode: 'open' | 'hold' | 'forward' | 'closed';
  readonly activeRegion: RegionId | null;
  readonly holdForwarded: boolean;
  readonly holdMsMax: number;
};

export type GateState = {
  /** Null until the first instruction: nothing passes. */
  readonly instruction: TakenInstruction | null;
  /** When the gate asked for `instruction`: validity counts from here, so neither delay nor a paused controller lengthens it. */
  readonly asked: Now;
  readonly validUntilMonoMs: MonoMs;
  /** Highest epoch ever accepted, also by an earlier process of this gate (I2). */
  readonly epochMax: Epoch;
};

export type GateRequest = {
  /** The path that says which region is active; never held and never forwarded. */
  readonly kind: 'well-known' | 'application';
  /** The regions whose gateways forwarded it already, in order; a client can only lengthen it, to its own harm. */
  readonly forwardedBy: readonly string[];
  readonly arrivedMonoMs: MonoMs;
  /** It waits already: it does not need a place among the held ones. */
  readonly held: boolean;
};

export type GateLimits = {
  readonly region: RegionId;
  /** Requests held at this moment, and how many may be. */
  readonly held: number;
  readonly heldMax: number;
  /** Upper bound of any instruction's `holdMsMax`: the gateway gives up waiting for the gate a while after it. */
  readonly holdMsLimit: number;
};

export type GateRefusal = 'CTM_GATE_FENCED' | 'CTM_GATE_HOLD_EXPIRED' | 'CTM_GATE_HOLD_FULL' | 'CTM_GATE_LOOP';

export type GateVerdict =
  | { readonly kind: 'allow'; readonly route: RegionId }
  /** Ask again when the instruction changes, and at the latest at this time. */
  | { readonly kind: 'wait'; readonly untilMonoMs: MonoMs }
  | { readonly kind: 'deny'; readonly code: GateRefusal };

export type InstructionOutcome = 'changed' | 'extended' | 'epoch-stale';

/** A gate that has heard nothing yet. */
export function newGate(epochMax: Epoch, now: Now): GateState {
  return { instruction: null, asked: now, validUntilMonoMs: monoMs(now.monoMs), epochMax };
}

/**
 * Takes an instruction that was asked for at `asked`. `changed`: something but the validity is new. `epoch-stale`: refused, the
 * state stays as it is. When the epoch rises the caller makes `epochMax` durable before it uses the new state.
 */
export function takeInstruction(
  state: GateState,
  instruction: TakenInstruction,
  asked: Now,
  remainingMs: number,
): { readonly state: GateState; readonly outcome: InstructionOutcome } {
  if (!mayEnterEpoch(state.epochMax, instruction.epoch)) return { state, outcome: 'epoch-stale' };
  const changed = state.instruction === null || !sameInstruction(state.instruction, instruction);
  return {
    state: { instruction, asked, validUntilMonoMs: addMs(asked.monoMs, remainingMs), epochMax: instruction.epoch },
    outcome: changed ? 'changed' : 'extended',
  };
}

/** How long this gate may still serve locally; 0 when it may not. */
export function remainingValidityMs(state: GateState, now: Now): number {
  if (state.instruction?.mode !== 'open') return 0;
  return leftMs(state.validUntilMonoMs, state.asked, now);
}

/**
 * What is left until `untilMonoMs`, by whichever clock went further since `since`: a suspended machine's monotonic clock stands
 * still, and every sleep, however short, is time that has passed. A long one leaves nothing: the wall clock may have been set back
 * meanwhile, and show only a part of it.
 */
export function leftMs(untilMonoMs: MonoMs, since: Now, now: Now): number {
  const sleptMs = Math.max(0, wallAheadMs(since, now));
  return sleptMs > SUSPEND_TOLERANCE_MS ? 0 : Math.max(0, untilMonoMs - now.monoMs - sleptMs);
}

/** How much further the wall clock went than the monotonic clock since `since`: time that a suspended machine slept. */
export function wallAheadMs(since: Now, now: Now): number {
  return now.wallMs - since.wallMs - (now.monoMs - since.monoMs);
}

/** What happens to this request at this moment. */
export function judge(state: GateState, request: GateRequest, limits: GateLimits, now: Now): GateVerdict {
  const { instruction } = state;
  if (instruction === null) return deny('CTM_GATE_FENCED');
  if (request.kind === 'well-known' && instruction.mode !== 'open') return deny('CTM_GATE_FENCED');
  switch (instruction.mode) {
    case 'open':
      return remainingValidityMs(state, now) > 0 ? allow(limits.region) : deny('CTM_GATE_FENCED');
    case 'hold':
      return hold(instruction, request, limits, now);
    case 'forward':
      return forward(instruction, request, limits, now);
    case 'closed':
      return deny('CTM_GATE_FENCED');
    default:
      return unreachable(instruction.mode);
  }
}

function forward(instruction: TakenInstruction, request: GateRequest, limits: GateLimits, now: Now): GateVerdict {
  const { forwardedBy } = request;
  if (forwardedBy.length > 0 && instruction.holdForwarded) return hold(instruction, request, limits, now);
  // Each gateway forwards a request once. A second region's may be needed: what a standby sent to the holder waits there
  // through a hand-over, and then belongs to the standby.
  if (forwardedBy.includes(limits.region) || forwardedBy.length >= FORWARDS_MAX) return deny('CTM_GATE_LOOP');
  const { activeRegion } = instruction;
  if (activeRegion === null || activeRegion === limits.region) return deny('CTM_GATE_FENCED');
  return allow(activeRegion);
}

function hold(instruction: TakenInstruction, request: GateRequest, limits: GateLimits, now: Now): GateVerdict {
  const untilMonoMs = addMs(request.arrivedMonoMs, Math.min(instruction.holdMsMax, limits.holdMsLimit));
  if (now.monoMs >= untilMonoMs) return deny('CTM_GATE_HOLD_EXPIRED');
  if (!request.held && limits.held >= limits.heldMax) return deny('CTM_GATE_HOLD_FULL');
  return { kind: 'wait', untilMonoMs };
}

function sameInstruction(a: TakenInstruction, b: TakenInstruction): boolean {
  return (
    a.version === b.version &&
    a.epoch === b.epoch &&
    a.mode === b.mode &&
    a.activeRegion === b.activeRegion &&
    a.holdForwarded === b.holdForwarded &&
    a.holdMsMax === b.holdMsMax
  );
}

function allow(route: RegionId): GateVerdict {
  return { kind: 'allow', route };
}

function deny(code: GateRefusal): GateVerdict {
  return { kind: 'deny', code };
}
