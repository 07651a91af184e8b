// What the witness said and a controller did not hear in time: a renewal's answer that is slept through, a renewal that arrives when its
// sender has been restarted, a narrowed in-sync set that the one who was left out never heard of.

import type { World } from '../world.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, nothing, replicationLinks } from './nemesis.ts';
import { Steps } from './steps.ts';

/**
 * The holder's machine sleeps past its lease while a renewal is under way, and a wall clock that is set back hides it: the answer is read
 * when somebody else holds the lease.
 */
export const sleepAtRenewal: Nemesis = {
  name: 'sleep-at-renewal',
  weight: 0.3,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const { witness } = world;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { controller, machine, name } = holder;
    const { epoch } = witness.record;
    const sleepMs = ttlMs * prng.between(1.05, world.outside === null ? 1.5 : 2);
    const lateMs = ttlMs * prng.between(0.001, 0.1);
    const hiddenMs = sleepMs - prng.between(0, 900);
    const steps = new Steps(world);
    controller.holdAnswers();
    const wake = (): void => {
      machine.resume();
      world.resend();
      steps.after(lateMs, () => {
        if (controller.heldAnswers > 0 && witness.record.epoch > epoch) world.marks.set('answer-came-after-sleep');
        controller.passAnswers();
      });
    };
    const sleep = (): void => {
      machine.suspend();
      holder.database.streamMayBreak();
      machine.wallOffsetMs -= hiddenMs;
      steps.after(sleepMs, wake);
    };
    steps.when(() => controller.heldAnswers > 0 && controller.state.request?.request.kind === 'renew', sleep);
    const stop = (): void => {
      steps.end();
      machine.resume();
      world.resend();
      controller.passAnswers();
    };
    return { what: `${name} sleeps while its renewal is answered, unseen`, durationMs: ttlMs * 0.6 + sleepMs, stop };
  },
};

/**
 * The holder's controller is restarted while its last renewal is stuck. The witness carries that out after the new controller's first
 * look, so that the new one's own renewal is a repetition; then the holder loses the witness.
 */
export const restartAtRenewal: Nemesis = {
  name: 'restart-at-renewal',
  weight: 0.3,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs, commandMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const { controller, up, down, name } = holder;
    const links = [up, down];
    const slowMs = commandMs * prng.between(0.4, 0.8);
    const bursts = [0.85, 0.92, 0.99].map((share) => ttlMs * prng.between(share, share + 0.05));
    const steps = new Steps(world);
    let letGo = nothing;
    up.clog();
    const lose = (): void => {
      world.cutLinks(links, 'restart-at-renewal');
      for (const burstMs of bursts) steps.after(burstMs, () => world.clients.burst(12, ttlMs / 200));
    };
    const answer = (): void => {
      controller.passAnswers();
      steps.when(() => controller.state.grant !== null, lose);
    };
    const arrive = (): void => {
      letGo();
      steps.after(slowMs, answer);
    };
    const restart = (): void => {
      controller.process.kill();
      letGo = up.detain();
      controller.holdAnswers();
      world.restart(holder);
      steps.when(() => controller.heldAnswers > 0, arrive);
    };
    steps.when(() => controller.state.request?.request.kind === 'renew', restart);
    const stop = (): void => {
      steps.end();
      up.unclog();
      letGo();
      controller.passAnswers();
      world.restart(holder);
      world.mendLinks(links, 'restart-at-renewal');
    };
    return { what: `the controller of ${name} restarts with a renewal under way`, durationMs: ttlMs * prng.between(1.8, 2.3), stop };
  },
};

/** The standby loses its stream and the witness's voice, and is left out of the in-sync set; then the holder dies. */
export const unheardNarrowing: Nemesis = {
  name: 'unheard-narrowing',
  weight: 0.3,
  everyTtls: 12,
  start: (world, prng) => {
    const { ttlMs } = world.options.timings;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const contender = world.other(holder);
    if (!isIn(world, contender.name)) return { what: `${contender.name} is out of sync already`, durationMs: 0, stop: nothing };
    const links = [contender.down, ...replicationLinks(world)];
    const diesAfterMs = ttlMs * prng.between(0, 0.3);
    const steps = new Steps(world);
    world.cutLinks(links, 'unheard-narrowing');
    steps.when(
      () => !isIn(world, contender.name),
      () => steps.after(diesAfterMs, () => world.kill(holder)),
    );
    const stop = (): void => {
      steps.end();
      world.mendLinks(links, 'unheard-narrowing');
      world.boot(holder);
    };
    return { what: `${contender.name} does not hear that it is out of sync, and ${holder.name} dies`, durationMs: ttlMs * prng.between(2, 3.5), stop };
  },
};

function isIn({ witness }: World, region: string): boolean {
  return witness.record.inSync.some((one) => one === region);
}
