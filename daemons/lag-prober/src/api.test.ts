// What the API does with who asks for everything at once. What it says: test/e2e/lag-prober.test.ts.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { test } from 'tap';
import type { Test } from 'tap';
import { request } from 'undici';
import { monoMs } from '@continuum/core';
import { waitFor } from '../../../test/rig/process.ts';
import { createApi } from './api.ts';
import type { ApiOptions } from './api.ts';

const NOBODY = { get: () => undefined, all: () => [], configured: () => false } as unknown as ApiOptions['fleet'];

async function serve(t: Test, metrics: ApiOptions['metrics'], silentMs = 30_000): Promise<{ readonly port: number; readonly ask: (path: string) => Promise<{ status: number; text: string }> }> {
  const api = createApi({ fleet: NOBODY, peers: () => t.fail('not asked') as never, token: () => null, runId: 'run', now: () => monoMs(0), metrics, silentMs, onCrash: (error) => t.error(error) });
  const server = createServer(api).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string): Promise<{ status: number; text: string }> => {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}${path}`);
    return { status: statusCode, text: await body.text() };
  };
  return { port, ask };
}

test('long answers are made for so many at once, and for the next ones afterwards', async (t) => {
  const waiting: ((parts: readonly Buffer[]) => void)[] = [];
  const { ask } = await serve(t, () => new Promise((resolve) => waiting.push(resolve)));
  const first = Array.from({ length: 8 }, () => ask('/metrics'));
  await waitFor('all to be under way', () => waiting.length === 8);
  for (const path of ['/metrics', '/v1/replication']) t.match(await ask(path), { status: 503, text: /CTM_API_BUSY/ }, path);
  t.match(await ask('/healthz'), { status: 200 }, 'short ones go on');
  for (const resolve of waiting) resolve([Buffer.from('one '), Buffer.from('two')]);
  for (const answered of await Promise.all(first)) t.same(answered, { status: 200, text: 'one two' });
  t.same(await ask('/v1/replication'), { status: 200, text: '{"clusters":[]}' });
});

test('who takes nothing is dropped, and its place is free', async (t) => {
  const waiting: ((parts: readonly Buffer[]) => void)[] = [];
  const { port, ask } = await serve(t, () => new Promise((resolve) => waiting.push(resolve)), 200);
  const silent = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').pause());
  for (const socket of silent) socket.on('error', () => socket.destroy()).write('GET /metrics HTTP/1.1\r\nhost: prober\r\n\r\n');
  t.teardown(() => silent.forEach((socket) => socket.destroy()));
  await waitFor('all to be under way', () => waiting.length === 8);
  t.match(await ask('/v1/replication'), { status: 503 });
  const part = Buffer.alloc(1024 * 1024, 'x');
  for (const resolve of waiting) resolve(Array.from({ length: 64 }, () => part));
  await waitFor('a free place', async () => (await ask('/v1/replication')).status === 200);
});
