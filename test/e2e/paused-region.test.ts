// A region that is stopped and wakes up later does not know how late it is. It must not accept anything all the same: not
// when only its controller slept and the gate went on, and not when every process of it slept and wakes with requests in hand.

import t from 'tap';
import type { Test } from 'tap';
import { monotonicMs } from '../rig/clock.ts';
import { runFolder, signalAll, waitFor } from '../rig/process.ts';
import { acceptedAfter, since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

const site = await startSite({ folder: runFolder('paused'), rtoMs: 5_000 });
const load = startSiteLoad(site);
const { ttlMs, guardMs } = site.timings;

/** Stops `pids` of `from`, waits for `to` to serve and then a while longer, wakes them, and waits for the rejoin. */
async function pause(test: Test, from: RegionName, to: RegionName, pids: readonly number[]): Promise<{ stoppedMs: number; wokenMs: number }> {
  const { actingEpoch } = await site.regions[from].status();
  test.ok(actingEpoch > 0);
  const stoppedMs = monotonicMs();
  signalAll(pids, 'SIGSTOP');
  let wokenMs = stoppedMs;
  try {
    await load.acknowledged(to, stoppedMs);
    await waitFor('the sleep to be longer than a ttl', () => monotonicMs() > stoppedMs + 1.5 * ttlMs);
  } finally {
    wokenMs = monotonicMs();
    signalAll(pids, 'SIGCONT');
  }
  await site.settled(to);
  const granted = since(site, stoppedMs).filter((entry) => entry.event === 'granted');
  test.match(granted, [{ region: to, detail: { epoch: actingEpoch + 1, force: null } }], 'the other region took over, once');
  test.equal(granted.length, 1);
  return { stoppedMs, wokenMs };
}

t.test('a controller that sleeps beyond its ttl: its gate fences on time, and after waking it steps down and rejoins', async (t) => {
  const { stoppedMs, wokenMs } = await pause(t, 'r1', 'r2', [site.regions.r1.part('controller').pid]);
  const endMs = stoppedMs + ttlMs - guardMs;
  const nowMs = monotonicMs();
  t.same(acceptedAfter(load, 'r1', endMs, nowMs), [], 'nothing accepted by r1 after its validity, asleep or awake');
  const served = load.probes.filter((one) => one.gateway === 'r1' && one.kind === 'well-known' && one.endMs < stoppedMs + ttlMs / 3);
  t.ok(served.some((one) => one.sentMs > stoppedMs && one.status === 200), 'its gate served while that was valid');
  const dark = load.probes.filter((one) => one.gateway === 'r1' && one.sentMs > endMs && one.endMs < wokenMs);
  t.same([...new Set(dark.map((one) => one.status))], [503]);
  const forwarded = load.probes.filter((one) => one.gateway === 'r1' && one.sentMs > wokenMs && one.kind === 'write' && one.status === 200);
  t.same([...new Set(forwarded.map((one) => one.by))], ['r2'], 'awake again, its gateway forwards');
  const own = since(site, wokenMs).filter((entry) => entry.region === 'r1' && entry.event === 'phase').map((entry) => entry.detail['kind']);
  t.same([own.includes('active'), own.includes('promoting'), own.at(-1)], [false, false, 'standby'], `r1 went ${own.join(', ')}`);
});

t.test('a whole region that sleeps beyond its ttl accepts nothing of what waited for it, and nothing after', async (t) => {
  const { r2 } = site.regions;
  const { stoppedMs, wokenMs } = await pause(t, 'r2', 'r1', r2.pids());
  const nowMs = monotonicMs();
  // Whatever was sent after the stop is judged after the waking, which is after its validity.
  t.same(acceptedAfter(load, 'r2', stoppedMs, nowMs), [], 'accepted by r2 after its validity');
  const waited = load.probes.filter((one) => one.gateway === 'r2' && one.sentMs > stoppedMs && one.sentMs < wokenMs && one.endMs > wokenMs);
  t.ok(waited.length > 20, `${waited.length} requests waited in its sockets for it to wake`);
  t.notOk(waited.some((one) => one.status === 200 && one.kind === 'well-known'));
  const own = since(site, wokenMs).filter((entry) => entry.region === 'r2' && entry.event === 'phase').map((entry) => entry.detail['kind']);
  t.same([own.includes('active'), own.includes('promoting'), own.at(-1)], [false, false, 'standby'], `r2 went ${own.join(', ')}`);
});

t.test('every promise held', async (t) => {
  for (const { name, passed, evidence } of await load.verdict('r1', 2)) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
