// The network: partitions of every shape, one-way cuts, loss, duplication, delay with a heavy tail, clogs that burst.

import type { Link } from '../network.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { replicationLinks } from './nemesis.ts';
import { pickRegion } from './process.ts';

let serial = 0;

function between(region: Region): Link[] {
  return [...region.database.links.values(), ...region.edge.forward.values()];
}

function all(world: World, region: Region): Link[] {
  const { up, down, edge } = region;
  return [up, down, edge.fromClients, edge.toClients, ...world.regions.flatMap((one) => between(one))];
}

function shapes(world: World, prng: Prng): { what: string; links: Link[] } {
  const region = pickRegion(world, prng);
  const { name, up, down, edge, database } = region;
  switch (prng.integer(0, 7)) {
    case 0:
      return { what: `${name} is cut off from everything`, links: all(world, region) };
    case 1:
      return { what: `${name} cannot reach the witness`, links: [up, down] };
    case 2:
      return { what: `${name} hears no answer of the witness`, links: [down] };
    case 3:
      return { what: `${name} is not heard by the witness`, links: [up] };
    case 4:
      return { what: 'the regions cannot reach each other', links: world.regions.flatMap((one) => between(one)) };
    case 5:
      return { what: `what the database of ${name} sends is lost`, links: [...database.links.values()] };
    case 6:
      return { what: `clients cannot reach ${name}`, links: [edge.fromClients, edge.toClients] };
    default:
      return { what: 'nobody can reach the witness', links: world.regions.flatMap((one) => [one.up, one.down]) };
  }
}

export const partition: Nemesis = {
  name: 'partition',
  weight: 0.7,
  everyTtls: 8,
  start: (world, prng) => {
    const { what, links } = shapes(world, prng);
    const reason = `cut-${++serial}`;
    world.cutLinks(links, reason);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.05, 8);
    return { what, durationMs, stop: () => world.mendLinks(links, reason) };
  },
};

export const flakyWitnessPath: Nemesis = {
  name: 'flaky-witness-path',
  weight: 0.5,
  everyTtls: 15,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { ttlMs } = world.options.timings;
    for (const link of [region.up, region.down]) {
      link.faults = {
        lossShare: prng.between(0, 0.3),
        duplicateShare: prng.between(0, 0.3),
        delayShare: prng.between(0, 0.5),
        delayMs: ttlMs * prng.spread(0.02, 0.6),
      };
    }
    const durationMs = ttlMs * prng.spread(0.5, 12);
    const stop = (): void => {
      for (const link of [region.up, region.down]) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
    };
    return { what: `the path of ${region.name} to the witness is bad`, durationMs, stop };
  },
};

export const slowReplication: Nemesis = {
  name: 'slow-replication',
  weight: 0.4,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const links = replicationLinks(world);
    const delayMs = ttlMs * prng.spread(0.02, 0.6);
    for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 1, delayMs };
    const stop = (): void => {
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
    };
    return { what: `replication takes up to ${Math.round(delayMs)} ms`, durationMs: ttlMs * prng.spread(0.5, 6), stop };
  },
};

/** Requests and answers are lost and late. They are not doubled: it is HTTP over TCP, and who sends again is the client. */
export const badClientPath: Nemesis = {
  name: 'bad-client-path',
  weight: 0.4,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { ttlMs } = world.options.timings;
    const { fromClients, toClients } = region.edge;
    const forward = world.regions.flatMap(({ edge }) => [...edge.forward.values()]);
    const links = prng.pick([[fromClients, toClients], [toClients], forward, [fromClients, toClients, ...forward]]);
    for (const link of links) {
      link.faults = { lossShare: prng.between(0, 0.4), duplicateShare: 0, delayShare: prng.between(0, 0.5), delayMs: ttlMs * prng.spread(0.02, 2) };
    }
    const durationMs = ttlMs * prng.spread(0.5, 8);
    const stop = (): void => {
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
    };
    return { what: `requests are lost and late on ${links.map(({ name }) => name).join(', ')}`, durationMs, stop };
  },
};

/** What a region and the witness say to each other, and the last answer that a gate had, come once more when the world has moved on. */
export const oldMessages: Nemesis = {
  name: 'old-messages',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { marks, options, sim } = world;
    const { ttlMs } = options.timings;
    const { name, up, down, gate } = pickRegion(world, prng);
    const links = prng.pick([[down], [up], [up, down]]);
    const replays = { share: prng.between(0.1, 0.6), afterMs: ttlMs * prng.spread(0.1, 4), replayed: () => marks.set('old-message-replayed') };
    for (const link of links) link.replays = replays;
    const answer = gate.lastAnswer;
    const asked = gate.state.asked;
    sim.after(replays.afterMs, () => {
      if (answer === null || gate.state.asked === asked) return;
      marks.set('old-gate-answer-replayed');
      answer();
    });
    const stop = (): void => {
      for (const link of links) link.replays = null;
    };
    return { what: `old messages of ${name} and the witness come again`, durationMs: ttlMs * prng.spread(0.5, 8), stop };
  },
};

export const clog: Nemesis = {
  name: 'clog',
  weight: 0.4,
  everyTtls: 10,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const link = prng.pick([region.up, region.down, ...region.database.links.values()]);
    link.clog();
    for (const one of world.regions) one.database.streamMayBreak();
    const durationMs = world.options.timings.ttlMs * prng.spread(0.02, 2);
    return { what: `${link.name} is clogged`, durationMs, stop: () => {
      link.unclog();
      world.resend();
    } };
  },
};
