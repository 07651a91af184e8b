// The daemon as it is started: refused configurations, and its zone through a real recursor, which it must satisfy over UDP and TCP.

import { spawnSync } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuorum } from '@continuum/adapters/quorum/index';
import { createJudge } from '@continuum/adapters/quorum/proof';
import { readAnswer } from '@continuum/adapters/quorum/question';
import { createQuestions } from '@continuum/adapters/quorum/questions';
import { CONTROL_LABEL, monoMs, regionId } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import type { PublicKey } from '@continuum/wire';
import { test } from 'tap';
import { exchange, startBeacon } from '../../../test/rig/beacon.ts';
import { startRecursor } from '../../../test/rig/dns.ts';
import { freePort, runFolder, start, waitFor } from '../../../test/rig/process.ts';
import { parseConfig } from './config.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const ZONE = 'attest.app.test';
const folder = runFolder('dns-daemon');
const keys = await generateKeyPair();
const privateKeyFile = join(folder, 'key.pem');
writeFileSync(privateKeyFile, keys.privateKey, { mode: 0o600 });
const good = {
  region: 'r1',
  metricsListen: '127.0.0.1:5301',
  leases: [{ name: 'counter', controllerSocket: '/run/gate.sock' }],
  beacon: { zone: ZONE, listen: '127.0.0.1:5300', addresses: ['127.0.0.1'], privateKeyFile },
};
const published = { publisher: 'powerdns', specFile: '/etc/spec.yaml', stateDir: '/var/lib/dns' };
const server = { name: 'ns1', apiUrl: 'http://127.0.0.1:8081', apiKeyFile: '/etc/key', authority: '127.0.0.1:53' };

const NAMES = {
  apiVersion: 'continuum.dev/v1alpha1',
  kind: 'ContinuumNames',
  metadata: { name: 'shop' },
  spec: { placement: 'single-region', zone: 'app.test', names: ['shop.app.test'], ttlSeconds: 5, regions: [{ name: 'r1', addresses: ['192.0.2.1'] }] },
};

async function run(name: string, text: string): Promise<{ how: string; said: string }> {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, text);
  const logFile = join(folder, `${name}.log`);
  const started = await start({ name, command: process.execPath, args: [MAIN, '--config', file], logFile });
  const how = await started.exited;
  return { how, said: await waitFor('what it said', () => readFileSync(logFile, 'utf8')) };
}

test('every problem of a configuration is named at once, with its path; secrets are not quoted', async (t) => {
  t.match(parseConfig(JSON.stringify(good)), { ok: true, config: { askIntervalMs: 100, beacon: { rateLimit: { perSecond: 200 } } } });
  const paths = (config: object): string[] => {
    const parsed = parseConfig(JSON.stringify(config));
    return parsed.ok ? [] : parsed.problems.map(({ path }) => path).sort();
  };
  const wrong = { ...good, region: 'R1', beacon: { ...good.beacon, listen: 'localhost:53', rateLimit: { perSecond: 0 } }, extra: 1 };
  t.same(paths(wrong), ['beacon.listen', 'beacon.rateLimit.perSecond', 'extra', 'region']);
  t.same(paths({ ...good, leases: [good.leases[0], good.leases[0]] }), ['leases']);
  t.same(paths({ ...good, leases: [] }), ['leases'], 'a beacon of nothing');
  t.same(paths({ region: 'r1', metricsListen: good.metricsListen }), ['(file)'], 'nothing to do');
  t.same(paths({ ...good, publish: { ...published, servers: [server] } }), []);
  t.same(paths({ ...good, publish: { ...published, servers: [server, server] } }), ['publish.servers']);
  t.same(paths({ ...good, publish: { ...published, publisher: 'bind' } }), ['publish.publisher']);
  t.same(paths({ ...good, publish: { ...published, servers: [{ ...server, apiUrl: 'http://192.0.2.1:8081' }] } }), ['publish.servers[0].apiUrl'], 'a key in the clear');
  t.same(paths({ ...good, publish: { ...published, publisher: 'pdm', manager: { url: 'https://pdm.test', tokenFile: '/t', pdns: '4.6' } } }), ['publish.manager.pdns']);
  t.match(parseConfig('a: [\nsecret'), { ok: false, problems: [{ path: '(file)', value: 'not YAML', line: 2 }] });
  t.notMatch(JSON.stringify(parseConfig('a: [\nsecret')), /secret/);
});

