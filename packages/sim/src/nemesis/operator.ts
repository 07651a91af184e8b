// Operators: switchovers at bad moments, a forced takeover during an automatic one, specifications that differ, resolvers that lie to
// clients, weights that cannot be written.

import type { Policy } from '@continuum/core';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing } from './nemesis.ts';
import { Steps } from './steps.ts';

export const switchovers: Nemesis = {
  name: 'switchover',
  weight: 0.8,
  everyTtls: 6,
  start: (world, prng) => {
    const holder = holderOf(world);
    const to = holder === undefined ? prng.pick(world.regions) : world.other(holder);
    world.operators.switchover(to);
    if (holder !== undefined && prng.chance(0.15)) stallGate(world, prng, holder);
    return { what: `switchover to ${to.name}`, durationMs: 0, stop: nothing };
  },
};

/** The gate of the giver stops for a while, somewhere in the middle, with requests in its inbox. */
function stallGate(world: World, prng: Prng, region: Region): void {
  const { ttlMs } = world.options.timings;
  const { process } = region.gate;
  world.sim.after(ttlMs * prng.between(0, 0.1), () => process.pause());
  world.sim.after(ttlMs * prng.spread(0.12, 1), () => process.unpause());
}

/** Steps of a hand-over at which somebody takes it back; null: nothing has begun. */
const CANCELLED_AT = [null, 'preparing', 'holding', 'draining', 'demoting', 'transferring'] as const;

/** Asked for and taken back, at any moment, at the region that was asked, at the giver or at the target. */
export const cancelledSwitchover: Nemesis = {
  name: 'cancelled-switchover',
  weight: 0.4,
  everyTtls: 8,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const giver = holderOf(world);
    if (giver === undefined) return nobodyHolds;
    const target = world.other(giver);
    const step = prng.pick(CANCELLED_AT);
    const cancelMs = prng.chance(0.3) ? 0 : ttlMs * prng.spread(0.001, 0.1);
    const steps = new Steps(world);
    const asked = world.operators.switchover(target);
    const at = step === null ? prng.pick([asked, giver, target]) : giver;
    const reached = (): boolean => {
      const { phase } = giver.controller.state;
      return step === null || (phase.kind === 'handing-over' && phase.step === step);
    };
    steps.when(reached, () => steps.after(cancelMs, () => world.operators.cancel(at)));
    return { what: `switchover to ${target.name}, cancelled at ${at.name}`, durationMs: ttlMs * 0.5, stop: () => steps.end() };
  },
};

/**
 * The target asks for a switchover and hears no answer. The giver begins, is told to cancel it, and another one ends there too; the target
 * then asks for the first one once more.
 */
export const askedAgainAfterCancel: Nemesis = {
  name: 'asked-again-after-cancel',
  weight: 0.3,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const { operators } = world;
    const giver = holderOf(world);
    if (giver === undefined) return nobodyHolds;
    const target = world.other(giver);
    const cancelMs = ttlMs * prng.spread(0.001, 0.02);
    const anotherMs = ttlMs * prng.spread(0.001, 0.02);
    const steps = new Steps(world);
    const another = (): void => {
      operators.switchover(target, giver);
      steps.after(anotherMs, () => operators.cancel(giver));
    };
    const cancel = (id: string): void => {
      const stands = (): boolean => giver.controller.state.view?.intent?.id === id;
      operators.cancel(giver);
      steps.when(
        () => !stands(),
        () => {
          another();
          steps.when(stands, () => world.marks.set('switchover-asked-again-after-its-cancel'));
        },
      );
    };
    const begun = (): void => {
      const { phase } = giver.controller.state;
      if (phase.kind === 'handing-over') steps.after(cancelMs, () => cancel(phase.id));
    };
    target.controller.holdAnswers();
    operators.switchover(target, target);
    steps.when(() => giver.controller.state.phase.kind === 'handing-over', begun);
    const stop = (): void => {
      steps.end();
      target.controller.passAnswers();
    };
    return { what: `${target.name} asks again for a switchover that ${giver.name} cancelled`, durationMs: ttlMs * prng.between(0.6, 1.2), stop };
  },
};

export const forcedTakeover: Nemesis = {
  name: 'forced-takeover',
  weight: 0.1,
  everyTtls: 20,
  start: (world, prng) => {
    const region = prng.pick(world.regions);
    world.operators.takeover(region);
    return { what: `forced takeover by ${region.name}`, durationMs: 0, stop: nothing };
  },
};

