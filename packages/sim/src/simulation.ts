// The loop of a run: one event at a time in the order of true time. Everything that happens is mixed into one hash, so that two
// runs can be compared without keeping either, and is written to a trace only when somebody wants to read it.

import { EventHeap } from './event-heap.ts';
import { Prng } from './prng.ts';

/** The grain of true time. A power of two, so that every time is exact in a double. */
const GRAINS_PER_MS = 8;

export type TraceLine = { readonly atMs: number; readonly who: string; readonly what: string };

export type Violation = { readonly invariant: string; readonly atMs: number; readonly detail: string };

/** A broken promise. It ends the run: what follows from it would only hide it. */
export class ViolationError extends Error {
  readonly invariant: string;
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.name = 'ViolationError';
    this.invariant = invariant;
  }
}

export class Simulation {
  readonly prng: Prng;
  readonly trace: TraceLine[] | null;
  nowMs = 0;
  /** Looks at the state after every event. */
  onEvent: () => void = () => undefined;
  #nowGrains = 0;
  events = 0;
  #heap = new EventHeap();
  #hash = 0x811c9dc5;

  constructor(seed: number, traced: boolean) {
    this.prng = new Prng(seed);
    this.trace = traced ? [] : null;
  }

  /** Rounds up to the grain: an event never comes before its time. */
  at(atMs: number, run: () => void): void {
    const wanted = Math.ceil(atMs * GRAINS_PER_MS);
    this.#heap.push(wanted > this.#nowGrains ? wanted : this.#nowGrains, run);
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  runUntil(untilMs: number): void {
    const endGrains = Math.ceil(untilMs * GRAINS_PER_MS);
    for (;;) {
      const next = this.#heap.peek();
      if (next === undefined || next.atGrains > endGrains) break;
      this.#heap.pop();
      this.#reach(next.atGrains);
      this.events++;
      next.run();
      this.onEvent();
    }
    this.#reach(endGrains);
  }

  #reach(grains: number): void {
    this.#nowGrains = grains;
    this.nowMs = grains / GRAINS_PER_MS;
  }

  /** Takes a fact of this run into its hash. */
  mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193);
    this.#hash = Math.imul(this.#hash ^ this.#nowGrains, 0x01000193);
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  /** `what` is only called when the run is traced. */
  note(who: string, what: () => string): void {
    this.trace?.push({ atMs: this.nowMs, who, what: what() });
  }

  violate(invariant: string, detail: string): never {
    this.note('CHECK', () => `VIOLATION ${invariant}: ${detail}`);
    throw new ViolationError(invariant, detail);
  }
}
