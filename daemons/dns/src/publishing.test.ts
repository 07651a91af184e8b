// The daemon as a publisher, against real name servers: what it writes and when, what it takes back, and how it lives with others.

import { readFileSync, writeFileSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { monoMs } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { test } from 'tap';
import { dnsMetric, startDnsDaemon } from '../../../test/rig/dns-daemon.ts';
import { startAuthoritative } from '../../../test/rig/dns.ts';
import type { Authoritative } from '../../../test/rig/dns.ts';
import { startPoolDomainManager } from '../../../test/rig/pool-domain-manager.ts';
import { freePort, runFolder, stopAll, waitFor } from '../../../test/rig/process.ts';
import type { Started } from '../../../test/rig/process.ts';

const ZONE = 'app.test';
const ADDRESS = '127.49.0.1';
const API_KEY = 'an-api-key-of-this-test';
const folder = runFolder('publishing');
const apiKeyFile = join(folder, 'api-key');
writeFileSync(apiKeyFile, `${API_KEY}\n`);
const [dnsPort, apiPort, otherDnsPort, otherApiPort, probePort] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(ADDRESS), await freePort(ADDRESS), await freePort(ADDRESS)];
const startServer = (name: string, ports: { dnsPort: number; apiPort: number }): Promise<Authoritative> =>
  startAuthoritative({ folder: join(folder, name), region: name, address: ADDRESS, ...ports, apiKey: API_KEY, zone: ZONE, nameServers: [{ region: name, address: ADDRESS }] });
const server = await startServer('ns1', { dnsPort, apiPort });
const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const resolver = new Resolver({ timeout: 2_000, tries: 1 });
resolver.setServers([`${ADDRESS}:${dnsPort}`]);

type Spec = { readonly name?: string; readonly names?: readonly string[]; readonly ttlSeconds?: number; readonly generation?: number; readonly probe?: object };
const specText = ({ name = 'shop', names = [`shop.${ZONE}`], ttlSeconds = 5, generation, probe }: Spec = {}): string =>
  JSON.stringify({
    apiVersion: 'continuum.dev/v1alpha1',
    kind: 'ContinuumNames',
    metadata: { name, ...(generation === undefined ? {} : { generation }) },
    spec: {
      placement: 'active-hotstandby',
      zone: ZONE,
      names,
      ttlSeconds,
      regions: [{ name: 'r1', addresses: ['127.49.1.1'] }, { name: 'r2', addresses: ['127.49.2.1'] }],
      lease: { name: 'shop', port: probePort, ...(probe === undefined ? {} : { probe }) },
    },
  });

type Daemon = { readonly started: Started; readonly specFile: string; readonly metric: (sample: string) => Promise<number | null>; readonly events: () => { event?: string; target?: string; code?: string; msg: string }[] };
const ns1 = { name: 'ns1', apiUrl: `http://${ADDRESS}:${apiPort}`, apiKeyFile, authority: `${ADDRESS}:${dnsPort}` };
const ns2 = { name: 'ns2', apiUrl: `http://${ADDRESS}:${otherApiPort}`, apiKeyFile, authority: `${ADDRESS}:${otherDnsPort}` };

async function startDaemon(name: string, text: string, publish: object = { publisher: 'powerdns', servers: [ns1] }, leases: readonly object[] = []): Promise<Daemon> {
  const [specFile, home] = [join(folder, `${name}.spec.yaml`), join(folder, name)];
  writeFileSync(specFile, text);
  const at = { address: ADDRESS, metricsPort: await freePort(ADDRESS) };
  const started = await startDnsDaemon({ folder: home, region: 'r1', ...at, config: { leases, publish: { specFile, stateDir: join(home, 'state'), compareIntervalMs: 200, ...publish } } });
  const events = () => readFileSync(started.logFile, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as ReturnType<Daemon['events']>[number]);
  return { started, specFile, metric: (sample) => dnsMetric(at, sample), events };
}
const inPlace = (daemon: Daemon, target = 'ns1') => waitFor(`records in place at ${target}`, async () => (await daemon.metric(`continuum_dns_in_place{target="${target}"}`)) === 1);
const told = (daemon: Daemon, event: string, after = 0) => waitFor(`the event ${event}`, () => daemon.events().slice(after).find((one) => one.event === event));
const looks = async (daemon: Daemon, result: string, target = 'ns1'): Promise<number> => (await daemon.metric(`continuum_dns_looks_total{target="${target}",result="${result}"}`)) ?? 0;
/** So many more looks have ended, and all of them like this. */
const looked = async (daemon: Daemon, result: string, more = 3): Promise<void> => {
  const before = await looks(daemon, result);
  await waitFor(`${more} more looks: ${result}`, async () => (await looks(daemon, result)) >= before + more);
};
const serial = async (): Promise<number> => {
  const found = await server.publisher.serial(ZONE, soon());
  if (!found.ok) throw new Error(found.failure.message);
  return found.value;
};
const patch = async (rrset: object): Promise<void> => {
  const reply = await fetch(`http://${ADDRESS}:${apiPort}/api/v1/servers/localhost/zones/${ZONE}.`, { method: 'PATCH', headers: { 'x-api-key': API_KEY }, body: JSON.stringify({ rrsets: [rrset] }) });
  if (reply.status !== 204) throw new Error(await reply.text());
};

