// What only a register over DNS has to survive: old zones put back, answers that are lost, keys and servers that do not fit.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { test } from 'tap';
import type { Test } from 'tap';
import { epoch, regionId } from '@continuum/core';
import type { LeaseCommand } from '@continuum/core';
import { freePort, runFolder, stopAll, waitFor } from '../../../../test/rig/process.ts';
import { startRegisterAuthority } from '../../../../test/rig/register-authority.ts';
import { allowKeys, checkAuthority } from './authority.ts';
import { InvalidFieldsError } from '@continuum/wire';
import { createDnsRegister } from './index.ts';
import type { RegisterMemory } from './index.ts';
import { RCODE, decodeMessage, encodeTextUpdate, u16 } from './message.ts';

const ADDRESS = '127.44.2.1';
const ZONE = 'register.test';
const [dnsPort, apiPort] = [await freePort(ADDRESS), await freePort(ADDRESS)];
const names = ['restored', 'lost', 'forked', 'floor', 'race', 'refused', 'plain', 'blind'];
const authority = await startRegisterAuthority({ folder: runFolder('dns-register'), address: ADDRESS, dnsPort, apiPort, zone: ZONE, regions: ['r1', 'r2'], leases: names.filter((name) => name !== 'floor') });
const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const TTL_MS = 60_000;

const from = (region: string, seq: number) => ({ region: regionId(region), seq, instance: `${region}-a` });
const acquire = (region: string, seq: number, seen: number, ttlMs = TTL_MS): LeaseCommand => ({ ...from(region, seq), kind: 'acquire', epochSeen: epoch(seen), ttlMs, policyHash: 'p', force: null });
const renew = (region: string, seq: number, at: number): LeaseCommand => ({ ...from(region, seq), kind: 'renew', epoch: epoch(at), ttlMs: TTL_MS, policyHash: 'p' });

function memory(): RegisterMemory & { highest: { epoch: number; change: number } | null } {
  const kept = { highest: null as { epoch: number; change: number } | null };
  return Object.assign(kept, { load: () => kept.highest, save: (highest: { epoch: number; change: number }) => void (kept.highest = highest) });
}

/** The record as the server's own API shows it. */
async function stored(lease: string): Promise<string> {
  const reply = await fetch(`${authority.api.url}/api/v1/servers/localhost/zones/${ZONE}.`, { headers: { 'x-api-key': authority.api.apiKey } });
  const zone = (await reply.json()) as { rrsets: { name: string; records: { content: string }[] }[] };
  return zone.rrsets.find((one) => one.name === `${lease}.${ZONE}.`)?.records[0]?.content ?? '';
}
const putBack = (lease: string, content: string) => authority.publisher.publish(ZONE, [{ name: `${lease}.${ZONE}.`, type: 'TXT', ttlSeconds: 0, records: [content] }], soon());

test('an old copy of the zone does not lower the epoch, for a running region and for one that starts again', async (t) => {
  const kept = memory();
  const register = authority.register('restored', 'r1', { memory: kept });
  t.match(await register.send(acquire('r1', 1, 0, 300), soon()), { ok: true, value: { view: { epoch: 1 } } });
  const old = await stored('restored');
  await waitFor('expiry', async () => {
    const view = await register.read(soon());
    return view.ok && view.value.remainingMs === 0;
  });
  t.match(await register.send(acquire('r1', 2, 1), soon()), { ok: true, value: { view: { epoch: 2 } } });
  t.match(kept.highest, { epoch: 2 });
  t.match(await putBack('restored', old), { ok: true });
  const refused = { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /old copy.*at least 2/s } };
  t.match(await register.read(soon()), refused);
  t.match(await register.send(acquire('r1', 3, 1), soon()), refused, 'epoch 2 is not granted a second time');
  t.match(await authority.register('restored', 'r1', { memory: kept }).read(soon()), refused, 'nor after a restart');
  t.equal(await stored('restored'), old, 'nothing was written');
});

