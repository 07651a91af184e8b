// What a controller set out to do before it was replaced arrives when the world has moved on: a statement in a stalled session, a
// child process that was started, an answer from an old process. Within one epoch the adapters serialise their own
// actions; across epochs only the compare-and-set in the resource stands.

import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { nothing } from './nemesis.ts';
import { pickRegion } from './process.ts';

export const lateActions: Nemesis = {
  name: 'late-actions',
  weight: 0.5,
  everyTtls: 4,
  start: (world, prng) => {
    const region = pickRegion(world, prng);
    const { controller, operator, gate, database } = region;
    const action = controller.lastDatabaseAction;
    const weights = controller.lastWeights;
    const instruction = controller.instruction();
    const arrive = (): void => {
      if (!region.machine.up) return;
      if (action !== null && action.kind !== 'prewarm' && action.epoch < database.epoch && !operator.stray(action)) {
        world.marks.set('stale-database-action-rejected');
      }
      if (instruction !== null && instruction.epoch < gate.epochMax) gate.stray({ ...instruction, remainingMs: 0 });
      if (weights !== null && gate.weights !== null && weights.epoch < gate.weights.epoch && !gate.setWeights(weights)) {
        world.marks.set('stale-weights-rejected');
      }
    };
    world.sim.after(lateMs(world, prng.spread(0.5, 8)), arrive);
    return { what: `what ${region.name} does now will arrive late as well`, durationMs: 0, stop: nothing };
  },
};

function lateMs(world: World, ttls: number): number {
  return world.options.timings.ttlMs * ttls;
}
