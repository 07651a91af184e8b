// Keeps what the controllers asked of the register and what they were told, all through a round, and has it explained a window of calls at
// a time. A window begins with the register as it is then. What is under way at that moment, or was never answered, may take effect in it
// or not.

import type { ControllerEvent, ControllerState, LeaseCommand, LeaseRecord } from '@continuum/core';
import type { Marks } from '../marks.ts';
import type { Simulation } from '../simulation.ts';
import { isLinearizable } from './linearizable.ts';
import type { RegisterCall } from './linearizable.ts';

/** The search grows exponentially with what overlaps. */
const CALLS_MAX = 60;

type Request = LeaseCommand | { readonly kind: 'read' };
type Register = Pick<LeaseRecord, 'epoch' | 'holder'>;
type Sent = {
  readonly region: string;
  readonly request: Request;
  readonly sentMs: number;
  /** Sent in this window: its answer belongs to it. */
  isOfWindow: boolean;
};

export class RegisterHistory {
  checked = 0;
  givenUp = 0;
  readonly #sim: Simulation;
  readonly #marks: Marks;
  readonly #now: () => Register;
  /** Null outside of rounds. */
  #start: Register | null = null;
  #calls: RegisterCall[] = [];
  /** Sent and not answered, by region and number. */
  readonly #pending = new Map<string, Sent>();
  /** Nobody will hear the answer; the register may carry them out all the same. */
  #unanswered: RegisterCall[] = [];

  /** `now`: the register as it is. */
  constructor(sim: Simulation, marks: Marks, now: () => Register) {
    this.#sim = sim;
    this.#marks = marks;
    this.#now = now;
  }

  begin({ epoch, holder }: Register): void {
    this.#start = { epoch, holder };
    for (const sent of this.#pending.values()) sent.isOfWindow = false;
    // An epoch that has passed changes nothing any more.
    this.#unanswered = this.#unanswered.filter(({ epochNamed }) => epochNamed >= epoch);
    const invokedMs = this.#sim.nowMs;
    this.#calls = [...this.#unanswered, ...this.#underWay()].map((call) => ({ ...call, invokedMs }));
  }

  /** Somebody else writes: these calls cannot explain what follows. With the next one a new window begins. */
  abandon(): void {
    if (this.#start !== null) this.#calls = [];
    this.#start &&= STRANGE;
  }

  decided(before: ControllerState, after: ControllerState, event: ControllerEvent): void {
    if (this.#start === STRANGE) this.begin(this.#now());
    const { region } = after.policy;
    if (event.kind === 'register-answered' && before.request !== null && before.request.id === event.id) {
      const key = `${region}/${event.id}`;
      const sent = this.#pending.get(key);
      this.#pending.delete(key);
      if (sent !== undefined) this.#answered(sent, event);
    } else if (before.request !== null && before.request.id !== after.request?.id) {
      // After a sleep a controller forgets what it asked, and would not hear the answer.
      this.forgotten(before);
    }
    if (after.request !== null && after.request.id !== before.request?.id) {
      this.#pending.set(`${region}/${after.request.id}`, { region, request: after.request.request, sentMs: this.#sim.nowMs, isOfWindow: true });
    }
  }

  /** Nobody will hear the answer to what this controller asks: it is gone, or does not know of it any more. */
  forgotten({ request, policy }: ControllerState): void {
    if (request === null) return;
    const key = `${policy.region}/${request.id}`;
    const sent = this.#pending.get(key);
    this.#pending.delete(key);
    if (sent !== undefined) this.#unheard(sent);
  }

  /** Ends the round. */
  explain(): void {
    this.#explain();
    this.#start = null;
  }

  /** Is there an order that explains it? What is still under way may have taken effect, and others have seen it. */
  #explain(): void {
    const start = this.#start;
    if (start === null || start === STRANGE || !this.#calls.some(({ returnedMs }) => returnedMs !== null)) return;
    const calls = [...this.#calls, ...this.#underWay().filter(({ isOfWindow }) => isOfWindow)];
    const result = isLinearizable(calls, start);
    if (result === null) this.givenUp++;
    else this.checked++;
    this.#marks.set(result === null ? 'register-history-given-up' : 'register-history-explained');
    if (result === false) this.#sim.violate('I1', `no order explains the ${calls.length} answers of the register`);
  }

  #underWay(): (RegisterCall & Pick<Sent, 'isOfWindow'>)[] {
    return [...this.#pending.values()]
      .map(({ region, request, sentMs, isOfWindow }) => ({ ...shape(region, request, sentMs, null), isOfWindow }))
      .filter(({ kind }) => kind !== 'read');
  }

  #answered(sent: Sent, event: Extract<ControllerEvent, { kind: 'register-answered' }>): void {
    if (!event.answer.ok) return this.#unheard(sent);
    // Of one that was under way when the window began it is not known on which side of it it took effect.
    if (!sent.isOfWindow) return;
    const { outcome, view } = event.answer.reply;
    const call = shape(sent.region, sent.request, sent.sentMs, { atMs: this.#sim.nowMs, ok: outcome.ok, epoch: view.epoch, holder: view.holder });
    // A repeated answer shows the register as it is now, not as it was when the command took effect; and a copy may have done so before.
    const isCopy = (call.kind === 'acquire' || call.kind === 'transfer') && call.ok && call.epochNamed < (this.#start?.epoch ?? 0);
    if (!isCopy && !isRepeated(call)) return this.#add(call);
    this.#add({ ...call, returnedMs: null });
    this.#add({ ...call, kind: 'read' });
  }

  #unheard({ region, request, sentMs, isOfWindow }: Sent): void {
    const call = shape(region, request, sentMs, null);
    // A question without an answer says nothing.
    if (call.kind === 'read') return;
    this.#unanswered.push(call);
    if (isOfWindow) this.#add(call);
  }

  #add(call: RegisterCall): void {
    if (this.#start === null || this.#start === STRANGE) return;
    this.#calls.push(call);
    if (this.#calls.length < CALLS_MAX) return;
    this.#explain();
    this.begin(this.#now());
  }
}

/** Stands for a register that somebody else has written to. */
const STRANGE: Register = { epoch: 0 as Register['epoch'], holder: null };

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
