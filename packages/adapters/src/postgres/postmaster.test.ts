// The server process: outlives its controller, is found again, is never mistaken for another, and says why it does not start.

import { spawnSync } from 'node:child_process';
import { chmod, chown, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import { createPair, expectOk, INSERT, observed, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { passwordOf, postmasterPid } from '../../../../test/rig/postgres.ts';
import { descendants, signalAll, start, waitFor } from '../../../../test/rig/process.ts';
import { resolveOptions } from './options.ts';
import { viewProcess } from './proc.ts';
import { createSession } from './session.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const promote = (member: PairMember, at: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon());

test('the server outlives the controller that started it, and the next one finds it', async (t) => {
  const { one, folder, close } = await createPair();
  t.teardown(close);
  const main = join(folder, 'controller.ts');
  const adapter = new URL('./index.ts', import.meta.url).pathname;
  await writeFile(
    main,
    `import { createPostgresDatabase } from ${JSON.stringify(adapter)};
     const database = createPostgresDatabase(JSON.parse(process.argv[2]));
     const result = await database.promote({ epoch: 1, region: 'r1', token: null }, AbortSignal.timeout(20_000));
     process.stdout.write(JSON.stringify(result) + '\\n');
     setInterval(() => {}, 1_000);`,
  );
  const controller = await start({
    name: 'controller',
    command: process.execPath,
    args: [main, JSON.stringify(one.options)],
    logFile: join(folder, 'controller.log'),
  });
  await waitFor('its promotion', async () => (await readFile(controller.logFile, 'utf8')).includes('"ok":true'));
  const pid = one.pid();
  process.kill(controller.pid, 'SIGKILL');
  await controller.exited;
  t.match(await one.database.observe(soon()), { role: 'primary', epoch: 1 });
  expectOk(await promote(one, 2));
  t.equal(one.pid(), pid, 'the same server');
});

test('a lock file whose pid belongs to somebody else neither looks like a server nor keeps one from starting', async (t) => {
  const { one, folder, close } = await createPair();
  t.teardown(close);
  expectOk(await promote(one, 1));
  await one.kill();
  const lock = join(one.options.dataDir, 'postmaster.pid');
  const left = (await readFile(lock, 'utf8')).split('\n');
  const { runAs } = one.options;
  const stranger = await start({
    name: 'stranger',
    command: 'sleep',
    args: ['600'],
    cwd: '/',
    logFile: join(folder, 'stranger.log'),
    ...(runAs === null ? {} : runAs),
  });
  t.teardown(() => stranger.stop());
  await writeFile(lock, [stranger.pid, ...left.slice(1)].join('\n'));
  t.match(await one.database.observe(soon()), { role: 'down' });
  t.equal(code(await promote(one, 2)), 'ok');
  t.ok(stranger.running(), 'who was not touched');
});

test('children of a killed postmaster delay a start, and do not prevent it', async (t) => {
  const { one, close } = await startPair({ synchronous: false });
  t.teardown(close);
  const client = await one.client();
  await client.query(INSERT, ['r1']);
  const slow = descendants(one.pid()).filter((pid) => viewProcess(pid)?.commandLine.startsWith('postgres: app ') === true);
  signalAll(slow, 'SIGSTOP');
  process.kill(one.pid(), 'SIGKILL');
  await waitFor('the postmaster to be gone', () => postmasterPid(one.options.dataDir) === null);
  t.equal((await one.database.observe(soon())).role, 'down');
  const starting = promote(one, 2);
  await waitFor('it to wait for them', async () => (await readFile(one.options.logFile, 'utf8')).includes('is still in use'));
  signalAll(slow, 'SIGCONT');
  t.equal(code(await starting), 'ok');
});

test('a port that is taken is named', async (t) => {
  const { one, close } = await createPair();
  t.teardown(close);
  const other = createServer().listen(one.options.port, one.options.host);
  await once(other, 'listening');
  t.teardown(() => other.close());
  const result = await promote(one, 1);
  t.equal(code(result), 'CTM_DATABASE_PORT_IN_USE');
  t.match(result, { failure: { message: new RegExp(`${one.options.host}:${one.options.port} is taken`) } });
});

test('a server that cannot start says why, in its own words', async (t) => {
  const { one, close } = await createPair();
  t.teardown(close);
  await chmod(one.options.dataDir, 0o777);
  t.match(await promote(one, 1), { failure: { code: 'CTM_DATABASE_START_FAILED', message: /invalid permissions.*0700/ } });
  await chmod(one.options.dataDir, 0o700);
  const missing = one.again({ binDir: '/nonexistent/bin' });
  t.match(await missing.promote({ epoch: epoch(1), region: one.region, token: null }, soon()), {
    failure: { code: 'CTM_DATABASE_START_FAILED', message: /cannot run postgres/ },
  });
  t.equal(code(await promote(one, 1)), 'ok');
});

test('a paused or silent server is unknown, never down and never lag 0', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  process.kill(one.pid(), 'SIGSTOP');
  const paused = await observed(one, 'the pause to be noticed', (seen) => seen.problem?.includes('paused') === true);
  t.match(paused, { role: 'unknown', shape: 'primary', lsn: null });
  process.kill(one.pid(), 'SIGCONT');
  await observed(one, 'the primary', (seen) => seen.role === 'primary');

  const mine = descendants(one.pid()).filter((pid) => viewProcess(pid)?.commandLine.startsWith('postgres: continuum ') === true);
  t.ok(mine.length > 0);
  signalAll(mine, 'SIGSTOP');
  t.match(await one.database.observe(soon(300)), { role: 'unknown', standbys: [], lsn: null, problem: 'no answer in time' });
  t.match(await one.database.observe(soon()), { role: 'primary', standbys: [{ replayLagBytes: Number }] }, 'a new connection is made');
  signalAll(mine, 'SIGCONT');

  const stranger = two.again({ database: 'app' });
  t.teardown(stranger.close);
  t.match(await stranger.observe(soon()), { role: 'unknown', problem: /pg_hba/ });
});

test('the server log does not grow without end', async (t) => {
  const { one, close } = await createPair();
  t.teardown(close);
  const { runAs, logFile } = one.options;
  await writeFile(logFile, '');
  await truncate(logFile, 33 * 1024 * 1024);
  if (runAs !== null) await chown(logFile, runAs.uid, runAs.gid);
  expectOk(await promote(one, 1));
  t.ok((await stat(logFile)).size < 1024 * 1024);
  t.equal((await stat(`${logFile}.1`)).size, 33 * 1024 * 1024);

  await truncate(logFile, 0);
  const client = await one.client();
  await client.query('SELECT no_such_column').catch(() => undefined);
  await client.end();
  await waitFor('the server to write on', async () => (await readFile(logFile, 'utf8')).includes('no_such_column'));
  t.notOk((await readFile(logFile, 'utf8')).includes('\0'), 'it appends, so logrotate may truncate the file under it');
});

test('the roles are no superusers, and their secrets are nowhere but in the password file', async (t) => {
  const { one, two, close } = await startPair({ synchronous: true });
  t.teardown(close);
  const session = createSession(resolveOptions(one.options), 'test');
  t.teardown(session.close);
  t.same(await session.query(soon(), `SELECT rolname FROM pg_roles WHERE rolname ~ '^(continuum|app)' AND (rolsuper OR rolcreaterole OR rolbypassrls)`), []);
  const secrets = ['continuum', 'continuum_replication', 'app'].map((user) => passwordOf(one.options.passFile, user));
  const commandLines = [one.pid(), two.pid()].flatMap((pid) => [pid, ...descendants(pid)]).map((pid) => viewProcess(pid)?.commandLine ?? '');
  const failures = [
    await two.database.rejoin({ epoch: epoch(1), source: { ...one.address, port: 1 }, preserve: false }, soon()),
    await one.again({ controlUser: 'nobody-here' }).promote({ epoch: epoch(1), region: one.region, token: null }, soon()),
  ];
  t.same(failures.map((failure) => failure.ok), [false, false]);
  const grep = spawnSync('grep', ['-rlF', '-e', secrets[0] ?? '', '-e', secrets[1] ?? '', one.options.dataDir, two.options.dataDir, one.options.logFile, two.options.logFile]);
  t.equal(grep.stdout.toString(), '', 'in no file of the cluster and in no log');
  for (const secret of secrets) {
    t.notOk(commandLines.some((line) => line.includes(secret)));
    t.notOk(JSON.stringify(failures).includes(secret));
  }
});