test('a start that cannot be is over at once, with its code', async (t) => {
  const free = `127.0.0.1:${await freePort()}`;
  const withBeacon = (change: object): string => JSON.stringify({ ...good, beacon: { ...good.beacon, ...change } });
  const withPublish = (specFile: string, apiKeyFile: string): string =>
    JSON.stringify({ region: 'r1', metricsListen: free, publish: { ...published, specFile, stateDir: join(folder, 'state'), servers: [{ ...server, apiKeyFile }] } });
  t.match(await run('invalid', JSON.stringify({ ...good, beacon: { ...good.beacon, zone: 'Not A Zone' } })), { how: 'code 78', said: /CTM_CONFIG_INVALID[\s\S]*zone/ });
  writeFileSync(join(folder, 'bad.pem'), 'very secret');
  const bad = await run('bad-key', withBeacon({ privateKeyFile: join(folder, 'bad.pem') }));
  t.match(bad, { how: 'code 78', said: /CTM_KEY_INVALID/ });
  t.notMatch(bad.said, /very secret/);
  t.match(await run('no-key', withBeacon({ privateKeyFile: join(folder, 'missing.pem') })), { how: 'code 78', said: /CTM_CONFIG_UNREADABLE/ });
  t.match(await run('taken', JSON.stringify({ ...good, beacon: { ...good.beacon, listen: '192.0.2.1:5300' }, metricsListen: free })), { how: 'code 69', said: /CTM_DNS_LISTEN/ });
  const specFile = join(folder, 'names.yaml');
  t.match(await run('no-spec', withPublish(specFile, privateKeyFile)), { how: 'code 78', said: /CTM_CONFIG_UNREADABLE: publish.specFile/ });
  writeFileSync(specFile, JSON.stringify({ kind: 'ContinuumNames' }));
  t.match(await run('bad-spec', withPublish(specFile, privateKeyFile)), { how: 'code 78', said: /CTM_SPEC_INVALID[\s\S]*apiVersion/ });
  writeFileSync(specFile, JSON.stringify(NAMES));
  const badKey = await run('bad-api-key', withPublish(specFile, privateKeyFile));
  t.match(badKey, { how: 'code 78', said: /CTM_KEY_INVALID: publish.servers.0.apiKeyFile/ });
  t.notMatch(badKey.said, /PRIVATE KEY/);
});

test('through a real recursor: SOA, NS, and a fresh signed word at every question', async (t) => {
  const address = '127.47.0.1';
  const controllerSocket = join(folder, 'gate.sock');
  const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
  if (!link.ok) throw new Error(link.failure.message);
  t.teardown(() => link.value.close());
  const at = { address, port: await freePort(address) };
  const metricsPort = await freePort(address);
  const beacon = await startBeacon({ folder: join(folder, 'beacon'), region: 'r1', zone: ZONE, ...at, metricsPort, lease: 'counter', controllerSocket, privateKeyFile });
  t.teardown(() => beacon.stop());
  const recursor = await startRecursor({ folder: join(folder, 'recursor'), name: 'one', address: '127.47.8.8', port: await freePort('127.47.8.8'), forward: [{ zone: `r1.${ZONE}`, servers: [at] }] });
  t.teardown(() => recursor.started.stop());
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([`${recursor.server.address}:${recursor.server.port}`]);
  t.match(await resolver.resolveSoa(`r1.${ZONE}`), { nsname: `ns.r1.${ZONE}`, minttl: 0 });
  t.same(await resolver.resolveNs(`r1.${ZONE}`), [`ns.r1.${ZONE}`]);
  t.same(await resolver.resolve4(`ns.r1.${ZONE}`), [address]);

  const { server } = recursor;
  const voter = { name: server.name, vendor: 'some', address: server.address, port: server.port ?? 53 };
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: regionId('r2'), voters: [voter], publicKeys: { 'r1/1': keys.publicKey } });
  t.teardown(() => quorum.close());
  const vote = async () => (await quorum.round(regionId('r1'), 1_000, new AbortController().signal))[0]?.vote;
  t.match(await vote(), { kind: 'abstain', reason: /control name/ }, 'the asker has no beacon, and knows nothing');
  link.value.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 60_000));
  await waitFor('the word of the region', async () => (await vote())?.kind === 'attested');
  t.same(await vote(), { kind: 'attested', epoch: 4 });
  await link.value.close();
  await beacon.kill();
  t.match(await vote(), { kind: 'abstain' }, 'it is gone, and nobody can tell whether from here only');
});

