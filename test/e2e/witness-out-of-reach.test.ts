// The witness does not answer, and the world still sees the holder: it holds on through the resolvers, nobody takes over, and no
// request fails. With the holder gone too nothing is taken over either, and the status says what is missing.

import t from 'tap';
import { monotonicMs } from '../rig/clock.ts';
import { startLossyPath } from '../rig/lossy-path.ts';
import type { LossyPath } from '../rig/lossy-path.ts';
import { post } from '../rig/operator-api.ts';
import { runFolder, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { REGIONS, startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

let path: LossyPath | null = null;
const site = await startSite({
  folder: runFolder('witness-out-of-reach'),
  rtoMs: 12_000,
  attestation: true,
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
const { ttlMs } = site.timings;
const grants = (sinceMs: number) => since(site, sinceMs).filter((entry) => entry.event === 'granted').length;
const passed = (what: string, untilMs: number) => waitFor(what, () => monotonicMs() > untilMs, { timeoutMs: 4 * ttlMs });
const refused = (gateway: RegionName, fromMs: number, untilMs: number) =>
  load.probes.filter((one) => one.gateway === gateway && one.sentMs > fromMs && one.endMs < untilMs && one.kind === 'write' && one.status !== 200);
let changes = 0;

t.test('witness killed while r1 is healthy: r1 holds, no failover, no failed request', async (t) => {
  const { actingEpoch } = await r1.status();
  const killMs = monotonicMs();
  await site.witness().process.kill();
  await passed('more than two ttl without a witness', killMs + 2.5 * ttlMs);
  const endMs = monotonicMs();
  t.match(await r1.status(), { actingEpoch, phase: { kind: 'active' }, witnessProblem: /^CTM_REGISTER_/ });
  t.ok(since(site, killMs).some((entry) => entry.event === 'held-by-quorum'), 'it says that it is held by the quorum');
  t.equal(grants(killMs), 0, 'nobody was granted anything');
  for (const region of REGIONS) t.same(refused(region, killMs, endMs), [], `${region}: no request failed`);
  t.same(load.writes.filter((one) => one.sentMs > killMs && one.endMs < endMs && one.outcome !== 'acknowledged'), []);
  const veto = (await r2.status()).takeover?.find((one) => one.name === 'other-region-dark');
  t.match(veto, { ok: false, value: /^r1: attested, epoch \d+/, source: 'resolvers' });
});

t.test('the witness comes back: r1 takes a new epoch without a failed request, r2 gets nothing', async (t) => {
  const { actingEpoch } = await r1.status();
  const backMs = monotonicMs();
  await site.startWitness();
  await waitFor('r1 to hold a new epoch', async () => (await r1.status()).actingEpoch === actingEpoch + 1, { timeoutMs: 30_000 });
  await site.settled('r1');
  const endMs = monotonicMs();
  t.equal(grants(backMs), 1);
  for (const region of REGIONS) t.same(refused(region, backMs, endMs), [], `${region}: no request failed`);
});

t.test('the holder alone is cut off from the witness, and the world sees it: the contender is granted nothing', async (t) => {
  const { actingEpoch } = await r1.status();
  const silentMs = monotonicMs();
  lossy.lose('r1');
  await passed('the lease to have run out for long', silentMs + 2 * ttlMs);
  t.match(await r1.status(), { actingEpoch, phase: { kind: 'active' } });
  t.equal(grants(silentMs), 0, 'r2 hears the witness, sees that the lease is free, and does not take it');
  t.equal((await r2.status()).witnessProblem, null);
  lossy.lose(null);
  await waitFor('r1 to be heard again', async () => (await r1.status()).witnessProblem === null, { timeoutMs: 30_000 });
  await site.settled('r1');
});

t.test('witness and holder are dead: no takeover, and the status says what is missing', async (t) => {
  await site.witness().process.kill();
  const killMs = monotonicMs();
  await r1.kill();
  await passed('long after every validity', killMs + 2 * ttlMs);
  t.equal(grants(killMs), 0);
  const status = await r2.status();
  t.equal(status.actingEpoch, 0);
  const missing = status.takeover?.find((one) => one.name === 'witness-answers');
  t.match(missing, { ok: false, value: /^CTM_REGISTER_/, limit: /Bring the witness/ });
  t.match(status.takeover?.find((one) => one.name === 'other-region-dark'), { ok: true, value: /^r1: dark for/ });
  const reply = await post(r2, '/v1/failover', { force: true, reason: 'r1 is gone', estimatedLoss: 'none' });
  t.equal(reply.status, 409);
  t.match(reply.json, { code: 'CTM_FAILOVER_REFUSED', detail: /witness/ });
});

t.test('the witness comes back: the takeover happens, once', async (t) => {
  const backMs = monotonicMs();
  await site.startWitness();
  await load.acknowledged('r2', backMs, 60_000);
  changes += 1;
  t.equal(grants(backMs), 1);
  await r1.start();
  await site.settled('r2');
});

t.test('every promise held', async (t) => {
  for (const { name, passed: ok, evidence } of await load.verdict('r2', changes)) t.ok(ok, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
