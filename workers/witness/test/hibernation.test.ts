// The object is put to sleep between events, and its watchers must still hear. workerd does so after ten idle seconds, so
// this one test takes its time: the lease is overdue after eleven seconds without a word.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { WebSocket } from 'undici';
import { generateKeyPair } from '@continuum/wire';
import { freePort, runFolder, waitFor } from '../../../test/rig/process.ts';
import { startWitness } from '../../../test/rig/witness.ts';
import { LEASE, acquire, call, signed } from './client.ts';
import type { Key } from './client.ts';

const ADDRESS = '127.30.9.4';
const OVERDUE_MS = 11_000;

t.test('an overdue lease wakes a sleeping object, which still knows its watchers and its lease', async (t) => {
  const pair = await generateKeyPair();
  const witness = await startWitness({
    folder: runFolder('witness-hibernation'),
    address: ADDRESS,
    port: await freePort(ADDRESS),
    regions: [{ region: 'r1', publicKeys: { a: pair.publicKey } }],
    leases: ['shop'],
  });
  t.teardown(() => witness.process.kill());
  const key: Key = { keyId: 'r1/a', privateKey: pair.privateKey };
  const lives = () => readFileSync(witness.process.logFile, 'utf8').match(/lease object started/g)?.length ?? 0;
  const { headers } = await signed(witness, { path: `${LEASE}/watch`, key });
  const socket = new WebSocket(`${witness.url.replace('http', 'ws')}${LEASE}/watch`, { headers });
  const heard: string[] = [];
  socket.addEventListener('message', ({ data }) => heard.push(String(data)));
  await waitFor('the watch', () => socket.readyState === WebSocket.OPEN);
  await call(witness, { body: acquire('r1', 1, { ttlMs: 2 * OVERDUE_MS }), key });
  await waitFor('the grant', () => heard.length === 1);
  await waitFor('the first life in the log', () => lives() === 1);
  socket.send('ping');
  await waitFor('an answer to the ping', () => heard.includes('pong'));
  await waitFor('overdue', () => heard.some((text) => text.includes('overdue')), { timeoutMs: 2 * OVERDUE_MS });
  await waitFor('the second life in the log', () => lives() === 2);
  t.match(await call(witness, { key }), { status: 200, view: { epoch: 1, holder: 'r1', seq: 1 } });
  socket.close();
});
