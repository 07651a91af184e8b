// The gate's side of the link, against a bare socket that plays a controller with bad manners.

import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { GateAsk, GateInstruction } from '@continuum/wire/gate-link';
import { test } from 'tap';
import type { Test } from 'tap';
import { runFolder, waitFor } from '../../../../test/rig/process.ts';
import { monoMs, wallMs } from '@continuum/core';
import type { LinkClientOptions } from './link-client.ts';
import { createLinkClient } from './link-client.ts';

const folder = runFolder('link-client');
const systemClock: LinkClientOptions['clock'] = () => ({ monoMs: monoMs(performance.now()), wallMs: wallMs(Date.now()) });
const instruction: GateInstruction = {
  version: 1,
  epoch: 1,
  mode: 'open',
  remainingMs: 1_000,
  activeRegion: 'r1',
  holdForwarded: false,
  holdMsMax: 1_000,
};
let number = 0;

type Scene = { asks: GateAsk[]; sockets: Socket[]; say: (text: string) => void; taken: GateInstruction[]; lost: string[]; garbage: () => number };

async function play(t: Test, onAsk: (ask: GateAsk, scene: Scene) => void, change: Partial<LinkClientOptions> = {}): Promise<Scene> {
  number += 1;
  const socketPath = join(folder, `${number}.sock`);
  let garbage = 0;
  const scene: Scene = {
    asks: [],
    sockets: [],
    say: (text) => scene.sockets.at(-1)?.write(text),
    taken: [],
    lost: [],
    garbage: () => garbage,
  };
  const server = createServer((socket) => {
    scene.sockets.push(socket);
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      for (const line of chunk.split('\n').filter(Boolean)) {
        const ask = JSON.parse(line) as GateAsk;
        scene.asks.push(ask);
        onAsk(ask, scene);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const client = createLinkClient({
    socketPath,
    askIntervalMs: 10,
    clock: systemClock,
    random: () => 0,
    report: () => ({ held: 2, epoch: 9 }),
    onInstruction: (given) => {
      if (given !== null) scene.taken.push(given);
      return true;
    },
    onConnected: () => undefined,
    onDisconnected: (reason) => scene.lost.push(reason),
    onGarbage: () => {
      garbage += 1;
    },
    ...change,
  });
  t.teardown(() => {
    client.close();
    server.close();
    for (const socket of scene.sockets) socket.destroy();
  });
  return scene;
}

const answer = (ask: GateAsk, given: GateInstruction | null): string => `${JSON.stringify({ answer: ask.ask, instruction: given })}\n`;

test('asks one question at a time, with rising numbers, and reports what is in force', async (t) => {
  const scene = await play(t, (ask, { say }) => say(answer(ask, instruction)));
  await waitFor('five questions', () => scene.asks.length >= 5);
  t.same(scene.asks.slice(0, 3).map(({ ask }) => ask), [1, 2, 3]);
  t.match(scene.asks[0], { held: 2, epoch: 9, applied: 0 });
  t.match(scene.asks[1], { applied: 1 });
});

test('what is refused is not reported as in force', async (t) => {
  const scene = await play(t, (ask, { say }) => say(answer(ask, instruction)), { onInstruction: () => false });
  await waitFor('four questions', () => scene.asks.length >= 4);
  t.ok(scene.asks.every(({ applied }) => applied === 0));
});

test('a hint is asked about at once, also when a question is open', async (t) => {
  const scene = await play(t, (ask, { say }) => {
    if (ask.ask === 1) say(answer(ask, null));
    if (ask.ask === 2) say(`{"changed":true}\n${answer(ask, null)}`);
  }, { askIntervalMs: 60_000 });
  await waitFor('the first question', () => scene.asks.length === 1);
  scene.say('{"changed":true}\n');
  await waitFor('a third question', () => scene.asks.length >= 3);
  t.pass('long before the interval');
});

test('validity counts from before the question, not from the answer', async (t) => {
  const askedAt: number[] = [];
  const holdBackMs = 60;
  const scene = await play(t, (ask, { say }) => setTimeout(() => say(answer(ask, instruction)), holdBackMs), {
    onInstruction: (_given, asked) => {
      askedAt.push(performance.now() - asked.monoMs);
      return true;
    },
  });
  await waitFor('an answer', () => askedAt.length > 0 && scene.asks.length > 0);
  t.ok((askedAt[0] ?? 0) >= holdBackMs - 1, `${askedAt[0]} ms old when it arrived`);
});

test('garbage, wrong numbers, endless lines and hang-ups cost the connection; the next one works', async (t) => {
  const rude = [
    () => 'hello\n',
    () => '{"answer":1}\n',
    (ask: GateAsk) => answer({ ...ask, ask: ask.ask + 5 }, instruction),
    (ask: GateAsk) => answer(ask, { ...instruction, remainingMs: -1 }),
    (ask: GateAsk) => answer(ask, { ...instruction, mode: 'ajar' as 'open' }),
    (ask: GateAsk) => answer(ask, instruction).replace('"version"', '"verzion"'),
    () => 'x'.repeat(5_000),
    (ask: GateAsk) => answer(ask, null) + answer(ask, null),
  ];
  const scene = await play(t, (ask, { say, sockets }) => {
    const reply = rude[sockets.length - 1];
    say(reply === undefined ? answer(ask, instruction) : reply(ask));
  });
  await waitFor('a polite connection', () => scene.taken.length >= 2);
  t.equal(scene.sockets.length, rude.length + 1);
  t.equal(scene.garbage(), rude.length);
  t.equal(scene.lost.length, rude.length);
  scene.sockets.at(-1)?.destroy();
  const first = (): GateAsk[] => scene.asks.filter(({ ask }) => ask === 1);
  await waitFor('a new connection', () => first().length === rude.length + 2);
  t.equal(first().at(-1)?.applied, 0, 'what an earlier connection said is not in force for this one');
});

test('a controller that never answers is left', async (t) => {
  const scene = await play(t, () => undefined);
  await waitFor('a second connection', () => scene.sockets.length === 2);
  t.match(scene.lost[0], /no answer for 1000 ms/);
});
