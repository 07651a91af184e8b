// The careful publisher against a real PowerDNS: every placement answers, a broken expression never reaches a real name,
// what answers beside it goes, and signed zones still answer.

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { test } from 'tap';
import type { Rrset } from '@continuum/core';
import { markKey, markRrset, ownerRrset, renderPlacement } from '@continuum/core';
import type { PlacementInput } from '@continuum/core';
import { locate } from '../../../../scripts/parts.mjs';
import { startAuthoritative } from '../../../../test/rig/dns.ts';
import { freePort, runFolder, stopAll, waitFor } from '../../../../test/rig/process.ts';
import { createGuardedPublisher } from './guarded-publisher.ts';
import type { Wanted } from './guarded-publisher.ts';

const ADDRESS = '127.43.3.1';
const ZONE = 'app.test';
const folder = runFolder('guarded');
const [dnsPort, apiPort, port] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(ADDRESS)];
const server = await startAuthoritative({ folder, region: 'r1', address: ADDRESS, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: ZONE, nameServers: [{ region: 'r1', address: ADDRESS }], settings: { 'gsqlite3-dnssec': 'yes', 'dnssec-key-cache-ttl': '0', 'zone-metadata-cache-ttl': '0' } });
const authority = { address: ADDRESS, port: dnsPort };
const guarded = createGuardedPublisher({ publisher: server.publisher, authority });
const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const second = await server.publisher.ensureZone('second.test', [{ name: 'second.test.', type: 'SOA', ttlSeconds: 60, records: ['ns.second.test. hostmaster.second.test. 1 3600 600 86400 60'] }], soon());
if (!second.ok) throw new Error(second.failure.message);
const resolver = new Resolver({ timeout: 2_000, tries: 1 });
resolver.setServers([`${ADDRESS}:${dnsPort}`]);

const regions = [{ region: 'r1', addresses: ['127.43.3.1', 'fd00::1'], weight: 3 }, { region: 'r2', addresses: ['127.43.3.2', 'fd00::2'], weight: 1 }];
function rrsets(label: string, change: Partial<PlacementInput>): readonly Rrset[] {
  const names = [`${label}.${ZONE}`, `*.${label}.${ZONE}`, ...(label === 'standby' ? [ZONE] : [])];
  const made = renderPlacement({ placement: 'active-active', version: '4.7', zone: ZONE, names, regions, ttlSeconds: 1, ...change });
  if (!made.ok) throw new Error(JSON.stringify(made.problems));
  return [...made.value.rrsets, ...made.value.lua];
}
const wanted = (published: readonly Rrset[]): Wanted => ({ rrsets: published, retired: [], addresses: regions.flatMap((one) => one.addresses) });
const setRecord = async (name: string, type: 'A', content: string): Promise<void> => {
  const reply = await fetch(`http://${ADDRESS}:${apiPort}/api/v1/servers/localhost/zones/${ZONE}.`, { method: 'PATCH', headers: { 'x-api-key': 'a-key-of-this-test' }, body: JSON.stringify({ rrsets: [{ name, type, ttl: 1, changetype: 'REPLACE', records: [{ content, disabled: false }] }] }) });
  if (reply.status !== 204) throw new Error(await reply.text());
};
const standby = rrsets('standby', { placement: 'active-hotstandby', lease: { name: 'counter', port } });

test('every placement answers on this server with its own addresses: host, wildcard, apex, both families', async (t) => {
  const probe = { port, path: '/healthz' };
  const placements: Readonly<Record<string, readonly Rrset[]>> = {
    single: rrsets('single', { placement: 'single-region', regions: regions.slice(0, 1) }),
    standby,
    weighted: rrsets('weighted', { select: 'weighted', probe }),
    'weighted-plain': rrsets('weighted-plain', { select: 'weighted', probe: null }),
  };
  for (const [label, published] of Object.entries(placements)) {
    t.match(await guarded.publish(ZONE, wanted(published), soon()), { ok: true, value: { written: true } }, label);
    for (const name of [`${label}.${ZONE}`, `any.${label}.${ZONE}`, ...(label === 'standby' ? [ZONE] : [])]) {
      const [four, six] = await Promise.all([resolver.resolve4(name), resolver.resolve6(name)]);
      t.ok(four.length > 0 && four.every((one) => ['127.43.3.1', '127.43.3.2'].includes(one)), `${name} ${four.join()}`);
      t.ok(six.length > 0 && six.every((one) => ['fd00::1', 'fd00::2'].includes(one)), `${name} ${six.join()}`);
    }
    t.match(await guarded.publish(ZONE, wanted(published), soon()), { ok: true, value: { written: false } }, 'nothing is written twice');
  }
  const compared = await server.publisher.compare(ZONE, [], soon());
  t.same(compared.ok && compared.value.contents({ name: `_continuum-canary.${ZONE}.`, type: 'LUA' }), [], 'no canary is left');
});

