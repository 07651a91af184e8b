// Resolvers that go on telling what they knew when nobody answers them any more (RFC 8767), as public ones may for days: the real
// recursor does it too when it is told to. What they tell then must not look like the state of a lease to anybody here.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuorum } from '@continuum/adapters/quorum/index';
import { createJudge } from '@continuum/adapters/quorum/proof';
import { readAnswer } from '@continuum/adapters/quorum/question';
import { createQuestions } from '@continuum/adapters/quorum/questions';
import { createResolvers } from '@continuum/adapters/resolver/resolvers';
import { monoMs, regionId } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { leadsTo } from '../../daemons/controller/src/dns-answers.ts';
import { judge } from '../../daemons/controller/src/dns-cli.ts';
import { exchange, startBeacon } from '../rig/beacon.ts';
import { PUBLIC_RESOLVERS, startAuthoritative, startResolvers } from '../rig/dns.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';

const PARENT = 'app.test';
const NAME = `counter.${PARENT}`;
const ZONE = 'attest.app.test';
const REGIONS = ['r1', 'r2'] as const;
const ADDRESSES = { r1: ['192.0.2.1'], r2: ['192.0.2.2'] };
const BEACONS = { r1: '127.51.3.1', r2: '127.51.3.2' } as const;
const AUTHORITY = '127.51.3.3';
const TTL_SECONDS = 1;
const folder = runFolder('serve-stale');
const [dnsPort, apiPort] = [await freePort(AUTHORITY), await freePort(AUTHORITY)];
const authority = await startAuthoritative({ folder: join(folder, 'authority'), region: 'ns', address: AUTHORITY, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: PARENT, nameServers: [{ region: 'ns', address: AUTHORITY }] });
const published = await authority.publisher.publish(PARENT, [{ name: `${NAME}.`, type: 'A', ttlSeconds: TTL_SECONDS, records: ADDRESSES.r1 }], AbortSignal.timeout(5_000));
if (!published.ok) throw new Error(published.failure.message);

const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };
const sites = await Promise.all(
  REGIONS.map(async (region) => {
    const [controllerSocket, privateKeyFile] = [join(folder, `${region}.sock`), join(folder, `${region}.pem`)];
    writeFileSync(privateKeyFile, keys[region].privateKey, { mode: 0o600 });
    const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
    if (!link.ok) throw new Error(link.failure.message);
    const at = { address: BEACONS[region], port: await freePort(BEACONS[region]), metricsPort: await freePort(BEACONS[region]) };
    return { at, link: link.value, beacon: await startBeacon({ folder: join(folder, region), region, zone: ZONE, ...at, lease: 'counter', controllerSocket, privateKeyFile }) };
  }),
);
const [r1, r2] = sites as [(typeof sites)[number], (typeof sites)[number]];
r1.link.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 600_000));
const recursors = await startResolvers({
  folder: join(folder, 'resolvers'),
  port: await freePort(...PUBLIC_RESOLVERS.map(({ address }) => address)),
  forward: [{ zone: PARENT, servers: [{ address: AUTHORITY, port: dnsPort }] }, ...sites.map(({ at }, index) => ({ zone: `${REGIONS[index]}.${ZONE}`, servers: [at] }))],
  settings: { 'serve-stale-extensions': '100' },
});
const servers = recursors.map(({ server }) => server);
const resolvers = createResolvers({ servers, timeoutMs: 3_000 });
const answers = () => resolvers.resolve(NAME, AbortSignal.timeout(4_000));
const voters = servers.map(({ name, address, port }, index) => ({ name, vendor: ['google', 'cloudflare', 'quad9'][index] ?? '', address, port: port ?? 53 }));
const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: regionId('r2'), voters, publicKeys: { 'r1/1': keys.r1.publicKey, 'r2/1': keys.r2.publicKey } });
const votes = async (): Promise<string[]> => (await quorum.round(regionId('r1'), 2_000, new AbortController().signal)).map(({ vote }) => vote.kind);
const questions = createQuestions(`counter.r1.${ZONE}`);
const before = questions.next();
/** What each resolver answered to `before`: what one that keeps everything could say again. */
const words: { readonly reply: Buffer; readonly text: string }[] = [];
const proof = createJudge({ 'r1/1': keys.r1.publicKey });

test('while all is well the resolvers lead to the holder, and it is attested through them', async (t) => {
  await waitFor('three attestations', async () => (await votes()).every((kind) => kind === 'attested'));
  t.ok((await answers()).every((answer) => leadsTo('r1', answer, ADDRESSES)));
  for (const { address, port = 53 } of servers) {
    const reply = (await exchange(before.bytes, { address, port }, 2_000)) ?? Buffer.alloc(0);
    const reading = readAnswer(reply, before);
    t.equal(reading.kind, 'text');
    if (reading.kind === 'text') words.push({ reply, text: reading.text });
  }
});

test('cut off, they tell of a name what they knew, fresh to look at: against the lease it is known for what it is', async (t) => {
  await authority.started.kill();
  const killedMs = performance.now();
  const stale = await waitFor('three answers long after their TTL', async () => {
    const given = await answers();
    return performance.now() - killedMs > 4_000 * TTL_SECONDS && given.every(({ status }) => status === 'answered') ? given : null;
  }, { timeoutMs: 20_000 });
  for (const answer of stale) {
    t.ok(answer.status === 'answered' && answer.ttlSeconds <= TTL_SECONDS, 'its TTL says nothing');
    t.ok(leadsTo('r1', answer, ADDRESSES), 'where the name led a while ago');
    t.match(judge(answer, ADDRESSES, 'r2', TTL_SECONDS), { verdict: 'differs', regions: ['r1'] }, 'the lease has moved');
    t.match(judge(answer, ADDRESSES, null, TTL_SECONDS), { verdict: 'differs' }, 'nobody holds it');
  }
});

test('a region that is gone is attested by nobody any more, and silence is still seen through them', async (t) => {
  t.same(await votes(), ['attested', 'attested', 'attested']);
  await r1.beacon.kill();
  for (let round = 0; round < 5; round++) t.same(await votes(), ['silent', 'silent', 'silent'], 'the asking region is reached, the other one is not');
  await r2.beacon.kill();
  for (let round = 0; round < 3; round++) t.same(await votes(), ['abstain', 'abstain', 'abstain'], 'who reaches nothing knows nothing');
  const next = questions.next();
  t.equal(words.length, servers.length);
  for (const { reply, text } of words) {
    t.same(proof(text, { nonce: before.nonce, lease: 'counter', region: 'r1' }), { kind: 'attested', epoch: 4 }, 'a word while it was asked for');
    t.same(readAnswer(reply, next), { kind: 'not-ours' }, 'said again it answers no question that is asked now');
    t.match(proof(text, { nonce: next.nonce, lease: 'counter', region: 'r1' }), { kind: 'unusable', reason: /another nonce/ }, 'and proves nothing in an answer that does');
  }
});

test('the servers end', async (t) => {
  await quorum.close();
  await Promise.all([...sites.map(({ link }) => link.close()), stopAll()]);
  t.notOk(authority.started.running());
});
