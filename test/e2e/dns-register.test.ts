// `register: dns`: the lease lives in a TXT record of a name server outside both regions, and there is no Worker at all. A
// region that is killed is followed by the other one, within the same objective, and comes back; the authority itself may
// die for a while, and costs no more than what needs it.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { monotonicMs } from '../rig/clock.ts';
import { post } from '../rig/operator-api.ts';
import { runFolder, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSiteOverDns } from '../rig/site-over-dns.ts';

const RTO_MS = 10_000;
const over = await startSiteOverDns({ folder: runFolder('dns-register-site'), rtoMs: RTO_MS });
const { site } = over;
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;

t.test('both regions live by the record alone', async (t) => {
  t.notOk(site.witness().process.running(), 'no Worker');
  t.match(await r1.status(), { witnessProblem: null, lease: { holder: 'r1', inSync: ['r1', 'r2'] } });
  await load.acknowledged('r1', monotonicMs());
});

t.test('the holder is killed and the other region takes over within the objective', async (t) => {
  const epochBefore = (await r1.status()).lease?.epoch ?? 0;
  const killMs = monotonicMs();
  await r1.kill();
  await load.acknowledged('r2', killMs);
  const tookMs = monotonicMs() - killMs;
  t.comment(`${Math.round(tookMs)} ms from the kill to an acknowledged write, objective ${RTO_MS} ms`);
  t.match(await r2.status(), { lease: { holder: 'r2', epoch: epochBefore + 1 } });
  t.equal(since(site, killMs).filter((entry) => entry.event === 'granted').length, 1, 'granted once');
  const confirmed = await waitFor('the name to be seen to lead to r2', async () => since(site, killMs).find((entry) => entry.event === 'dns-confirmed') ?? null);
  const { epoch, answers } = confirmed.detail as { epoch: number; answers: { name: string; type: string; resolver: string }[] };
  t.equal(epoch, epochBefore + 1);
  t.same(answers.map(({ name, type, resolver }) => `${name} ${type} ${resolver}`).sort(), site.resolvers.map(({ server }) => `${site.dnsName} A ${server.name}`).sort(), 'every resolver, by the name and its type');
  await r1.start();
  await site.settled('r2');
});

t.test('an authority that dies for less than the validity is not noticed; its epoch is kept', async (t) => {
  const { actingEpoch } = await r2.status();
  await over.authority().process.kill();
  await over.restartAuthority();
  const backMs = monotonicMs();
  await load.acknowledged('r2', backMs);
  await waitFor('r2 to hear of the register again', async () => (await r2.status()).witnessProblem === null);
  t.equal((await r2.status()).actingEpoch, actingEpoch);
});

t.test('dns check says so from outside, for scripts', async (t) => {
  const cli = fileURLToPath(new URL('../../daemons/controller/src/cli.ts', import.meta.url));
  const check = (): Promise<{ code: number; out: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [cli, 'dns', 'check', '--config', r2.configFile, '--output', 'json'], (error, out) => resolve({ code: error === null ? 0 : Number(error.code), out }));
    });
  const right = await waitFor('every resolver to name the holder', async () => {
    const checked = await check();
    return checked.code === 0 ? checked : null;
  });
  t.match(JSON.parse(right.out), { ok: true, holder: 'r2', resolvers: [{ verdict: 'match', regions: ['r2'] }, { verdict: 'match' }, { verdict: 'match' }] });
  await site.resolvers[2]?.started.kill();
  t.match(await check(), { code: 1, out: /no-answer/ });
});

t.test('a switchover goes over the record as over the witness', async (t) => {
  const fromMs = monotonicMs();
  const { status, json } = await post(r2, '/v1/switchover', { to: 'r1' });
  t.equal(status, 202, JSON.stringify(json));
  await waitFor('r1 to hold the lease', async () => (await r1.status()).lease?.holder === 'r1', { timeoutMs: 30_000 });
  await load.acknowledged('r1', fromMs);
});

t.test('the site ends', async (t) => {
  const checks = await load.verdict('r1', 2);
  for (const check of checks) t.ok(check.passed, `${check.name}: ${JSON.stringify(check.evidence)}`);
  await over.authority().process.stop();
  t.same(await stopAndLook(site), []);
});
