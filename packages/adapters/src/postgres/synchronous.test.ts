// "In force for every session" means: from the moment that the call returned, no commit gets through without the standby.

import { epoch, regionId } from '@continuum/core';
import { test } from 'tap';
import { expectOk, INSERT, soon, startPair, stillWaits } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { descendants, signalAll, waitFor } from '../../../../test/rig/process.ts';
import { resolveOptions } from './options.ts';
import { viewProcess } from './proc.ts';
import { createSession } from './session.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const set = (member: PairMember, standbys: readonly string[], timeoutMs?: number) =>
  member.database.setSynchronous({ epoch: epoch(1), standbys: standbys.map(regionId) }, soon(timeoutMs));
const processes = (member: PairMember, kind: string): number[] =>
  descendants(member.pid()).filter((pid) => viewProcess(pid)?.commandLine.startsWith(`postgres: ${kind}`) === true);

test('once the call returned, commits of old sessions wait, too', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const old = await one.client();
  await old.query(INSERT, ['r1']);
  for (let round = 0; round < 3; round++) {
    expectOk(await set(one, ['r2']));
    const frozen = [two.pid(), ...descendants(two.pid())];
    signalAll(frozen, 'SIGSTOP');
    const commit = old.query(INSERT, ['r1']);
    t.ok(await stillWaits(commit), `round ${round}`);
    signalAll(frozen, 'SIGCONT');
    await commit;
    expectOk(await set(one, []));
  }
});

test('it is not believed before the checkpointer has put it in force', async (t) => {
  const { one, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const client = await one.client();
  const checkpointer = processes(one, 'checkpointer');
  t.equal(checkpointer.length, 1);
  signalAll(checkpointer, 'SIGSTOP');
  const early = await set(one, ['r2'], 1_000);
  t.equal(code(early), 'CTM_DATABASE_TIMEOUT', 'every view says "sync" by now');
  t.match(await one.database.observe(soon()), { standbys: [{ region: 'r2', syncState: 'sync' }], synchronous: ['r2'] });
  t.equal((await client.query(INSERT, ['r1'])).rowCount, 1, 'and yet commits do not wait');
  signalAll(checkpointer, 'SIGCONT');
  t.equal(code(await set(one, ['r2'])), 'ok');
});

test('it returns only when the standby has replayed what was committed before', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const startup = processes(two, 'startup');
  signalAll(startup, 'SIGSTOP');
  const client = await one.client();
  await client.query(INSERT, ['r1']);
  t.equal(code(await set(one, ['r2'], 800)), 'CTM_DATABASE_TIMEOUT');
  const commit = client.query(INSERT, ['r1']);
  t.ok(await stillWaits(commit), 'but commits wait already');
  signalAll(startup, 'SIGCONT');
  t.equal(code(await set(one, ['r2'])), 'ok');
  await commit;
  t.equal((await (await two.client()).query('SELECT FROM counter')).rowCount, 2);
});

test('calls that were cut off do not pile up connections that wait for ever', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const frozen = [two.pid(), ...descendants(two.pid())];
  signalAll(frozen, 'SIGSTOP');
  for (let round = 0; round < 3; round++) t.equal(code(await set(one, ['r2'], 500)), 'CTM_DATABASE_TIMEOUT');
  const session = createSession(resolveOptions(one.options), 'test');
  t.teardown(session.close);
  const [row] = await session.query(soon(), `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'continuum-canary'`);
  t.ok(Number(row?.['n']) <= 1, `${row?.['n']} canaries`);
  expectOk(await set(one, []));
  await waitFor('the last one to be gone', async () => {
    const [left] = await session.query(soon(), `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
    return left?.['n'] === 0;
  });
  signalAll(frozen, 'SIGCONT');
});

test('roles and databases that commit without the standby are listed', async (t) => {
  const { one, close } = await startPair({ synchronous: true });
  t.teardown(close);
  t.same(expectOk(await one.database.weakSettings(soon())), []);
  const client = await one.client();
  await client.query('ALTER ROLE app SET synchronous_commit = local');
  await client.query('ALTER DATABASE app SET synchronous_commit = off');
  t.same(expectOk(await one.database.weakSettings(soon())), [
    { role: 'app', database: null, value: 'local' },
    { role: null, database: 'app', value: 'off' },
  ]);
  await client.query('ALTER ROLE app SET synchronous_commit = remote_apply');
  t.equal(expectOk(await one.database.weakSettings(soon())).length, 1);

  const session = createSession(resolveOptions(one.options), 'test');
  t.teardown(session.close);
  await session.query(soon(), 'ALTER ROLE continuum SET synchronous_commit = on');
  const proof = one.again();
  t.teardown(proof.close);
  const refused = await proof.setSynchronous({ epoch: epoch(1), standbys: [regionId('r2')] }, soon());
  t.equal(code(refused), 'CTM_DATABASE_SETTING_WEAK', 'its own commits would prove nothing');
});
