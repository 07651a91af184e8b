// A controller in motion: the test plays its clock, its register, its database, its gate and its resolvers, one event at a
// time, from any of the states in controller.ts.

import type { QuorumOutcome } from '../src/dns/quorum.ts';
import { takeoverConditions } from '../src/failover/conditions.ts';
import { actingEpoch, decide } from '../src/failover/decide.ts';
import { Draft } from '../src/failover/draft.ts';
import type { Action, ControllerEvent, ControllerState, PendingDatabase, PendingRequest, Precondition, RegisterRequest } from '../src/failover/state.ts';
import type { LeaseView, Outcome } from '../src/lease/types.ts';
import type { DatabaseObservation } from '../src/replication/observation.ts';
import { monoMs, wallMs } from '../src/types.ts';
import type { MonoMs, Now } from '../src/types.ts';

const OK: Outcome = { ok: true };

export class Scene {
  state: ControllerState;
  now: Now;
  #untaken: Action[] = [];

  constructor(state: ControllerState) {
    this.state = state;
    this.now = state.now;
  }

  /** What this one event led to. */
  feed(event: ControllerEvent): readonly Action[] {
    const { state, actions } = decide(this.state, event, this.now);
    this.state = state;
    this.#untaken.push(...actions);
    return actions;
  }

  /** What was led to since this was asked last. */
  taken(): readonly Action[] {
    return this.#untaken.splice(0);
  }

  /** Time passes and nothing is told of it; `sleptMs` of it on the wall only, as a suspended machine sees it. */
  jump(ms: number, sleptMs = 0): void {
    this.now = { monoMs: monoMs(this.now.monoMs + ms), wallMs: wallMs(this.now.wallMs + ms + sleptMs) };
  }

  tick(ms = 0, sleptMs = 0): readonly Action[] {
    this.jump(ms, sleptMs);
    return this.feed({ kind: 'tick' });
  }

  /** Time passes; the database and the gate are seen as they were. */
  pass(ms: number): void {
    this.jump(ms);
    this.observeGate();
    if (this.state.database !== null) this.observe(this.state.database);
  }

  observeGate(): void {
    const { mode = null, epoch = 0 } = this.state.gateDirective ?? {};
    this.feed({ kind: 'gate-observed', observation: { connected: true, held: 0, mode, epoch } });
  }

  observe(observation: DatabaseObservation, startedMs: MonoMs = this.now.monoMs): void {
    this.feed({ kind: 'database-observed', startedMs, observation });
  }

  /** What the register is being asked. */
  asked(): RegisterRequest | null {
    return this.state.request?.request ?? null;
  }

  /** The register's answer to what it is being asked, or to an earlier request. */
  answer(view: LeaseView, outcome: Outcome = OK, id = this.state.request?.id ?? -1): readonly Action[] {
    return this.feed({ kind: 'register-answered', id, answer: { ok: true, reply: { outcome, view } } });
  }

  fail(code = 'CTM_REGISTER_TIMEOUT'): void {
    this.feed({ kind: 'register-answered', id: (this.state.request as PendingRequest).id, answer: { ok: false, code, message: 'no answer' } });
  }

  push(view: LeaseView, event: Extract<ControllerEvent, { kind: 'lease-pushed' }>['event'] = 'granted'): readonly Action[] {
    return this.feed({ kind: 'lease-pushed', event, view });
  }

  /** The database did what it is being asked. */
  done(): readonly Action[] {
    return this.feed({ kind: 'database-done', id: (this.state.databaseAction as PendingDatabase).id, result: { ok: true, token: null, detail: '' } });
  }

  /** The answer of the resolvers, when they are being asked. */
  round(outcome: QuorumOutcome, startedMs: MonoMs = this.now.monoMs): boolean {
    const { pending } = this.state.fallback;
    if (pending === null) return false;
    this.feed({ kind: 'quorum-answered', id: pending.id, startedMs, outcome });
    return true;
  }

  /** The epoch that it acts under now; 0 when it may not act. */
  acts(): number {
    return actingEpoch({ ...this.state, now: this.now });
  }

  condition(name: string): Precondition | undefined {
    return takeoverConditions(new Draft({ ...this.state, now: this.now })).preconditions.find((one) => one.name === name);
  }

  refusals(): readonly Precondition[] {
    return takeoverConditions(new Draft({ ...this.state, now: this.now })).preconditions.filter((one) => !one.ok);
  }
}
