// The small scope that is searched: two regions and a witness under the real lease, decision and gate functions, with a database of
// a few writes. Time passes in steps that are equal for all, and only when everything that is on its way and was not held up has
// arrived: what comes late, is lost, fails, dies or stops is chosen, and paid for from a budget. So everything that the budget allows is
// tried at every moment that the search comes to.

import type { ControllerState, DatabaseAction, GateDirective, GateState, LeaseCommand, LeaseRecord, LeaseReply, Policy } from '@continuum/core';
import { deriveTimings, epoch, initialState, monoMs, newGate, newLease, regionId, wallMs } from '@continuum/core';

/** A third of the ttl: a takeover is a few steps away. */
export const STEP_MS = 1_000;
export const TIMINGS = deriveTimings(6_000);
export const MESSAGES_MAX = 4;
export const NAMES = ['r1', 'r2'] as const;
export const START_MS = 1_000_000;

export type Index = 0 | 1;

export type SmallDatabase = {
  readonly role: 'primary' | 'standby' | 'down';
  readonly shape: 'primary' | 'standby';
  readonly epoch: number;
  readonly log: readonly number[];
  readonly synchronous: readonly string[];
};

export type Operation = { readonly id: number; readonly action: DatabaseAction; readonly late: boolean };

export type SmallRegion = {
  readonly state: ControllerState;
  /** +1 with every restart of the controller: what was on its way to an earlier one is not for this one. */
  readonly life: number;
  readonly paused: boolean;
  readonly persisted: number;
  readonly directive: GateDirective | null;
  /** The directive that is in force in the gate, and the gate as it judges. */
  readonly taken: GateDirective | null;
  readonly gate: GateState;
  readonly weightsEpoch: number;
  readonly database: SmallDatabase;
  readonly operation: Operation | null;
  readonly draining: number | null;
};

type Travelling = { readonly region: Index; readonly id: number; readonly life: number; readonly late: boolean };

export type Message =
  | (Travelling & { readonly to: 'witness'; readonly command: LeaseCommand | null })
  | (Travelling & { readonly to: 'region'; readonly reply: LeaseReply });

/** What may still go wrong, or be asked for. */
export type Budget = {
  readonly crashes: number;
  readonly pauses: number;
  /** Messages that are lost and operations that fail. */
  readonly losses: number;
  /** Messages and operations that are held up, for as long as it takes. */
  readonly delays: number;
  readonly switchovers: number;
  readonly writes: number;
};

export type Scope = {
  readonly nowMs: number;
  readonly record: LeaseRecord;
  readonly regions: readonly [SmallRegion, SmallRegion];
  readonly messages: readonly Message[];
  readonly budget: Budget;
  readonly nextWrite: number;
  readonly acknowledged: readonly number[];
  /** To whom each epoch was granted. */
  readonly granted: readonly { readonly epoch: number; readonly region: string }[];
  /** The last proved primary, and whether the other one was seen streaming from it. */
  readonly primary: string | null;
  readonly streamed: boolean;
};

/** Something that must not be. */
export class ScopeViolation extends Error {}

/** A gate that is connected; what it does is told with every step of time. */
export const CONNECTED = { connected: true, held: 0, mode: null, epoch: 0 };

export const clock = (nowMs: number): ControllerState['now'] => ({ monoMs: monoMs(nowMs), wallMs: wallMs(nowMs) });
export const otherOf = (index: Index): Index => (index === 0 ? 1 : 0);

export function firstScope(budget: Budget): Scope {
  const region = (index: Index): SmallRegion => ({
    state: { ...initialState(policy(index), { instance: `${NAMES[index]}-1`, epoch: 0 }, clock(START_MS)), gate: CONNECTED },
    life: 1,
    paused: false,
    persisted: 0,
    directive: null,
    taken: null,
    gate: newGate(epoch(0), clock(START_MS)),
    weightsEpoch: 0,
    database: { role: index === 0 ? 'down' : 'standby', shape: index === 0 ? 'primary' : 'standby', epoch: 0, log: [], synchronous: [] },
    operation: null,
    draining: null,
  });
  return {
    nowMs: START_MS,
    record: newLease('demo', wallMs(START_MS)),
    regions: [region(0), region(1)],
    messages: [],
    budget,
    nextWrite: 1,
    acknowledged: [],
    granted: [],
    primary: null,
    streamed: true,
  };
}

export function policy(index: Index): Policy {
  return {
    name: 'demo',
    region: regionId(NAMES[index]),
    regions: NAMES.map((name) => regionId(name)),
    databases: { r1: 'r1:5432', r2: 'r2:5432' },
    mode: 'automatic',
    timings: TIMINGS,
    hash: 'p',
  };
}

export function put(scope: Scope, index: Index, change: Partial<SmallRegion>): Scope {
  const [first, second] = scope.regions;
  return { ...scope, regions: index === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }] };
}

export function spend(scope: Scope, what: keyof Budget): Scope {
  return { ...scope, budget: { ...scope.budget, [what]: scope.budget[what] - 1 } };
}
