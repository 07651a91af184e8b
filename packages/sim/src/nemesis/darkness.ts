// Darkness that passed unseen: a contender that sleeps in it with a clock that hides the sleep, one that is stopped between its grant and
// its promotion, and one that was lied to and sees the truth while it promotes.

import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing } from './nemesis.ts';
import { Steps } from './steps.ts';

/** The holder dies; the contender sleeps while it watches, and its wall clock is set back by more than that. */
export const hiddenSleepInDarkness: Nemesis = {
  name: 'hidden-sleep-in-darkness',
  weight: 0.3,
  everyTtls: 15,
  applies: (world) => world.outside !== null,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { controller, machine, name } = world.other(holder);
    const watchedMs = ttlMs * prng.between(0, 0.35);
    const sleepMs = prng.between(1_100, 1_500) + ttlMs * prng.between(0.1, 0.6);
    const backMs = sleepMs + prng.between(1_100, 5_000);
    const steps = new Steps(world);
    world.kill(holder);
    const wake = (): void => {
      machine.resume();
      world.resend();
    };
    const sleep = (): void => {
      if (controller.state.fallback.darkness !== null) world.marks.set('sleep-hidden-in-darkness');
      machine.suspend();
      machine.wallOffsetMs -= backMs;
      steps.after(sleepMs, wake);
    };
    steps.when(
      () => controller.state.fallback.darkness !== null,
      () => steps.after(watchedMs, sleep),
    );
    const stop = (): void => {
      steps.end();
      wake();
      world.boot(holder);
    };
    return { what: `${holder.name} dies, and ${name} sleeps unseen`, durationMs: ttlMs * prng.between(2, 4) + sleepMs, stop };
  },
};

/**
 * The answer to the contender's request is lost until its grant has run out; it asks again. Then, or the first time already, it is stopped
 * before it reads the answer, and what it saw of the darkness grows old.
 */
export const stoppedAtGrant: Nemesis = {
  name: 'stopped-at-grant',
  weight: 0.3,
  everyTtls: 15,
  applies: (world) => world.outside !== null,
  start: (world, prng) => {
    const { ttlMs, commandMs } = world.options.timings;
    const { witness } = world;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { controller, down, name } = world.other(holder);
    const { epoch } = witness.record;
    const stoppedMs = 1_000 + ttlMs * prng.between(0.25, 0.7);
    const twice = prng.chance(0.7);
    const steps = new Steps(world);
    world.kill(holder);
    const stopIt = (): void => {
      controller.process.pause();
      controller.passAnswers();
      if (twice) world.marks.set('asked-again-before-promotion');
      steps.after(stoppedMs, () => controller.process.unpause());
    };
    const hold = (): void => {
      controller.holdAnswers();
      steps.when(() => controller.heldAnswers > 0, stopIt);
    };
    // Slow enough for an answer to be caught on its way, and quick enough to come in time.
    const watch = (): void => {
      down.faults = { ...down.faults, delayShare: 1, delayMs: commandMs * 0.5 };
      steps.when(() => controller.state.request?.request.kind === 'acquire', hold);
    };
    const askAgain = (): void => {
      world.mendLinks([down], 'stopped-at-grant');
      steps.when(() => controller.state.view?.epoch === epoch + 1, watch);
    };
    const lose = (): void => {
      world.cutLinks([down], 'stopped-at-grant');
      steps.when(() => witness.record.epoch > epoch && !witness.isHeld, askAgain);
    };
    steps.when(() => witness.record.expiresAtMs - witness.nowWallMs < ttlMs * 0.03, twice ? lose : watch);
    const stop = (): void => {
      steps.end();
      world.mendLinks([down], 'stopped-at-grant');
      down.faults = { ...down.faults, delayShare: 0, delayMs: 0 };
      controller.passAnswers();
      controller.process.unpause();
      world.boot(holder);
    };
    return { what: `${holder.name} dies, and ${name} is stopped when it is granted its lease`, durationMs: ttlMs * prng.between(4.5, 6), stop };
  },
};

/**
 * Two resolvers lie while the holder lives on its attestations; the contender is granted the lease and promotes. Then they tell the truth, and
 * the promotion, which takes long, ends well while the lease is given back.
 */
export const seenWhilePromoting: Nemesis = {
  name: 'seen-while-promoting',
  weight: 0.3,
  everyTtls: 15,
  applies: (world) => world.outside !== null,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    const honest = world.outside?.resolvers.filter(({ fault }) => fault === null) ?? [];
    const liars = honest.filter(({ vendor }, index) => honest.findIndex((one) => one.vendor === vendor) === index).slice(0, 2);
    if (holder === undefined || liars.length < 2) return { what: 'no two resolvers to lie', durationMs: 0, stop: nothing };
    const { controller, database, operator, up, name } = world.other(holder);
    const links = [holder.up, holder.down];
    const steps = new Steps(world);
    for (const liar of liars) liar.fault = 'lies';
    const tellTruth = (): void => {
      for (const liar of liars) if (liar.fault === 'lies') liar.fault = null;
    };
    world.cutLinks(links, 'seen-while-promoting');
    database.faults.promote = 'hangs';
    const endPromotion = (): void => {
      up.clog();
      if (operator.endHang()) world.marks.set('promoted-while-given-back');
      steps.after(ttlMs * 0.1, () => up.unclog());
    };
    const see = (): void => {
      tellTruth();
      steps.when(() => controller.state.phase.kind === 'releasing', endPromotion);
    };
    steps.when(() => controller.state.databaseAction?.action.kind === 'promote', see);
    const stop = (): void => {
      steps.end();
      tellTruth();
      up.unclog();
      database.faults.promote = 'ok';
      world.mendLinks(links, 'seen-while-promoting');
    };
    return { what: `two resolvers lie to ${name} until it promotes`, durationMs: ttlMs * prng.between(3, 4.5), stop };
  },
};
