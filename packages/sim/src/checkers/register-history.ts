// Keeps what the controllers asked of the register and what they were told, from the start of a round on, and has it explained at
// the end of the round.

import type { ControllerEvent, ControllerState, LeaseCommand, LeaseRecord } from '@continuum/core';
import type { Simulation } from '../simulation.ts';
import { isLinearizable } from './linearizable.ts';
import type { RegisterCall } from './linearizable.ts';

/** The search grows exponentially with what overlaps. */
const CALLS_MAX = 60;

type Request = LeaseCommand | { readonly kind: 'read' };

export class RegisterHistory {
  checked = 0;
  givenUp = 0;
  readonly #sim: Simulation;
  #calls: RegisterCall[] = [];
  #start: { readonly epoch: number; readonly holder: string | null } | null = null;
  #full = false;
  readonly #sentMs = new Map<string, number>();

  constructor(sim: Simulation) {
    this.#sim = sim;
  }

  /** Nothing is under way: the register is what it is. */
  begin(record: LeaseRecord): void {
    this.#calls = [];
    this.#full = false;
    this.#sentMs.clear();
    this.#start = { epoch: record.epoch, holder: record.holder };
  }

  /** Somebody else wrote: what follows cannot be explained by these calls. */
  abandon(): void {
    this.#start = null;
  }

  /** A request that was under way when the round began is of an unknown time: it belongs to none. */
  decided(before: ControllerState, after: ControllerState, event: ControllerEvent): void {
    if (this.#start === null || this.#full) return;
    const { region } = after.policy;
    if (event.kind === 'register-answered' && before.request !== null && before.request.id === event.id) {
      this.#answered(region, before.request.request, this.#sentMs.get(`${region}/${event.id}`), event);
    }
    if (after.request !== null && after.request.id !== before.request?.id) {
      this.#sentMs.set(`${region}/${after.request.id}`, this.#sim.nowMs);
    }
  }

  /** The controller is gone, and with it whatever it would have been told. */
  died(state: ControllerState): void {
    const { request, policy } = state;
    const sentMs = request === null ? undefined : this.#sentMs.get(`${policy.region}/${request.id}`);
    if (this.#start === null || this.#full || request === null || sentMs === undefined) return;
    this.#add(shape(policy.region, request.request, sentMs, null));
  }

  /** Ends the round: is there an order that explains it? */
  explain(): void {
    const start = this.#start;
    this.#start = null;
    if (start === null || this.#calls.length === 0) return;
    const result = isLinearizable(this.#calls, start);
    if (result === null) this.givenUp++;
    else this.checked++;
    if (result === false) this.#sim.violate('I1', `no order explains the ${this.#calls.length} answers of the register`);
  }

  #answered(region: string, request: Request, sentMs: number | undefined, event: Extract<ControllerEvent, { kind: 'register-answered' }>): void {
    if (sentMs === undefined) return this.abandon();
    if (!event.answer.ok) return this.#add(shape(region, request, sentMs, null));
    const { outcome, view } = event.answer.reply;
    const call = shape(region, request, sentMs, { atMs: this.#sim.nowMs, ok: outcome.ok, epoch: view.epoch, holder: view.holder });
    const moved = call.ok && (call.kind === 'acquire' || call.kind === 'transfer') && view.epoch !== call.epochNamed + 1;
    if (!moved) return this.#add(call);
    // A repeated answer shows the register as it is now, not as it was when the command took effect.
    this.#add({ ...call, returnedMs: null });
    this.#add({ ...call, kind: 'read' });
  }

  #add(call: RegisterCall): void {
    // A question without an answer says nothing.
    if (call.kind === 'read' && call.returnedMs === null) return;
    if (this.#calls.length < CALLS_MAX) this.#calls.push(call);
    else this.#full = true;
  }
}

type Told = { readonly atMs: number; readonly ok: boolean; readonly epoch: number; readonly holder: string | null };

function shape(region: string, request: Request, invokedMs: number, told: Told | null): RegisterCall {
  const { kind } = request;
  const writes = kind === 'acquire' || kind === 'renew' || kind === 'transfer' || kind === 'release';
  return {
    invokedMs,
    returnedMs: told?.atMs ?? null,
    kind: writes ? kind : 'read',
    region,
    epochNamed: 'epochSeen' in request ? request.epochSeen : 'epoch' in request ? request.epoch : 0,
    ok: told?.ok ?? false,
    epochAfter: told?.epoch ?? 0,
    holderAfter: told?.holder ?? null,
    to: kind === 'transfer' ? request.to : null,
  };
}
