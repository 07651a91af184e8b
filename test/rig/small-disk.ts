// A server whose log is on a disk that is really full at some point: a tmpfs of a few megabytes, in a mount namespace that
// an ordinary user may make as well. Nothing outside sees the mount, and it goes with the server.

import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveOptions } from '../../packages/adapters/src/postgres/options.ts';
import { findPostmaster } from '../../packages/adapters/src/postgres/postmaster.ts';
import { commandLineSettings } from '../../packages/adapters/src/postgres/server-settings.ts';
import type { PairMember } from './postgres-pair.ts';
import { start, waitFor } from './process.ts';

/** $1 the log's folder, $2 a copy of it, $3 megabytes, $4 $5 user and group that PostgreSQL must not see as root, then its command. */
const MOUNT = 'mount -t tmpfs -o "size=$3m,mode=0700" tmpfs "$1" && cp -r "$2"/. "$1" && user=$4 group=$5 && shift 5 && exec unshare --user --map-user="$user" --map-group="$group" "$@"';

/** Starts the stopped server of this member with its log on a disk of so many megabytes. */
export async function startOnSmallDisk({ options }: PairMember, megabytes: number): Promise<void> {
  const context = resolveOptions(options);
  const { dataDir, runAs, logFile } = context;
  const [log, copy] = [join(dataDir, 'pg_wal'), `${dataDir}.wal`];
  cpSync(log, copy, { recursive: true });
  if (runAs !== null) execFileSync('chown', ['-R', `${runAs.uid}:${runAs.gid}`, copy]);
  const { uid, gid } = runAs ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const settings = Object.entries(commandLineSettings(context)).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = [join(context.binDir, 'postgres'), '-D', dataDir, ...settings];
  const started = await start({
    name: 'postgres on a small disk',
    command: 'unshare',
    args: ['--map-root-user', '--mount', 'sh', '-c', MOUNT, 'sh', log, copy, String(megabytes), String(uid), String(gid), ...server],
    env: { ...context.env, LC_ALL: 'C' },
    cwd: '/',
    logFile,
    ...(runAs === null ? {} : { uid, gid }),
  });
  const outcome = await waitFor('the server on the small disk', async () => {
    if (!started.running()) return 'ended';
    return (await findPostmaster(context))?.status === 'ready' && 'ready';
  });
  if (outcome === 'ready') return;
  throw new Error(
    `a disk of its own needs user namespaces (kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; ` +
      `in a container a seccomp profile that allows unshare and mount): ${readFileSync(logFile, 'utf8').slice(-500)}`,
  );
}
