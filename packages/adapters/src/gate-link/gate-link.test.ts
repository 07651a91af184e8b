// The controller's side against real sockets. The gate's side is a bare socket here: what it may not do matters most.

import { once } from 'node:events';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Now } from '@continuum/core';
import { monoMs, wallMs } from '@continuum/core';
import type { GateAnswer } from '@continuum/wire/gate-link';
import { systemClock } from '@continuum/runtime';
import { lineSplitter } from '@continuum/wire/lines';
import { test } from 'tap';
import type { Test } from 'tap';
import { runFolder, start, waitFor } from '../../../../test/rig/process.ts';
import type { GateLink, GateLinkInstruction, GateLinkOptions, GateObserved } from './gate-link.ts';
import { createGateLink } from './gate-link.ts';

const folder = runFolder('gate-link');
const open: GateLinkInstruction = { epoch: 3, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 };
let number = 0;

type BareGate = { socket: Socket; received: GateAnswer[]; ask: (change?: object) => void; closed: () => boolean };

async function gateAt(t: Test, socketPath: string): Promise<BareGate> {
  const socket = createConnection(socketPath);
  const received: GateAnswer[] = [];
  const split = lineSplitter(100_000);
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const out = split(chunk);
    if (out.ok) received.push(...out.lines.map((line) => JSON.parse(line) as GateAnswer));
  });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  const ask = (change = {}): void => {
    socket.write(`${JSON.stringify({ ask: received.length + 1, held: 0, applied: 0, epoch: 0, ...change })}\n`);
  };
  return { socket, received, ask, closed: () => socket.destroyed };
}

async function linkAt(t: Test, options: Partial<GateLinkOptions> = {}): Promise<{ link: GateLink; path: string }> {
  number += 1;
  const path = options.socketPath ?? join(folder, `${number}.sock`);
  const created = await createGateLink({ clock: systemClock.now, ...options, socketPath: path });
  if (!created.ok) throw new Error(created.failure.message);
  t.teardown(() => created.value.close());
  return { link: created.value, path };
}

test('answers with what is left at the moment of the answer', async (t) => {
  let now: Now = { monoMs: monoMs(1_000), wallMs: wallMs(0) };
  const { link, path } = await linkAt(t, { clock: () => now });
  const gate = await gateAt(t, path);
  gate.ask({ ask: 41 });
  await waitFor('an answer', () => gate.received.length === 1);
  t.same(gate.received[0], { answer: 41, instruction: null }, 'a controller that is starting says so');

  t.equal(link.set(open, monoMs(6_000)), 1);
  await waitFor('the hint', () => gate.received.length === 2);
  t.same(gate.received[1], { changed: true });
  now = { monoMs: monoMs(2_500), wallMs: wallMs(1_500) };
  gate.ask({ ask: 42 });
  await waitFor('an answer', () => gate.received.length === 3);
  t.same(gate.received[2], { answer: 42, instruction: { ...open, version: 1, remainingMs: 3_500 } });
  now = { monoMs: monoMs(9_000), wallMs: wallMs(8_000) };
  gate.ask({ ask: 43 });
  await waitFor('an answer', () => gate.received.length === 4);
  t.match(gate.received[3], { instruction: { remainingMs: 0 } }, 'never negative');
});

test('the version counts changes, not renewals; a shortened or revived validity is hinted as well', async (t) => {
  let now: Now = { monoMs: monoMs(0), wallMs: wallMs(0) };
  const { link, path } = await linkAt(t, { clock: () => now });
  const gate = await gateAt(t, path);
  gate.ask();
  await waitFor('an answer', () => gate.received.length === 1);
  const hints = (): number => gate.received.filter((message) => 'changed' in message).length;
  const told = async (): Promise<number> => {
    const before = gate.received.length;
    const hinted = hints();
    gate.ask();
    await waitFor('the answer', () => gate.received.length - before - (hints() - hinted) === 1);
    return hints();
  };
  t.equal(link.set(open, monoMs(5_000)), 1);
  t.equal(await told(), 1);
  t.equal(link.set({ ...open }, monoMs(6_000)), 1);
  t.equal(await told(), 1, 'a renewal is no news');
  t.equal(link.set(open, monoMs(2_000)), 1);
  t.equal(await told(), 2, 'less validity is');
  now = { monoMs: monoMs(2_000), wallMs: wallMs(2_000) };
  t.equal(link.set(open, monoMs(7_000)), 1);
  t.equal(await told(), 3, 'validity after none is');
  t.equal(link.set({ ...open, mode: 'hold' }, monoMs(0)), 2);
  t.equal(await told(), 4);
});

test('a machine that slept since the validity was set gives none of it', async (t) => {
  let now: Now = { monoMs: monoMs(0), wallMs: wallMs(0) };
  const { link, path } = await linkAt(t, { clock: () => now });
  const gate = await gateAt(t, path);
  link.set(open, monoMs(10_000));
  now = { monoMs: monoMs(10), wallMs: wallMs(30_000) };
  gate.ask();
  await waitFor('an answer', () => gate.received.some((message) => 'answer' in message));
  t.match(gate.received.find((message) => 'answer' in message), { instruction: { remainingMs: 0 } });
});

