// Makes and starts the servers of a pair with `postgres` alone. PostgreSQL 18 comes here without pg_basebackup and
// pg_controldata, which the product's own adapter needs; the log and what is seen of it do not depend on who started them.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { basename, join } from 'node:path';
import type pg from 'pg';
import { markStandby } from '../../packages/adapters/src/postgres/cluster.ts';
import { resolveOptions } from '../../packages/adapters/src/postgres/options.ts';
import { ensureRunning } from '../../packages/adapters/src/postgres/postmaster.ts';
import { peerConnection, writeFileSettings } from '../../packages/adapters/src/postgres/server-settings.ts';
import { soon } from './postgres-pair.ts';
import type { PairMember } from './postgres-pair.ts';

/** What the copied server writes anew, or must not share with its source. */
const NOT_COPIED = new Set(['postmaster.pid', 'postmaster.opts', 'pg_wal', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans', 'pgsql_tmp']);
const EMPTY = ['pg_wal', 'pg_wal/archive_status', 'pg_wal/summaries', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'];

/** Returns when the server of this member takes connections. */
export async function startServer({ options }: PairMember): Promise<void> {
  await ensureRunning(resolveOptions(options), soon());
}

/** Copies the running `from` to `to`, as a standby that streams through `source`; `superuser` is a connection to `from`. */
export async function copyStandby(from: PairMember, to: PairMember, source: { readonly host: string; readonly port: number }, superuser: pg.Client): Promise<void> {
  const { dataDir, runAs } = to.options;
  await superuser.query(`SELECT pg_backup_start('rig', true)`);
  cpSync(from.options.dataDir, dataDir, { recursive: true, filter: (file) => !NOT_COPIED.has(basename(file)) });
  for (const folder of EMPTY) mkdirSync(join(dataDir, folder), { recursive: true, mode: 0o700 });
  const { rows } = await superuser.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
  writeFileSync(join(dataDir, 'backup_label'), rows[0]?.labelfile ?? '');
  if (runAs !== null) execFileSync('chown', ['-R', `${runAs.uid}:${runAs.gid}`, dataDir]);
  const context = resolveOptions(to.options);
  await writeFileSettings(context, dataDir, { primary_conninfo: peerConnection(context, source, {}), synchronous_standby_names: '' });
  await markStandby(context, dataDir);
}
