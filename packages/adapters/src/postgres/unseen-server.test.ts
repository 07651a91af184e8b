// A controller that may not look at its server's process: root in a container without CAP_SYS_PTRACE, which the container runtimes
// do not give. What it cannot see may run; it is never taken for a server that is down.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { createPair, expectOk, soon } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { start } from '../../../../test/rig/process.ts';
import { epoch } from '@continuum/core';

const ADAPTER = new URL('./index.ts', import.meta.url).href;
const SCRIPT = `import { createPostgresDatabase } from '${ADAPTER}';
const [options, at] = JSON.parse(process.argv[1]);
const database = createPostgresDatabase(options);
const seen = await database.observe(AbortSignal.timeout(20_000));
const promoted = await database.promote({ epoch: at, region: options.region, token: null }, AbortSignal.timeout(20_000));
process.stdout.write(JSON.stringify({ seen, promoted }));
database.close();`;

const skip = process.getuid?.() !== 0 && 'only root can drop a capability';

const WITHOUT_SIGHT = ['setpriv', '--bounding-set=-sys_ptrace'];
/** As where /proc is mounted with `hidepid`: not even that the process exists. */
const WITHOUT_PROC = ['unshare', '--mount', 'sh', '-c', 'mount -t proc -o hidepid=2,gid=65533 proc /proc && exec "$@"', 'sh', ...WITHOUT_SIGHT];

const skipProc = skip || (spawnSync('unshare', WITHOUT_PROC.slice(1, 5).concat('sh', 'true')).status !== 0 && 'nobody may mount anything here');

/** Looks and promotes as root without CAP_SYS_PTRACE. */
async function blindly({ options }: PairMember, at: number, [command = '', ...words] = WITHOUT_SIGHT): Promise<{ seen: { role: string; problem: string | null }; promoted: object }> {
  const child = spawn(command, [...words, process.execPath, '--input-type=module', '-e', SCRIPT, JSON.stringify([options, at])], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  await once(child, 'close');
  return JSON.parse(said);
}

test('a server that runs is found, and not started a second time', { skip }, async (t) => {
  const { one, close } = await createPair();
  t.teardown(close);
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const pid = one.pid();
  t.match(await blindly(one, 2), { seen: { role: 'primary' }, promoted: { ok: true } });
  t.equal(one.pid(), pid);
});

test('a server that may be of another directory is in the way, and told; a stranger is not', { skip }, async (t) => {
  const { one, folder, close } = await createPair();
  t.teardown(close);
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const lock = join(one.options.dataDir, 'postmaster.pid');
  const rest = readFileSync(lock, 'utf8').split('\n').slice(1);
  await one.kill();
  symlinkSync('/bin/sleep', join(folder, 'postgres'));
  const begin = (command: string, name: string) => start({ name, command, args: ['600'], cwd: '/', logFile: join(folder, `${name}.log`), ...one.options.runAs });
  const server = await begin(join(folder, 'postgres'), 'server');
  t.teardown(() => server.stop());
  const left = [server.pid, ...rest].join('\n');
  writeFileSync(lock, left);
  const { seen, promoted } = await blindly(one, 2);
  t.match(seen, { role: 'unknown', problem: new RegExp(`process ${server.pid}, which .*postmaster\\.pid names, may be the server .*CAP_SYS_PTRACE`) });
  t.match(promoted, { ok: false, failure: { code: 'CTM_DATABASE_SERVER_UNSEEN' } });
  t.equal(readFileSync(lock, 'utf8'), left, 'and its lock file is left alone');
  await server.stop();
  const stranger = await begin('/bin/sleep', 'stranger');
  t.teardown(() => stranger.stop());
  writeFileSync(lock, [stranger.pid, ...rest].join('\n'));
  t.match(await blindly(one, 2), { seen: { role: 'down' }, promoted: { ok: true } });
});

test('a server that /proc does not even show is not down either', { skip: skipProc }, async (t) => {
  const { one, close } = await createPair();
  t.teardown(close);
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const pid = one.pid();
  const { seen, promoted } = await blindly(one, 2, WITHOUT_PROC);
  t.match(seen, { role: 'unknown', problem: /may be the server/ });
  t.match(promoted, { ok: false, failure: { code: 'CTM_DATABASE_SERVER_UNSEEN' } });
  t.equal(one.pid(), pid, 'it and its lock file are as they were');
});