/** Each of many clients asks twice. */
async function askAsClients(label: string, count = 100): Promise<{ readonly first: string; readonly again: string }[]> {
  const answers: { first: string; again: string }[] = [];
  for (let client = 1; client <= count; client++) {
    const one = new Resolver({ timeout: 2_000, tries: 1 });
    one.setServers([`${ADDRESS}:${dnsPort}`]);
    one.setLocalAddress(`127.43.100.${client}`);
    const ask = async (): Promise<string> => (await one.resolve4(`${label}.${ZONE}`)).join();
    answers.push({ first: await ask(), again: await ask() });
  }
  return answers;
}

for (const label of ['weighted', 'weighted-plain']) {
  test(`${label}: three of four clients go to the region that weighs 3, and each stays where it is`, async (t) => {
    const answers = await askAsClients(label);
    t.same(answers.filter(({ first, again }) => first !== again), []);
    const share = answers.filter(({ first }) => first === '127.43.3.1').length / answers.length;
    t.ok(share > 0.6 && share < 0.9, `${share} of the clients`);
  });
}

test('nearest on a server without the geoip backend: one address, of any region, and told', async (t) => {
  for (const label of ['nearest', 'nearest-plain']) {
    const published = rrsets(label, { select: 'nearest', probe: label === 'nearest' ? { port, path: '/healthz' } : null });
    t.match(await guarded.publish(ZONE, wanted(published), soon()), { ok: true });
    const answers = await askAsClients(label, 30);
    t.same([...new Set(answers.flatMap(({ first, again }) => [first, again]))].sort(), ['127.43.3.1', '127.43.3.2'], `${label}: both, one at a time`);
    t.ok(answers.some(({ first, again }) => first !== again), 'the same client is sent here and there');
  }
  const made = renderPlacement({ placement: 'active-active', version: '4.7', zone: ZONE, names: [`nearest.${ZONE}`], regions, ttlSeconds: 1, select: 'nearest' });
  t.match(made.ok && made.value.notes.find(({ what }) => what.includes('geoip')), { kind: 'needs' });
});

test('locations are Lua that this server takes; a client whose place it does not know is answered by any region', async (t) => {
  const located = regions.map((one, index) => ({ ...one, locations: index === 0 ? { continents: ['EU', 'AF'] } : { countries: ['US'] } }));
  for (const label of ['located', 'located-plain']) {
    const published = rrsets(label, { regions: located, probe: label === 'located' ? { port, path: '/healthz' } : null });
    t.match(await guarded.publish(ZONE, wanted(published), soon()), { ok: true, value: { written: true } }, label);
    const answers = await askAsClients(label, 30);
    t.same([...new Set(answers.flatMap(({ first, again }) => [first, again]))].sort(), ['127.43.3.1', '127.43.3.2'], label);
  }
});

test('an expression that does not answer never reaches the real name', async (t) => {
  const broken = standby.map((rrset) => ({ ...rrset, records: ['A "this is not lua(("'] }));
  const before = await resolver.resolve4(`standby.${ZONE}`);
  t.match(await guarded.publish(ZONE, wanted(broken), soon()), { ok: false, failure: { code: 'CTM_DNS_CANARY_FAILED', message: /not touched/ } });
  t.same(await resolver.resolve4(`standby.${ZONE}`), before);
  t.match(await server.publisher.compare(ZONE, standby, soon()), { ok: true, value: { lacking: [], stray: [] } });
});

test('an attempt that is given up in its middle leaves no canary behind', async (t) => {
  const mute = createSocket('udp4');
  const mutePort = await freePort(ADDRESS);
  await new Promise<void>((resolve) => mute.bind(mutePort, ADDRESS, resolve));
  t.teardown(() => mute.close());
  const ending = new AbortController();
  mute.once('message', () => ending.abort());
  const asking = createGuardedPublisher({ publisher: server.publisher, authority: { address: ADDRESS, port: mutePort }, queryTimeoutMs: 300 });
  const changed = standby.map((rrset) => ({ ...rrset, ttlSeconds: 9 }));
  t.match(await asking.publish(ZONE, wanted(changed), ending.signal), { ok: false });
  const compared = await server.publisher.compare(ZONE, standby, soon());
  t.match(compared, { ok: true, value: { lacking: [], stray: [] } });
  t.same(compared.ok && compared.value.contents({ name: `_continuum-canary.${ZONE}.`, type: 'LUA' }), []);
});

