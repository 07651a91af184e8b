// The beacon's sockets against who wants it dead, or in nobody else's reach.

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Packet } from 'dns2';
import { test } from 'tap';
import type { Test } from 'tap';
import { exchange } from '../../../test/rig/beacon.ts';
import { freePort, waitFor } from '../../../test/rig/process.ts';
import { createDatagrams } from './beacon-datagrams.ts';
import { serveBeacon } from './beacon-server.ts';
import { CONNECTIONS_MAX, CONNECTIONS_OF_NETWORK_MAX } from './beacon-streams.ts';
import type { RateLimit } from './rate-limit.ts';

const ADDRESS = '127.47.1.1';
const { privateKey } = generateKeyPairSync('ed25519');
const REPLY_TIMEOUT_MS = 5_000;
const generous = { perSecond: 10_000, burst: 10_000 };

/** A beacon's options, what it told, and how many signatures it made. The clock stands still. */
function told(rateLimit: RateLimit) {
  const counts: Record<string, number> = {};
  const count = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
  const beacon = {
    region: 'r1',
    zone: 'attest.app.test',
    addresses: [],
    held: (lease: string) => (lease === 'counter' ? { epoch: 7, remainingMs: 1_000 } : undefined),
    sign: (text: string) => {
      count('signed');
      return sign(null, Buffer.from(text), privateKey).toString('base64url');
    },
  };
  const options = { beacon, rateLimit, nowMs: () => 0, onAnswer: (kind: string) => count(kind), onDropped: (reason: string, transport: string) => count(`${reason} ${transport}`) };
  return { options, counts };
}

async function serve(t: Test, rateLimit: RateLimit) {
  const { options, counts } = told(rateLimit);
  const server = await serveBeacon({ ...options, host: ADDRESS, port: await freePort(ADDRESS) });
  t.teardown(() => server.close());
  return { at: { address: ADDRESS, port: server.port }, counts };
}

