// Every name of a specification is looked at, by every type: the zone's own name, hosts and a wildcard, with IPv4 and IPv6, at a
// real name server through real recursors.

import t from 'tap';
import type { Rrset } from '@continuum/core';
import { parseConfig } from '@continuum/wire/spec';
import { PUBLIC_RESOLVERS, startAuthoritative, startResolvers } from '../../../test/rig/dns.ts';
import { freePort, runFolder, waitFor } from '../../../test/rig/process.ts';
import { dnsQuestions, regionAddresses } from './dns-answers.ts';
import { checkNames } from './dns-cli.ts';
import { confirmNames } from './dns-confirm.ts';

const ZONE = 'names.test';
const NAMES = [ZONE, `a.b.${ZONE}`, `*.${ZONE}`];
const ADDRESS = '127.45.7.1';
const R1 = ['192.0.2.1', '2001:db8:1::1'];
const R2 = ['192.0.2.2', '2001:db8:2::1'];

const folder = runFolder('dns-names');
const [dnsPort, apiPort, recursorPort] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(...PUBLIC_RESOLVERS.map(({ address }) => address))];
const authority = await startAuthoritative({ folder: `${folder}/pdns`, region: 'r1', address: ADDRESS, dnsPort, apiPort, apiKey: 'key', zone: ZONE, nameServers: [{ region: 'r1', address: ADDRESS }] });
const recursors = await startResolvers({ folder: `${folder}/resolvers`, port: recursorPort, forward: [{ zone: ZONE, servers: [{ address: ADDRESS, port: dnsPort }] }] });
t.teardown(() => Promise.all([authority, ...recursors].map(({ started }) => started.stop())));

const parsed = parseConfig(`apiVersion: continuum.dev/v1alpha1
kind: Continuum
metadata: { name: names }
spec:
  placement: active-hotstandby
  mode: automatic
  objective: { rto: 30s }
  timings: { dnsTtlSeconds: 0 }
  regions:
    - { name: r1, gateway: { address: 192.0.2.1, port: 80 }, addresses: ${JSON.stringify(R1)}, database: { host: db.r1.test, port: 5432 } }
    - { name: r2, gateway: { address: 192.0.2.2, port: 80 }, addresses: ${JSON.stringify(R2)}, database: { host: db.r2.test, port: 5432 } }
  database: { kind: postgres }
  gateway: { kind: envoy }
  dns:
    zone: ${ZONE}
    names: ${JSON.stringify(NAMES)}
    resolvers: ${JSON.stringify(recursors.map(({ server }) => server))}
  witness: { url: "https://witness.test", lease: names, publicKeys: { witness/1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 } }
local:
  region: r2
  stateDir: /var/lib/continuum
  api: { address: 127.0.0.1, port: 8640, tokenFile: /etc/continuum/token }
  witness: { keyId: r2/1, privateKeyFile: /etc/continuum/key.pem }
  gate: { socket: /run/continuum/gate.sock }
  gateway: { routeFile: /var/lib/envoy/routes.json, admin: { address: 127.0.0.1, port: 9901 } }
  database: { binDir: /usr/lib/postgresql/15/bin, dataDir: /var/lib/pg/data, logFile: /var/log/pg.log, passFile: /etc/continuum/pgpass }
`);
if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
const { config } = parsed;

/** Both types of a name go in one write: what is left out of it is taken away. */
const leadingTo = (name: string, v4: string[], v6: string[]): Rrset[] => [rrset(name, 'A', v4), rrset(name, 'AAAA', v6)];
const rrset = (name: string, type: 'A' | 'AAAA', [v4, v6]: string[]): Rrset => ({ name: `${name}.`, type, ttlSeconds: 0, records: [(type === 'A' ? v4 : v6) ?? ''] });

async function publish(rrsets: readonly Rrset[]): Promise<void> {
  const result = await authority.publisher.publish(ZONE, rrsets, AbortSignal.timeout(5_000));
  if (!result.ok) throw new Error(result.failure.message);
}

const confirm = (timeoutMs: number) => {
  const addresses = regionAddresses(config);
  return confirmNames(dnsQuestions(config.spec.dns, R2, 1_000), 'r2', addresses, AbortSignal.timeout(timeoutMs));
};

t.test('a takeover is confirmed when each name leads to the region by each type, and not before', async (t) => {
  const all = NAMES.flatMap((name) => leadingTo(name, R2, R2));
  await publish(all);
  await waitFor('all names to lead to r2', async () => (await checkNames(config, 'r2')).exitCode === 0);
  const done = await confirm(10_000);
  t.same(done.waitingFor, []);
  t.equal(done.confirmed.length, NAMES.length * 2 * recursors.length);
  for (const [name, type] of [[ZONE, 'AAAA'], [`*.${ZONE}`, 'A'], [`a.b.${ZONE}`, 'AAAA']] as const) {
    await publish(leadingTo(name, type === 'A' ? R1 : R2, type === 'AAAA' ? R1 : R2));
    await waitFor(`${name} ${type} to be seen elsewhere`, async () => (await checkNames(config, 'r2')).exitCode === 1);
    t.same((await confirm(800)).waitingFor, [`${name} ${type}`]);
    await publish(all);
  }
});

t.test('dns check tells of each name and type, and of a name that leads elsewhere', async (t) => {
  await waitFor('all names to lead to r2', async () => (await checkNames(config, 'r2')).exitCode === 0);
  const right = await checkNames(config, 'r2');
  t.match(right.value, { ok: true, name: ZONE, names: NAMES, holder: 'r2' });
  t.equal(right.text.split('\n').filter((line) => / match /.test(line)).length, NAMES.length * 2 * recursors.length);
  t.match(right.text, /^lease held by r2\nnames\.test A:\n {2}8\.8\.8\.8 .* match .*r2 \(192\.0\.2\.2\)/);
  t.match(right.text, /\n\*\.names\.test AAAA:\n/);
  await publish(leadingTo(`*.${ZONE}`, R2, R1));
  const wrong = await waitFor('the wildcard to be seen elsewhere', async () => {
    const checked = await checkNames(config, 'r2');
    return checked.exitCode === 1 ? checked : null;
  });
  const { resolvers } = wrong.value as { resolvers: { name: string; type: string; verdict: string }[] };
  t.same([...new Set(resolvers.filter(({ verdict }) => verdict !== 'match').map(({ name, type }) => `${name} ${type}`))], [`*.${ZONE} AAAA`]);
});
