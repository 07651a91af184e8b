// The counter application says what it knows, and no more: every promise of the demo rests on its three answers. A real
// synchronous pair behind it, in the states of a region that is dying.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { epoch } from '@continuum/core';
import t from 'tap';
import { request } from 'undici';
import { APP_DATABASE, APP_USER } from '../rig/postgres.ts';
import { expectOk, soon, startPair } from '../rig/postgres-pair.ts';
import type { PairMember } from '../rig/postgres-pair.ts';
import { descendants, freePort, signalAll, start, stopAll, waitFor } from '../rig/process.ts';

const MAIN = fileURLToPath(new URL('../rig/counter-app.ts', import.meta.url));
const pair = await startPair({ synchronous: true });
t.teardown(async () => {
  await pair.close();
  await stopAll();
});
const one = await startApp(pair.one);
const two = await startApp(pair.two);

type Answer = { status: number; refused: unknown; body: { id?: string; code?: string; detail?: string; region?: string } };
type App = { write: (id?: string) => Promise<Answer>; read: () => Promise<Answer>; get: (path: string) => Promise<Answer> };

async function startApp({ region, address, options }: PairMember): Promise<App> {
  const port = await freePort(address.host);
  const listen = `${address.host}:${port}`;
  await start({
    name: `${region} app`,
    command: process.execPath,
    args: [
      ...[MAIN, '--listen', listen, '--database', `${address.host}:${address.port}`],
      ...['--database-name', APP_DATABASE, '--user', APP_USER, '--region', region],
    ],
    env: { PGPASSFILE: options.passFile },
    logFile: join(pair.folder, `${region}-app.log`),
  });
  const send = async (method: 'GET' | 'POST', path: string): Promise<Answer> => {
    const { statusCode, headers, body } = await request(`http://${listen}${path}`, { method });
    return { status: statusCode, refused: headers['x-continuum-refused'], body: (await body.json()) as Answer['body'] };
  };
  await waitFor(`${region} app`, async () => (await send('GET', '/read')).status === 200);
  return {
    write: (id = randomUUID()) => send('POST', `/write?id=${id}`),
    read: () => send('GET', '/read'),
    get: (path) => send('GET', path),
  };
}

const unknown = { refused: undefined, body: { code: 'CTM_APP_UNKNOWN', region: 'r1' } };

async function rowsOf(writeId: string): Promise<number> {
  const client = await pair.one.client();
  const { rows } = await client.query('SELECT 1 FROM counter WHERE write_id = $1', [writeId]);
  await client.end();
  return rows.length;
}

async function withStandbyPaused(work: () => Promise<void>): Promise<void> {
  const pids = [pair.two.pid(), ...descendants(pair.two.pid())];
  signalAll(pids, 'SIGSTOP');
  try {
    await work();
  } finally {
    signalAll(pids, 'SIGCONT');
  }
}

t.test('a write is acknowledged with its id, and read in both regions', async (t) => {
  const writeId = randomUUID();
  const { status, body } = await one.write(writeId);
  t.same([status, body.region], [200, 'r1']);
  t.equal(await rowsOf(writeId), 1);
  t.match(await one.read(), { status: 200, body: { id: body.id } });
  t.match(await two.read(), { status: 200, body: { id: body.id, region: 'r2' } }, 'applied there before it was acknowledged');
});

t.test('the same write twice leaves two rows, so that a duplicate can be seen', async (t) => {
  const writeId = randomUUID();
  t.equal((await one.write(writeId)).status, 200);
  t.equal((await one.write(writeId)).status, 200);
  t.equal(await rowsOf(writeId), 2);
});

t.test('what is not a write is refused', async (t) => {
  t.match(await one.write('7'), { status: 400, refused: 'CTM_APP_BAD_ID' });
  t.match(await one.get('/nothing'), { status: 404, refused: 'CTM_APP_NO_ROUTE' });
});

t.test('a standby refuses a write, certainly', async (t) => {
  const writeId = randomUUID();
  t.match(await two.write(writeId), { status: 503, refused: 'CTM_APP_DATABASE', body: { detail: /read-only/ } });
  t.equal(await rowsOf(writeId), 0);
});

t.test('a commit that waits for the standby too long is unknown', async (t) => {
  const writeId = randomUUID();
  await withStandbyPaused(async () => {
    t.match(await one.write(writeId), { ...unknown, status: 504 });
  });
  t.equal((await one.write()).status, 200, 'the next one finds a sound connection');
  t.equal(await rowsOf(writeId), 1, 'it was executed after all');
});

t.test('a cancelled wait for the standby is unknown, although the server calls it a success', async (t) => {
  const writeId = randomUUID();
  await withStandbyPaused(async () => {
    const answer = one.write(writeId);
    const client = await pair.one.client();
    await waitFor('the wait to be cancelled', async () => {
      const { rows } = await client.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      return rows.length === 1;
    });
    t.match(await answer, { ...unknown, status: 500, body: { detail: /synchronous replication/ } });
    await client.end();
  });
});

t.test('a server that dies under a write leaves it unknown; one that is gone refuses; one that is back serves', async (t) => {
  await withStandbyPaused(async () => {
    const answer = one.write();
    const client = await pair.one.client();
    await waitFor('the write to wait', async () => {
      const { rows } = await client.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      return rows.length === 1;
    });
    await pair.one.kill();
    t.match(await answer, { ...unknown, status: 500 });
  });
  t.match(await one.write(), { status: 503, refused: 'CTM_APP_NO_DATABASE' });
  t.match(await one.read(), { status: 503, refused: 'CTM_APP_NO_DATABASE' });
  expectOk(await pair.one.again().promote({ epoch: epoch(1), region: pair.one.region, token: null }, soon()));
  await waitFor('the standby to stream again', async () => (await one.write()).status === 200);
  t.equal((await one.write()).status, 200);
});
