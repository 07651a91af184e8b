// A mark is of the state itself: a fault that was prepared and came to nothing leaves none.

import { test } from 'tap';
import type { Mark } from './marks.ts';
import { suspend } from './nemesis/clock.ts';
import { badPromotion } from './nemesis/database.ts';
import type { Fault, Nemesis } from './nemesis/nemesis.ts';
import { lyingResolver } from './nemesis/operator.ts';
import { controllerPause, diskFull } from './nemesis/process.ts';
import { drawOptions } from './options.ts';
import { Prng } from './prng.ts';
import type { Region } from './world.ts';
import { World } from './world.ts';

/** A world in which one region holds the lease and serves. */
function served(): { world: World; holder: Region; count: (mark: Mark) => number } {
  const world = new World(drawOptions(1, new Prng(1, 1), { rtoMs: 10_000, resolvers: null, names: null }));
  world.start();
  world.sim.runUntil(60_000);
  const holder = world.region(String(world.witness.record.holder));
  return { world, holder, count: (mark) => world.marks.counts.get(mark) ?? 0 };
}

/** An occurrence that is as wanted, of many that are drawn. */
function occur(world: World, nemesis: Nemesis, isWanted: (fault: Fault) => boolean): Fault {
  for (let seed = 1; seed < 200; seed++) {
    const fault = nemesis.start(world, new Prng(seed));
    if (isWanted(fault)) return fault;
    fault.stop();
  }
  throw new Error(`${nemesis.name} never did what this test needs`);
}

test('a promotion that crashes its server is one that was carried out', async (t) => {
  const { world, holder, count } = served();
  const fault = occur(world, badPromotion, () => world.other(holder).database.faults.promote === 'crashes-after');
  t.equal(count('promotion-then-crash'), 0);
  world.kill(holder);
  world.sim.runUntil(world.sim.nowMs + 10_000);
  t.ok(count('promotion-then-crash') > 0);
  fault.stop();
});

test('a client is sent to the wrong region when it asks and another one is active', async (t) => {
  const { world, holder, count } = served();
  world.clients.stop();
  world.sim.runUntil(world.sim.nowMs + 10_000);
  const fault = occur(world, lyingResolver, () => world.clients.resolver.wrong);
  t.equal(count('client-sent-to-wrong-region'), 0);
  world.clients.write();
  t.equal(count('client-sent-to-wrong-region'), 1);
  holder.gate.process.kill();
  world.sim.runUntil(world.sim.nowMs + 60_000);
  const before = count('client-sent-to-wrong-region');
  world.regions.forEach(({ gate }) => gate.process.kill());
  world.clients.write();
  t.equal(count('client-sent-to-wrong-region'), before);
  fault.stop();
});

test('a full disk is met by a write', async (t) => {
  const { world, holder, count } = served();
  const fault = occur(world, diskFull, () => holder.controller.diskFull);
  holder.controller.process.kill();
  fault.stop();
  t.equal(count('disk-full-on-persist'), 0);
});

test('a holder is stopped past its ttl when that time has passed, and it was still stopped', async (t) => {
  const { world, holder, count } = served();
  const { ttlMs } = world.options.timings;
  const long = (): Fault => occur(world, controllerPause, ({ durationMs }) => holder.controller.process.paused && durationMs > ttlMs);
  long().stop();
  t.equal(count('holder-paused-past-ttl'), 0, 'the round ended before');
  const killed = long();
  holder.controller.process.kill();
  world.restart(holder);
  world.sim.runUntil(world.sim.nowMs + 2 * ttlMs);
  killed.stop();
  t.equal(count('holder-paused-past-ttl'), 0, 'it was restarted');
  const stays = long();
  world.sim.runUntil(world.sim.nowMs + 2 * ttlMs);
  stays.stop();
  t.equal(count('holder-paused-past-ttl'), 1);
});

test('a holder has slept past its ttl when that time has passed, and it had power', async (t) => {
  const { world, holder, count } = served();
  const { ttlMs } = world.options.timings;
  const long = (): Fault => occur(world, suspend, ({ durationMs }) => holder.machine.suspendedSinceMs !== null && durationMs > ttlMs);
  const killed = long();
  world.kill(holder);
  world.sim.runUntil(world.sim.nowMs + 2 * ttlMs);
  killed.stop();
  t.equal(count('holder-suspended-past-ttl'), 0);
  world.boot(holder);
  world.sim.runUntil(world.sim.nowMs + 20 * ttlMs);
  const { witness } = world;
  t.not(witness.record.holder, holder.name);
  const next = world.other(holder);
  const stays = occur(world, suspend, ({ durationMs }) => next.machine.suspendedSinceMs !== null && durationMs > ttlMs);
  world.sim.runUntil(world.sim.nowMs + 2 * ttlMs);
  stays.stop();
  t.equal(count('holder-suspended-past-ttl'), 1);
});

test('a crash while promoting is of a controller that lives', async (t) => {
  const { world, holder, count } = served();
  const other = world.other(holder);
  world.kill(holder);
  other.database.faults.promote = 'hangs';
  while (other.controller.state.phase.kind !== 'promoting') world.sim.runUntil(world.sim.nowMs + 10);
  other.controller.process.kill();
  world.kill(other);
  t.equal(count('crash-while-promoting'), 0);
});
