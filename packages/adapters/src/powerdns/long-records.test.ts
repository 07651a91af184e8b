// Records that outgrow what DNS carries in one piece, on a real PowerDNS: an expression longer than one character string of 255 bytes,
// which the server joins again, and an answer longer than a datagram without EDNS, which its asker has over TCP.

import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { Packet } from 'dns2';
import { test } from 'tap';
import { renderPlacement } from '@continuum/core';
import type { Rrset } from '@continuum/core';
import { startAuthoritative } from '../../../../test/rig/dns.ts';
import { freePort, runFolder, stopAll, waitFor } from '../../../../test/rig/process.ts';
import { createGuardedPublisher } from './guarded-publisher.ts';

const ADDRESS = '127.43.5.1';
const ZONE = 'app.test';
const folder = runFolder('long-records');
const regions = ['r1', 'r2'].map((region, index) => ({ region, addresses: Array.from({ length: 16 }, (_, host) => `127.43.${index + 6}.${host + 1}`) }));
const [r1 = [], r2 = []] = regions.map(({ addresses }) => addresses);
const [dnsPort, apiPort, port] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(...r1, ...r2)];
const server = await startAuthoritative({ folder, region: 'r1', address: ADDRESS, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: ZONE, nameServers: [{ region: 'r1', address: ADDRESS }] });
const guarded = createGuardedPublisher({ publisher: server.publisher, authority: { address: ADDRESS, port: dnsPort } });

/** Of these addresses the gateways answer 200. */
let up: ReadonlySet<string> = new Set();
const gateways = await Promise.all(
  [...r1, ...r2].map(async (address) => {
    const gateway = createServer((_, response) => void response.writeHead(up.has(address) ? 200 : 503, { connection: 'close' }).end(up.has(address) ? 'open\n' : 'closed\n'));
    await once(gateway.listen(port, address), 'listening');
    return gateway;
  }),
);

/** An application in hot standby whose gateways have sixteen addresses in each region. */
function record(label: string): Rrset {
  const made = renderPlacement({ placement: 'active-hotstandby', version: '4.7', zone: ZONE, names: [`${label}.${ZONE}`], regions, ttlSeconds: 1, lease: { name: 'counter', port } });
  const one = made.ok ? made.value.lua[0] : undefined;
  if (one === undefined) throw new Error(JSON.stringify(made));
  return one;
}

const segments = (rrset: Rrset): readonly number[] => [...(rrset.records[0] ?? '').matchAll(/"([^"]*)"/g)].map(([, text]) => text?.length ?? 0);
const addressesIn = (reply: Buffer): string[] => Packet.parse(reply).answers.map(({ address }) => address as string).sort();
const truncated = (reply: Buffer): boolean => (reply.readUInt16BE(2) & 0x0200) !== 0;

function question(name: string): Buffer {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 4_242, rd: 0 });
  packet.questions = [new Packet.Question(name, Packet.TYPE.A, Packet.CLASS.IN)];
  return packet.toBuffer();
}

async function overUdp(bytes: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    socket.send(bytes, dnsPort, ADDRESS);
    const [reply] = (await once(socket, 'message', { signal: AbortSignal.timeout(2_000) })) as [Buffer];
    return reply;
  } finally {
    socket.close();
  }
}

async function overTcp(bytes: Buffer): Promise<Buffer> {
  const socket = connect(dnsPort, ADDRESS);
  socket.setTimeout(2_000, () => socket.destroy(new Error('no answer over TCP')));
  socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]));
  let heard = Buffer.alloc(0);
  for await (const chunk of socket) {
    heard = Buffer.concat([heard, chunk as Buffer]);
    if (heard.length >= 2 && heard.length >= 2 + heard.readUInt16BE(0)) break;
  }
  return heard.subarray(2);
}

test('the server runs an expression of several segments as if it were one', async (t) => {
  const published = record('long');
  const lengths = segments(published);
  t.ok(lengths.length >= 3 && lengths.every((length) => length <= 255), `segments of ${lengths.join()} bytes`);
  t.match(await guarded.publish(ZONE, { rrsets: [published], retired: [], addresses: [...r1, ...r2] }, AbortSignal.timeout(20_000)), { ok: true, value: { written: true } });
  // The last region of the expression, and in it the last address: nothing behind a cut is lost.
  for (const holding of [r2, r1, r2.slice(-1)]) {
    up = new Set(holding);
    await waitFor(`the ${holding.length} addresses that are up`, async () => addressesIn(await overTcp(question(`long.${ZONE}`))).join() === [...holding].sort().join(), { timeoutMs: 20_000 });
    t.pass(`${holding.length} addresses`);
  }
});

test('an answer too long for a datagram without EDNS comes truncated, and whole over TCP', async (t) => {
  up = new Set([...r1, ...r2]);
  const asked = question(`long.${ZONE}`);
  const whole = await waitFor('all addresses over TCP', async () => {
    const reply = await overTcp(asked);
    return addressesIn(reply).length === up.size ? reply : null;
  }, { timeoutMs: 20_000 });
  t.same(addressesIn(whole), [...up].sort());
  t.ok(whole.length > 512, `${whole.length} bytes`);
  t.notOk(truncated(whole));
  const cut = await overUdp(asked);
  t.ok(truncated(cut), 'over UDP it says that there is more');
  t.ok(cut.length <= 512, `${cut.length} bytes`);
});

test('the server ends', async (t) => {
  await stopAll();
  for (const gateway of gateways) gateway.close();
  t.notOk(server.started.running());
});
