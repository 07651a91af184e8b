// What a fault family is: how likely it is to be drawn, and what one occurrence of it does. An occurrence undoes itself after its
// duration; the heal at the end of a round undoes whatever is left.

import type { Prng } from '../prng.ts';
import type { World } from '../world.ts';

export type Fault = { readonly what: string; readonly durationMs: number; readonly stop: () => void };

export type Nemesis = {
  readonly name: string;
  /** Share of rounds that include this family. */
  readonly weight: number;
  /** Mean time between two occurrences, in lease ttls. */
  readonly everyTtls: number;
  /** Whether the world has what this family breaks; when not given: always. */
  readonly applies?: (world: World) => boolean;
  readonly start: (world: World, prng: Prng) => Fault;
};

export const nothing = (): void => undefined;