test('published once at the start; a restart writes nothing; a change of the file is published, and what it drops goes', async (t) => {
  let daemon = await startDaemon('one', specText({ names: [`shop.${ZONE}`, `old.${ZONE}`], probe: { intervalSeconds: 1 } }));
  await inPlace(daemon);
  t.same((await resolver.resolve4(`shop.${ZONE}`)).sort(), ['127.49.1.1', '127.49.2.1']);
  t.match(await told(daemon, 'dns-version-gate'), { msg: /intervalSeconds 1: PowerDNS 4\.\d does not know it/ });
  t.equal(await daemon.metric('continuum_dns_version_gate_notes{target="ns1",kind="lowered"}'), 1);
  const published = await serial();
  await looked(daemon, 'unchanged');
  t.equal(await serial(), published, 'comparing writes nothing');
  await daemon.started.stop();
  daemon = await startDaemon('one', specText({ names: [`shop.${ZONE}`, `old.${ZONE}`], probe: { intervalSeconds: 1 } }));
  await inPlace(daemon);
  t.equal(await serial(), published, 'nor does a restart');
  await daemon.started.kill();
  daemon = await startDaemon('one', specText());
  await inPlace(daemon);
  t.ok((await serial()) > published, 'what changed while it was down is published at the start');
  await t.rejects(resolver.resolve4(`old.${ZONE}`), { code: 'ENOTFOUND' }, 'a name that was dropped answers no more');
  const seen = daemon.events().length;
  writeFileSync(daemon.specFile, specText({ ttlSeconds: 3 }));
  await told(daemon, 'dns-published', seen);
  t.equal((await resolver.resolve4(`shop.${ZONE}`, { ttl: true }))[0]?.ttl, 3);
  await daemon.started.stop();
});

test('a text that cannot be used is told, and the one before stays in force', async (t) => {
  const daemon = await startDaemon('one', specText({ ttlSeconds: 3 }));
  await inPlace(daemon);
  const before = await serial();
  writeFileSync(daemon.specFile, specText({ ttlSeconds: -1 }));
  t.match(await told(daemon, 'dns-spec-refused'), { msg: /ttlSeconds/ });
  t.equal(await daemon.metric('continuum_dns_spec_accepted'), 0);
  await looked(daemon, 'unchanged');
  t.equal(await serial(), before);
  writeFileSync(daemon.specFile, specText({ ttlSeconds: 3, probe: { httpCode: 204 } }));
  t.match(await told(daemon, 'dns-publish-failed'), { code: 'CTM_DNS_SPEC_REFUSED', msg: /PowerDNS 4\.\d .*probe\.httpCode/ }, 'refused for this version alone');
  t.equal(await daemon.metric('continuum_dns_in_place{target="ns1"}'), 0);
  writeFileSync(daemon.specFile, specText({ ttlSeconds: 3 }));
  await inPlace(daemon);
  t.equal(await serial(), before);
  await daemon.started.stop();
});

