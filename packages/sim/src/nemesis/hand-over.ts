// Hand-overs that go wrong later than one looks: a promotion that was given up takes effect in the next hand-over, and a target that
// has served is restarted and cannot serve any more.

import type { Prng } from '../prng.ts';
import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, replicationLinks, restartAsStandby } from './nemesis.ts';
import { Steps } from './steps.ts';

/** The target cannot promote and gives the lease back; in the next hand-over, before or while the giver stops, it is a primary after all. */
export const promotionInNextHandOver: Nemesis = {
  name: 'promotion-in-next-hand-over',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const { witness, regions } = world;
    const giver = holderOf(world);
    if (giver === undefined) return nobodyHolds;
    const target = world.other(giver);
    const { database, operator } = target;
    const crashes = prng.chance(0.4);
    const crashMs = ttlMs * prng.spread(0.001, 0.05);
    const againMs = ttlMs * prng.between(0.3, 0.8);
    const effectAt = prng.pick(['holding', 'draining', 'demoting', 'demoting'] as const);
    const links = replicationLinks(world);
    const steps = new Steps(world);
    const { epoch } = witness.record;
    database.faults.promote = 'hangs';
    world.operators.switchover(target);
    const takeEffect = (): void => {
      if (!operator.endHang()) return;
      world.marks.set('promotion-took-effect-in-next-hand-over');
      if (crashes) steps.after(crashMs, () => database.stop());
      if (effectAt !== 'demoting') {
        const handed = (): boolean => witness.record.handover?.to === target.name;
        steps.when(handed, () => world.marks.set('lease-handed-to-late-primary'));
      }
      // Nobody confirms commits any more: the giver can drain once its clients give up, here as soon as the target has seen what it is.
      steps.when(() => target.controller.state.phase.kind === 'rejoining', () => giver.database.cancelWaits());
    };
    const again = (): void => {
      database.faults.promote = 'ok';
      // Its controller stands still until the stream is back by itself: a restart of the server would end what hangs in it.
      target.controller.process.pause();
      steps.when(
        () => database.receiver !== null,
        () => target.controller.process.unpause(),
      );
      steps.when(
        () => witness.record.inSync.length === regions.length,
        () => steps.after(againMs, () => world.operators.switchover(target)),
      );
      steps.when(() => stepOf(giver.controller.state.phase) === 'draining', () => slow(links, ttlMs * 0.1));
      steps.when(() => stepOf(giver.controller.state.phase) === effectAt, takeEffect);
    };
    steps.when(() => witness.record.epoch > epoch + 1 && witness.record.holder === giver.name, again);
    const stop = (): void => {
      steps.end();
      slow(links, 0);
      target.controller.process.unpause();
      database.faults.promote = 'ok';
      world.startDatabase(target);
    };
    return { what: `a promotion of ${target.name} hangs until the next hand-over`, durationMs: ttlMs * prng.between(3.5, 5), stop };
  },
};

/**
 * The target has been handed the lease and has served; then its database stops, and may be restarted as a standby, and stop again, its
 * controller restarts, and it cannot promote.
 */
export const stuckAfterHandOver: Nemesis = {
  name: 'stuck-after-hand-over',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const { witness } = world;
    const giver = holderOf(world);
    if (giver === undefined) return nobodyHolds;
    const target = world.other(giver);
    const { controller, database, gate } = target;
    const links = replicationLinks(world);
    const servesMs = ttlMs * prng.between(0.3, 1);
    const awayMs = ttlMs * prng.spread(0.01, 0.1);
    const asStandby = prng.chance(0.3);
    const staysDown = prng.chance(0.5);
    const steps = new Steps(world);
    world.operators.switchover(target);
    const strike = (): void => {
      const served = witness.record.handover?.to === target.name;
      if (served) world.marks.set('served-under-hand-over-then-stuck');
      database.faults.promote = 'fails';
      if (asStandby) restartAsStandby(world, target, false);
      if (!asStandby || staysDown) database.stop();
      if (asStandby && served) world.marks.set(staysDown ? 'served-under-hand-over-then-standby-down' : 'served-under-hand-over-then-standby');
      controller.process.kill();
      steps.after(awayMs, () => world.restart(target));
    };
    const serve = (): void => {
      burst(world, prng, servesMs);
      steps.after(servesMs, strike);
    };
    const handed = (): void => {
      world.cutLinks(links, 'stuck-after-hand-over');
      steps.when(() => controller.state.phase.kind === 'active' && gate.isActive, serve);
    };
    steps.when(() => witness.record.handover?.to === target.name, handed);
    const stop = (): void => {
      steps.end();
      database.faults.promote = 'ok';
      world.mendLinks(links, 'stuck-after-hand-over');
      world.restart(target);
    };
    return { what: `${target.name} is handed the lease, serves, and is stuck`, durationMs: ttlMs * prng.between(2.5, 4), stop };
  },
};

function stepOf(phase: World['regions'][number]['controller']['state']['phase']): string | null {
  return phase.kind === 'handing-over' ? phase.step : null;
}

function slow(links: World['links'], delayMs: number): void {
  for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: delayMs > 0 ? 1 : 0, delayMs };
}

function burst(world: World, prng: Prng, forMs: number): void {
  world.clients.burst(20, forMs / prng.between(22, 30));
}
