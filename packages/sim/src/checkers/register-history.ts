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
  /** Sent and not answered, by region and number. */
  readonly #pending = new Map<string, { readonly region: string; readonly request: Request; readonly sentMs: number }>();

  constructor(sim: Simulation) {
    this.#sim = sim;
  }

  /** Nothing is under way: the register is what it is. */
  begin(record: LeaseRecord): void {
    this.#calls = [];
    this.#full = false;
    this.#pending.clear();
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
      const key = `${region}/${event.id}`;
      const sentMs = this.#pending.get(key)?.sentMs;
      this.#pending.delete(key);
      this.#answered(region, before.request.request, sentMs, event);
    } else if (before.request !== null && before.request.id !== after.request?.id) {
      // After a sleep a controller forgets what it asked, and would not hear the answer.
      this.forgotten(before);
    }
    if (after.request !== null && after.request.id !== before.request?.id) {
      this.#pending.set(`${region}/${after.request.id}`, { region, request: after.request.request, sentMs: this.#sim.nowMs });
    }
  }

  /** Nobody will hear the answer to what this controller asks: it is gone, or does not know of it any more. */
  forgotten({ request, policy }: ControllerState): void {
    if (this.#start === null || this.#full || request === null) return;
    const key = `${policy.region}/${request.id}`;
    const sent = this.#pending.get(key);
    this.#pending.delete(key);
    if (sent !== undefined) this.#add(shape(policy.region, request.request, sent.sentMs, null));
  }

  /** Ends the round: is there an order that explains it? What is still under way may have taken effect, and others have seen it. */
  explain(): void {
    const start = this.#start;
    this.#start = null;
    if (start === null || this.#calls.length === 0) return;
    const underWay = [...this.#pending.values()].map(({ region, request, sentMs }) => shape(region, request, sentMs, null));
    const calls = [...this.#calls, ...underWay.filter(({ kind }) => kind !== 'read')];
    const result = isLinearizable(calls, start);
    if (result === null) this.givenUp++;
    else this.checked++;
    if (result === false) this.#sim.violate('I1', `no order explains the ${calls.length} answers of the register`);
  }

  #answered(region: string, request: Request, sentMs: number | undefined, event: Extract<ControllerEvent, { kind: 'register-answered' }>): void {
    if (sentMs === undefined) return this.abandon();
    if (!event.answer.ok) return this.#add(shape(region, request, sentMs, null));
    const { outcome, view } = event.answer.reply;
    const call = shape(region, request, sentMs, { atMs: this.#sim.nowMs, ok: outcome.ok, epoch: view.epoch, holder: view.holder });
    if (!isRepeated(call)) return this.#add(call);
    // A repeated answer shows the register as it is now, not as it was when the command took effect.
    this.#add({ ...call, returnedMs: null });
    this.#add({ ...call, kind: 'read' });
  }

  #add(call: RegisterCall): void {
    // A question without an answer says nothing.
    if (call.kind === 'read' && call.returnedMs === null) return;
    if (this.#calls.length < CALLS_MAX) {
      this.#calls.push(call);
      return;
    }
    // The history ends here, and this call was under way: those who were answered before may have seen what it did.
    this.#full = true;
    if (call.kind !== 'read') this.#calls.push({ ...call, returnedMs: null });
  }
}

/** It was carried out, and the register that is shown is not the one that it led to: a copy of it was carried out before. */
function isRepeated({ kind, ok, region, epochNamed, epochAfter, holderAfter }: RegisterCall): boolean {
  if (!ok || kind === 'read') return false;
  if (kind === 'acquire' || kind === 'transfer') return epochAfter !== epochNamed + 1;
  return epochAfter !== epochNamed || holderAfter !== (kind === 'renew' ? region : null);
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
