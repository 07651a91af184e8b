// What a fault family is: how likely it is to be drawn, and what one occurrence of it does. An occurrence undoes itself after its
// duration; the heal at the end of a round undoes whatever is left.

import type { Link } from '../network.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';

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

/** What a family does that needs a holder and finds none. */
export const nobodyHolds: Fault = { what: 'nobody holds the lease', durationMs: 0, stop: nothing };

/** The region that the register names. */
export function holderOf({ regions, witness }: World): Region | undefined {
  return regions.find(({ name }) => name === witness.record.holder);
}

/** Everything that databases send each other. */
export function replicationLinks({ regions }: World): Link[] {
  return regions.flatMap(({ database }) => [...database.links.values()]);
}

/** By somebody's hand, or by a start that ended late. `unseen`: faster than any controller looks. */
export function restartAsStandby(world: World, region: Region, unseen: boolean): void {
  const { database } = region;
  const source = world.other(region).database;
  database.stop();
  database.shape = 'standby';
  database.source = source;
  if (!unseen) return world.startDatabase(region);
  database.process.start();
  database.runAsStandby(source);
}
