// One decision in the making: a private copy of the state, the actions so far, and the earliest deadline that anybody
// looked at. A deadline that was compared with the clock has registered itself: no wake-up can be forgotten.

import type { MonoMs, Now, RegionId } from '../types.ts';
import { addMs } from '../types.ts';
import type { Action, ControllerState, DatabaseAction, Phase, RegisterRequest } from './state.ts';

/** Even with nothing to wait for, a controller looks around this often. */
const IDLE_MS = 1_000;
/** Between two attempts of an action that failed. */
const RETRY_MS = 200;

/** An intent lapses at the register after seconds: more than can be asked for within its time. */
const ENDED_SWITCHOVERS_MAX = 16;

export class Draft {
  readonly state: ControllerState;
  readonly actions: Action[] = [];
  wakeMs: MonoMs;

  constructor(before: ControllerState, now: Now = before.now) {
    this.state = { ...before, now };
    this.wakeMs = addMs(now.monoMs, IDLE_MS);
  }

  get nowMs(): MonoMs {
    return this.state.now.monoMs;
  }

  /** Whether the time has come; if not, the decision is woken when it does. */
  due(atMs: MonoMs): boolean {
    if (this.nowMs >= atMs) return true;
    if (atMs < this.wakeMs) this.wakeMs = atMs;
    return false;
  }

  record(event: string, detail: Readonly<Record<string, unknown>> = {}): void {
    this.actions.push({ kind: 'record', event, detail });
  }

  /** However it ended: it does not begin again. */
  endSwitchover(id: string, result: string): void {
    this.state.lastSwitchover = { id, result };
    this.state.endedSwitchovers = [...this.state.endedSwitchovers.filter((one) => one !== id), id].slice(-ENDED_SWITCHOVERS_MAX);
  }

  /** Changes the phase, and records it. */
  enter(next: Phase): void {
    const from = this.state.phase.kind;
    this.state.phase = next;
    if (next.kind === from) this.record('phase-step', { ...next });
    else this.record('phase', { from, ...next });
  }

  /** The number that an action carries and its answer repeats: an answer to an earlier one counts for nothing. */
  takeId(): number {
    const id = this.state.nextId;
    this.state.nextId = id + 1;
    return id;
  }

  /** One request to the register at a time: sequence numbers never overtake each other. */
  ask(request: RegisterRequest): void {
    const { state } = this;
    const id = this.takeId();
    if (request.kind !== 'read') state.seq = request.seq;
    if (request.kind === 'setInSync') this.#widen(request.seq, request.inSync);
    state.request = { id, request, sentMs: this.nowMs, inSyncSeen: state.view?.inSync ?? [], holderSeen: state.view?.holder ?? null };
    this.actions.push({ kind: 'register', id, request, timeoutMs: state.policy.timings.commandMs });
  }

  #widen(seq: number, inSync: readonly RegionId[]): void {
    const { state } = this;
    const regions = new Set([...(state.widening?.regions ?? []), ...inSync.filter((region) => state.view?.inSync.includes(region) !== true)]);
    if (regions.size > 0) state.widening = { seq, regions: [...regions] };
  }

  /** One database action at a time. */
  run(action: DatabaseAction, timeoutMs: number): void {
    const { state } = this;
    const id = this.takeId();
    state.databaseAction = { id, action, sinceMs: this.nowMs };
    this.actions.push({ kind: 'database', id, action, timeoutMs });
  }

  /** Waits for the requests in flight; a wait that was begun before is forgotten. */
  drain(): void {
    const { state } = this;
    state.drainPending = this.takeId();
    this.actions.push({ kind: 'drain', id: state.drainPending, timeoutMs: state.policy.timings.drainMs });
  }

  databaseFree(): boolean {
    return this.state.databaseAction === null && this.due(this.state.retryDatabaseMs);
  }

  databaseFailed(message: string): void {
    this.state.databaseProblem = message;
    this.state.retryDatabaseMs = addMs(this.nowMs, RETRY_MS);
  }

  requestFailed(): void {
    const { ttlMs } = this.state.policy.timings;
    this.state.retryRequestMs = addMs(this.nowMs, Math.min(RETRY_MS, Math.ceil(ttlMs / 24)));
  }

  trafficFailed(): void {
    this.state.retryTrafficMs = addMs(this.nowMs, RETRY_MS);
  }
}
