// The deployed dnsdist configuration, in the real dnsdist, before two real authoritative servers whose answer follows a lease.

import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Packet } from 'dns2';
import t from 'tap';
import { startAuthoritative } from '../rig/dns.ts';
import { hotStandbyRecord } from '../rig/dns-records.ts';
import { startDnsdist } from '../rig/dnsdist.ts';
import { startLeaseGates } from '../rig/lease-gates.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';

const [R1, R2, FRONT] = ['127.45.1.1', '127.45.2.1', '127.45.3.1'];
const ZONE = 'app.test';
const NAME = `counter.${ZONE}`;
const FRESH = '192.0.2.77';
const folder = runFolder('dnsdist');
const [port, dnsPort, apiPort, frontPort] = [await freePort(R1, R2), await freePort(R1, R2), await freePort(R1, R2), await freePort(FRONT)];
const gates = await startLeaseGates([R1, R2], port);
gates.open(R1);
const record = hotStandbyRecord({ name: NAME, lease: 'counter', port, ttlSeconds: 5, regions: [{ region: 'r1', addresses: [R1] }, { region: 'r2', addresses: [R2] }] });
/** As many names as a test needs that no cache has seen. */
const fresh = { name: `*.fresh.${ZONE}.`, type: 'A' as const, ttlSeconds: 5, records: [FRESH] };
const nameServers = [{ region: 'r1', address: R1 }, { region: 'r2', address: R2 }];
const authorities = await Promise.all(
  nameServers.map(async ({ region, address }) => {
    const one = await startAuthoritative({ folder: join(folder, region), region, address, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: ZONE, nameServers });
    const published = await one.publisher.publish(ZONE, [record, fresh], AbortSignal.timeout(10_000));
    if (!published.ok) throw new Error(published.failure.message);
    await one.warm(NAME);
    return one;
  }),
);
const backends = nameServers.map(({ address }) => ({ address, port: dnsPort }));
await startDnsdist({ folder: join(folder, 'front'), address: FRONT, port: frontPort, backends, zone: ZONE });
const front = resolverOf(FRONT, frontPort);

t.test('it answers as the authority does, and most answers from its cache', async (t) => {
  await waitFor('the holder alone', async () => (await front.resolve4(NAME)).join() === R1);
  const queries = async (): Promise<number> => (await Promise.all(authorities.map(async (one) => (await one.publisher.statistic('udp-queries', AbortSignal.timeout(2_000))) as { value: number }))).reduce((sum, one) => sum + one.value, 0);
  const before = await queries();
  for (let index = 0; index < 300; index++) await front.resolve4(NAME);
  const asked = (await queries()) - before;
  t.ok(asked < 100, `300 answers cost ${asked} questions behind it (its own checks included)`);
});

t.test('a flip is seen in front within the second that its cache may keep, although the TTL is 5', async (t) => {
  const [behind] = authorities;
  t.ok(behind);
  for (const [holder, other] of [[R2, R1], [R1, R2]] as const) {
    await waitFor(`${other} in front`, async () => (await front.resolve4(NAME)).join() === other);
    gates.open(holder);
    const flips = await Promise.all(authorities.map(({ server }) => seen(resolverOf(server.address, server.port ?? 53), holder)));
    const flippedMs = Math.max(...flips);
    const frontMs = await seen(front, holder);
    t.ok(frontMs - flippedMs < 1_500, `${Math.round(frontMs - flippedMs)} ms after the last authority`);
  }
});

t.test('only its own zone, and neither ANY nor updates', async (t) => {
  await t.rejects(front.resolve4('www.elsewhere.test'), { code: 'EREFUSED' });
  t.equal(await rcodeOf(question(NAME, 255)), 5, 'ANY');
  t.equal(await rcodeOf(question(ZONE, 6, 5)), 5, 'an update');
  t.equal(await rcodeOf(question(ZONE, 252)), 5, 'a transfer');
});

t.test('who is not on the list hears nothing', async (t) => {
  const closed = await freePort(FRONT);
  const guard = await startDnsdist({ folder: join(folder, 'closed'), address: FRONT, port: closed, backends, zone: ZONE, settings: { ACL: '192.0.2.0/24' } }).catch((error: Error) => error);
  t.match(guard, { message: /waited/ }, 'not even that it is there');
});

t.test('over its rate a client is sent to TCP, and gets its answer there', async (t) => {
  const limited = await freePort(FRONT);
  const one = await startDnsdist({ folder: join(folder, 'limited'), address: FRONT, port: limited, backends, zone: ZONE, settings: { QPS: '10' } });
  const asked = question(NAME, 1);
  const replies = await Promise.all(Array.from({ length: 15 }, () => overUdp(asked, limited)));
  const truncated = replies.filter((reply) => reply !== null && (reply.readUInt16BE(2) & 0x0200) !== 0);
  t.ok(truncated.length > 0, `${truncated.length} of 15 truncated`);
  const again = await Promise.all(truncated.map(() => overTcp(asked, limited)));
  t.same(again.map((reply) => Packet.parse(reply).answers.map(({ address }) => address)), truncated.map(() => [R1]), 'over TCP each of them gets the holder');
  await one.stop();
});

t.test('a backend that dies is left out; with all dead the cache says nothing that is stale', async (t) => {
  await authorities[0]?.started.kill();
  let asked = 0;
  // Each name once, so that no cache can answer, and many at a time: one by one, all would go to the backend with nothing outstanding.
  const allAnswered = async (): Promise<boolean> => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => front.resolve4(`n${asked++}.fresh.${ZONE}`).catch(() => null)));
    return answers.every((answer) => answer?.join() === FRESH);
  };
  await waitFor('answers without the dead one', allAnswered);
  for (let round = 0; round < 5; round++) t.ok(await allAnswered(), `20 names that nobody asked before, round ${round}`);
  await authorities[1]?.started.kill();
  await waitFor('no answer any more', async () => front.resolve4(NAME).then(() => false, () => true));
  t.pass('nothing stale');
});

t.test('everything ends', async (t) => {
  await stopAll();
  await gates.close();
  t.pass('ended');
});

function resolverOf(address: string, at: number): Resolver {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([`${address}:${at}`]);
  return resolver;
}

/** When `resolver` first says exactly `address`. */
async function seen(resolver: Resolver, address: string): Promise<number> {
  await waitFor(`${address}`, async () => (await resolver.resolve4(NAME)).join() === address, { everyMs: 20 });
  return performance.now();
}

function question(name: string, type: number, opcode = 0): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([Buffer.from([0x42, 0x42, opcode << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, type >> 8, type & 0xff, 0, 1])]);
}

async function rcodeOf(bytes: Buffer): Promise<number | null> {
  const reply = await overUdp(bytes, frontPort);
  return reply === null ? null : reply.readUInt16BE(2) & 0xf;
}

/** Null when nobody answers. */
async function overUdp(bytes: Buffer, at: number): Promise<Buffer | null> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve, reject) => {
      socket.once('message', resolve).once('error', reject);
      setTimeout(() => resolve(null), 1_500);
      socket.send(bytes, at, FRONT);
    });
  } finally {
    socket.close();
  }
}

/** Rejects when nobody answers. */
function overTcp(bytes: Buffer, at: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0);
    const socket = connect(at, FRONT, () => socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])));
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer over TCP')));
    socket.on('data', (chunk) => {
      heard = Buffer.concat([heard, chunk]);
      if (heard.length < 2 || heard.length < 2 + heard.readUInt16BE(0)) return;
      socket.destroy();
      resolve(heard.subarray(2));
    });
    socket.once('error', reject).once('close', () => reject(new Error('closed without an answer')));
  });
}
