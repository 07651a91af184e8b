// The way back: rewind, base backup, half-done work, and what must never be overwritten.

import { chmod, mkdir, open, readFile, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { epoch, lsnDiffBytes } from '@continuum/core';
import { test } from 'tap';
import { createPair, expectOk, idsIn, observed, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { Pair, PairMember } from '../../../../test/rig/postgres-pair.ts';
import { initPrimary } from '../../../../test/rig/postgres.ts';
import { rewindMarker } from './cluster.ts';
import { resolveOptions } from './options.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const rejoin = (member: PairMember, source: PairMember, at: number, preserve = false) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve }, soon(60_000));
const promote = (member: PairMember, at: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon());
/** Within the random bytes for authentication: only the checksum notices. */
const PG_CONTROL_NONCE_OFFSET = 280;
/** No log is held back, so a few segments later the old ones are gone. */
const FORGETFUL = { settings: { wal_keep_size: '0', max_wal_size: '32MB', min_wal_size: '32MB' } };

async function insert(member: PairMember, rows: number): Promise<string[]> {
  const client = await member.client();
  const { rows: found } = await client.query<{ id: string }>(
    `INSERT INTO counter (write_id, region) SELECT gen_random_uuid(), $1 FROM generate_series(1, $2) RETURNING id`,
    [member.region, rows],
  );
  await client.end();
  return found.map((row) => String(row.id));
}

async function ids(member: PairMember): Promise<string[]> {
  const client = await member.client();
  const found = await idsIn(client);
  await client.end();
  return found;
}

/** Fills the log of a primary until the segments of `before` are recycled. */
async function forgetLog(member: PairMember): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await insert(member, 90_000);
    expectOk(await member.database.prewarm(soon(60_000)));
  }
}

/** `one` wrote rows that `two`, the new primary at epoch 2, does not have. Both know `kept`. `one` was killed. */
async function diverge({ one, two }: Pair): Promise<{ kept: string[]; lost: string[] }> {
  const kept = await insert(one, 3);
  const { lsn } = await one.database.observe(soon());
  await observed(two, 'the rows to arrive', (seen) => (lsnDiffBytes(seen.replayLsn, lsn) ?? -1) >= 0);
  await two.kill();
  const lost = await insert(one, 5);
  await one.kill();
  expectOk(await promote(two, 2));
  return { kept, lost };
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
  t.same(await ids(one), await ids(two));
});

test('when the log for a rewind is gone a base backup is taken, and the divergent cluster is kept, one only', async (t) => {
  const pair = await startPair({ synchronous: false, changes: FORGETFUL });
  t.teardown(pair.close);
  const { one, two } = pair;
  const { kept: common } = await diverge(pair);
  await forgetLog(two);
  const report = expectOk(await rejoin(one, two, 2));
  t.match(report, { method: 'base-backup', keptAt: `${one.options.dataDir}.diverged-2` });
  t.ok(report.discarded, 'what was lost is named');
  t.ok((await readdir(report.keptAt ?? '')).includes('PG_VERSION'));
  const there = await ids(one);
  t.same(there, await ids(two));
  t.ok(common.every((id) => there.includes(id)));

  await one.kill();
  await rm(join(one.options.dataDir, 'standby.signal'));
  expectOk(await promote(one, 3));
  await insert(one, 2);
  await one.kill();
  await forgetLog(two);
  expectOk(await promote(two, 4));
  t.equal(expectOk(await rejoin(one, two, 4)).keptAt, `${one.options.dataDir}.diverged-4`);
  const kept = (await readdir(dirname(one.options.dataDir))).filter((name) => name.includes('.diverged-'));
  t.same(kept, [`${basename(one.options.dataDir)}.diverged-4`]);
});

test('a standby that fell too far behind is copied anew, and nothing is kept of it', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false, changes: FORGETFUL });
  t.teardown(close);
  await two.kill();
  await forgetLog(one);
  t.same(expectOk(await rejoin(two, one, 1)), { method: 'base-backup', discarded: null, keptAt: null });
  t.same((await readdir(dirname(two.options.dataDir))).filter((name) => /diverged|replaced|incoming/.test(name)), []);
  t.same(await ids(one), await ids(two));
});

test('a rewind that was cut off leaves no cluster: nothing starts it, and a base backup replaces it', async (t) => {
  const pair = await startPair({ synchronous: false });
  t.teardown(pair.close);
  const { one, two } = pair;
  await diverge(pair);
  await writeFile(rewindMarker(resolveOptions(one.options)), '');
  t.match(await one.database.observe(soon()), { role: 'down', shape: 'empty' });
  t.equal(code(await promote(one, 3)), 'CTM_DATABASE_EMPTY');
  t.match(expectOk(await rejoin(one, two, 3)), { method: 'base-backup', keptAt: /diverged-3$/ });
  t.match(await one.database.observe(soon()), { role: 'standby', shape: 'standby' });
});

test('a base backup that was cut off is begun anew, also between the two renames', async (t) => {
  const { one, two, close } = await createPair();
  t.teardown(close);
  expectOk(await promote(one, 1));
  const incoming = `${two.options.dataDir}.incoming`;
  await mkdir(incoming);
  await writeFile(join(incoming, 'PG_VERSION'), '15\n');
  t.equal((await two.database.observe(soon())).shape, 'empty');
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'base-backup');
  await two.kill();
  await rename(two.options.dataDir, incoming);
  t.equal((await two.database.observe(soon())).shape, 'empty');
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'base-backup');
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
  t.same(await ids(one), await ids(two));
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

test('a cluster that cannot come up any more is copied anew; a wrong setting is no reason to', async (t) => {
  const pair = await startPair({ synchronous: false });
  t.teardown(pair.close);
  const { one, two } = pair;
  await diverge(pair);
  await rejoin(one, two, 2);
  await one.kill();
  const misconfigured = one.again({ settings: { no_such_setting: '1' } });
  const refused = await misconfigured.rejoin({ epoch: epoch(2), source: two.address, preserve: false }, soon());
  t.equal(code(refused), 'CTM_DATABASE_START_FAILED');
  t.match(refused, { failure: { message: /no_such_setting/ } });
  t.notOk((await readdir(dirname(one.options.dataDir))).some((name) => name.includes('diverged')), 'nothing was replaced');

  await truncate(join(one.options.dataDir, 'global', 'pg_control'), 0);
  const corrupt = await rejoin(one, two, 2);
  t.equal(code(corrupt), 'CTM_DATABASE_TOOL_FAILED', 'whose cluster that is cannot be told, so it is left alone');
  await rm(join(one.options.dataDir, 'global', 'pg_control'));
  t.equal(expectOk(await rejoin(one, two, 2)).method, 'base-backup');

  await one.kill();
  const log = join(one.options.dataDir, 'pg_wal');
  for (const name of await readdir(log)) if (/^[0-9A-F]{24}$/.test(name)) await rm(join(log, name));
  t.equal(expectOk(await rejoin(one, two, 2)).method, 'start', 'its log is lost, but the source still has it');

  await one.kill();
  const file = await open(join(one.options.dataDir, 'global', 'pg_control'), 'r+');
  await file.write(Buffer.from([0x5a, 0xa5]), 0, 2, PG_CONTROL_NONCE_OFFSET);
  await file.close();
  t.equal(expectOk(await rejoin(one, two, 2)).method, 'base-backup', 'its control file is damaged');
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