test('a lease that is made anew begins above what was granted, and only for regions that have the data', async (t) => {
  const register = authority.register('floor', 'r1', { memory: memory() });
  t.match(await register.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /no lease at floor/ } });
  t.match(await register.create(soon(), { epoch: 7, inSync: ['r2'] }), { ok: true, value: true });
  t.match(await register.create(soon()), { ok: true, value: false }, 'an existing lease is never replaced');
  t.match(await register.send(acquire('r1', 1, 7), soon()), { ok: true, value: { outcome: { ok: false, code: 'not-in-sync' } } });
  const other = authority.register('floor', 'r2', { memory: memory() });
  t.match(await other.send({ ...acquire('r2', 1, 7), policyHash: '' } as LeaseCommand, soon()), { ok: true, value: { view: { epoch: 8, holder: 'r2' } } });
});

/** A way to the authority on which the answers to updates are lost while `eats`. */
async function startHungryPath(): Promise<{ port: number; eats: boolean; eaten: number; close: () => void }> {
  const path = { port: 0, eats: true, eaten: 0, close: (): void => undefined };
  const server = createServer((client) => {
    const upstream = connect(dnsPort, ADDRESS);
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      const isUpdate = (((chunk[4] ?? 0) >> 3) & 0xf) === 5;
      if (isUpdate && path.eats) path.eaten += 1;
      else client.write(chunk);
    });
    client.on('close', () => upstream.destroy());
    for (const socket of [client, upstream]) socket.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  path.port = (server.address() as AddressInfo).port;
  path.close = () => void server.close();
  return path;
}

test('a reply that is lost leaves the outcome unknown; the repeat finds it done and trusts no more than was left', async (t) => {
  const path = await startHungryPath();
  t.teardown(path.close);
  let localMs = 0;
  t.match(await authority.register('lost', 'r1').send(acquire('r1', 1, 0), soon()), { ok: true });
  const register = authority.register('lost', 'r1', { address: '127.0.0.1', port: path.port, nowMs: () => localMs });
  t.match(await register.read(soon()), { ok: true, value: { epoch: 1 } });
  localMs = 5_000;
  const command = renew('r1', 2, 1);
  t.match(await register.send(command, AbortSignal.timeout(400)), { ok: false, failure: { code: 'CTM_REGISTER_TIMEOUT' } });
  t.equal(path.eaten, 1);
  path.eats = false;
  localMs = 20_000;
  t.match(await register.send(command, soon()), { ok: true, value: { outcome: { ok: true }, view: { epoch: 1, revision: 2, remainingMs: TTL_MS - 15_000 } } });
  t.match(await authority.register('lost', 'r2').read(soon()), { ok: true, value: { revision: 2 } }, 'carried out once');
});

test('an unsigned or foreign writer is refused, and a wrong key is told as such without being quoted', async (t) => {
  const secret = randomBytes(32).toString('base64');
  const failures = [
    await authority.register('refused', 'r1', { keySecret: secret }).send(acquire('r1', 1, 0), soon()),
    await authority.register('refused', 'r1', { keyName: 'nobody.' }).send(acquire('r1', 1, 0), soon()),
    await authority.register('refused', 'r1', { wallSeconds: () => Date.now() / 1_000 - 3_600 }).read(soon()),
  ];
  for (const failed of failures) {
    t.match(failed, { ok: false, failure: { code: /^CTM_REGISTER_(REJECTED|REPLY_INVALID)$/ } });
    t.notMatch(inspect(failed, { depth: 9 }), secret.slice(0, 20));
  }
  t.match(await authority.register('refused', 'r1').read(soon()), { ok: true, value: { epoch: 0 } });
  t.match(await authority.register('refused', 'r1').send(acquire('r2', 1, 0), soon()), { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /speaks for r1/ } });
});

