// One-way links. What is sent is delivered once, late, twice, out of order, or never. A stream (TCP between two databases) loses
// nothing while it stands, but stands still while its link is cut.

import type { Simulation } from './simulation.ts';

export type LinkFaults = {
  lossShare: number;
  duplicateShare: number;
  /** Share of messages that are delayed by up to `delayMs` instead of the usual time. */
  delayShare: number;
  delayMs: number;
};

export type Replays = { readonly share: number; readonly afterMs: number; readonly replayed: () => void };

const NO_FAULTS: LinkFaults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };

export class Link {
  readonly name: string;
  readonly baseMs: number;
  faults: LinkFaults = { ...NO_FAULTS };
  /** Why it is cut: several faults may cut the same link, and each takes only its own reason away. */
  readonly cuts = new Set<string>();
  cutSinceMs = 0;
  /** Some of what is sent comes once more, long after; null: nothing does. */
  replays: Replays | null = null;
  /** Messages wait here while the link is clogged. */
  #clogged: (() => void)[] | null = null;
  readonly #sim: Simulation;

  constructor(sim: Simulation, name: string, baseMs: number) {
    this.#sim = sim;
    this.name = name;
    this.baseMs = baseMs;
  }

  /** Nothing comes through now. */
  get isSilent(): boolean {
    return this.cuts.size > 0 || this.#clogged !== null;
  }

  get isCut(): boolean {
    return this.cuts.size > 0;
  }

  cut(reason: string): void {
    if (this.cuts.size === 0) this.cutSinceMs = this.#sim.nowMs;
    this.cuts.add(reason);
  }

  mend(reason: string): void {
    this.cuts.delete(reason);
  }

  clog(): void {
    this.#clogged ??= [];
  }

  /** Everything that waited comes at once, if the link stands by then. */
  unclog(): void {
    const waiting = this.#clogged ?? [];
    this.#clogged = null;
    for (const run of waiting) this.#deliver(run);
  }

  /** What waits in the clog now stays on its way until it is let go; what is sent from now on overtakes it. */
  detain(): () => void {
    const waiting = this.#clogged ?? [];
    this.#clogged = null;
    return () => {
      for (const run of waiting.splice(0)) this.#deliver(run);
    };
  }

  heal(): void {
    this.cuts.clear();
    this.faults = { ...NO_FAULTS };
    this.replays = null;
    this.unclog();
  }

  /** A datagram, or one request of a connection of its own. */
  send(run: () => void): void {
    if (this.isCut) return;
    const { prng } = this.#sim;
    const { faults } = this;
    if (faults.lossShare > 0 && prng.chance(faults.lossShare)) return;
    this.#deliver(run);
    if (faults.duplicateShare > 0 && prng.chance(faults.duplicateShare)) this.#deliver(run);
    if (this.replays !== null && prng.chance(this.replays.share)) this.#replay(run, this.replays);
  }

  #replay(run: () => void, { afterMs, replayed }: Replays): void {
    this.#sim.after(this.#sim.prng.between(0, afterMs), () => {
      if (this.isSilent) return;
      replayed();
      run();
    });
  }

  #deliver(run: () => void): void {
    const arrive = (): void => {
      if (this.isCut) return;
      if (this.#clogged !== null) this.#clogged.push(run);
      else run();
    };
    this.#sim.after(this.#delayMs(), arrive);
  }

  #delayMs(): number {
    const { prng } = this.#sim;
    const { faults, baseMs } = this;
    if (faults.delayShare > 0 && prng.chance(faults.delayShare)) return prng.between(baseMs, faults.delayMs);
    // A heavy tail even on a good day: one message in fifty takes up to twenty times as long.
    return prng.chance(0.02) ? prng.between(baseMs, 20 * baseMs) : prng.between(0.8 * baseMs, 1.4 * baseMs);
  }
}
