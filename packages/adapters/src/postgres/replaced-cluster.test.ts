// What a new copy replaces: kept when it may hold what nobody else has, and never lost to a later copy.

import { watch } from 'node:fs';
import { lstat, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import { diverge, expectOk, soon, startPair } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { rewindMarker } from './cluster.ts';
import { resolveOptions } from './options.ts';

const code = (result: { ok: boolean; failure?: { code: string } }): string => result.failure?.code ?? 'ok';
const rejoin = (member: PairMember, source: PairMember, at: number) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve: false }, soon(60_000));
const promote = (member: PairMember, at: number) =>
  member.database.promote({ epoch: epoch(at), region: member.region, token: null }, soon());

test('a rewind that was cut off leaves no cluster: nothing starts it, and a base backup replaces it', async (t) => {
  const pair = await startPair({ synchronous: false });
  t.teardown(pair.close);
  const { one, two } = pair;
  await diverge(pair);
  await writeFile(rewindMarker(resolveOptions(one.options)), '');
  t.match(await one.database.observe(soon()), { role: 'down', shape: 'empty' });
  t.equal(code(await promote(one, 3)), 'CTM_DATABASE_EMPTY');
  const { dataDir } = one.options;
  const [data, marker] = [basename(dataDir), basename(rewindMarker(resolveOptions(one.options)))];
  const changed: (string | null)[] = [];
  const watcher = watch(dirname(dataDir), (kind, name) => kind === 'rename' && changed.push(name));
  t.teardown(() => watcher.close());
  expectOk(await promote(two, 3));
  t.match(expectOk(await rejoin(one, two, 3)), { method: 'base-backup', keptAt: `${dataDir}.diverged-3` });
  t.match(await one.database.observe(soon()), { role: 'standby', shape: 'standby' });
  const steps = changed.filter((name) => name === data || name === marker);
  t.same(steps, [data, marker, data], 'the mark goes after the old cluster and before the new copy, which it would belie');
});

test('what is kept of a divergent cluster never makes room for a copy, or for what is no cluster', async (t) => {
  const pair = await startPair({ synchronous: false });
  t.teardown(pair.close);
  const { one, two } = pair;
  await diverge(pair);
  const { dataDir } = one.options;
  const marker = rewindMarker(resolveOptions(one.options));
  await writeFile(marker, '');
  const { ino } = await lstat(dataDir);
  expectOk(await promote(two, 3));
  t.equal(expectOk(await rejoin(one, two, 3)).keptAt, `${dataDir}.diverged-3`);

  await one.kill();
  await writeFile(marker, '');
  t.equal(expectOk(await rejoin(one, two, 3)).keptAt, `${dataDir}.set-aside`, 'within one epoch the first counts');
  t.equal((await lstat(`${dataDir}.diverged-3`)).ino, ino);

  await one.kill();
  await rm(join(dataDir, 'global', 'pg_control'));
  expectOk(await promote(two, 4));
  t.equal(expectOk(await rejoin(one, two, 4)).keptAt, `${dataDir}.set-aside`, 'nobody can tell what that was');
  t.equal((await lstat(`${dataDir}.diverged-3`)).ino, ino);
  t.same((await readdir(dirname(dataDir))).filter((name) => /diverged|set-aside|replaced/.test(name)).sort(), [
    `${basename(dataDir)}.diverged-3`,
    `${basename(dataDir)}.set-aside`,
  ]);
});