test('drift is told and taken back: a changed record, one beside it, a mark that went', async (t) => {
  const daemon = await startDaemon('one', specText({ ttlSeconds: 3 }));
  await inPlace(daemon);
  const name = `shop.${ZONE}.`;
  const changes = [
    { name, type: 'LUA', ttl: 77, changetype: 'REPLACE', records: [{ content: 'A "ifportup(53,{\'192.0.2.66\'})"', disabled: false }] },
    { name, type: 'A', ttl: 1, changetype: 'REPLACE', records: [{ content: '192.0.2.66', disabled: false }] },
    { name: `shop._continuum.${ZONE}.`, type: 'TXT', changetype: 'DELETE' },
  ];
  for (const [index, change] of changes.entries()) {
    const seen = daemon.events().length;
    await patch(change);
    await told(daemon, 'dns-drift-corrected', seen);
    t.equal(await daemon.metric('continuum_dns_drift_total{target="ns1"}'), index + 1);
  }
  t.same((await resolver.resolve4(`shop.${ZONE}`)).sort(), ['127.49.1.1', '127.49.2.1']);
  await daemon.started.stop();
});

test('two daemons: with one specification they agree; with two nobody writes in turns; the higher generation wins', async (t) => {
  const [one, two] = await Promise.all([startDaemon('one', specText({ ttlSeconds: 3 })), startDaemon('two', specText({ ttlSeconds: 3 }))]);
  await Promise.all([inPlace(one), inPlace(two)]);
  const agreed = await serial();
  await Promise.all([looked(one, 'unchanged'), looked(two, 'unchanged')]);
  t.equal(await serial(), agreed);
  writeFileSync(one.specFile, specText({ ttlSeconds: 4 }));
  t.match(await told(two, 'dns-contested'), { msg: /Give both daemons the same specification/ });
  const changed = await serial();
  await Promise.all([looked(one, 'unchanged'), looked(two, 'contested')]);
  t.equal(await serial(), changed, 'neither writes again');
  t.equal(await two.metric('continuum_dns_in_place{target="ns1"}'), 0);
  writeFileSync(two.specFile, specText({ ttlSeconds: 6, generation: 1 }));
  await told(one, 'dns-superseded');
  await looked(one, 'superseded');
  t.equal((await resolver.resolve4(`shop.${ZONE}`, { ttl: true }))[0]?.ttl, 6);
  writeFileSync(one.specFile, specText({ ttlSeconds: 6, generation: 1 }));
  const last = await serial();
  await inPlace(one);
  t.equal(await serial(), last, 'agreeing is no write');
  await Promise.all([one.started.stop(), two.started.stop()]);
});

test('two specifications that claim one name: the second one is told, nobody writes, and it follows when the name is free', async (t) => {
  const one = await startDaemon('first', specText({ name: 'first', names: [`both.${ZONE}`, `mine.${ZONE}`] }));
  await inPlace(one);
  const two = await startDaemon('second', specText({ name: 'second', names: [`both.${ZONE}`] }));
  t.match(await told(two, 'dns-publish-failed'), { code: 'CTM_DNS_NAME_CLAIMED', msg: /both\.app\.test\. belongs to the specification first/ });
  const before = await serial();
  await Promise.all([looked(one, 'unchanged'), looked(two, 'CTM_DNS_NAME_CLAIMED', 1)]);
  t.equal(await serial(), before, 'neither writes');
  writeFileSync(one.specFile, specText({ name: 'first', names: [`mine.${ZONE}`] }));
  await inPlace(two);
  await Promise.all([one.started.stop(), two.started.stop()]);
});

test('only the lease that the names follow is timed', async (t) => {
  const links = await Promise.all(['shop', 'other'].map(async (name) => {
    const controllerSocket = join(folder, `${name}.sock`);
    const made = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
    if (!made.ok) throw new Error(made.failure.message);
    return { ...made.value, lease: { name, controllerSocket } };
  }));
  const daemon = await startDaemon('timed', specText({ name: 'timed', names: [`timed.${ZONE}`] }), undefined, links.map(({ lease }) => lease));
  await inPlace(daemon);
  const missed = (lease: string) => daemon.metric(`continuum_dns_flips_missed_total{lease="${lease}"}`);
  // No gateway answers the probes, so both regions are named throughout. Both leases come and go together.
  let grants = 0;
  const comesAndGoes = setInterval(() => {
    grants += 1;
    const mode = grants % 2 === 0 ? 'open' : 'closed';
    for (const link of links) link.set({ epoch: grants, mode, activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 60_000));
  }, 500);
  t.teardown(() => clearInterval(comesAndGoes));
  await waitFor('grants that were missed', async () => ((await missed('shop')) ?? 0) >= 2);
  t.equal(await missed('other'), null);
  await daemon.started.stop();
  await Promise.all(links.map((link) => link.close()));
});