test('a key that is rotated, at the authority and here, needs no other register', async (t) => {
  const { keys, api } = authority;
  const [name, first] = [keys['r2']?.name ?? '', keys['r2']?.secret ?? ''];
  const second = randomBytes(32).toString('base64');
  let current = first;
  const register = authority.register('refused', 'r2', { keySecret: () => current });
  t.match(await register.read(soon()), { ok: true });
  const give = (secret: string) => allowKeys(api, ZONE, Object.values(keys).map((key) => (key.name === name ? { name, secret } : key)), soon());
  t.match(await give(second), { ok: true });
  await waitFor('the key before to be refused', async () => !(await register.read(soon())).ok);
  current = second;
  t.match(await register.read(soon()), { ok: true });
  t.match(await give(first), { ok: true });
});

test('two values for one change: the store is more than one, and nobody acts on it', async (t) => {
  const register = authority.register('forked', 'r1');
  await register.send(acquire('r1', 1, 0), soon());
  const mine = await stored('forked');
  const body = JSON.parse(Buffer.from(mine.replaceAll('"', '').replaceAll(' ', '').slice(5), 'base64url').toString()) as object;
  const forged = `ctm1.${Buffer.from(JSON.stringify({ ...body, holder: 'r2' })).toString('base64url')}`;
  await putBack('forked', (forged.match(/.{1,250}/g) ?? []).map((part) => `"${part}"`).join(' '));
  t.match(await register.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /more than one place/ } });
});

test('what is not a lease is never overwritten', async (t) => {
  await putBack('plain', '"v=spf1 -all"');
  t.match(await authority.register('plain', 'r1').send(acquire('r1', 1, 0), soon()), { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /not a lease/ } });
  t.equal(await stored('plain'), '"v=spf1 -all"');
});

