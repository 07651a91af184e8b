// A gate that is open and may not be is seen at the next event, whether or not somebody sends a request through it.

import type { Epoch, RegionId } from '@continuum/core';
import { test } from 'tap';
import { drawOptions } from './options.ts';
import { Prng } from './prng.ts';
import { ViolationError } from './simulation.ts';
import type { Region } from './world.ts';
import { World } from './world.ts';

/** One region holds the lease and serves, and no client asks anything. */
function quiet(): { world: World; holder: Region } {
  const world = new World(drawOptions(1, new Prng(1, 1), { rtoMs: 10_000, resolvers: null, names: null }));
  world.start();
  world.clients.stop();
  world.sim.runUntil(60_000);
  return { world, holder: world.region(String(world.witness.record.holder)) };
}

function open({ gate, controller, name }: Region, epoch: Epoch, remainingMs: number): void {
  controller.process.kill();
  gate.stray({ version: gate.applied, epoch, mode: 'open', activeRegion: name as RegionId, holdForwarded: false, holdMsMax: 0, remainingMs });
}

test('a gate that stays open past its validity', async (t) => {
  const { world, holder } = quiet();
  open(holder, world.witness.record.epoch, 60_000);
  t.throws(() => world.sim.runUntil(world.sim.nowMs + world.options.timings.ttlMs), /I4: r\d lets requests through \d+ ms past its validity/);
});

test('a gate that is open before its database was promoted', async (t) => {
  const { world, holder } = quiet();
  const other = world.other(holder);
  other.database.faults.promote = 'hangs';
  world.kill(holder);
  while (other.controller.state.phase.kind !== 'promoting') world.sim.runUntil(world.sim.nowMs + 10);
  const { epoch } = world.witness.record;
  open(other, epoch, 1_000);
  const named = new ViolationError('I8', `${other.name} lets requests through in epoch ${epoch} before its promotion was verified`);
  t.throws(() => world.sim.runUntil(world.sim.nowMs + 1_000), named);
});