test('on a server of 5.1 a changed LUA record is refused before anything is written, on an unknown one too', async (t) => {
  const writes = server.publisher.writes();
  const claiming = (version: string) => createGuardedPublisher({ publisher: { ...server.publisher, version: async () => ({ ok: true, value: version }) }, authority });
  const changed = standby.map((rrset) => ({ ...rrset, ttlSeconds: 9 }));
  t.match(await claiming('5.1.4').publish(ZONE, wanted(changed), soon()), { ok: false, failure: { code: 'CTM_DNS_LUA_STATIC' } });
  t.match(await claiming('6.0.0').publish(ZONE, wanted(changed), soon()), { ok: false, failure: { code: 'CTM_DNS_VERSION_UNKNOWN' } });
  t.match(await claiming('5.1.4').publish(ZONE, wanted(standby), soon()), { ok: true, value: { written: false } });
  t.equal(server.publisher.writes(), writes);
});

test('on a server of 5.1 a retired LUA record is told before anything is written: the plain records with it would be refused too', async (t) => {
  const [name, plain] = [`going.${ZONE}.`, { name: `plain.${ZONE}.`, type: 'A' as const, ttlSeconds: 1, records: ['127.43.3.1'] }];
  t.match(await guarded.publish(ZONE, wanted([...standby, ...standby.slice(0, 1).map((rrset) => ({ ...rrset, name }))]), soon()), { ok: true });
  const writes = server.publisher.writes();
  const static51 = createGuardedPublisher({ publisher: { ...server.publisher, version: async () => ({ ok: true, value: '5.1.4' }) }, authority });
  const next = { ...wanted([...standby, plain]), retired: [name] };
  t.match(await static51.publish(ZONE, next, soon()), { ok: false, failure: { code: 'CTM_DNS_LUA_STATIC', message: /going\.app\.test\..*remove them with pdnsutil/ } });
  t.equal(server.publisher.writes(), writes);
  t.match(await server.publisher.remove(ZONE, name, 'LUA', soon()), { ok: true });
  t.match(await static51.publish(ZONE, next, soon()), { ok: true, value: { written: true } }, 'once it was removed by hand');
});

test('a mark goes with a retired name; another text there stays', async (t) => {
  const marks = [ownerRrset(`marked.${ZONE}.`, 'shop'), markRrset(markKey('shop', ZONE), { generation: 1, digest: 'a' })];
  const own = { name: `own.${ZONE}.`, type: 'TXT' as const, ttlSeconds: 1, records: ['"continuum of mine"'] };
  t.match(await guarded.publish(ZONE, wanted([...marks, own]), soon()), { ok: true });
  t.match(await guarded.publish(ZONE, { ...wanted([]), retired: [...marks, own].map(({ name }) => name) }, soon()), { ok: true, value: { written: true } });
  const left = await server.publisher.compare(ZONE, [...marks, own], soon());
  t.same(left.ok && left.value.lacking.map(({ name }) => name), marks.map(({ name }) => name));
});

test('what answers beside the wanted records goes with the next publication, and retired names answer no more', async (t) => {
  const [name, other] = [`standby.${ZONE}.`, `retired.${ZONE}.`];
  t.match(await guarded.publish(ZONE, wanted([{ name: other, type: 'A', ttlSeconds: 1, records: ['127.43.3.1'] }]), soon()), { ok: true });
  await setRecord(name, 'A', '192.0.2.66');
  t.match(await server.publisher.compare(ZONE, standby, soon()), { ok: true, value: { lacking: [], stray: [{ name, type: 'A' }] } });
  t.match(await guarded.publish(ZONE, { ...wanted(standby), retired: [other] }, soon()), { ok: true, value: { written: true } });
  t.match(await server.publisher.compare(ZONE, standby, soon(), [other]), { ok: true, value: { lacking: [], stray: [] } });
  await t.rejects(resolver.resolve4(other), { code: 'ENOTFOUND' });
});

