// The steps of one occurrence, each of which waits for what the one before has led to. Single families would need years to meet at such
// a moment.

import type { World } from '../world.ts';

/** Looks so many times in a ttl, beside after every decision. */
const LOOKS_PER_TTL = 60;

export class Steps {
  readonly #world: World;
  #over = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** None of the steps that are left is taken. */
  end(): void {
    this.#over = true;
  }

  after(delayMs: number, run: () => void): void {
    this.#world.sim.after(delayMs, () => {
      if (!this.#over) run();
    });
  }

  /** Once it is so, when whatever made it so has been carried out. */
  when(isSo: () => boolean, run: () => void): void {
    const { onDecided, options } = this.#world;
    const look = (): void => {
      if (!this.#over && !isSo()) return;
      if (onDecided.delete(look)) this.after(0, run);
    };
    const lookAgain = (): void => {
      look();
      if (onDecided.has(look)) this.#world.sim.after(options.timings.ttlMs / LOOKS_PER_TTL, lookAgain);
    };
    onDecided.add(look);
    lookAgain();
  }
}
