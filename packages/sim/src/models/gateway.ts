// One region's gateway: weights with their own epoch check, the requests in flight to the local application, and the gate beside it,
// which runs the real verdict functions. The gate is a process of its own, on a machine of its own, with a clock of its own.

import type { GateInstruction } from './instruction.ts';
import type { GateState, Weights } from '@continuum/core';
import { epoch, monoMs, regionId, remainingValidityMs } from '@continuum/core';
import type { CoreVersion } from '../core-version.ts';
import type { HiddenTime, Machine } from '../machine.ts';
import { Process } from '../machine.ts';
import type { Simulation } from '../simulation.ts';

const HELD_MAX = 64;
const HOLD_LIMIT_MS = 120_000;

export type RouteOutcome = { readonly kind: 'local' } | { readonly kind: 'forward'; readonly to: string } | { readonly kind: 'refused' };

type Held = { readonly arrivedMonoMs: number; readonly forwardedBy: readonly string[]; readonly settle: (outcome: RouteOutcome) => void };

export type GateHooks = {
  readonly allowed: (gate: Gate) => void;
  readonly epochTaken: (gate: Gate, epoch: number) => void;
  readonly staleRefused: (gate: Gate) => void;
  readonly released: (gate: Gate) => void;
  readonly weightsTaken: (region: string, weights: Weights) => void;
};

/** What a controller answers when a gate asks; null when nobody answers. */
export type AskController = (applied: number, held: number, take: (instruction: GateInstruction | null) => void) => void;

export class Gate {
  readonly region: string;
  readonly process: Process;
  core: CoreVersion;
  state: GateState;
  /** As of the question that the instruction in force answers. */
  hiddenTime: HiddenTime;
  /** Durable. */
  epochMax = epoch(0);
  inFlight = 0;
  /** Durable; replaced by one rename. */
  weights: Weights | null = null;
  /** Off only to prove that the simulation sees what the check prevents. */
  fenced = true;
  ask: AskController = () => undefined;
  /** Brings the last answer once more. */
  lastAnswer: (() => void) | null = null;
  readonly #hooks: GateHooks;
  readonly #askIntervalMs: number;
  #held: Held[] = [];

  constructor(sim: Simulation, machine: Machine, core: CoreVersion, region: string, askIntervalMs: number, hooks: GateHooks) {
    this.region = region;
    this.#hooks = hooks;
    this.#askIntervalMs = askIntervalMs;
    this.process = new Process(sim, machine, `${region}/gate`);
    this.process.onKill = () => this.#died();
    this.core = core;
    this.state = core.newGate(this.epochMax, machine.now());
    this.hiddenTime = machine.hiddenTime();
  }

  start(): void {
    this.process.start();
    this.state = this.core.newGate(this.epochMax, this.process.machine.now());
    this.hiddenTime = this.process.machine.hiddenTime();
    this.inFlight = 0;
    this.#loop();
  }

  get heldCount(): number {
    return this.#held.length;
  }

  get applied(): number {
    return this.state.instruction?.version ?? 0;
  }

  /** A hint that there is something new. */
  changed(): void {
    this.process.deliver(() => this.#askNow());
  }

  #loop(): void {
    this.#askNow();
    this.process.after(this.#askIntervalMs, () => this.#loop());
  }

  #askNow(): void {
    const { generation, machine } = this.process;
    const [asked, hidden] = [machine.now(), machine.hiddenTime()];
    this.ask(this.applied, this.#held.length, (instruction) => {
      if (instruction === null) return;
      const answer = (): void => this.process.deliver(() => this.#take(instruction, asked, hidden), generation);
      this.lastAnswer = answer;
      answer();
    });
  }

  #take(instruction: GateInstruction, asked: GateState['asked'], hidden: HiddenTime): void {
    // An answer that was overtaken by the answer to a later question changes nothing.
    if (this.state.instruction !== null && asked.monoMs < this.state.asked.monoMs) return;
    const before = this.fenced ? this.state : { ...this.state, epochMax: epoch(0) };
    const { state, outcome } = this.core.takeInstruction(before, instruction, asked, instruction.remainingMs);
    if (outcome === 'epoch-stale') return this.#hooks.staleRefused(this);
    this.#hooks.epochTaken(this, state.epochMax);
    this.epochMax = state.epochMax;
    this.state = state;
    this.hiddenTime = hidden;
    if (outcome === 'changed' && this.#held.length > 0) this.#judgeHeld();
  }

  /** An answer of an earlier life of the controller; the question it answers was asked just now. */
  stray(instruction: GateInstruction): void {
    this.process.deliver(() => this.#take(instruction, this.process.machine.now(), this.process.machine.hiddenTime()));
  }

  // --- requests ------------------------------------------------------------------------------------------------------

  request(forwardedBy: readonly string[], settle: (outcome: RouteOutcome) => void): void {
    if (!this.process.alive) return settle({ kind: 'refused' });
    this.process.deliver(() => {
      const arrivedMonoMs = this.process.machine.now().monoMs;
      this.#judge({ arrivedMonoMs, forwardedBy, settle }, false);
    });
  }

  /** What the well-known path answers now. */
  get isActive(): boolean {
    return this.process.running && remainingValidityMs(this.state, this.process.machine.now()) > 0;
  }

  #judge(request: Held, held: boolean): void {
    const now = this.process.machine.now();
    const { forwardedBy } = request;
    const verdict = this.core.judge(
      this.state,
      { kind: 'application', forwardedBy, arrivedMonoMs: monoMs(request.arrivedMonoMs), held },
      { region: regionId(this.region), held: this.#held.length, heldMax: HELD_MAX, holdMsLimit: HOLD_LIMIT_MS },
      now,
    );
    if (verdict.kind === 'wait') {
      this.#held.push(request);
      // Its time does not change while it waits: one timer, set when it came.
      if (!held) this.process.atMono(verdict.untilMonoMs, () => this.#judgeHeld());
      return;
    }
    if (verdict.kind === 'deny') return request.settle({ kind: 'refused' });
    if (verdict.route !== this.region) return request.settle({ kind: 'forward', to: verdict.route });
    this.#hooks.allowed(this);
    if (held) this.#hooks.released(this);
    request.settle({ kind: 'local' });
  }

  #judgeHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const request of held) this.#judge(request, true);
  }

  #died(): void {
    const held = this.#held;
    this.#held = [];
    this.inFlight = 0;
    for (const { settle } of held) settle({ kind: 'refused' });
  }

  // --- weights -------------------------------------------------------------------------------------------------------

  setWeights(weights: Weights): boolean {
    if (this.fenced && this.weights !== null && weights.epoch < this.weights.epoch) return false;
    this.#hooks.weightsTaken(this.region, weights);
    this.weights = weights;
    return true;
  }
}
