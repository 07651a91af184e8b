// Machines, their two clocks, and the processes on them. A process can be killed, stopped and continued; a machine can lose power
// or be suspended. Work that arrives meanwhile waits in the process's inbox, as it does in a socket's buffer.

import type { Now } from '@continuum/core';
import { monoMs, wallMs } from '@continuum/core';
import type { Simulation } from './simulation.ts';

const MS_PER_DAY = 86_400_000;

/** What of a machine's past its clocks may not show. */
export type HiddenTime = { readonly suspendedMs: number; readonly wallOffsetMs: number };

export class Machine {
  readonly name: string;
  readonly processes: Process[] = [];
  /** Timers that wait for the machine to wake. */
  onResume: (() => void)[] = [];
  up = true;
  suspendedSinceMs: number | null = null;
  /** Total time that the monotonic clock missed while the machine was suspended. */
  suspendedMs = 0;
  /** Relative rate error of the monotonic clock. */
  rateError: number;
  wallOffsetMs: number;
  readonly #sim: Simulation;
  #baseTrueMs = 0;
  #baseMonoMs: number;

  constructor(sim: Simulation, name: string, rateError: number, wallOffsetMs: number) {
    this.#sim = sim;
    this.name = name;
    this.rateError = rateError;
    this.wallOffsetMs = wallOffsetMs;
    this.#baseMonoMs = 1_000 + sim.prng.integer(0, 50_000);
  }

  monoAt(trueMs: number): number {
    const until = this.suspendedSinceMs ?? trueMs;
    return this.#baseMonoMs + (until - this.#baseTrueMs) * (1 + this.rateError);
  }

  now(): Now {
    const at = this.#sim.nowMs;
    return { monoMs: monoMs(this.monoAt(at)), wallMs: wallMs(at + this.wallOffsetMs + 20_000 * MS_PER_DAY) };
  }

  hiddenTime(): HiddenTime {
    return { suspendedMs: this.suspendedMs, wallOffsetMs: this.wallOffsetMs };
  }

  /** True time at which the monotonic clock will show `mono`, if nothing happens to it. */
  trueAt(mono: number): number {
    return this.#baseTrueMs + (mono - this.#baseMonoMs) / (1 + this.rateError);
  }

  setRateError(rateError: number): void {
    if (this.suspendedSinceMs === null) this.#rebase(this.#sim.nowMs);
    this.rateError = rateError;
  }

  suspend(): void {
    if (!this.up || this.suspendedSinceMs !== null) return;
    this.#rebase(this.#sim.nowMs);
    this.suspendedSinceMs = this.#sim.nowMs;
  }

  resume(): void {
    if (this.suspendedSinceMs === null) return;
    this.#wake(this.suspendedSinceMs);
    const timers = this.onResume;
    this.onResume = [];
    for (const timer of timers) timer();
    for (const process of this.processes) process.drain();
  }

  /** Power loss: every process dies at once, and in its sleep, if the machine sleeps, with all that waits for it. */
  crash(): void {
    this.up = false;
    for (const process of this.processes) process.kill();
    this.onResume = [];
    if (this.suspendedSinceMs !== null) this.#wake(this.suspendedSinceMs);
  }

  #wake(sinceMs: number): void {
    this.suspendedMs += this.#sim.nowMs - sinceMs;
    this.suspendedSinceMs = null;
    this.#baseTrueMs = this.#sim.nowMs;
  }

  boot(): void {
    this.up = true;
    this.#baseTrueMs = this.#sim.nowMs;
    this.#baseMonoMs = 1_000 + this.#sim.prng.integer(0, 5_000);
  }

  #rebase(trueMs: number): void {
    this.#baseMonoMs = this.monoAt(trueMs);
    this.#baseTrueMs = trueMs;
  }
}

export class Process {
  readonly name: string;
  readonly machine: Machine;
  alive = false;
  paused = false;
  /** +1 on every start: work of an earlier life is dropped. */
  generation = 0;
  onKill: () => void = () => undefined;
  readonly #sim: Simulation;
  #inbox: { readonly generation: number; readonly run: () => void }[] = [];
  #draining = false;

  constructor(sim: Simulation, machine: Machine, name: string) {
    this.#sim = sim;
    this.machine = machine;
    this.name = name;
    machine.processes.push(this);
  }

  get running(): boolean {
    return this.alive && !this.paused && this.machine.suspendedSinceMs === null;
  }

  start(): void {
    this.generation++;
    this.alive = true;
    this.paused = false;
    this.#inbox = [];
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.paused = false;
    this.#inbox = [];
    this.#sim.note(this.name, () => 'killed');
    this.onKill();
  }

  pause(): void {
    if (this.alive) this.paused = true;
  }

  unpause(): void {
    this.paused = false;
    this.drain();
  }

  /** Runs now, or when this process is running again; never in another life of it. */
  deliver(run: () => void, generation = this.generation): void {
    if (!this.alive || generation !== this.generation) return;
    if (!this.running || this.#draining) this.#inbox.push({ generation, run });
    else run();
  }

  /** A timer on this machine's monotonic clock. */
  after(delayMs: number, run: () => void): void {
    this.atMono(this.machine.monoAt(this.#sim.nowMs) + delayMs, run);
  }

  atMono(mono: number, run: () => void): void {
    const { generation } = this;
    const fire = (): void => {
      if (!this.alive || generation !== this.generation) return;
      // The clock stood still meanwhile: a timer counts the machine's own time.
      if (this.machine.monoAt(this.#sim.nowMs) < mono) this.#schedule(mono, fire);
      else this.deliver(run, generation);
    };
    this.#schedule(mono, fire);
  }

  drain(): void {
    if (!this.running || this.#draining) return;
    this.#draining = true;
    const inbox = this.#inbox;
    this.#inbox = [];
    for (const item of inbox) {
      if (this.alive && item.generation === this.generation) item.run();
    }
    this.#draining = false;
    if (this.#inbox.length > 0) this.drain();
  }

  #schedule(mono: number, fire: () => void): void {
    // While the machine sleeps nothing can be said about when.
    if (this.machine.suspendedSinceMs !== null) this.machine.onResume.push(() => this.#schedule(mono, fire));
    else this.#sim.at(Math.max(this.machine.trueAt(mono), this.#sim.nowMs + 0.125), fire);
  }
}