test('its key is rotated in the file, without a restart; a broken file leaves the key before', async (t) => {
  const address = '127.47.0.3';
  const [keyFile, next] = [join(folder, 'rotated.pem'), await generateKeyPair()];
  writeFileSync(keyFile, keys.privateKey, { mode: 0o600 });
  const at = { address, port: await freePort(address) };
  const metricsPort = await freePort(address);
  const beacon = await startBeacon({ folder: join(folder, 'rotating'), region: 'r1', zone: ZONE, ...at, metricsPort, lease: 'counter', controllerSocket: join(folder, 'nobody.sock'), privateKeyFile: keyFile });
  t.teardown(() => beacon.stop());
  const question = createQuestions(`${CONTROL_LABEL}.r1.${ZONE}`);
  const signedBy = async (publicKey: PublicKey): Promise<boolean> => {
    const asked = question.next();
    const reply = await exchange(asked.bytes, at);
    const reading = reply === null ? null : readAnswer(reply, asked);
    if (reading?.kind !== 'text') throw new Error('no word of the beacon');
    return createJudge({ 'r1/1': publicKey })(reading.text, { nonce: asked.nonce, lease: CONTROL_LABEL, region: 'r1' }).kind === 'attested';
  };
  const unusable = async (): Promise<string | undefined> =>
    /continuum_dns_key_unusable\{field="beacon.privateKeyFile",region="r1"\} (\d)/.exec(await (await fetch(`http://${address}:${metricsPort}/metrics`)).text())?.[1];
  t.ok(await signedBy(keys.publicKey));
  t.equal(await unusable(), '0');
  writeFileSync(keyFile, 'half a key, very secret');
  await waitFor('the broken file to be told', async () => (await unusable()) === '1');
  t.ok(await signedBy(keys.publicKey), 'the key before stays in force');
  writeFileSync(keyFile, next.privateKey);
  await waitFor('a word under the next key', () => signedBy(next.publicKey));
  t.notOk(await signedBy(keys.publicKey));
  t.equal(await unusable(), '0');
  const said = readFileSync(beacon.logFile, 'utf8');
  t.equal(said.split('dns-key-unusable').length, 2, 'once');
  t.match(said, /dns-key-rotated/);
  t.notMatch(said, /very secret|PRIVATE KEY/);
});

test('noise at its sockets is dropped and counted, and it goes on', async (t) => {
  const address = '127.47.0.2';
  const at = { address, port: await freePort(address) };
  const metricsPort = await freePort(address);
  const beacon = await startBeacon({
    folder: join(folder, 'noise'),
    region: 'r1',
    zone: ZONE,
    ...at,
    metricsPort,
    lease: 'counter',
    controllerSocket: join(folder, 'nobody.sock'),
    privateKeyFile,
    rateLimit: { perSecond: 1, burst: 20 },
  });
  t.teardown(() => beacon.stop());
  const soa = Buffer.from(`00010100000100000000000002723106617474657374036170700474657374000006${'0001'}`, 'hex');
  t.ok((await exchange(soa, at)) !== null);
  t.equal(await exchange(Buffer.alloc(5), at, 100), null);
  t.equal(await exchange(Buffer.alloc(600), at, 100), null);
  t.equal(await exchange(Buffer.from(soa.toString('hex').replace('0100', '8100'), 'hex'), at, 100), null, 'an answer is not answered');
  const isCut = (reply: Buffer | null): boolean => reply !== null && ((reply[2] ?? 0) & 2) !== 0;
  const replies = await Promise.all(Array.from({ length: 60 }, () => exchange(soa, at, 5_000)));
  t.ok(replies.some((reply) => !isCut(reply)) && replies.filter(isCut).length >= 20, 'its share is answered, the rest is cut');
  // The beacon's own question is read by its own codec, and limited just the same.
  const control = createQuestions(`${CONTROL_LABEL}.r1.${ZONE}`).next().bytes;
  const limited = await Promise.all(Array.from({ length: 60 }, () => exchange(control, at, 5_000)));
  t.ok(limited.filter(isCut).length >= 20 && limited.every((reply) => reply !== null), 'and nobody is left without an answer');
  const forged = fromPortZero(control, at);
  if (!forged) t.comment('this account may not forge a datagram');
  const metrics = await (await fetch(`http://${address}:${metricsPort}/metrics`)).text();
  for (const reason of ['length', 'not-a-question', 'rate-cut', ...(forged ? ['port'] : [])]) t.match(metrics, new RegExp(`continuum_beacon_dropped_total\\{reason="${reason}",transport="udp",region="r1"\\} [1-9]`));
  t.ok(beacon.running());
});

/** Sends a datagram that nothing can be sent back to, which only a raw socket can; false when it may not, or there is no Python. */
function fromPortZero(bytes: Buffer, { address, port }: { readonly address: string; readonly port: number }): boolean {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(header.length + bytes.length, 4);
  const datagram = Buffer.concat([header, bytes]).toString('hex');
  const script = `import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).sendto(bytes.fromhex('${datagram}'), ('${address}', 0))`;
  return spawnSync('python3', ['-c', script]).status === 0;
}
