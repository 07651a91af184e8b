// Public resolvers: one that fails in each of the ways known of them, two that lie alike, the ways between them and a region, and a
// region that the outside cannot see.

import { RESOLVER_FAULTS } from '../models/resolver.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing } from './nemesis.ts';
import { pickRegion } from './process.ts';

let serial = 0;

const applies = (world: World): boolean => world.outside !== null;

export const oddResolver: Nemesis = {
  name: 'odd-resolver',
  weight: 0.9,
  everyTtls: 4,
  applies,
  start: (world, prng) => {
    const resolver = prng.pick(world.outside?.resolvers ?? []);
    if (resolver === undefined || resolver.fault !== null) return { what: 'a resolver is odd already', durationMs: 0, stop: nothing };
    const fault = prng.pick(RESOLVER_FAULTS);
    resolver.fault = fault;
    const stop = (): void => {
      resolver.fault = null;
    };
    return { what: `${resolver.name}: ${fault}`, durationMs: world.options.timings.ttlMs * prng.spread(0.3, 8), stop };
  },
};

/** Two say of the other region that nothing is there, while its witness path breaks: all that a takeover without a register would need. */
export const twoLiars: Nemesis = {
  name: 'two-liars',
  weight: 0.3,
  everyTtls: 15,
  applies,
  start: (world, prng) => {
    const { outside, witness, marks } = world;
    const honest = outside?.resolvers.filter(({ fault }) => fault === null) ?? [];
    const first = honest[0];
    const second = honest.find(({ vendor }) => vendor !== first?.vendor);
    if (outside === null || first === undefined || second === undefined) return { what: 'no two resolvers to lie', durationMs: 0, stop: nothing };
    for (const liar of [first, second]) liar.fault = 'lies';
    const holder = holderOf(world);
    const { epoch } = witness.record;
    const everywhere = prng.chance(0.5);
    const links = everywhere ? world.regions.flatMap(({ up, down }) => [up, down]) : holder === undefined ? [] : [holder.up, holder.down];
    const reason = `liars-${++serial}`;
    world.cutLinks(links, reason);
    const durationMs = world.options.timings.ttlMs * prng.spread(1.5, 5);
    const stop = (): void => {
      if (everywhere && witness.record.epoch === epoch && world.regions.some((region) => wouldHaveTaken(region))) marks.set('liars-granted-nothing');
      for (const liar of [first, second]) if (liar.fault === 'lies') liar.fault = null;
      world.mendLinks(links, reason);
    };
    return { what: `${first.name} and ${second.name} lie alike, ${everywhere ? 'nobody' : (holder?.name ?? 'nobody')} reaches the witness`, durationMs, stop };
  },
};

/** A region that is told of darkness for so long that only the register keeps it from acting. */
function wouldHaveTaken({ controller }: Region): boolean {
  const { fallback, policy } = controller.state;
  const { darkness } = fallback;
  return controller.process.alive && darkness !== null && policy.fallback !== undefined && darkness.lastMs - darkness.sinceMs > policy.fallback.holdMs;
}

/** Between one region and one or all resolvers; a path that loses by chance tells each question something else. */
export const resolverPaths: Nemesis = {
  name: 'resolver-paths',
  weight: 0.6,
  everyTtls: 6,
  applies,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { outside } = world;
    if (outside === null) return { what: 'no resolvers', durationMs: 0, stop: nothing };
    const durationMs = world.options.timings.ttlMs * prng.spread(0.05, 4);
    if (prng.chance(0.3)) {
      const links = outside.pathsOf(region.name);
      for (const link of links) link.faults = { lossShare: prng.between(0, 0.4), duplicateShare: 0.1, delayShare: 0.2, delayMs: 20 * link.baseMs };
      const stop = (): void => {
        for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
      };
      return { what: `the resolvers hear ${region.name} badly`, durationMs, stop };
    }
    const path = prng.pick(outside.resolvers).paths.get(region.name);
    const links = path === undefined ? [] : prng.chance(0.5) ? [path.to, path.from] : [prng.pick([path.to, path.from])];
    const reason = `resolver-${++serial}`;
    world.cutLinks(links, reason);
    return { what: `${links.map(({ name }) => name).join(' and ')} cut`, durationMs, stop: () => world.mendLinks(links, reason) };
  },
};

/** Alive, and seen by nobody: neither clients nor resolvers nor, mostly, the witness. */
export const unseenRegion: Nemesis = {
  name: 'unseen-region',
  weight: 0.5,
  everyTtls: 10,
  applies,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { up, down, edge } = region;
    const links = [edge.fromClients, edge.toClients, ...(world.outside?.pathsOf(region.name) ?? []), ...(prng.chance(0.7) ? [up, down] : [])];
    const reason = `unseen-${++serial}`;
    world.cutLinks(links, reason);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.1, 4);
    return { what: `${region.name} is not seen from outside`, durationMs, stop: () => world.mendLinks(links, reason) };
  },
};

/** The holder loses the witness; just as its lease runs out the resolvers lose sight of it, for about the time of the window. */
export const darkAtExpiry: Nemesis = {
  name: 'dark-at-expiry',
  weight: 0.5,
  everyTtls: 8,
  applies,
  start: (world, prng) => {
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { ttlMs } = world.options.timings;
    const reason = `dark-${++serial}`;
    const links = world.outside?.pathsOf(holder.name) ?? [];
    world.cutLinks([holder.up, holder.down], reason);
    burst(world, prng, ttlMs);
    let over = false;
    let at = ttlMs * prng.between(0.4, 1.1);
    for (let count = 0; count < 4; count++) {
      const [from, to] = [at, at + ttlMs * prng.spread(0.03, 0.6)];
      world.sim.after(from, () => {
        if (!over) world.cutLinks(links, reason);
      });
      world.sim.after(to, () => {
        if (!over) world.mendLinks(links, reason);
      });
      at = to + ttlMs * prng.spread(0.02, 0.5);
    }
    const stop = (): void => {
      over = true;
      world.mendLinks([holder.up, holder.down, ...links], reason);
    };
    return { what: `${holder.name} loses the witness, and is seen now and then`, durationMs: ttlMs * prng.between(1.5, 4), stop };
  },
};

function burst(world: World, prng: Prng, ttlMs: number): void {
  world.sim.after(ttlMs * prng.between(0.9, 1.2), () => world.clients.burst(40, ttlMs / 30));
}
