// Demotion under faults: bounded, and past its deadline nobody can write, clean or not.

import { epoch } from '@continuum/core';
import { test } from 'tap';
import { expectOk, INSERT, observed, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { descendants, signalAll, waitFor } from '../../../../test/rig/process.ts';
import { viewProcess } from './proc.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const backendOf = (member: PairMember, user: string): number[] =>
  descendants(member.pid()).filter((pid) => viewProcess(pid)?.commandLine.startsWith(`postgres: ${user} `) === true);

test('a stuck session cannot hold up a demotion past its signal', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const client = await one.client();
  await client.query(INSERT, ['r1']);
  const stuck = backendOf(one, 'app');
  t.equal(stuck.length, 1);
  signalAll(stuck, 'SIGSTOP');
  const demotion = one.database.demote({ epoch: epoch(1) }, soon(1_500));
  const stopping = await observed(one, 'it to be on its way down', (seen) => seen.role === 'starting');
  t.type(stopping.problem, 'string', 'says why it does not answer');
  const result = await demotion;
  t.equal(code(result), 'CTM_DATABASE_TIMEOUT');
  t.match(result, { failure: { message: /immediate/ } });
  await t.rejects(one.client(), 'nobody gets in any more');

  await waitFor('PostgreSQL to kill the stuck one itself', async () => (await one.database.observe(soon())).role === 'down', { timeoutMs: 20_000 });
  t.equal(code(await one.database.demote({ epoch: epoch(1) }, soon())), 'CTM_DATABASE_NOT_CLEAN');
  expectOk(await two.database.promote({ epoch: epoch(2), region: two.region, token: null }, soon()));
  t.equal((await (await two.client()).query('SELECT FROM counter')).rowCount, 1);
});

test('a standby that hangs cannot hold up a demotion past its signal', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const frozen = [two.pid(), ...descendants(two.pid())];
  signalAll(frozen, 'SIGSTOP');
  const result = await one.database.demote({ epoch: epoch(1) }, soon(500));
  signalAll(frozen, 'SIGCONT');
  t.equal(code(result), 'CTM_DATABASE_TIMEOUT');
  t.equal((await one.database.observe(soon())).role, 'down');
});

test('a primary that cannot be asked is stopped all the same', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const blind = one.again({ passFile: '/nonexistent/passwords' });
  t.match(await blind.observe(soon()), { role: 'unknown', problem: /passwords/ });
  const token = expectOk(await blind.demote({ epoch: epoch(1) }, soon()));
  t.equal((await one.database.observe(soon())).role, 'down');
  t.equal(code(await blind.demote({ epoch: epoch(0) }, soon())), 'CTM_EPOCH_STALE');
  expectOk(await two.database.promote({ epoch: epoch(2), region: two.region, token }, soon()));
});

test('a session that waits for a lost standby does not keep the primary from stopping', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const client = await one.client();
  await two.kill();
  const waiting = client.query(INSERT, ['r1']);
  const ended = t.rejects(waiting, 'never acknowledged');
  await waitFor('the commit to wait', async () => (await one.database.observe(soon())).standbys.length === 0);
  expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  await ended;
});
