// The witness does not answer: the holder serves to the end of its validity and not a moment longer, nobody takes over, and
// everything heals when the witness is heard again. One site; a path in front of the witness that can lose replies.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createVoter } from '@continuum/adapters/resolver/resolvers';
import { monotonicMs } from '../rig/clock.ts';
import { continuum } from '../rig/command.ts';
import { startLossyPath } from '../rig/lossy-path.ts';
import type { LossyPath } from '../rig/lossy-path.ts';
import { runFolder, waitFor } from '../rig/process.ts';
import { acceptedAfter, since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { REGIONS, startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

let path: LossyPath | null = null;
const site = await startSite({
  folder: runFolder('witness-loss'),
  rtoMs: 5_000,
  witnessVia: async (url) => {
    path = await startLossyPath(url);
    return path.url;
  },
});
const lossy = path as LossyPath | null;
if (lossy === null) throw new Error('no path');
t.teardown(() => lossy.close());
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;
const { ttlMs, guardMs } = site.timings;
/** From a moment on nothing is heard of the witness: the latest renewal that can still count was sent just before it. */
const validUntilAtMost = (silentFromMs: number): number => silentFromMs + ttlMs - guardMs;
const statuses = (gateway: RegionName, fromMs: number, untilMs: number) => [
  ...new Set(load.probes.filter((one) => one.gateway === gateway && one.sentMs > fromMs && one.endMs < untilMs).map((one) => one.status)),
];
let holder: RegionName = 'r1';

t.test('replies that are lost never extend validity, although the witness carries out every renewal', async (t) => {
  const { actingEpoch } = await r1.status();
  const silentMs = monotonicMs();
  lossy.lose('r1');
  const endMs = validUntilAtMost(silentMs);
  const claims: number[] = [];
  await waitFor(
    'r1 to be fenced',
    async () => {
      const askedMs = monotonicMs();
      const { validityMs, actingEpoch: acting } = await r1.status();
      if (acting > 0) claims.push(askedMs + validityMs);
      return acting === 0;
    },
    { timeoutMs: 2 * ttlMs },
  );
  t.ok(claims.length > 0);
  // A status says for how long from the moment it was made, which is a little after it was asked for.
  t.same(claims.filter((claim) => claim > endMs + 5), [], `no claim beyond ${endMs}`);
  await waitFor('the silence to outlast the first validity by a ttl', () => monotonicMs() > endMs + ttlMs, { timeoutMs: 3 * ttlMs });
  const healedMs = monotonicMs();
  t.ok(lossy.lost() > 2, 'the witness answered, and was not heard');
  t.same(acceptedAfter(load, 'r1', endMs, healedMs), [], 'nothing accepted after validity');
  t.same(statuses('r1', endMs, healedMs), [503]);
  t.match(await r1.status(), { actingEpoch: 0, validityMs: 0, witnessProblem: 'CTM_REGISTER_TIMEOUT', lease: { holder: 'r1', epoch: actingEpoch } });
  t.same(since(site, silentMs).filter((entry) => entry.event === 'granted'), [], 'nobody else was granted anything: r1 holds it at the witness');
  lossy.lose(null);
  await load.acknowledged('r1', healedMs);
  await site.settled('r1');
  t.equal((await r1.status()).actingEpoch, actingEpoch, 'heals by itself, under the same epoch');
});

t.test('without a witness the holder serves until its validity ends and then fences; nobody takes over', async (t) => {
  const { actingEpoch } = await r1.status();
  const killMs = monotonicMs();
  await site.witness().process.kill();
  const silentMs = monotonicMs();
  // An answer of before may still be on its way; once a renewal has failed, none is.
  const { validityMs } = await waitFor('r1 to miss the witness', async () => {
    const status = await r1.status();
    return status.witnessProblem === null ? null : status;
  });
  const knownEndMs = monotonicMs() + validityMs;
  await waitFor('long after every validity', () => monotonicMs() > validUntilAtMost(silentMs) + ttlMs, { timeoutMs: 3 * ttlMs });
  const darkUntilMs = monotonicMs();
  const good = load.probes.filter((one) => one.gateway === 'r1' && one.kind === 'well-known' && one.sentMs > killMs && one.endMs < knownEndMs - 100);
  t.same([...new Set(good.map((one) => one.status))], [200], 'served all the while that it was valid');
  t.ok(good.length > 5);
  t.same(acceptedAfter(load, 'r1', knownEndMs + 5, darkUntilMs), []);
  for (const region of REGIONS) t.same(statuses(region, validUntilAtMost(silentMs), darkUntilMs), [503], `${region} serves nobody`);
  t.same(since(site, killMs).filter((entry) => ['granted', 'database-promote'].includes(entry.event)), [], 'nobody took over');
  for (const region of REGIONS) t.equal((await site.regions[region].status()).actingEpoch, 0);
  t.match((await r2.status()).witnessProblem, /^CTM_REGISTER_/);

  for (const { server } of site.resolvers) {
    const answer = await createVoter(server, 2_000)(site.dnsName, AbortSignal.timeout(5_000));
    t.ok(answer.status === 'answered' && answer.addresses.length > 0, `${server.name} still answers: ${JSON.stringify(answer)}`);
  }

  const backMs = monotonicMs();
  await site.startWitness();
  const first = await waitFor('a write to be acknowledged again', () => load.writes.find((one) => one.outcome === 'acknowledged' && one.sentMs > backMs), { timeoutMs: 30_000 });
  holder = first.region as RegionName;
  await site.settled(holder);
  const acting = await Promise.all(REGIONS.map(async (region) => (await site.regions[region].status()).actingEpoch));
  t.equal(acting.filter((one) => one > 0).length, 1, 'exactly one region acts');
  t.ok(Math.max(...acting) > actingEpoch, 'under a higher epoch: the old one had run out');
});

const loseStore = (): void => rmSync(join(site.folder, 'witness', 'objects'), { recursive: true });

t.test('a witness that lost its store grants nothing that counts; restored, it is believed by controllers that ran all the while', async (t) => {
  const { actingEpoch } = await site.regions[holder].status();
  const lostMs = monotonicMs();
  await site.witness().process.kill();
  loseStore();
  await site.startWitness();
  const wentBack = () => since(site, lostMs).filter((entry) => entry.event === 'register-went-back');
  await waitFor('both regions to notice', () => new Set(wentBack().map((entry) => entry.region)).size === 2, { timeoutMs: 30_000 });
  await waitFor('what was granted before to run out', () => monotonicMs() > lostMs + 2 * ttlMs, { timeoutMs: 3 * ttlMs });
  for (const region of REGIONS) t.match(await site.regions[region].status(), { actingEpoch: 0, lease: { holder: null, epoch: 0 } });

  await site.witness().process.kill();
  loseStore();
  const epoch = actingEpoch + 1_000;
  const restoredMs = monotonicMs();
  await site.startWitness({ RESTORE: { counter: { epoch, inSync: [holder] } } });
  const force = ['--force', '--reason', 'the witness lost its store', '--estimated-loss', 'none'] as const;
  t.match(await continuum(site.regions[holder].configFile, 'failover', ...force), { code: 0 });
  await load.acknowledged(holder, restoredMs);
  await site.settled(holder);
  t.equal((await site.regions[holder].status()).actingEpoch, epoch + 1);
});

t.test('every promise held', async (t) => {
  for (const { name, passed, evidence } of await load.verdict(holder, holder === 'r1' ? 0 : 1)) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