test('an answer of no region is found, before and after it is written', async (t) => {
  const foreign = [{ name: `foreign.${ZONE}.`, type: 'A' as const, ttlSeconds: 1, records: ['192.0.2.66'] }];
  t.match(await guarded.publish(ZONE, wanted(foreign), soon()), { ok: false, failure: { code: 'CTM_DNS_NOT_ANSWERED', message: /192\.0\.2\.66, which is of no region/ } });
  t.match(await guarded.unanswered(wanted(foreign)), /foreign.*of no region/);
  t.equal(await guarded.unanswered(wanted(standby)), null);
});

test('other servers are told to forget, and one that cannot be told is a failure', async (t) => {
  const flushed: string[] = [];
  const other = { ...server.publisher, flush: async (zone: string) => (flushed.push(zone), { ok: true as const, value: null }) };
  const both = createGuardedPublisher({ publisher: server.publisher, authority, others: [other, server.publisher] });
  t.match(await both.publish(ZONE, wanted(rrsets('flushed', { placement: 'single-region', regions: regions.slice(0, 1) })), soon()), { ok: true });
  t.same(flushed, [ZONE]);
  let hears = false;
  const told: string[] = [];
  const deaf = { ...server.publisher, flush: async (zone: string) => (hears ? (told.push(zone), { ok: true as const, value: null }) : { ok: false as const, failure: { code: 'CTM_DNS_UNREACHABLE', message: 'x' } }) };
  const half = createGuardedPublisher({ publisher: server.publisher, authority, others: [deaf, other] });
  const late = wanted(rrsets('deaf', { placement: 'single-region', regions: regions.slice(0, 1) }));
  t.match(await half.publish(ZONE, late, soon()), { ok: false, failure: { code: 'CTM_DNS_NOT_FLUSHED', message: /CTM_DNS_UNREACHABLE/ } });
  t.equal(flushed.length, 2, 'the other one is told all the same');
  hears = true;
  t.match(await half.publish(ZONE, late, soon()), { ok: true, value: { written: false } });
  t.same(told, [ZONE], 'told at the next call');
  t.equal(flushed.length, 2);
  hears = false;
  const later = wanted(rrsets('deaf-again', { placement: 'single-region', regions: regions.slice(0, 1) }));
  t.match(await half.publish(ZONE, later, soon()), { ok: false, failure: { code: 'CTM_DNS_NOT_FLUSHED' } });
  hears = true;
  t.match(await half.publish('second.test', wanted([]), soon()), { ok: true });
  t.match(await half.publish(ZONE, later, soon()), { ok: true, value: { written: false } });
  t.same(told, [ZONE, ZONE], 'a call for another zone does not stand for it');
});

test('a zone that is signed live still answers, each answer with its signature', async (t) => {
  const part = locate('pdnsutil');
  const run = spawnSync(part.command, [`--config-dir=${folder}`, 'secure-zone', ZONE], { env: { ...process.env, ...part.env }, encoding: 'utf8' });
  t.equal(run.status, 0, run.stderr);
  const types = await waitFor('signed answers', async () => {
    await server.publisher.flush(ZONE, soon());
    const found = await answerTypes(`standby.${ZONE}`);
    return found.includes(46) ? found : null;
  });
  t.ok(types.includes(1), 'an address');
  t.ok(types.includes(46), 'and its RRSIG');
});

/** Record types of the answer to a question with the DO bit. */
async function answerTypes(name: string): Promise<number[]> {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const question = Buffer.concat([Buffer.from('4242010000010000000000' + '01', 'hex'), ...labels, Buffer.from('0000010001' + '00002904d0000080000000', 'hex')]);
  const socket = createSocket('udp4');
  try {
    const reply = await new Promise<Buffer>((resolve, reject) => {
      socket.once('message', resolve).once('error', reject);
      setTimeout(() => reject(new Error('no answer')), 2_000).unref();
      socket.send(question, dnsPort, ADDRESS);
    });
    const count = reply.readUInt16BE(6);
    const types: number[] = [];
    let at = 12 + Buffer.concat(labels).length + 1 + 4;
    for (let index = 0; index < count; index++) {
      // Answers of this name begin with a pointer to the question.
      types.push(reply.readUInt16BE(at + 2));
      at += 12 + reply.readUInt16BE(at + 10);
    }
    return types;
  } finally {
    socket.close();
  }
}

test('the server ends', async (t) => {
  await stopAll();
  t.notOk(server.started.running());
});
