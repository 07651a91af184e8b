// L1 and L2: once faults stop, exactly one region serves within the objective and the other comes back in sync within the time
// that a full copy takes; and nobody takes over twice within the hold-down.

import type { Region, World } from '../world.ts';

/** Looks this many times per ttl. */
const LOOKS_PER_TTL = 10;

/** Waits for the recovery and returns how long it took until a region served. */
export function demandRecovery(world: World): number {
  const { sim, options } = world;
  const { ttlMs, holdDownMs } = options.timings;
  const { rewindMs, copyMs, startMs } = options.databaseTimes;
  const startedMs = sim.nowMs;
  // A takeover in the worst case: what was under way must first fail within its bound, or it was the second one.
  const servingByMs = startedMs + 2 * options.rtoMs + 4 * startMs + options.operatorMs + Math.max(0, holdDownMs - ttlMs);
  const wholeByMs = servingByMs + 2 * (rewindMs + copyMs) + 4 * ttlMs;
  let servedMs: number | null = null;
  for (;;) {
    sim.runUntil(sim.nowMs + ttlMs / LOOKS_PER_TTL);
    const serving = world.regions.filter((region) => serves(world, region));
    if (serving.length > 1) sim.violate('L1', 'both regions serve');
    if (serving.length === 1) servedMs ??= sim.nowMs - startedMs;
    if (serving.length === 1 && isWhole(world) && isFollowed(world, serving[0])) return servedMs ?? 0;
    if (servedMs === null && sim.nowMs > servingByMs) {
      sim.violate('L1', `nobody serves ${Math.round(sim.nowMs - startedMs)} ms after the last fault: ${describe(world)}`);
    }
    if (sim.nowMs > wholeByMs) {
      sim.violate('L1', `not whole ${Math.round(sim.nowMs - startedMs)} ms after the last fault: ${describe(world)}`);
    }
  }
}

/** The books of the clients, when everything has come to rest. */
export function closeBooks(world: World): void {
  world.clients.stop();
  world.sim.runUntil(world.sim.nowMs + world.clients.timeoutMs + world.options.timings.ttlMs);
  const primary = world.regions.find((region) => serves(world, region));
  if (primary === undefined) return world.sim.violate('L1', `nobody serves at the end: ${describe(world)}`);
  world.history.close(primary.database);
}

function serves(world: World, region: Region): boolean {
  return (
    region.gate.isActive &&
    region.database.role === 'primary' &&
    world.witness.isHeld &&
    world.witness.record.holder === region.name
  );
}

function isWhole(world: World): boolean {
  return world.witness.record.inSync.length === world.regions.length;
}

/** The name stands for whoever serves, and for nobody else. */
function isFollowed({ names }: World, serving: Region | undefined): boolean {
  return names === null || serving === undefined || names.follow(serving.name);
}

function describe(world: World): string {
  const { record } = world.witness;
  const regions = world.regions.map(({ name, controller, database, gate }) => {
    const { phase, databaseProblem } = controller.state;
    return `${name} ${phase.kind}, ${database.role}/${database.shape}, gate ${gate.state.instruction?.mode ?? 'none'}, ${databaseProblem ?? 'no problem'}`;
  });
  return `witness ${record.holder} epoch ${record.epoch} [${record.inSync.join()}]; ${regions.join('; ')}`;
}
