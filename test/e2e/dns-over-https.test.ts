// Plain DNS is blocked at two of the three resolvers, as it was at 1.1.1.1 for an hour in 2025 while its HTTPS lived. The same voters
// are asked over HTTPS, and the quorum votes on: a holder that loses the witness holds.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { testCertificate } from '../rig/certificate.ts';
import { startHttpsResolver } from '../rig/dns-over-https.ts';
import { startRecursor } from '../rig/dns.ts';
import { monotonicMs } from '../rig/clock.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

const BLOCKED = [{ name: '1.1.1.1', address: '127.1.1.1' }, { name: '9.9.9.9', address: '127.9.9.9' }] as const;
const folder = runFolder('dns-over-https');
const sides = await Promise.all(BLOCKED.map(async (one) => ({ ...one, port: await freePort(one.address), certificate: testCertificate(one.address) })));
const caFile = join(folder, 'ca.pem');
writeFileSync(caFile, sides.map(({ certificate }) => certificate.ca).join('\n'));

const site = await startSite({ folder: runFolder('dns-over-https-site'), rtoMs: 12_000, attestation: true, configure: overHttps });
const { r1, r2 } = site.regions;
const { ttlMs } = site.timings;
const plainSides = BLOCKED.map(({ name }) => site.resolvers.find((one) => one.server.name === name));
// The HTTPS side of each has a cache and processes of its own, as the real ones do: it lives when the plain side is gone.
const httpsSides = await Promise.all(
  sides.map(async ({ name, address, port, certificate }) => {
    const upstream = { address, port: await freePort(address) };
    await startRecursor({ folder: join(folder, name), name, ...upstream, forward: site.resolvers[0]?.forward ?? [] });
    return startHttpsResolver({ folder: join(folder, `https-${name}`), address, port, certificate, upstream });
  }),
);
const load = startSiteLoad(site);

const rounds = async (region: typeof r1, outcome: string): Promise<number> => {
  const text = await (await fetch(`${region.api}/metrics`, { headers: { authorization: `Bearer ${region.token}` } })).text();
  const line = text.split('\n').find((one) => one.startsWith('continuum_quorum_rounds_total') && one.includes(`outcome="${outcome}"`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
};

t.test('two of three are deaf to plain DNS and the witness is dead: the holder holds through HTTPS, no request fails', async (t) => {
  for (const one of plainSides) await one?.started.kill();
  const { actingEpoch } = await r1.status();
  const before = await rounds(r1, 'attested');
  const killMs = monotonicMs();
  await site.witness().process.kill();
  await waitFor('more than two ttl without a witness', () => monotonicMs() > killMs + 2.5 * ttlMs, { timeoutMs: 4 * ttlMs });
  const endMs = monotonicMs();
  t.match(await r1.status(), { actingEpoch, phase: { kind: 'active' }, witnessProblem: /^CTM_REGISTER_/ });
  t.ok((await rounds(r1, 'attested')) > before, 'rounds with an outcome');
  t.ok(since(site, killMs).some((entry) => entry.event === 'held-by-quorum'));
  t.same(load.writes.filter((one) => one.sentMs > killMs && one.endMs < endMs && one.outcome !== 'acknowledged'), []);
});

t.test('with HTTPS gone too there is one voice left: the holder stops at the end of its validity', async (t) => {
  await Promise.all(httpsSides.map((one) => one.kill()));
  await waitFor('the holder to stop', async () => (await r1.status()).actingEpoch === 0, { timeoutMs: 3 * ttlMs });
  t.equal((await r2.status()).actingEpoch, 0);
});

t.test('nothing was lost, nobody took over, and nothing is left running', async (t) => {
  for (const { name, passed, evidence } of await load.verdict('r1', 0)) t.ok(passed, `${name}: ${evidence}`);
  t.same(await stopAndLook(site), []);
  await stopAll();
});

function overHttps(_region: RegionName, config: object): object {
  const { spec, local } = config as { spec: { dns: { resolvers: { name: string }[] } }; local: object };
  const resolvers = spec.dns.resolvers.map((one) => {
    const side = sides.find(({ name }) => name === one.name);
    return side === undefined ? one : { ...one, https: `https://${side.address}:${side.port}/dns-query` };
  });
  return { ...config, spec: { ...spec, dns: { ...spec.dns, resolvers } }, local: { ...local, dns: { caFile } } };
}
