// Replication: a standby that looks alive and stands still, and a lag prober that says whatever it likes. A report may keep a
// standby out and a switchover from starting; whatever it says, it must not let anything in, and its word ends with it.

import type { LagReport, Verdict } from '@continuum/core/replication/index';
import { unknownReading } from '@continuum/core/replication/index';
import type { Prng } from '../prng.ts';
import type { Nemesis } from './nemesis.ts';
import { holderOf, nobodyHolds, replicationLinks } from './nemesis.ts';
import { Steps } from './steps.ts';

export const stillStandby: Nemesis = {
  name: 'still-standby',
  weight: 0.4,
  everyTtls: 12,
  start: (world, prng) => {
    const { database, name } = prng.pick(world.regions);
    const durationMs = world.options.timings.ttlMs * prng.spread(0.2, 6);
    if (prng.chance(0.5)) {
      database.freezeReceiver();
      return { what: `${name}: its receiver stands still`, durationMs, stop: () => database.thawReceiver() };
    }
    database.faults.replayPaused = true;
    const stop = (): void => {
      database.faults.replayPaused = false;
      database.receive();
    };
    return { what: `${name}: somebody paused replay`, durationMs, stop };
  },
};

/**
 * The standby comes back over a slow path while nobody waits for it: commits begin to name it long before it has what was acknowledged
 * without it. The holder dies as soon as the register counts on the standby.
 */
export const dieWhenCountedOn: Nemesis = {
  name: 'die-when-counted-on',
  weight: 0.3,
  everyTtls: 15,
  start: (world, prng) => {
    const { ttlMs, renewMs } = world.options.timings;
    const { witness, clients } = world;
    const holder = holderOf(world);
    if (holder === undefined) return nobodyHolds;
    const standby = world.other(holder);
    const links = replicationLinks(world);
    const delayMs = (renewMs + 1_000) * prng.between(2, 4);
    const steps = new Steps(world);
    const isCountedOn = (): boolean => witness.record.inSync.some((region) => region === standby.name);
    world.cutLinks(links, 'counted-on');
    const comeBack = (): void => {
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 1, delayMs };
      world.mendLinks(links, 'counted-on');
      clients.burst(30, delayMs / 30);
      steps.when(isCountedOn, () => {
        world.marks.set('died-when-counted-on');
        world.kill(holder);
      });
    };
    steps.when(() => !isCountedOn() && holder.database.synchronous.length === 0, comeBack);
    const stop = (): void => {
      steps.end();
      for (const link of links) link.faults = { lossShare: 0, duplicateShare: 0, delayShare: 0, delayMs: 0 };
      world.mendLinks(links, 'counted-on');
      world.boot(holder);
    };
    return { what: `${standby.name} comes back slowly, and ${holder.name} dies when it is counted on`, durationMs: ttlMs * prng.between(3, 5) + delayMs, stop };
  },
};

export const lagProber: Nemesis = {
  name: 'lag-prober',
  weight: 0.5,
  everyTtls: 8,
  start: (world, prng) => {
    const { sim } = world;
    const { ttlMs } = world.options.timings;
    const { controller, name } = prng.pick(world.regions);
    const about = prng.pick(world.regions).name;
    const verdict = drawVerdict(prng);
    const intervalMs = ttlMs / 12;
    let over = false;
    const push = (): void => {
      if (over) return;
      controller.feed({ kind: 'lag-reported', report: reportOf(about, verdict, intervalMs) });
      sim.after(intervalMs, push);
    };
    push();
    const stop = (): void => {
      over = true;
    };
    return { what: `the lag prober of ${name} says that ${about} is ${verdict.kind}`, durationMs: ttlMs * prng.spread(0.2, 6), stop };
  },
};

/** Mostly objections: of the others nothing must be seen. */
function drawVerdict(prng: Prng): Verdict {
  if (prng.chance(0.6)) return { kind: 'notPromotable', reason: 'receiver-stalled', detail: 'simulated' };
  return prng.chance(0.5) ? { kind: 'promotable' } : { kind: 'unknown', reason: 'primary-silent', detail: 'simulated' };
}

function reportOf(name: string, verdict: Verdict, intervalMs: number): LagReport {
  const lag = { bytes: unknownReading('bytes', 'simulated', null), milliseconds: unknownReading('milliseconds', 'simulated', null) };
  const standby = { name, verdict, verdictForMs: null, syncState: null, lag, loss: { ...lag, commits: unknownReading('commits', 'simulated', null) } };
  return { cluster: 'simulated', intervalMs, primary: null, standbys: [standby] };
}
