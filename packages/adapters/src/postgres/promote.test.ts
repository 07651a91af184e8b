// Promotion under faults: it ends in time, never hangs on a dead standby, and never serves under an epoch of the past.

import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { epoch, lsn } from '@continuum/core';
import type { DemotionToken } from '@continuum/core';
import { test } from 'tap';
import { expectOk, INSERT, observed, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { descendants, signalAll, waitFor } from '../../../../test/rig/process.ts';
import { exists } from './files.ts';
import { resolveOptions } from './options.ts';
import { viewProcess } from './proc.ts';
import { createSession } from './session.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const promote = (member: PairMember, at: number, timeoutMs?: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon(timeoutMs));

/** Pids of this server's processes of one kind. */
const processes = (member: PairMember, kind: string): number[] =>
  descendants(member.pid()).filter((pid) => viewProcess(pid)?.commandLine.startsWith(`postgres: ${kind}`) === true);

const control = (member: PairMember) => createSession(resolveOptions(member.options), 'test');

test('a promotion that hangs ends with its signal, says where it was, and can be repeated', async (t) => {
  const { two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const startup = processes(two, 'startup');
  signalAll(startup, 'SIGSTOP');
  const hung = await promote(two, 2, 400);
  signalAll(startup, 'SIGCONT');
  t.equal(code(hung), 'CTM_DATABASE_TIMEOUT');
  t.match(hung, { failure: { message: /waiting for recovery to end .*may still complete/ } });
  t.equal(code(await promote(two, 2)), 'ok');
  t.match(await two.database.observe(soon()), { role: 'primary', epoch: 2 });
});

test('log that arrives last and carries a higher epoch stops the server that was just promoted', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const startup = processes(two, 'startup');
  signalAll(startup, 'SIGSTOP');
  expectOk(await promote(one, 9));
  const session = control(two);
  const received = (await one.database.observe(soon())).lsn;
  await waitFor('the log to arrive', async () => {
    const [row] = await session.query(soon(), 'SELECT pg_last_wal_receive_lsn() >= $1::pg_lsn AS here', [received]);
    return row?.['here'] === true;
  });
  session.close();
  const late = promote(two, 3);
  await waitFor('the promotion to be asked for', () => exists(join(two.options.dataDir, 'promote')));
  signalAll(startup, 'SIGCONT');
  t.equal(code(await late), 'CTM_EPOCH_STALE');
  t.equal((await two.database.observe(soon())).role, 'down');
});

test('a member whose own configuration waits for a standby accepts commits once promoted', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const session = control(two);
  await session.query(soon(), `ALTER SYSTEM SET synchronous_standby_names = 'r1'`);
  await session.query(soon(), 'SELECT pg_reload_conf()');
  session.close();
  await one.kill();
  expectOk(await promote(two, 2));
  const client = await two.client();
  t.equal((await client.query(INSERT, ['r2'])).rowCount, 1, 'it does not wait for the dead one');

  await two.kill();
  await appendFile(join(two.options.dataDir, 'postgresql.auto.conf'), `synchronous_standby_names = 'FIRST 1 ("r1")'\n`);
  expectOk(await promote(two, 2));
  t.equal((await (await two.client()).query(INSERT, ['r2'])).rowCount, 1, 'nor after a crash, under the same epoch');
});

