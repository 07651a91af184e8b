// A controller that is killed leaves its tools behind, and they write by path: none may reach what the next one builds.

import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import type { Test } from 'tap';
import { createPair, diverge, expectOk, sameRows, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { Pair, PairMember } from '../../../../test/rig/postgres-pair.ts';
import { adopt, signalAll, start, waitFor } from '../../../../test/rig/process.ts';
import { rewindMarker } from './cluster.ts';
import { exists } from './files.ts';
import { leftoverTools } from './leftover-tools.ts';
import { resolveOptions } from './options.ts';

const leftovers = (member: PairMember) => leftoverTools(resolveOptions(member.options));
const rejoin = (member: PairMember, source: PairMember, at: number) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve: false }, soon(60_000));

/** A folder of PostgreSQL's programs in which `name` is preceded by `lines` of shell; "$tool" is the real one. */
async function binDirWith(pair: Pair, member: PairMember, name: string, lines: string): Promise<string> {
  const folder = join(pair.folder, `bin-${name}`);
  await mkdir(folder, { mode: 0o755 });
  await chmod(folder, 0o755);
  for (const program of await readdir(member.options.binDir)) {
    if (program !== name) await symlink(join(member.options.binDir, program), join(folder, program));
  }
  await writeFile(join(folder, name), `#!/bin/sh\ntool=${join(member.options.binDir, name)}\n${lines}\n`);
  await chmod(join(folder, name), 0o755);
  return folder;
}

/** Runs `rejoin` in a controller of its own, and kills that alone once `reached`. */
async function killedInRejoin(t: Test, pair: Pair, member: PairMember, source: PairMember, at: number, binDir: string, reached: () => Promise<boolean>) {
  t.teardown(adopt(() => leftovers(member).map(({ pid }) => pid)));
  const main = join(pair.folder, 'controller.ts');
  const adapter = new URL('./index.ts', import.meta.url).pathname;
  await writeFile(
    main,
    `import { createPostgresDatabase } from ${JSON.stringify(adapter)};
     const [options, request] = process.argv.slice(2).map((text) => JSON.parse(text));
     const result = await createPostgresDatabase(options).rejoin(request, AbortSignal.timeout(600_000));
     process.stdout.write(JSON.stringify(result) + '\\n');`,
  );
  const controller = await start({
    name: 'controller',
    command: process.execPath,
    args: [main, JSON.stringify({ ...member.options, binDir }), JSON.stringify({ epoch: at, source: source.address, preserve: false })],
    logFile: join(pair.folder, 'controller.log'),
  });
  await waitFor('the tool to be at work', async () => {
    if (!controller.running()) throw new Error(await readFile(controller.logFile, 'utf8'));
    return reached();
  });
  process.kill(controller.pid, 'SIGKILL');
  await controller.exited;
}

/** Enough for the copy to last until it is looked at. */
const SLOW_COPY = 'exec "$tool" --max-rate=256 "$@"';

const incoming = async (member: PairMember): Promise<string[]> => {
  const home = dirname(member.options.dataDir);
  return (await readdir(home)).filter((name) => name.startsWith(`${basename(member.options.dataDir)}.incoming`)).map((name) => join(home, name));
};

/** Both processes of pg_basebackup are at work, and some of the copy is there. */
async function isCopying(member: PairMember): Promise<boolean> {
  const [copy] = await incoming(member);
  return copy !== undefined && (await readdir(copy)).includes('pg_wal') && leftovers(member).length === 2;
}

test('a base backup that outlives its controller is ended before the next one begins', async (t) => {
  const pair = await createPair();
  t.teardown(pair.close);
  const { one, two } = pair;
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const binDir = await binDirWith(pair, two, 'pg_basebackup', SLOW_COPY);
  await killedInRejoin(t, pair, two, one, 1, binDir, () => isCopying(two));
  const old = leftovers(two).map(({ pid }) => pid);
  t.equal(old.length, 2, 'both of its processes go on');
  // So that it is not the missing folder that ends them.
  signalAll(old, 'SIGSTOP');
  const [oldCopy] = await incoming(two);
  t.equal(expectOk(await rejoin(two, one, 1)).method, 'base-backup');
  t.same(leftovers(two), []);
  t.same(await incoming(two), [], `${oldCopy} is gone`);
  await sameRows(one, two);
});

test('a base backup that was cut off in time leaves no second process', async (t) => {
  const pair = await createPair();
  t.teardown(pair.close);
  const { one, two } = pair;
  t.teardown(adopt(() => leftovers(two).map(({ pid }) => pid)));
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const slow = two.again({ binDir: await binDirWith(pair, two, 'pg_basebackup', SLOW_COPY) });
  const cut = new AbortController();
  const call = slow.rejoin({ epoch: epoch(1), source: one.address, preserve: false }, cut.signal);
  await waitFor('the copy to be under way', () => isCopying(two));
  cut.abort();
  t.match(await call, { failure: { code: 'CTM_DATABASE_TIMEOUT' } });
  await waitFor('both processes to be gone', () => leftovers(two).length === 0);
});

test('a rewind that outlives its controller is ended before anything takes the place of its directory', async (t) => {
  const pair = await startPair({ synchronous: false });
  t.teardown(pair.close);
  const { one, two } = pair;
  await diverge(pair);
  const binDir = await binDirWith(pair, one, 'pg_rewind', 'kill -STOP $$\nexec "$tool" "$@"');
  const marker = rewindMarker(resolveOptions(one.options));
  await killedInRejoin(t, pair, one, two, 2, binDir, async () => (await exists(marker)) && leftovers(one).some(({ state }) => state === 'T'));
  t.equal(leftovers(one).length, 1, 'it is only paused');
  t.equal(expectOk(await rejoin(one, two, 2)).method, 'base-backup');
  t.same(leftovers(one), []);
  await sameRows(one, two);
});
