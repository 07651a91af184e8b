// When only a new copy helps, and what a copy that was cut off leaves behind.

import { mkdir, open, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import { createPair, diverge, expectOk, FORGETFUL, forgetLog, insert, sameRows, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { startTcpProxy } from '../../../../test/rig/tcp-proxy.ts';

/** The refusal has some 100 bytes: while they come the walreceiver waits in its main loop, as one that streams does. */
const REFUSAL_BYTES_PER_SECOND = 4_000;
/** Within the random bytes for authentication: only the checksum notices. */
const PG_CONTROL_NONCE_OFFSET = 280;
const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const rejoin = (member: PairMember, source: PairMember, at: number, preserve = false) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve }, soon(60_000));
const promote = (member: PairMember, at: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon());

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
  const there = await sameRows(one, two);
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
  const farAway = await startTcpProxy(one.address);
  t.teardown(farAway.close);
  farAway.limit(REFUSAL_BYTES_PER_SECOND);
  expectOk(await two.database.rejoin({ epoch: epoch(1), source: { ...one.address, ...farAway }, preserve: true }, soon()));
  let connected = 0;
  for (let look = 0; look < 150; look++) {
    const { receiver } = await two.database.observe(soon());
    if (receiver?.source === `${farAway.host}:${farAway.port}`) connected++;
    if (receiver?.streaming === true) t.fail('a standby that the source refuses was taken for one that streams');
    await delay(10);
  }
  t.ok(connected > 0, 'it was connected, and seen so');
  t.same(expectOk(await rejoin(two, one, 1)), { method: 'base-backup', discarded: null, keptAt: null });
  t.same((await readdir(dirname(two.options.dataDir))).filter((name) => /diverged|replaced|incoming/.test(name)), []);
  await sameRows(one, two);
});

test('a base backup that was cut off is begun anew, also between the two renames', async (t) => {
  const { one, two, close } = await createPair();
  t.teardown(close);
  expectOk(await promote(one, 1));
  const incoming = `${two.options.dataDir}.incoming-Ab3dEf`;
  await mkdir(incoming);
  await writeFile(join(incoming, 'PG_VERSION'), '15\n');
  t.equal((await two.database.observe(soon())).shape, 'empty');
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'base-backup');
  await two.kill();
  await rename(two.options.dataDir, incoming);
  t.equal((await two.database.observe(soon())).shape, 'empty');
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'base-backup');
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
