// What lies outside the regions and looks at them: the public resolvers, each with its own way to each region, and the beacons that
// they ask. Wired here, so that the world itself stays readable.

import type { Fallback, Voter } from '@continuum/core';
import { deriveFallback } from '@continuum/core';
import { QuorumChecker } from '../checkers/quorum.ts';
import type { Link } from '../network.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import { Beacon } from './beacon.ts';
import { Quorum } from './quorum.ts';
import type { ResolverPath } from './resolver.ts';
import { Resolver } from './resolver.ts';

export type ResolverOptions = { readonly voters: readonly Voter[]; readonly linkMs: number };

const VOTERS: readonly Voter[] = [
  { name: '8.8.8.8', vendor: 'google' },
  { name: '1.1.1.1', vendor: 'cloudflare' },
  { name: '9.9.9.9', vendor: 'quad9' },
];
/** A list that is allowed and weak: two of its three are one voice. */
const TWO_OF_ONE: readonly Voter[] = [
  { name: '8.8.8.8', vendor: 'google' },
  { name: '8.8.4.4', vendor: 'google' },
  { name: '9.9.9.9', vendor: 'quad9' },
];

/** The usual three, for those who draw nothing. */
export const RESOLVERS: ResolverOptions = { voters: VOTERS, linkMs: 3 };

export function drawResolvers(prng: Prng): ResolverOptions | null {
  if (prng.chance(0.45)) return null;
  return { voters: prng.chance(0.25) ? TWO_OF_ONE : VOTERS, linkMs: prng.spread(1, 10) };
}

export function fallbackFor(options: World['options']): Fallback | undefined {
  return options.resolvers === null ? undefined : deriveFallback(options.timings.ttlMs, options.resolvers.voters);
}

export class Outside {
  readonly resolvers: readonly Resolver[];
  readonly beacons: ReadonlyMap<string, Beacon>;
  readonly checker: QuorumChecker;

  constructor(world: World, options: ResolverOptions, fallback: Fallback, link: (name: string, baseMs: number) => Link) {
    const { sim, marks, regions } = world;
    this.checker = new QuorumChecker(sim, marks, fallback);
    this.beacons = new Map(regions.map((region) => [region.name, this.#beacon(world, region)]));
    const linkMs = Math.min(options.linkMs, fallback.roundMs / 30);
    this.resolvers = options.voters.map((voter) => {
      const resolver = new Resolver(sim, voter, this.beacons, fallback.roundMs / 3);
      for (const { name } of regions) {
        const path: ResolverPath = { to: link(`${voter.name}>${name}`, linkMs), from: link(`${name}>${voter.name}`, linkMs) };
        resolver.paths.set(name, path);
      }
      return resolver;
    });
    for (const { name, controller } of regions) {
      const asker = { region: name, lease: controller.policy.name };
      controller.quorum = new Quorum(sim, controller.process, asker, this.resolvers, {
        ended: (round, _votes, outcome) => this.checker.ended(round, outcome),
      });
    }
    world.lease.isDoubtful = (region) => this.checker.isDoubtful(region);
    world.lease.isHolding = (name, epoch) => {
      const untilMono = this.checker.heldUntil(name, epoch);
      return untilMono !== null && world.region(name).machine.now().monoMs < untilMono;
    };
    world.validity.heldUntil = (region, epoch) => this.checker.heldUntil(region, epoch);
  }

  start(region: string): void {
    this.beacons.get(region)?.start();
  }

  heal(): void {
    for (const resolver of this.resolvers) resolver.fault = null;
    for (const { process } of this.beacons.values()) {
      process.unpause();
    }
  }

  /** Every way between a region and the resolvers. */
  pathsOf(region: string): Link[] {
    return this.resolvers.flatMap(({ paths }) => {
      const path = paths.get(region);
      return path === undefined ? [] : [path.to, path.from];
    });
  }

  #beacon({ sim, options }: World, { name, machine, controller }: Region): Beacon {
    const beacon = new Beacon(sim, machine, name, options.askMs);
    beacon.ask = (take) => controller.tell(take);
    beacon.onSigned = (question, epoch, text) => this.checker.signed(question, epoch, text);
    return beacon;
  }
}
