// Interrupted prefixes: a failover, a rejoin and a switchover are run once to count what is done; then once for every action, with both
// controllers killed right before it and started again. Each must find its way back with nothing lost.

import { closeBooks, demandRecovery, describe, serves } from './checkers/liveness.ts';
import { withoutGlobals } from './forbid-globals.ts';
import { drawOptions } from './options.ts';
import { Prng } from './prng.ts';
import { ViolationError } from './simulation.ts';
import { World } from './world.ts';

export type Course = 'failover' | 'rejoin' | 'switchover';
export type PrefixReport = { readonly course: Course; readonly actions: number; readonly broken: readonly string[] };

const RTO_MS = 10_000;

export function cutEveryPrefix(course: Course, seed: number): PrefixReport {
  return withoutGlobals(() => {
    const { actions } = runCourse(course, seed, null);
    const broken: string[] = [];
    for (let cut = 0; cut < actions; cut++) {
      const { problem } = runCourse(course, seed, cut);
      if (problem !== null) broken.push(`cut before action ${cut + 1} of ${actions}: ${problem}`);
    }
    return { course, actions, broken };
  });
}

function runCourse(course: Course, seed: number, cut: number | null): { actions: number; problem: string | null } {
  const world = new World(drawOptions(seed, new Prng(seed, 1), { rtoMs: RTO_MS, databaseStartsAtBoot: false }));
  const { sim } = world;
  const [first, second] = world.regions as [World['regions'][0], World['regions'][0]];
  let actions = 0;
  try {
    world.start();
    demandRecovery(world);
    if (course === 'rejoin') {
      world.kill(first);
      sim.runUntil(sim.nowMs + 2 * RTO_MS);
    }
    world.onAction = (controller) => {
      if (actions++ !== cut) return;
      for (const region of world.regions) region.controller.process.kill();
      sim.after(RTO_MS / 20, () => {
        for (const region of world.regions) world.restart(region);
      });
      sim.note(controller.process.name, () => 'both controllers are cut here');
    };
    if (course === 'failover') world.kill(first);
    else if (course === 'rejoin') world.boot(first);
    else world.operators.switchover(second);
    sim.runUntil(sim.nowMs + 3 * RTO_MS);
    world.onAction = null;
    if (course === 'failover' && !serves(world, second)) sim.violate('L1', `nobody has taken over from the lost region: ${describe(world)}`);
    world.heal();
    demandRecovery(world);
    closeBooks(world);
  } catch (error) {
    if (!(error instanceof ViolationError)) throw error;
    return { actions, problem: error.message };
  }
  return { actions, problem: null };
}
