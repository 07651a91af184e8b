// What the adapter is told once: where the cluster lives, who it runs as, and how it talks to itself and to its peers.

import { isAbsolute } from 'node:path';
import type { RegionId } from '@continuum/core';

export type PostgresOptions = {
  readonly region: RegionId;
  /** Folder with postgres, psql, pg_basebackup, pg_rewind, pg_controldata, pg_waldump (PostgreSQL 15 or newer). */
  readonly binDir: string;
  /** Merged into the environment of every one of them, for example LD_LIBRARY_PATH. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * The data directory. Its parent must be writable: the accepted epoch, a base backup under way and a divergent cluster that
   * was kept stand beside it (`<dataDir>.epoch`, `.rewinding`, `.incoming-*`, `.diverged-<epoch>`, `.set-aside`). Not a mount point itself.
   */
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Holds the schema `continuum`. Default `postgres`. */
  readonly database?: string;
  /** Default `continuum`; not a superuser (setup.ts lists what it may do). */
  readonly controlUser?: string;
  /** Default `continuum_replication`: streams, takes base backups, is the source of a rewind. */
  readonly replicationUser?: string;
  /** libpq password file, mode 0600, owned by the user that PostgreSQL runs as. The only place of a secret. */
  readonly passFile: string;
  /** As root: the unprivileged user that owns the data directory. Null: PostgreSQL runs as this process's user. */
  readonly runAs: { readonly uid: number; readonly gid: number } | null;
  /** What the server says. Rotated at a start past 32 MiB; while it runs, by you: logrotate with `copytruncate`. */
  readonly logFile: string;
  /** How soon a standby asks again for log that it could not get. Default 100. */
  readonly walRetrieveRetryIntervalMs?: number;
  /** A standby that heard nothing for so long reconnects. Default 5000. */
  readonly walReceiverTimeoutMs?: number;
  /** One attempt to connect. Default 2000. */
  readonly connectTimeoutMs?: number;
  /** Longest time `observe` takes, whatever its caller's signal. Default 1000. */
  readonly observeTimeoutMs?: number;
  /** Longest time a fast shutdown may take in `rejoin` before it becomes an immediate one. Default 5000. */
  readonly stopTimeoutMs?: number;
  /** More server settings, for the command line of this member only. */
  readonly settings?: Readonly<Record<string, string>>;
  /** More keys for the connection to a peer, for example `{ sslmode: 'verify-full', sslrootcert: '/etc/ca.pem' }`. */
  readonly peerConnection?: Readonly<Record<string, string>>;
};

/** The same with every default filled in. */
export type PostgresContext = Required<PostgresOptions>;

/** Throws one error that names every wrong option: a wrong configuration ends the process at start, not at failover. */
export function resolveOptions(options: PostgresOptions): PostgresContext {
  const context: PostgresContext = {
    database: 'postgres',
    controlUser: 'continuum',
    replicationUser: 'continuum_replication',
    walRetrieveRetryIntervalMs: 100,
    walReceiverTimeoutMs: 5_000,
    connectTimeoutMs: 2_000,
    observeTimeoutMs: 1_000,
    stopTimeoutMs: 5_000,
    settings: {},
    peerConnection: {},
    ...options,
  };
  const problems: string[] = [];
  for (const field of ['binDir', 'dataDir', 'passFile', 'logFile'] as const) {
    if (!isAbsolute(context[field])) problems.push(`${field} is "${context[field]}": give an absolute path`);
  }
  if (context.dataDir.endsWith('/')) problems.push(`dataDir is "${context.dataDir}": leave out the slash at its end`);
  if (!Number.isInteger(context.port) || context.port < 1 || context.port > 65_535) {
    problems.push(`port is ${context.port}: give a number from 1 to 65535`);
  }
  if (!isStandbyName(context.region)) {
    problems.push(`region is "${context.region}": it becomes an application_name; use 1 to 63 of A-Z a-z 0-9 . _ -`);
  }
  if (process.getuid?.() === 0 && (context.runAs === null || context.runAs.uid === 0)) {
    problems.push('runAs is missing: PostgreSQL does not run as root; name the unprivileged user that owns dataDir');
  }
  if (problems.length > 0) throw new Error(`PostgreSQL adapter options: ${problems.join('; ')}`);
  return context;
}

/** Names that can stand in `synchronous_standby_names`: `*` would match everybody, and the server replaces other signs. */
export const isStandbyName = (name: string): boolean => /^[A-Za-z0-9._-]{1,63}$/.test(name);
