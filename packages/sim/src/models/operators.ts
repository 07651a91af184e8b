// The people: they ask for a switchover, take their word back, and force a takeover. Each is told to one region's controller, as
// through its API, and reaches the other one only through the witness.

import { monoMs, regionId } from '@continuum/core';
import type { Region, World } from '../world.ts';

export class Operators {
  readonly #world: World;
  #switchovers = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Returns the region that was asked: `at`, or by chance the holder or the one that it goes to. */
  switchover(to: Region, at: Region | null = null): Region {
    const { sim, witness, clients, options } = this.#world;
    const id = `s${++this.#switchovers}`;
    const { holder } = witness.record;
    const asked = at ?? (sim.prng.chance(0.5) || holder === null ? to : this.#world.region(holder));
    sim.note('operator', () => `switchover ${id} to ${to.name}, asked at ${asked.name}`);
    const word = { kind: 'switchover' as const, id, to: regionId(to.name), atMs: monoMs(asked.machine.now().monoMs) };
    asked.controller.feed({ kind: 'operator-asked', word });
    clients.burst(12, options.timings.ttlMs / 150);
    return asked;
  }

  takeover(region: Region): void {
    const { sim, lease } = this.#world;
    sim.note('operator', () => `forced takeover by ${region.name}`);
    const force = { reason: 'the other region is not coming back', estimatedLoss: 'unknown' };
    const word = { kind: 'takeover' as const, force, atMs: monoMs(region.machine.now().monoMs) };
    lease.told(region.name);
    region.controller.feed({ kind: 'operator-asked', word });
  }

  /** Whatever was asked of this region's controller is taken back. */
  cancel(region: Region): void {
    this.#world.sim.note('operator', () => `cancelled at ${region.name}`);
    region.controller.feed({ kind: 'operator-cancelled' });
  }
}