test('a server that is down stops no other one; it gets what it lacks when it is back', async (t) => {
  const daemon = await startDaemon('both', specText({ ttlSeconds: 6, generation: 1 }), { publisher: 'powerdns', servers: [ns2, ns1] });
  await inPlace(daemon);
  t.match(await told(daemon, 'dns-publish-failed'), { target: 'ns2', code: 'CTM_DNS_UNREACHABLE' });
  t.notMatch(readFileSync(daemon.started.logFile, 'utf8'), new RegExp(API_KEY));
  const late = await startServer('ns2', { dnsPort: otherDnsPort, apiPort: otherApiPort });
  await inPlace(daemon, 'ns2');
  t.match(await late.publisher.compare(ZONE, [], soon()).then((one) => one.ok && one.value.contents({ name: `shop._continuum.${ZONE}.`, type: 'TXT' })), [/generation=1/]);
  await daemon.started.stop();
  await late.started.stop();
});

test('a key that is rotated, at the server and in the file, needs no restart', async (t) => {
  const rotatedFile = join(folder, 'rotated-key');
  writeFileSync(rotatedFile, API_KEY);
  const ports = { dnsPort: await freePort(ADDRESS), apiPort: await freePort(ADDRESS) };
  const before = await startServer('ns3', ports);
  const servers = [{ name: 'ns3', apiUrl: `http://${ADDRESS}:${ports.apiPort}`, apiKeyFile: rotatedFile, authority: `${ADDRESS}:${ports.dnsPort}` }];
  const daemon = await startDaemon('rotated', specText(), { publisher: 'powerdns', servers });
  await inPlace(daemon, 'ns3');
  await before.started.stop();
  const apiKey = 'the-key-after-it';
  await startAuthoritative({ folder: join(folder, 'ns3'), region: 'ns3', address: ADDRESS, ...ports, apiKey, zone: ZONE, nameServers: [{ region: 'ns3', address: ADDRESS }] });
  await waitFor('the old key to be refused', () => daemon.events().some(({ code }) => code === 'CTM_DNS_UNAUTHORIZED'));
  writeFileSync(rotatedFile, `${apiKey}\n`);
  await inPlace(daemon, 'ns3');
  await told(daemon, 'dns-key-rotated');
  t.notMatch(readFileSync(daemon.started.logFile, 'utf8'), new RegExp(`${API_KEY}|${apiKey}`));
  await daemon.started.stop();
});

test('through a manager: one commit for one change, taken back when its name servers answer something else', async (t) => {
  const manager = await startPoolDomainManager([ZONE]);
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, manager.token);
  const publish = { publisher: 'pdm', manager: { url: manager.url, tokenFile, pdns: '4.9' } };
  let daemon = await startDaemon('managed', specText(), publish);
  await inPlace(daemon, 'manager');
  t.equal(manager.commits(), 1);
  t.match(manager.records().get(`shop.${ZONE}. LUA`), [/ifurlup/]);
  await daemon.started.kill();
  daemon = await startDaemon('managed', specText(), publish);
  await inPlace(daemon, 'manager');
  t.equal(manager.commits(), 1, 'the same change has the same key over a restart');
  for (const ttlSeconds of [9, 5]) {
    const seen = daemon.events().length;
    writeFileSync(daemon.specFile, specText({ ttlSeconds }));
    await told(daemon, 'dns-published', seen);
  }
  t.equal(manager.commits(), 3, 'and a change that is taken back is a change');
  await daemon.started.stop();
  // ns1 answers an older generation's mark than this one: its name servers do not follow this manager.
  const watching = { ...publish, manager: { ...publish.manager, authorities: [`${ADDRESS}:${dnsPort}`] } };
  daemon = await startDaemon('watched', specText({ generation: 2 }), watching);
  t.match(await told(daemon, 'dns-publish-failed'), { code: 'CTM_DNS_NOT_ANSWERED', msg: /does not answer this publication/ });
  const seen = daemon.events().length;
  await told(daemon, 'dns-drift', seen);
  t.ok(manager.commits() > 4, 'committed again under a new key');
  writeFileSync(daemon.specFile, specText({ generation: 0 }));
  await told(daemon, 'dns-superseded', seen);
  await daemon.started.stop();
  await manager.close();
});

test('the servers end', async (t) => {
  await stopAll();
  t.notOk(server.started.running());
});
