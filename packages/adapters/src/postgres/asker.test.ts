// The one-question connection, at servers that say what they should in odd portions, and what they should not at all. Real
// servers, TLS and passwords: ../postgres-probe/probe.test.ts.

import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { Test } from 'tap';
import { soon } from '../../../../test/rig/postgres-pair.ts';
import { runFolder, waitFor } from '../../../../test/rig/process.ts';
import { Asker } from './asker.ts';
import { toQuestion } from './line.ts';

const say = (type: string, ...body: readonly (string | readonly number[])[]): Buffer => {
  const bytes = Buffer.concat(body.map((part) => Buffer.from(part)));
  const head = Buffer.from([type.charCodeAt(0), 0, 0, 0, 0]);
  head.writeUInt32BE(4 + bytes.length, 1);
  return Buffer.concat([head, bytes]);
};
const READY = say('Z', 'I');
const GREETING = Buffer.concat([say('R', [0, 0, 0, 0]), READY]);
const row = (text: string): Buffer => say('D', [0, 1, 0, 0, 0, Buffer.byteLength(text)], text);
const refusal = (code: string, severity: string): Buffer => say('E', `S${severity}\0C${code}\0Mno such thing\0\0`);
const BIND = say('2');
const DONE = say('C', 'SELECT 1\0');

type Server = { readonly asker: Asker; readonly asked: string[]; readonly sockets: Socket[]; answer: (socket: Socket, count: number) => void };

/** Takes one chunk for one question: the asker sends it in one piece. */
async function startServer(t: Test): Promise<Server> {
  const asked: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', () => {
      socket.on('data', (chunk) => {
        asked.push(chunk.toString('latin1').replaceAll(/[^A-Za-z0-9 ]+/g, '.'));
        found.answer(socket, asked.length);
      });
      socket.write(GREETING);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const passFile = join(runFolder('asker'), 'passwords');
  writeFileSync(passFile, '*:*:*:*:secret\n');
  const { port } = server.address() as AddressInfo;
  const context = { host: '127.0.0.1', port, controlUser: 'prober', database: 'postgres', passFile, connectTimeoutMs: 2_000, answerBytesMax: 10_000 };
  const found: Server = { asker: new Asker(context, 'test', toQuestion('one', 'SELECT 1')), asked, sockets, answer: () => undefined };
  t.teardown(() => {
    found.asker.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return found;
}

test('prepared once, and read in whatever portions it comes', async (t) => {
  const server = await startServer(t);
  server.answer = (socket, count) => {
    const whole = Buffer.concat([...(count === 1 ? [say('1')] : []), BIND, say('S', 'a\0b\0'), row(`größe ${count}`), DONE, READY]);
    for (const byte of count === 2 ? whole : []) socket.write(Buffer.from([byte]));
    if (count !== 2) socket.write(whole);
  };
  const { signal } = new AbortController();
  t.equal(await server.asker.ask(signal), 'größe 1');
  t.same(await Promise.all([server.asker.ask(signal), server.asker.ask(soon())]), ['größe 2', 'größe 3'], 'callers wait for each other');
  t.match(server.asked[0], /^P\..*SELECT 1/);
  t.match(server.asked[1], /^B\./);
  t.equal(server.sockets.length, 1);
  server.answer = (socket) => socket.write(Buffer.concat([BIND, say('D', [0, 1, 255, 255, 255, 255]), DONE, READY]));
  t.equal(await server.asker.ask(signal), null, 'SQL null');
  server.answer = (socket) => socket.write(Buffer.concat([BIND, DONE, READY]));
  t.equal(await server.asker.ask(signal), null, 'no row');
});

test('a refusal is of the server, and the connection is kept; one that ends it is told', async (t) => {
  const server = await startServer(t);
  server.answer = (socket) => socket.write(Buffer.concat([refusal('42P01', 'ERROR'), READY]));
  await t.rejects(server.asker.ask(soon()), { code: '42P01', severity: 'ERROR', message: 'no such thing' });
  server.answer = (socket) => socket.write(Buffer.concat([say('1'), BIND, row('yes'), DONE, READY]));
  t.equal(await server.asker.ask(soon()), 'yes', 'and what it refused is not said again');
  t.match(server.asked[1], /^P\./, 'what was refused was not prepared');
  t.equal(server.sockets.length, 1);
  server.answer = (socket) => socket.end(refusal('57P01', 'FATAL'));
  await t.rejects(server.asker.ask(soon()), { code: '57P01' });
  server.answer = (socket) => socket.destroy();
  await t.rejects(server.asker.ask(soon()), { code: /CTM_DATABASE_UNREACHABLE|ECONNRESET/ });
  server.answer = (socket) => socket.write(Buffer.concat([say('1'), BIND, row('again'), DONE, READY]));
  t.equal(await server.asker.ask(soon()), 'again');
  server.sockets.at(-1)?.destroy();
  await waitFor('a new connection', async () => (await server.asker.ask(soon()).catch(() => null)) === 'again' && server.sockets.length === 4);
});

test('what is not of the protocol, not asked for, or too much, ends the connection and nothing else', async (t) => {
  const hostile: Readonly<Record<string, Buffer>> = {
    'a message of another type': Buffer.concat([say('G', 'x'), READY]),
    'two rows': Buffer.concat([row('a'), row('b'), READY]),
    'two columns': Buffer.concat([say('D', [0, 2, 0, 0, 0, 1], 'a', [0, 0, 0, 1], 'b'), READY]),
    'a column longer than its row': Buffer.concat([say('D', [0, 1, 0, 0, 1, 0], 'a'), READY]),
    'a length of nothing': Buffer.from([0x5a, 0, 0, 0, 0, 0x49]),
    'a cut row': Buffer.concat([say('D', [0]), READY]),
    'two ends': Buffer.concat([BIND, row('a'), DONE, READY, READY]),
    'more than may be': say('D', [0, 1, 0, 0, 78, 32], 'a'.repeat(20_000)),
  };
  for (const [what, bytes] of Object.entries(hostile)) {
    const server = await startServer(t);
    server.answer = (socket) => socket.write(bytes);
    if (what === 'two ends') await server.asker.ask(soon());
    else await t.rejects(server.asker.ask(soon()), { code: 'CTM_DATABASE_GARBAGE' }, what);
    server.answer = (socket) => socket.write(Buffer.concat([say('1'), BIND, row('sane'), DONE, READY]));
    t.equal(await server.asker.ask(soon()), 'sane', `after ${what}`);
    t.equal(server.sockets.length, 2, 'over a new connection');
  }
});

test('the signal ends a question and its connection, also of a caller that waits', async (t) => {
  const server = await startServer(t);
  const patient = new AbortController();
  const first = server.asker.ask(patient.signal);
  await waitFor('the question', () => server.asked.length === 1);
  await t.rejects(server.asker.ask(AbortSignal.timeout(20)), { name: 'TimeoutError' }, 'while another one asks');
  patient.abort(new Error('enough'));
  await t.rejects(first, { message: 'enough' });
  await waitFor('the end of the connection', () => server.sockets[0]?.destroyed === true);
  await t.rejects(server.asker.ask(patient.signal), { message: 'enough' }, 'a signal that ended asks nothing');
  server.answer = (socket) => socket.write(Buffer.concat([say('1'), BIND, row('here'), DONE, READY]));
  t.equal(await server.asker.ask(soon()), 'here');
  server.answer = () => server.asker.close();
  await t.rejects(server.asker.ask(soon()), { code: 'CTM_DATABASE_UNREACHABLE' }, 'closed while it waits');
});
