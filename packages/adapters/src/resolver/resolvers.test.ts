// Resolvers as voters and as a client sees them, against real recursors in every state.

import { createServer } from 'node:http';
import { addressRrsets, parseIpAddress } from '@continuum/core';
import { test } from 'tap';
import { resolversContract } from '@continuum/ports/contracts/resolvers-contract';
import { startAuthoritative, startRecursor } from '../../../../test/rig/dns.ts';
import { hotStandbyRecord } from '../../../../test/rig/dns-records.ts';
import { freePort, runFolder, waitFor } from '../../../../test/rig/process.ts';
import { createCachingClient } from './caching-client.ts';
import { createResolvers } from './resolvers.ts';

const REGIONS = ['127.44.1.1', '127.44.2.1'] as const;
const RECURSORS = ['127.44.8.1', '127.44.8.2', '127.44.8.3'] as const;
const NAME = 'counter.app.test';

const folder = runFolder('resolvers');
const [dnsPort, apiPort, gatewayPort] = [await freePort(...REGIONS), await freePort(...REGIONS), await freePort(...REGIONS)];
const recursorPort = await freePort(...RECURSORS);
const nameServers = [{ region: 'r1', address: REGIONS[0] }];
const authority = await startAuthoritative({
  folder: `${folder}/r1`,
  region: 'r1',
  address: REGIONS[0],
  dnsPort,
  apiPort,
  apiKey: 'key',
  zone: 'app.test',
  nameServers,
});
const forwardTo = (port: number) => [{ zone: 'app.test', servers: [{ address: REGIONS[0], port }] }];
const [healthy, orphan, silent] = await Promise.all(
  RECURSORS.map((address, index) =>
    startRecursor({ folder: `${folder}/${address}`, name: address, address, port: recursorPort, forward: forwardTo(index === 1 ? 9 : dnsPort) }),
  ),
);
if (healthy === undefined || orphan === undefined || silent === undefined) throw new Error('three recursors');

async function publish(ttlSeconds: number, name = NAME): Promise<void> {
  const regions = REGIONS.map((address, index) => ({ region: `r${index + 1}`, addresses: [address] }));
  const record = hotStandbyRecord({ name, lease: 'counter', regions, port: gatewayPort, ttlSeconds });
  const written = await authority.publisher.publish('app.test', [record], AbortSignal.timeout(5_000));
  if (!written.ok) throw new Error(JSON.stringify(written));
}

test('the contract of resolvers', async (t) => {
  await publish(0);
  process.kill(silent.started.pid, 'SIGSTOP');
  t.teardown(() => process.kill(silent.started.pid, 'SIGCONT'));
  const nobody = { name: 'nobody', address: RECURSORS[0], port: await freePort(RECURSORS[0]) };
  await resolversContract(t, {
    resolvers: createResolvers({ servers: [healthy.server, orphan.server, silent.server, nobody], timeoutMs: 700 }),
    states: [
      { resolver: healthy.server.name, state: 'healthy' },
      { resolver: orphan.server.name, state: 'no-authority' },
      { resolver: silent.server.name, state: 'silent' },
      { resolver: 'nobody', state: 'not-listening' },
    ],
    name: NAME,
    addresses: REGIONS,
    missingName: 'missing.app.test',
    boundMs: 5_000,
  });
});

test('a region whose gateway has an IPv6 address is asked for by AAAA', async (t) => {
  const name = 'six.app.test';
  const records = addressRrsets(`${name}.`, [parseIpAddress('2001:db8::7')], 30);
  const written = await authority.publisher.publish('app.test', records, AbortSignal.timeout(5_000));
  t.ok(written.ok, JSON.stringify(written));
  const ask = (family: 4 | 6) => createResolvers({ servers: [healthy.server], timeoutMs: 2_000, family }).resolve(name, AbortSignal.timeout(5_000));
  t.match(await ask(6), [{ status: 'answered', addresses: ['2001:db8::7'], ttlSeconds: 30 }]);
  t.match(await ask(4), [{ status: 'abstained', reason: 'ENODATA' }]);
});

test('a client keeps an answer for its TTL, to the millisecond of its own clock, and asks again after it', async (t) => {
  await publish(30, 'kept.app.test');
  let nowMs = 1_000;
  const client = createCachingClient({ server: healthy.server, now: () => nowMs });
  const first = await client.resolve('kept.app.test');
  t.match(first, { ok: true, cached: false, remainingMs: 30_000 });
  t.same(first.ok && [...first.addresses].sort(), REGIONS);
  nowMs += 29_999;
  const addresses = first.ok && first.addresses;
  t.match(await client.resolve('kept.app.test'), { ok: true, addresses, cached: true, remainingMs: 1 });
  nowMs += 1;
  t.match(await client.resolve('kept.app.test'), { ok: true, cached: false });
});

test('with TTL 0 a client asks each time, and once for questions at the same time', async (t) => {
  const asked = async (): Promise<number> => {
    const counted = await authority.publisher.statistic('udp-queries', AbortSignal.timeout(1_000));
    return (counted.ok && counted.value) || 0;
  };
  await publish(0);
  const client = createCachingClient({ server: healthy.server });
  const before = await asked();
  for (let turn = 0; turn < 5; turn++) t.match(await client.resolve(NAME), { ok: true, cached: false, remainingMs: 0 });
  const after = await asked();
  t.ok(after - before >= 5, `${after - before} questions reached the authority`);
  const together = await Promise.all(Array.from({ length: 20 }, () => client.resolve(NAME)));
  t.ok(together.every((reply) => reply === together[0]));
});

test('a client learns of a flip when the TTL is over', async (t) => {
  const gateways = REGIONS.map((address, index) =>
    createServer((_, response) => response.writeHead(index === 1 ? 200 : 503).end()).listen(gatewayPort, address),
  );
  t.teardown(() => gateways.forEach((gateway) => gateway.close()));
  await publish(1);
  const client = createCachingClient({ server: healthy.server });
  await waitFor('the client to see region r2 alone', async () => {
    const reply = await client.resolve(NAME);
    return reply.ok && reply.addresses.length === 1 && reply.addresses[0] === REGIONS[1];
  });
  t.pass('it did');
});

test('a client that cannot resolve is told so and gets no stale answer', async (t) => {
  await publish(30, 'gone.app.test');
  let nowMs = 0;
  const client = createCachingClient({ server: healthy.server, timeoutMs: 300, now: () => nowMs });
  t.match(await client.resolve('gone.app.test'), { ok: true });
  await healthy.started.kill();
  t.match(await client.resolve('gone.app.test'), { ok: true, cached: true }, 'within the TTL');
  nowMs = 30_000;
  t.match(await client.resolve('gone.app.test'), { ok: false, reason: /\S/ });
});

test('the servers end', async (t) => {
  await Promise.all([authority, orphan, silent].map((server) => server.started.stop()));
  t.pass('ended');
});
