// The wall clock of one region is set wrong by a minute, forwards and back, while it serves: nothing that keeps two regions
// apart looks at it, and what looks at it errs on the side of refusing for a moment.

import t from 'tap';
import type { Test } from 'tap';
import { askSwitchover } from '../demo/acts.ts';
import { monotonicMs } from '../rig/clock.ts';
import { runFolder, signalAll, waitFor } from '../rig/process.ts';
import { acceptedAfter, since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import { createSteppedClock, removeClockLeftovers } from '../rig/stepped-clock.ts';

const folder = runFolder('clock-steps');
const clock = createSteppedClock(folder);
const site = await startSite({ folder, rtoMs: 5_000, environment: (region) => (region === 'r1' ? clock.environment : {}) });
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;
const { ttlMs, guardMs } = site.timings;
const clocked = ['controller', 'gate'].map((part) => r1.part(part as 'controller' | 'gate').pid);
t.teardown(() => removeClockLeftovers(clocked));
const firstEpoch = (await r1.status()).actingEpoch;

/** How far r1's audit says that its wall clock is off, by its newest entry; its monotonic clock is the machine's. */
const offsetMs = (entry: { at: string; monoMs: number }): number => Date.parse(entry.at) - entry.monoMs - (Date.now() - monotonicMs());

/** Steps r1's clock, lets it work like that for longer than a ttl, and gives the longest pause of its service. */
async function stepTo(test: Test, offsetSeconds: number): Promise<number> {
  const fromMs = monotonicMs();
  clock.set(offsetSeconds);
  await waitFor('more than a ttl with the new time', () => monotonicMs() > fromMs + 1.5 * ttlMs);
  await load.acknowledged('r1', monotonicMs());
  const status = await r1.status();
  test.same([status.phase.kind, status.actingEpoch, status.witnessProblem], ['active', firstEpoch, null], 'it goes on renewing under its epoch');
  test.ok(status.validityMs <= ttlMs - guardMs, 'no validity comes from a clock');
  test.same(since(site, fromMs).filter((entry) => entry.event === 'granted' || entry.event === 'refused'), []);
  const good = load.probes.filter((one) => one.gateway === 'r1' && one.kind === 'well-known' && one.status === 200 && one.sentMs > fromMs - 500);
  const ends = good.map((one) => one.sentMs).sort((a, b) => a - b);
  return Math.max(...ends.slice(1).map((end, index) => end - (ends[index] ?? end)));
}

t.test('a clock that jumps ahead by a minute looks like a suspend: validity is dropped, and granted again at once', async (t) => {
  const pauseMs = await stepTo(t, 60);
  const suspected = since(site, 0).filter((entry) => entry.event === 'suspend-suspected');
  t.match(suspected, [{ region: 'r1' }]);
  t.equal(suspected.length, 1);
  const [entry] = suspected;
  t.ok(Math.abs(Number(entry?.detail['wallAheadMs']) - 60_000) < 1_000, 'the clock really was stepped');
  t.ok(entry !== undefined && Math.abs(offsetMs(entry) - 60_000) < 1_000, 'and the monotonic one was not');
  t.ok(pauseMs < ttlMs / 2, `paused for ${Math.round(pauseMs)} ms`);
});

t.test('a clock that jumps back by two minutes is not noticed', async (t) => {
  const fromMs = monotonicMs();
  const pauseMs = await stepTo(t, -60);
  t.same(since(site, fromMs).filter((entry) => entry.region === 'r1'), [], 'nothing happens at all');
  t.ok(pauseMs < ttlMs / 2, `paused for ${Math.round(pauseMs)} ms`);
});

for (const offsetSeconds of [60, -60]) {
  t.test(`validity ends on time with the controller asleep and the clock stepped to ${offsetSeconds} s meanwhile`, async (t) => {
    if ((await r2.status()).actingEpoch > 0) {
      await askSwitchover(site, 'r2', 'r1');
      await site.settled('r1');
    }
    // From the other side, so that this is a step of two minutes in the direction that is tested.
    clock.set(-offsetSeconds);
    const epochBefore = await waitFor('r1 to act', async () => (await r1.status()).actingEpoch);
    const { pid } = r1.part('controller');
    const stoppedMs = monotonicMs();
    signalAll([pid], 'SIGSTOP');
    clock.set(offsetSeconds);
    try {
      await load.acknowledged('r2', stoppedMs);
      await waitFor('the sleep to be longer than a ttl', () => monotonicMs() > stoppedMs + 1.5 * ttlMs);
    } finally {
      signalAll([pid], 'SIGCONT');
    }
    await site.settled('r2');
    t.equal((await r2.status()).actingEpoch, epochBefore + 1);
    t.same(acceptedAfter(load, 'r1', stoppedMs + ttlMs - guardMs, monotonicMs()), [], 'nothing accepted by r1 after its validity');
  });
}

t.test('every promise held', async (t) => {
  for (const { name, passed, evidence } of await load.verdict('r2', 3)) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