test('shows what the gates reported, and that they left', async (t) => {
  const seen: GateObserved[] = [];
  const { link, path } = await linkAt(t, { onChange: (observed) => seen.push(observed) });
  const one = await gateAt(t, path);
  t.equal(link.observed().connected, false, 'a gate that never asked is none');
  one.ask({ held: 3, applied: 2, epoch: 5 });
  await waitFor('the first', () => link.observed().connected);
  const two = await gateAt(t, path);
  two.ask({ held: 4, applied: 1, epoch: 6 });
  await waitFor('the second', () => link.observed().held === 7);
  t.same(link.observed(), { connected: true, held: 7, applied: 1, epoch: 6 }, 'applied is that of the slowest');
  one.socket.destroy();
  two.socket.destroy();
  await waitFor('both to leave', () => !link.observed().connected);
  t.same(seen.at(-1), { connected: false, held: 0, applied: 0, epoch: 0 });
  t.same(seen[0], { connected: true, held: 3, applied: 2, epoch: 5 });
});

test('garbage, endless lines and unread answers cost the connection and nothing else', async (t) => {
  const dropped: string[] = [];
  const { link, path } = await linkAt(t, { onDropped: (reason) => dropped.push(reason) });
  link.set(open, monoMs(0));
  const healthy = await gateAt(t, path);
  const garbage = [
    'hello\n',
    '{"ask":1}\n',
    '{"ask":-1,"held":0,"applied":0,"epoch":0}\n',
    '{"ask":1,"held":0,"applied":0,"epoch":0,"more":1}\n',
    '[]\n',
    'x'.repeat(10_000),
    '\u0000\u0001\n',
  ];
  for (const text of garbage) {
    const bad = await gateAt(t, path);
    bad.socket.write(text);
    await waitFor(`the drop after ${text.slice(0, 20)}`, bad.closed);
  }
  t.equal(dropped.length, garbage.length);
  const deaf = createConnection(path);
  deaf.on('error', () => undefined);
  t.teardown(() => deaf.destroy());
  const ask = '{"ask":1,"held":0,"applied":0,"epoch":0}\n'.repeat(1_000);
  await waitFor('the drop of a gate that does not read', () => {
    if (!deaf.destroyed) deaf.write(ask);
    return dropped.includes('a gate does not read its answers');
  });
  healthy.ask();
  await waitFor('the healthy one to be served', () => healthy.received.length === 1);
  t.equal(link.observed().connected, true);
});

test('no more than 16 gates at once', async (t) => {
  const dropped: string[] = [];
  const { path } = await linkAt(t, { onDropped: (reason) => dropped.push(reason) });
  const gates = await Promise.all(Array.from({ length: 16 }, () => gateAt(t, path)));
  const extra = await gateAt(t, path);
  await waitFor('the drop', extra.closed);
  t.same(dropped, ['more than 16 gates']);
  t.notOk(gates.some((gate) => gate.closed()));
});

test('a path that a living process serves is refused, a dead process\'s socket is replaced', async (t) => {
  const { path } = await linkAt(t);
  const second = await createGateLink({ clock: systemClock.now, socketPath: path });
  t.match(second, { ok: false, failure: { code: 'CTM_GATE_LINK_IN_USE', message: path } });

  const dead = join(folder, 'dead.sock');
  const serve = `require('node:net').createServer().listen(${JSON.stringify(dead)})`;
  const server = await start({ name: 'dead', command: process.execPath, args: ['-e', serve], logFile: join(folder, 'dead.log') });
  await waitFor('its socket', () => statSync(dead, { throwIfNoEntry: false })?.isSocket());
  await server.kill();
  t.ok(statSync(dead).isSocket(), 'the file outlived its process');
  const { link } = await linkAt(t, { socketPath: dead });
  t.same(link.observed().connected, false);
  await gateAt(t, dead);
});

test('only this user may connect', async (t) => {
  const { path } = await linkAt(t);
  t.equal(statSync(path).mode & 0o777, 0o600);
  const shared = await linkAt(t, { socketGid: statSync(folder).gid });
  t.equal(statSync(shared.path).mode & 0o777, 0o660);
});

test('a path that cannot be a socket is a clear error', async (t) => {
  const file = join(folder, 'a-file');
  writeFileSync(file, 'precious');
  t.match(await createGateLink({ clock: systemClock.now, socketPath: file }), { ok: false, failure: { code: 'CTM_GATE_LINK_PATH' } });
  const long = join(folder, 'x'.repeat(120));
  t.match(await createGateLink({ clock: systemClock.now, socketPath: long }), { ok: false, failure: { code: 'CTM_GATE_LINK_PATH' } });
  const nowhere = join(folder, 'no', 'such', 'folder.sock');
  t.match(await createGateLink({ clock: systemClock.now, socketPath: nowhere }), { ok: false, failure: { code: 'CTM_GATE_LINK_LISTEN' } });
  mkdirSync(join(folder, 'dir.sock'));
  t.match(await createGateLink({ clock: systemClock.now, socketPath: join(folder, 'dir.sock') }), { ok: false, failure: { code: 'CTM_GATE_LINK_PATH' } });
});

test('a beacon is answered like a gate and never counted as one', async (t) => {
  const { link, path } = await linkAt(t);
  link.set(open, monoMs(systemClock.now().monoMs + 60_000));
  const beacon = await gateAt(t, path);
  beacon.ask({ role: 'beacon', applied: 1, epoch: 3, held: 4 });
  await waitFor('its answer', () => beacon.received.some((one) => 'answer' in one));
  t.match(beacon.received.find((one) => 'answer' in one), { instruction: { mode: 'open', epoch: 3 } });
  t.same(link.observed(), { connected: false, held: 0, applied: 0, epoch: 0 }, 'no gate is connected');
  const gate = await gateAt(t, path);
  gate.ask({ applied: 1, epoch: 3 });
  await waitFor('the gate to be seen', () => link.observed().connected);
  t.same(link.observed(), { connected: true, held: 0, applied: 1, epoch: 3 });
});
