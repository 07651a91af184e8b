// L1: who may take over does so. Once faults stop, exactly one region serves and the other comes back in sync within the time that a
// full copy takes; and while one region stays lost the other one serves, within the objective when nothing else was wrong.

import { mayTakeOver } from '@continuum/core';
import type { Region, World } from '../world.ts';

/** Looks this many times per ttl. */
const LOOKS_PER_TTL = 10;

/** A takeover in the worst case: what was under way must first fail within its bound, or it was the second one. */
function servingWithinMs({ rtoMs, operatorMs, timings, databaseTimes }: World['options']): number {
  return 2 * rtoMs + 4 * databaseTimes.startMs + operatorMs + Math.max(0, timings.holdDownMs - timings.ttlMs);
}

/** Waits for the recovery and returns how long it took until a region served. */
export function demandRecovery(world: World): number {
  const { sim, options } = world;
  const { ttlMs } = options.timings;
  const { rewindMs, copyMs } = options.databaseTimes;
  const startedMs = sim.nowMs;
  const servingByMs = startedMs + servingWithinMs(options);
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

/** One region is lost, the rest was just healed. Nothing is demanded of a survivor that may not take over. */
export function demandSurvivor(world: World, lost: Region): void {
  const survivor = world.other(lost);
  if (!mayServe(world, survivor)) return;
  world.marks.set('takeover-demanded-after-faults');
  demandService(world, survivor, servingWithinMs(world.options));
}

/** All is whole: the holder is lost, and nothing else is wrong. The other region serves within the objective, or when its hold-down ends. */
export function demandFailover(world: World): void {
  const holder = world.regions.find((region) => serves(world, region));
  if (holder === undefined) return;
  const survivor = world.other(holder);
  if (!mayServe(world, survivor)) return;
  const { holdDownUntilMs, notBeforeMs, now } = survivor.controller.state;
  world.lose(holder);
  world.marks.set('takeover-demanded-from-whole');
  demandService(world, survivor, world.options.rtoMs + Math.max(0, holdDownUntilMs - now.monoMs, notBeforeMs - now.monoMs));
}

/**
 * Where the lost region was handed the lease and nobody was in sync with it yet, only a person can tell whether it served. Nor may
 * a region whose specification is not the one that the holder last renewed with.
 */
function mayServe({ witness: { record } }: World, { name, controller }: Region): boolean {
  const { region, hash } = controller.policy;
  return record.holder === name || (mayTakeOver({ region, inSync: record.inSync, first: false, forced: false }) && record.policyHash === hash);
}

function demandService(world: World, survivor: Region, allowedMs: number): void {
  const { sim, options, witness } = world;
  const startedMs = sim.nowMs;
  // A witness whose clock was set back stands still until it has caught up, and the lease with it.
  const withinMs = allowedMs + Math.max(0, witness.record.clockMs - witness.process.machine.now().wallMs);
  while (!serves(world, survivor)) {
    if (!mayServe(world, survivor)) return;
    if (sim.nowMs - startedMs > withinMs) {
      sim.violate('L1', `${survivor.name} does not serve ${Math.round(sim.nowMs - startedMs)} ms after the other region was lost: ${describe(world)}`);
    }
    sim.runUntil(sim.nowMs + options.timings.ttlMs / LOOKS_PER_TTL);
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

export function serves(world: World, region: Region): boolean {
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

export function describe(world: World): string {
  const { record } = world.witness;
  const regions = world.regions.map(({ name, controller, database, gate }) => {
    const { phase, databaseProblem } = controller.state;
    return `${name} ${phase.kind}, ${database.role}/${database.shape}, gate ${gate.state.instruction?.mode ?? 'none'}, ${databaseProblem ?? 'no problem'}`;
  });
  return `witness ${record.holder} epoch ${record.epoch} [${record.inSync.join()}]; ${regions.join('; ')}`;
}