/** `cookie`: as many resolvers ask, so that the library's codec has to read it. */
function question(cookie = false): Buffer {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 4_711, rd: 0 });
  packet.questions = [new Packet.Question(`${randomBytes(16).toString('hex')}.counter.r1.attest.app.test`, Packet.TYPE.TXT, Packet.CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([])];
  const bytes = packet.toBuffer();
  if (!cookie) return bytes;
  bytes.writeUInt16BE(12, bytes.length - 2);
  return Buffer.concat([bytes, Buffer.from('000a0008', 'hex'), randomBytes(8)]);
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

async function connection(t: Test, at: { address: string; port: number }, localAddress: string): Promise<Socket> {
  const socket = connect({ host: at.address, port: at.port, localAddress });
  // What is refused may be reset.
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes until the beacon ends the connection. */
async function untilEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

function messages(bytes: Buffer): Packet[] {
  if (bytes.length < 2) return [];
  const end = 2 + bytes.readUInt16BE(0);
  return [Packet.parse(bytes.subarray(2, end)), ...messages(bytes.subarray(end))];
}

async function answered(t: Test, at: { address: string; port: number }, localAddress: string): Promise<boolean> {
  const socket = await connection(t, at, localAddress);
  socket.end(framed(question()));
  return messages(await untilEnd(socket))[0]?.answers.length === 1;
}

test('a datagram that no answer can be sent to ends nothing', async (t) => {
  const { options, counts } = told(generous);
  const udp = createDatagrams(options, 'udp4');
  await new Promise<void>((resolve) => udp.bind(0, ADDRESS, resolve));
  t.teardown(() => new Promise<void>((done) => udp.close(() => done())));
  const from = { address: ADDRESS, family: 'IPv4', size: 0 } as const;
  for (const cookie of [false, true]) udp.emit('message', question(cookie), { ...from, port: 0 });
  t.same(counts, { 'port udp': 2 });
  udp.emit('message', question(), { ...from, port: 65_536 });
  udp.emit('message', question(true), { ...from, port: 65_536 });
  await waitFor('both to be counted', () => counts['not-sent udp'] === 2);
  t.ok(await exchange(question(), { address: ADDRESS, port: udp.address().port }, REPLY_TIMEOUT_MS), 'it goes on');
});

test('above the limit every question over UDP is cut, whoever reads it, at no signature', async (t) => {
  const { at, counts } = await serve(t, { perSecond: 1, burst: 2 });
  for (const cookie of [false, true]) {
    t.match(Packet.parse((await exchange(question(cookie), at, REPLY_TIMEOUT_MS)) ?? Buffer.alloc(0)), { header: { tc: 0 }, answers: { length: 1 } });
  }
  for (const cookie of [false, true, false, true, false, true]) {
    const asked = question(cookie);
    const reply = (await exchange(asked, at, REPLY_TIMEOUT_MS)) ?? Buffer.alloc(0);
    t.match(Packet.parse(reply), { header: { tc: 1, id: 4_711, qr: 1 }, answers: { length: 0 } });
    t.ok(reply.length <= asked.length, 'nothing is amplified');
  }
  t.same(counts, { signed: 2, attested: 2, 'rate-cut udp': 6 });
  t.ok(await answered(t, at, '127.47.1.9'), 'what is forged over UDP takes nothing from TCP');
});

test('a network has its share of answers over TCP, however it sends its questions', async (t) => {
  const { at, counts } = await serve(t, { perSecond: 1, burst: 5 });
  const socket = await connection(t, at, '127.47.2.1');
  const ended = untilEnd(socket);
  socket.write(Buffer.concat(Array.from({ length: 500 }, () => framed(question()))));
  t.equal(messages(await ended).length, 5);
  t.same(counts, { signed: 5, attested: 5, 'rate tcp': 1 });
  t.notOk(await answered(t, at, '127.47.2.200'), 'the same /24');
  t.ok(await answered(t, at, '127.47.3.1'), 'another network');
});

test('a question that comes in pieces is answered; what no question can be is not read', async (t) => {
  const { at, counts } = await serve(t, generous);
  const slow = await connection(t, at, '127.47.2.1');
  slow.setNoDelay(true);
  const bytes = Buffer.concat([framed(question()), framed(question(true))]);
  for (const byte of bytes.subarray(0, -1)) await new Promise<void>((sent) => slow.write(Buffer.of(byte), () => sent()));
  slow.end(bytes.subarray(-1));
  t.same(messages(await untilEnd(slow)).map(({ answers }) => answers.length), [1, 1]);
  for (const wrong of [Buffer.alloc(16), Buffer.alloc(513), Buffer.alloc(60_000)]) {
    const socket = await connection(t, at, '127.47.2.1');
    socket.write(framed(wrong));
    t.equal((await untilEnd(socket)).length, 0);
  }
  const noise = await connection(t, at, '127.47.2.1');
  noise.write(framed(Buffer.from(`${'00'.repeat(5)}01${'00'.repeat(6)}${'3f'.repeat(8)}`, 'hex')));
  noise.end();
  t.equal((await untilEnd(noise)).length, 0);
  t.match(counts, { attested: 2, 'length tcp': 3, 'malformed tcp': 1 });
});

test('who holds connections keeps nobody else out: the oldest gives way', async (t) => {
  const { at, counts } = await serve(t, generous);
  const first = await connection(t, at, '127.47.2.1');
  for (let count = 1; count < CONNECTIONS_OF_NETWORK_MAX; count++) await connection(t, at, `127.47.2.${count + 1}`);
  const other = await connection(t, at, '127.47.3.1');
  t.equal(counts['connections tcp'], undefined);
  const firstEnds = untilEnd(first);
  t.ok(await answered(t, at, '127.47.2.100'), 'also of a network that has its share');
  await firstEnds;
  t.equal(counts['connections tcp'], 1);
  const otherEnds = untilEnd(other);
  for (let count = 0; count < CONNECTIONS_MAX; count++) await connection(t, at, `127.48.${Math.floor(count / CONNECTIONS_OF_NETWORK_MAX)}.1`);
  await otherEnds;
  t.ok((counts['connections tcp'] ?? 0) > CONNECTIONS_OF_NETWORK_MAX, 'those before it gave way first, and none because its time was over');
  t.ok(await answered(t, at, '127.47.4.1'), 'all are taken');
});
