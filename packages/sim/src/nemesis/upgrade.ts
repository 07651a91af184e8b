// A rolling upgrade: controllers, gates and the witness are restarted one after the other with the other version of the core, in any
// order. Sometimes it is taken back on the way, sometimes it stops half-way, and other faults happen meanwhile.

import type { CoreVersion } from '../core-version.ts';
import type { Process } from '../machine.ts';
import { timingsOf } from '../options.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';

/** One process that can be replaced, and how long it is away meanwhile, in lease ttls: a share between these. */
type Part = {
  readonly owner: { readonly process: Process; core: CoreVersion };
  readonly awayTtls: readonly [number, number];
  readonly configure?: (core: CoreVersion) => void;
  readonly start: () => void;
};
type Step = { readonly part: Part; readonly to: CoreVersion; readonly back: boolean };

export const rollingUpgrade: Nemesis = {
  name: 'rolling-upgrade',
  weight: 1,
  everyTtls: 4,
  applies: ({ options }) => options.versions !== null,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const steps = planSteps(world, prng);
    let over = false;
    let atMs = 0;
    for (const step of steps) {
      world.sim.after(atMs, () => {
        if (!over) replace(world, prng, step);
      });
      atMs += ttlMs * prng.spread(0.02, 3);
    }
    const stop = (): void => {
      over = true;
    };
    const back = steps.filter((step) => step.back).length;
    return { what: `rolling upgrade, ${steps.length - back} processes${back > 0 ? `, ${back} back again` : ''}`, durationMs: atMs, stop };
  },
};

/** All that do not run the target yet, in any order; a part of them only, or those of them back again. */
function planSteps(world: World, prng: Prng): Step[] {
  const [older, newer] = world.options.versions ?? [world.witness.core, world.witness.core];
  const parts = partsOf(world);
  const wanted = prng.chance(0.5) ? older : newer;
  const target = parts.every(({ owner }) => owner.core === wanted) ? (wanted === older ? newer : older) : wanted;
  const waiting = parts.filter(({ owner }) => owner.core !== target).map((part) => ({ part, to: target, back: false, order: prng.unit() }));
  const steps: Step[] = waiting.sort((a, b) => a.order - b.order);
  if (prng.chance(0.5)) return steps;
  const forth = steps.slice(0, prng.integer(1, steps.length));
  if (prng.chance(0.4)) return forth;
  return [...forth, ...forth.map(({ part }) => ({ part, to: part.owner.core, back: true })).reverse()];
}

function partsOf(world: World): Part[] {
  const regions = world.regions.flatMap((region): Part[] => [
    { owner: region.controller, awayTtls: [0.005, 0.5], configure: (core) => setTimings(world, region, core), start: () => world.restart(region) },
    { owner: region.gate, awayTtls: [0.002, 0.1], start: () => world.startGate(region) },
  ]);
  return [...regions, { owner: world.witness, awayTtls: [0.001, 0.05], start: () => world.startWitness() }];
}

/** What a controller makes of the same objective is its version's. */
function setTimings(world: World, { controller }: Region, core: CoreVersion): void {
  controller.policy = { ...controller.policy, timings: timingsOf(world.options, core) };
}

/** The other version is on the disk from now on: who starts the process meanwhile, starts that. */
function replace(world: World, prng: Prng, { part, to, back }: Step): void {
  const { owner, awayTtls } = part;
  if (owner.core === to) return;
  owner.process.kill();
  owner.core = to;
  part.configure?.(to);
  if (back) world.marks.set('rolled-back');
  world.sim.note('nemesis', () => `${owner.process.name} gets the ${to === world.options.versions?.[0] ? 'first' : 'second'} version`);
  world.sim.after(world.options.timings.ttlMs * prng.spread(...awayTtls), () => part.start());
}