/** The holder dies; when the other region takes over by itself, or is about to promote, somebody forces one of them to. */
export const forcedDuringAutomatic: Nemesis = {
  name: 'forced-during-automatic',
  weight: 0.15,
  everyTtls: 20,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const contender = world.other(holder);
    const at = prng.pick(['acquiring', 'promoting'] as const);
    const told = prng.chance(0.7) ? contender : holder;
    const awayMs = ttlMs * prng.spread(0.02, 1);
    const steps = new Steps(world);
    world.kill(holder);
    const force = (): void => {
      if (contender.controller.state.phase.kind === at) world.marks.set('forced-during-automatic');
      if (told === holder) world.boot(holder);
      world.operators.takeover(told);
      steps.after(awayMs, () => world.boot(holder));
    };
    steps.when(() => contender.controller.state.phase.kind === at, force);
    const stop = (): void => {
      steps.end();
      world.boot(holder);
    };
    return { what: `${holder.name} dies, and ${told.name} is forced to take over while ${contender.name} is ${at}`, durationMs: ttlMs * prng.between(2, 4), stop };
  },
};

/** Both regions are set to manual, as before maintenance; meanwhile the holder may die, and nobody takes over by himself. */
export const operatorPause: Nemesis = {
  name: 'operator-pause',
  weight: 0.15,
  everyTtls: 25,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    const dies = prng.chance(0.6);
    const diesMs = ttlMs * prng.between(0.5, 1.5);
    const steps = new Steps(world);
    const before = world.regions.map(({ controller }) => controller.policy);
    if (before.some(({ hash }) => hash !== before[0]?.hash)) return { what: 'the regions differ in their specification', durationMs: 0, stop: nothing };
    for (const region of world.regions) applyPolicy(world, region, { mode: 'manual', hash: 'paused' });
    if (dies && holder !== undefined) steps.after(diesMs, () => world.kill(holder));
    const stop = (): void => {
      steps.end();
      world.regions.forEach((region, index) => {
        const policy = before[index];
        if (policy !== undefined) applyPolicy(world, region, { mode: policy.mode, hash: policy.hash });
      });
      if (dies && holder !== undefined) world.boot(holder);
    };
    return { what: `takeovers are paused${dies ? ', and the holder dies' : ''}`, durationMs: diesMs + ttlMs * prng.between(1.5, 4), stop };
  },
};

/** The rest stays: an upgrade may have changed it meanwhile. */
function applyPolicy(world: World, region: Region, change: Partial<Policy>): void {
  const { controller } = region;
  controller.policy = { ...controller.policy, ...change };
  controller.process.kill();
  world.restart(region);
}

export const differentPolicy: Nemesis = {
  name: 'different-policy',
  weight: 0.15,
  everyTtls: 20,
  start: (world, prng) => {
    const { controller, name } = prng.pick(world.regions);
    const before = controller.policy;
    if (before.hash === 'paused') return { what: 'takeovers are paused', durationMs: 0, stop: nothing };
    applyPolicy(world, world.region(name), { hash: 'policy-2' });
    const stop = (): void => applyPolicy(world, world.region(name), { hash: before.hash });
    return { what: `${name} has another specification`, durationMs: world.options.timings.ttlMs * prng.spread(1, 6), stop };
  },
};

export const lyingResolver: Nemesis = {
  name: 'lying-resolver',
  weight: 0.3,
  everyTtls: 12,
  start: (world, prng) => {
    const { clients } = world;
    const kind = prng.integer(0, 2);
    clients.resolver = { wrong: kind === 0, stale: kind === 1, dark: kind === 2 };
    const stop = (): void => {
      clients.resolver = { wrong: false, stale: false, dark: false };
    };
    return { what: 'resolvers do not tell the truth', durationMs: world.options.timings.ttlMs * prng.spread(0.5, 6), stop };
  },
};

export const stuckWeights: Nemesis = {
  name: 'stuck-weights',
  weight: 0.2,
  everyTtls: 15,
  start: (world, prng) => {
    const { controller, name } = prng.pick(world.regions);
    controller.trafficFails = true;
    const stop = (): void => {
      controller.trafficFails = false;
    };
    return { what: `weights of ${name} cannot be written`, durationMs: world.options.timings.ttlMs * prng.spread(0.2, 4), stop };
  },
};
