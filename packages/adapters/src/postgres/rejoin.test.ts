// The way back to a standby: start, rewind, and what must never be overwritten.

import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { epoch } from '@continuum/core';
import pg from 'pg';
import { test } from 'tap';
import { createPair, diverge, expectOk, ids, insert, observed, sameRows, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { CONTROL_USER, initPrimary, passwordOf } from '../../../../test/rig/postgres.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const rejoin = (member: PairMember, source: PairMember, at: number, preserve = false) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve }, soon(60_000));
const promote = (member: PairMember, at: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon());

/** As a call that nobody waits for any more does. */
async function promoteByHand({ options, address, database }: PairMember): Promise<void> {
  const password = passwordOf(options.passFile, CONTROL_USER);
  const client = new pg.Client({ host: address.host, port: address.port, user: CONTROL_USER, password, database: 'postgres' });
  await client.connect();
  await client.query('SELECT pg_promote()');
  await client.end();
  await observed({ database }, 'a primary', ({ role }) => role === 'primary');
}

test('rows that only the old primary had are taken back by a rewind, and reported', async (t) => {
  const pair = await startPair({ synchronous: true });
  t.teardown(pair.close);
  const { one, two } = pair;
  await insert(one, 3);
  expectOk(await one.database.setSynchronous({ epoch: epoch(1), standbys: [] }, soon()));
  const { kept, lost } = await diverge(pair);
  const report = expectOk(await rejoin(one, two, 2));
  t.match(report, { method: 'rewind', keptAt: null, discarded: { from: /^[0-9A-F]+\/[0-9A-F]+$/, to: /^[0-9A-F]+\/[0-9A-F]+$/ } });
  const there = await ids(one);
  t.ok(kept.every((id) => there.includes(id)));
  t.notOk(lost.some((id) => there.includes(id)));
  t.same(there, await ids(two));
  expectOk(await two.database.setSynchronous({ epoch: epoch(2), standbys: [one.region] }, soon()));
});

test('a primary that was promoted and crashed before its first checkpoint finds back', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  await one.kill();
  const fenced = two.again({ controlUser: 'continuum' });
  expectOk(await fenced.promote({ epoch: epoch(2), region: two.region, token: null }, soon()));
  await two.kill();
  await rm(join(two.options.dataDir, 'postmaster.pid'), { force: true });
  expectOk(await promote(one, 3));
  const report = expectOk(await rejoin(two, one, 3));
  t.ok(report.discarded, 'its own timeline was never on the other');
  await sameRows(one, two);
});

test('a giver keeps its history until the target was proved: a promotion of earlier that takes effect meanwhile proves nothing', async (t) => {
  const pair = await startPair({ synchronous: true });
  t.teardown(pair.close);
  const { one, two } = pair;
  const before = await insert(one, 2);
  await two.kill();
  expectOk(await one.database.setSynchronous({ epoch: epoch(1), standbys: [] }, soon()));
  const last = await insert(one, 1);
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  expectOk(await rejoin(two, one, 1, true));
  await promoteByHand(two);
  const promoted = await two.database.promote({ epoch: epoch(2), region: two.region, token }, soon(5_000));
  t.equal(code(promoted), 'CTM_DATABASE_TOKEN_MISMATCH');
  const refused = await rejoin(one, two, 2);
  t.match(refused, { failure: { code: 'CTM_DATABASE_SOURCE_UNPROVED', message: /has recorded epoch 1: nothing is given up for it before it has recorded 2/ } });
  t.match(await one.database.observe(soon()), { role: 'down', shape: 'primary', lsn: token.checkpointLsn }, 'as it stopped');
  expectOk(await one.database.promote({ epoch: epoch(3), region: one.region, token }, soon()));
  t.same(await ids(one), [...before, ...last], 'given back, it serves with all that it had');
  t.equal(expectOk(await rejoin(two, one, 3)).method, 'rewind');
  await sameRows(one, two);
});

test('another cluster is never touched', async (t) => {
  const { one, two, close } = await createPair();
  t.teardown(close);
  expectOk(await promote(one, 1));
  await initPrimary(two.options);
  const control = join(two.options.dataDir, 'global', 'pg_control');
  const before = await readFile(control);
  const refused = await rejoin(two, one, 1);
  t.equal(code(refused), 'CTM_DATABASE_FOREIGN_CLUSTER');
  t.match(refused, { failure: { message: /holds cluster \d+, but the source is \d+/ } });
  t.same(await readFile(control), before);
  expectOk(await promote(two, 1));
  t.equal(code(await rejoin(two, one, 1)), 'CTM_DATABASE_FOREIGN_CLUSTER', 'running neither');
  t.equal((await two.database.observe(soon())).role, 'primary');
});

test('two members that chose the same timeline number are told apart by their log', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  await insert(one, 3);
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  expectOk(await two.database.promote({ epoch: epoch(2), region: two.region, token }, soon()));
  await two.kill();
  // The old primary becomes a standby that never hears of the promotion, and is then forced.
  await writeFile(join(one.options.dataDir, 'standby.signal'), '');
  await chmod(join(one.options.dataDir, 'standby.signal'), 0o644);
  expectOk(await rejoin(one, two, 3, true));
  const forced = expectOk(await promote(one, 3));
  await insert(one, 4);
  await one.kill();
  t.equal(expectOk(await promote(two, 4)).timeline, forced.timeline, 'the same number twice');
  await insert(two, 40);
  const report = expectOk(await rejoin(one, two, 4));
  t.match(report, { method: 'base-backup', keptAt: /diverged-4$/ });
  await sameRows(one, two);
});

test('a running standby is pointed to another source without a restart', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const pid = two.pid();
  const nowhere = { ...one.address, host: '127.10.0.99' };
  expectOk(await two.database.rejoin({ epoch: epoch(1), source: nowhere, preserve: true }, soon()));
  await observed(two, 'it to lose its source', (seen) => seen.receiver?.streaming === false);
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'start');
  t.match(await two.database.observe(soon()), { receiver: { streaming: true, source: `${one.address.host}:${one.address.port}` } });
  t.equal(two.pid(), pid);
});

test('a place that cannot hold a cluster is named', async (t) => {
  const { one, folder, close } = await createPair();
  t.teardown(close);
  expectOk(await promote(one, 1));
  await writeFile(join(folder, 'file'), '');
  for (const dataDir of [join(folder, 'missing', 'data'), join(folder, 'file', 'data')]) {
    const lost = one.again({ dataDir });
    const result = await lost.rejoin({ epoch: epoch(1), source: one.address, preserve: false }, soon());
    t.match(result, { failure: { code: 'CTM_DATABASE_FILE', message: new RegExp(dirname(dataDir)) } });
    t.match(await lost.observe(soon()), { role: 'down', shape: 'empty' });
  }
});