test('a name that a cut-off call left in the file does not come into force later', async (t) => {
  const { one, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const session = control(one);
  t.teardown(session.close);
  await session.query(soon(), `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
  expectOk(await one.database.setSynchronous({ epoch: epoch(1), standbys: [] }, soon()));
  await session.query(soon(), 'SELECT pg_reload_conf()');
  t.match(await readFile(join(one.options.dataDir, 'postgresql.auto.conf'), 'utf8'), /synchronous_standby_names = ''/);
  const client = await one.client();
  t.equal((await client.query(INSERT, ['r1'])).rowCount, 1);
});

test('a promotion cut off before it recorded its epoch is completed under the same token, and only under that', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  const session = control(two);
  t.teardown(session.close);
  await session.query(soon(), 'SELECT pg_promote(true)');
  const request = { epoch: epoch(2), region: two.region };
  const wrong = await two.database.promote({ ...request, token: { ...token, timeline: token.timeline + 1 } }, soon());
  t.equal(code(wrong), 'CTM_DATABASE_TOKEN_MISMATCH');
  t.match(await two.database.observe(soon()), { epoch: 2, recordedEpoch: 1 }, 'the attempt was accepted as the newest, and is no promotion');
  t.equal(code(await two.database.promote({ ...request, token }, soon())), 'ok');

  await two.kill();
  const later = { epoch: epoch(3), region: two.region };
  t.equal(code(await two.database.promote({ ...later, token }, soon())), 'ok', 'its history file says that it branched off there');
});

test('a primary that crashed before its first checkpoint is asked where it branched off, for its control file does not know yet', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  // Its checkpointer stands still: what it does next is in the log alone.
  const checkpointer = processes(two, 'checkpointer');
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  signalAll(checkpointer, 'SIGSTOP');
  const session = control(two);
  t.teardown(session.close);
  await session.query(soon(), 'SELECT pg_promote(true)');
  await two.kill();
  const asked = (at: number, changes: Partial<DemotionToken> = {}) =>
    two.database.promote({ epoch: epoch(at), region: two.region, token: { ...token, ...changes } }, soon());
  t.equal(code(await asked(2, { checkpointLsn: lsn('0/1000028') })), 'CTM_DATABASE_TOKEN_MISMATCH', 'another history');
  t.match(await two.database.observe(soon()), { role: 'primary', epoch: 2, recordedEpoch: 1 }, 'it runs, and was not proved');
  await two.kill();
  t.equal(code(await asked(2)), 'ok');
});

test('a primary that crashed before its first checkpoint, and was made a standby, still says what it was promoted under', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const checkpointer = processes(two, 'checkpointer');
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  signalAll(checkpointer, 'SIGSTOP');
  t.equal(code(await two.database.promote({ epoch: epoch(2), region: two.region, token }, soon())), 'ok');
  await two.kill();
  t.match(await two.database.observe(soon()), { role: 'down', shape: 'primary', timeline: token.timeline + 1 }, 'its control file knows before it serves');
  await writeFile(join(two.options.dataDir, 'standby.signal'), '');
  t.match(await two.database.observe(soon()), { role: 'down', shape: 'standby', epoch: 2, timeline: token.timeline + 1 });
  t.equal(code(await two.database.promote({ epoch: epoch(2), region: two.region, token }, soon())), 'CTM_DATABASE_TOKEN_MISMATCH');
  t.match(await two.database.observe(soon()), { role: 'standby', epoch: 2, recordedEpoch: 2, timeline: token.timeline + 1 }, 'started to be asked, it stays up');
  t.equal(code(await two.database.promote({ epoch: epoch(2), region: two.region, token: null }, soon())), 'ok', 'it is the one that served');
});

test('what was proved under an epoch may have served since: started again under it, it needs no other proof', async (t) => {
  const { one, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const token = expectOk(await one.database.demote({ epoch: epoch(1) }, soon()));
  const giver = (at: number, changes: Partial<DemotionToken> = {}) =>
    one.database.promote({ epoch: epoch(at), region: one.region, token: { ...token, ...changes } }, soon());
  t.equal(code(await giver(2)), 'ok', 'the giver, given back its own');
  t.equal((await (await one.client()).query(INSERT, ['r1'])).rowCount, 1);
  await one.kill();
  t.equal(code(await giver(2)), 'ok', 'after a crash');
  t.equal(code(await giver(3)), 'ok', 'running, on the timeline of the token and past it');
  expectOk(await one.database.demote({ epoch: epoch(3) }, soon()));
  t.equal(code(await giver(4)), 'ok', 'stopped, on the timeline of the token and past it');
  t.equal(code(await giver(5, { checkpointLsn: lsn('F/0') })), 'CTM_DATABASE_TOKEN_MISMATCH', 'it never was there');
});

test('a standby that is down is started and promoted', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const client = await one.client();
  await client.query(INSERT, ['r1']);
  await Promise.all([one.kill(), two.kill()]);
  expectOk(await promote(two, 2));
  t.equal((await (await two.client()).query('SELECT FROM counter')).rowCount, 1);
});

test('the accepted epoch outlives a server that never recorded it in its table', async (t) => {
  const { two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const again = two.again();
  t.teardown(again.close);
  expectOk(await two.database.rejoin({ epoch: epoch(8), source: { region: two.region, host: '127.10.0.1', port: two.options.port }, preserve: true }, soon()));
  t.match(await again.observe(soon()), { role: 'standby', epoch: 8 });
  t.equal(code(await again.promote({ epoch: epoch(7), region: two.region, token: null }, soon())), 'CTM_EPOCH_STALE');
  await observed(two, 'the standby untouched', (seen) => seen.role === 'standby' && seen.receiver?.streaming === true);
});

test('an epoch that came with the log still counts when the standby is down', async (t) => {
  const { one, two, close } = await startPair({ synchronous: false });
  t.teardown(close);
  expectOk(await promote(one, 6));
  await observed(two, 'the record to arrive', (seen) => seen.epoch === 6);
  await two.kill();
  const again = two.again();
  t.teardown(again.close);
  t.match(await again.observe(soon()), { role: 'down', shape: 'standby', epoch: 6 });
  t.equal(code(await again.promote({ epoch: epoch(5), region: two.region, token: null }, soon())), 'CTM_EPOCH_STALE');
  t.equal((await again.observe(soon())).role, 'down', 'and is refused before anything is started');
});
