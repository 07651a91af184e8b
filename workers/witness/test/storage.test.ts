// What the witness does when its storage is not what it left there. An epoch is never given out twice: what cannot be read
// grants nothing, and what is gone starts again only where an operator says.

import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { generateKeyPair } from '@continuum/wire';
import { freePort, runFolder } from '../../../test/rig/process.ts';
import { startWitness } from '../../../test/rig/witness.ts';
import { acquire, call, renew } from './client.ts';
import type { Key } from './client.ts';

const ADDRESS = '127.30.9.3';
const pair = await generateKeyPair();
const port = await freePort(ADDRESS);
const folder = runFolder('witness-storage');
const objects = join(folder, 'objects', 'continuum-witness-lease');
const r1: Key = { keyId: 'r1/a', privateKey: pair.privateKey };

const start = (variables: Record<string, unknown> = {}) =>
  startWitness({
    folder,
    address: ADDRESS,
    port,
    regions: [{ region: 'r1', publicKeys: { a: pair.publicKey } }],
    leases: ['shop'],
    variables,
  });
let witness = await start();
t.teardown(() => witness.process.kill());

async function restart(between: () => void, variables?: Record<string, unknown>): Promise<void> {
  await witness.process.kill();
  between();
  witness = await start(variables);
}

function databaseFile(): string {
  const [file, ...others] = readdirSync(objects).filter((name) => name.endsWith('.sqlite') && name !== 'metadata.sqlite');
  if (file === undefined || others.length > 0) throw new Error(`expected one object in ${objects}`);
  return join(objects, file);
}

function edit<T>(change: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(databaseFile());
  try {
    return change(database);
  } finally {
    database.close();
  }
}

const read = () => edit((database) => String(database.prepare('SELECT record FROM lease').get()?.['record']));
const write = (record: string) =>
  edit((database) => void database.prepare('UPDATE lease SET record = ?').run(record));

t.test('a record that cannot be understood grants nothing, and is left as it is', async (t) => {
  t.match(await call(witness, { body: acquire('r1', 1), key: r1 }), { status: 200, reply: { view: { epoch: 1 } } });
  await restart(() => undefined);
  const good = read();
  const lease = (JSON.parse(good) as { lease: Record<string, unknown> }).lease;
  const broken: [string, string][] = [
    ['half-written', good.slice(0, good.length / 2)],
    ['empty', ''],
    ['of a newer format', JSON.stringify({ format: 2, lease })],
    ['with a field that this version does not know', JSON.stringify({ format: 1, lease: { ...lease, fresh: 1 } })],
    ['without an epoch', JSON.stringify({ format: 1, lease: { ...lease, epoch: undefined } })],
    ['of another lease', JSON.stringify({ format: 1, lease: { ...lease, name: 'other' } })],
    ['granted without an in-sync set', JSON.stringify({ format: 1, lease: { ...lease, inSync: [] } })],
    ['held at epoch 0', JSON.stringify({ format: 1, lease: { ...lease, epoch: 0 } })],
  ];
  for (const [what, record] of broken) {
    await restart(() => write(record));
    const corrupt = { status: 500, authentic: true, problem: { code: 'CTM_WITNESS_RECORD_CORRUPT', retryable: false } };
    t.match(await call(witness, { key: r1 }), corrupt, `read: ${what}`);
    t.match(await call(witness, { body: acquire('r1', 2), key: r1 }), corrupt, `acquire: ${what}`);
    await witness.process.kill();
    t.equal(read(), record, `left as it was: ${what}`);
  }
  await restart(() => write(good));
  t.match(await call(witness, { body: renew('r1', 2), key: r1 }), { status: 200, reply: { view: { epoch: 1, seq: 2 } } });
});

t.test('a record that is missing from its table is corrupt, not new', async (t) => {
  const good = read();
  await restart(() => edit((database) => database.exec('DELETE FROM lease')));
  t.match(await call(witness, { body: acquire('r1', 3), key: r1 }), { problem: { code: 'CTM_WITNESS_RECORD_CORRUPT' } });
  await restart(() => edit((database) => void database.prepare('INSERT INTO lease VALUES (1, ?)').run(good)));
  t.match(await call(witness, { key: r1 }), { status: 200, view: { epoch: 1, seq: 2 } });
});

t.test('a database file that is no database grants nothing', async (t) => {
  await witness.process.kill();
  const file = databaseFile();
  edit((database) => database.exec('PRAGMA wal_checkpoint(TRUNCATE)'));
  const good = readFileSync(file);
  await restart(() => {
    rmSync(`${file}-wal`, { force: true });
    rmSync(`${file}-shm`, { force: true });
    writeFileSync(file, Buffer.alloc(good.byteLength, 'not a database '));
  });
  const answered = await call(witness, { body: acquire('r1', 3), key: r1 });
  t.match(answered, { authentic: true, problem: { code: /^CTM_WITNESS_(INTERNAL|UNAVAILABLE)$/ } });
  await restart(() => writeFileSync(file, good));
  t.match(await call(witness, { key: r1 }), { status: 200, view: { epoch: 1, seq: 2 } });
});

t.test('a lease whose storage is gone continues where the operator says, and only by force', async (t) => {
  await restart(() => rmSync(objects, { recursive: true }), { RESTORE: { shop: { epoch: 7, inSync: ['r1'] } } });
  t.match(await call(witness, { key: r1 }), { status: 200, view: { epoch: 7, holder: null, inSync: ['r1'] } });
  const at = { epochSeen: 7 as never };
  t.match(await call(witness, { body: acquire('r1', 1, at), key: r1 }), { reply: { outcome: { code: 'policy-mismatch' } } });
  const force = { reason: 'the witness was lost', estimatedLoss: 'none' };
  const forced = await call(witness, { body: acquire('r1', 2, { ...at, force }), key: r1 });
  t.match(forced, { status: 200, reply: { view: { epoch: 8, holder: 'r1' } } });
  await restart(() => undefined, { RESTORE: { shop: { epoch: 3, inSync: ['r1'] } } });
  t.match(await call(witness, { key: r1 }), { view: { epoch: 8 } }, 'what is stored is never overridden');
});