test('nobody there, and somebody who is silent', async (t) => {
  const nobody = authority.register('blind', 'r1', { port: await freePort(ADDRESS) });
  t.match(await nobody.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_UNREACHABLE' } });
  process.kill(authority.process.pid, 'SIGSTOP');
  const silent = await authority.register('blind', 'r1').read(AbortSignal.timeout(200));
  process.kill(authority.process.pid, 'SIGCONT');
  t.match(silent, { ok: false, failure: { code: 'CTM_REGISTER_TIMEOUT' } });
  t.match(await authority.register('blind', 'r1').read(AbortSignal.abort()), { ok: false, failure: { code: 'CTM_REGISTER_TIMEOUT' } });
});

test('all wrong options come in one report, without the secret', (t) => {
  try {
    createDnsRegister({ address: 'ns.example', port: 0, zone: 'a b', lease: 'X', region: 'r1', keyName: '', keySecret: 'short', memory: memory() });
    t.fail('accepted');
  } catch (error) {
    if (!(error instanceof InvalidFieldsError)) throw error;
    t.same(error.fields.map(({ path }) => path).sort(), ['address', 'keyName', 'keySecret', 'lease', 'port', 'zone']);
    t.notMatch(error.message, /short/);
  }
  t.end();
});

test('a fit authority passes; one whose database is shared, volatile, cached or open does not', async (t) => {
  t.same(await checkAuthority(authority.api, ZONE, soon()), { ok: true, value: [] });
  const start = async (folder: string, settings: Record<string, string>): Promise<unknown> => {
    const [dnsPort, apiPort] = [await freePort(ADDRESS), await freePort(ADDRESS)];
    const options = { folder: runFolder(folder), address: ADDRESS, dnsPort, apiPort, zone: ZONE, regions: ['r1'], leases: [], settings: { ...settings, loglevel: '4' } };
    return startRegisterAuthority(options).catch((error: Error) => error.message);
  };
  const other = await start('dns-unfit', { 'gsqlite3-pragma-synchronous': '0', 'query-cache-ttl': '20', 'dnsupdate': 'no' });
  t.match(other, /cannot keep a lease.*synchronous is "0".*dnsupdate is "no".*query-cache-ttl is "20"/s);
  t.match(await start('dns-named', { launch: 'gsqlite3:one', 'gsqlite3-one-pragma-synchronous': '0' }), /gsqlite3-one-pragma-synchronous is "0"/, 'a named backend');
  t.match(await start('dns-named-fit', { launch: 'gsqlite3:one' }), { api: {} });
  t.match(await allowKeys(authority.api, ZONE, [], soon()), { ok: true });
  t.match(await checkAuthority(authority.api, ZONE, soon()), { ok: true, value: [{ setting: /TSIG-ALLOW-DNSUPDATE/ }] });
});

test('with a policy script the keys of the zone do not count: somebody who signs nothing writes, and the server is unfit', async (t) => {
  const folder = runFolder('dns-policy');
  const script = join(folder, 'policy.lua');
  writeFileSync(script, 'function updatepolicy(input) return true end\n');
  for (const settings of [{}, { 'lua-dnsupdate-policy-script': script }]) {
    const [dnsPort, apiPort] = [await freePort(ADDRESS), await freePort(ADDRESS)];
    const options = { folder: join(folder, `${apiPort}`), address: ADDRESS, dnsPort, apiPort, zone: ZONE, regions: ['r1'], leases: [], settings };
    const started = await startRegisterAuthority(options).then(() => 'fit', (error: Error) => error.message);
    const rcode = await updateUnsigned(dnsPort);
    if (settings['lua-dnsupdate-policy-script'] === undefined) t.same([started, rcode], ['fit', RCODE.REFUSED]);
    else t.match([started, rcode], [/lua-dnsupdate-policy-script is ".*": use none/, RCODE.NOERROR]);
  }
});

/** Adds a record that nobody signed; the answer's code. */
async function updateUnsigned(port: number): Promise<number> {
  const update = encodeTextUpdate({ id: 7, zone: `${ZONE}.`, name: `unsigned.${ZONE}.`, expected: null, next: 'x', ttlSeconds: 0 });
  const socket = connect(port, ADDRESS);
  socket.end(Buffer.concat([u16(update.length), update]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return decodeMessage(Buffer.concat(chunks).subarray(2)).rcode;
}

/** What is asked of a server whose settings and zone are these. */
async function checkedAs(t: Test, settings: Readonly<Record<string, string>>, kind = 'Native'): Promise<unknown> {
  const answers: Record<string, unknown> = { config: Object.entries(settings).map(([name, value]) => ({ name, value })), zone: { kind }, meta: { metadata: ['r1-lease'] } };
  const server = createHttpServer((request, response) => {
    const which = request.url?.includes('/config') ? 'config' : request.url?.includes('metadata') ? 'meta' : 'zone';
    response.end(JSON.stringify(answers[which]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const found = await checkAuthority({ url, apiKey: 'x' }, ZONE, soon());
  return found.ok ? found.value.map(({ setting, value }) => `${setting} ${value}`) : found;
}
const always = { 'dnsupdate': 'yes', 'lua-dnsupdate-policy-script': '', 'query-cache-ttl': '0' };

test('a server that shares its database is named, whatever the database', async (t) => {
  t.same(await checkedAs(t, { ...always, launch: 'gpgsql' }, 'Slave'), ['launch gpgsql', 'kind of the zone Slave']);
});

test('a store that is synchronised and variants of a zone are named, however "yes" is spelled', async (t) => {
  const fit = { ...always, 'launch': 'lmdb', 'lmdb-sync-mode': 'sync' };
  t.same(await checkedAs(t, { ...fit, 'lmdb-lightning-stream': 'no', 'views': 'off' }), []);
  for (const yes of ['yes', 'true', 'on', '1', '']) {
    t.same(await checkedAs(t, { ...fit, 'lmdb-lightning-stream': yes, 'views': yes }), [`lmdb-lightning-stream ${yes}`, `views ${yes}`]);
  }
});

test('a setting that the server does not tell, as one that was renamed, is no setting that is right', async (t) => {
  t.same(await checkedAs(t, { launch: 'gsqlite3' }), ['gsqlite3-pragma-synchronous', 'dnsupdate', 'lua-dnsupdate-policy-script', 'query-cache-ttl'].map((setting) => `${setting} not there`));
  t.same(await checkedAs(t, { ...always, launch: 'lmdb' }), ['lmdb-sync-mode not there']);
});

test('the servers end', async (t) => {
  await stopAll();
  t.notOk(authority.process.running());
});
