// A real pair of either major version with a role for the prober, and a way between the two that a test can cut, slow down
// or freeze.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { scramVerifier } from '@continuum/adapters/postgres/index';
import type { PostgresOptions } from '@continuum/adapters/postgres/index';
import { createPostgresProbe, probeSetupStatements } from '@continuum/adapters/postgres-probe/index';
import type { PostgresProbe, ProbeOptions } from '@continuum/adapters/postgres-probe/index';
import { locate } from '../../scripts/parts.mjs';
import { createPair } from './postgres-pair.ts';
import type { Pair, PairMember } from './postgres-pair.ts';
import { runSql } from './postgres.ts';
import { descendants, waitFor } from './process.ts';
import { copyStandby, startServer } from './standby-copy.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import type { TcpProxy } from './tcp-proxy.ts';

export const PROBER_USER = 'continuum_prober';
/** For what a test does to a server; the product never has one like it. */
const ADMIN_USER = 'rig_admin';
const ADMIN_PASSWORD = 'admin-secret';

/** The oldest and the newest major version: what is seen of a server must mean the same on both. */
export type Major = 'postgres' | 'postgres-18';

export type LagPair = Pair & {
  /** Where the log flows: `two`'s walreceiver connects through it. */
  readonly link: TcpProxy;
  readonly probeOptions: (member: PairMember) => ProbeOptions;
  readonly probe: (member: PairMember) => PostgresProbe;
  /** One statement as superuser. */
  readonly admin: (member: PairMember, sql: string) => Promise<readonly Record<string, unknown>[]>;
  /** Starts this member's server again as what its directory says it is. */
  readonly start: (member: PairMember) => Promise<void>;
};

export type LagPairOptions = {
  /** Default the oldest. */
  readonly major?: Major;
  readonly synchronous?: boolean;
  readonly canary?: boolean;
  readonly changes?: Partial<PostgresOptions>;
  /** Before the first start, for example to add certificates. */
  readonly prepare?: (pair: Pair) => void;
  /** Lines of pg_hba.conf for the prober instead of passwords in clear on loopback. */
  readonly hba?: string;
};

/** `one` is the primary, `two` streams from it through `link`; commits wait for `two` when asked for. */
export async function startLagPair(options: LagPairOptions = {}): Promise<LagPair> {
  const { dir, env } = locate(options.major ?? 'postgres');
  const pair = await createPair({ binDir: dir, env, ...options.changes });
  const { one, two } = pair;
  const password = 'prober-secret';
  appendFileSync(one.options.passFile, `*:*:*:${PROBER_USER}:${password}\n`);
  appendFileSync(join(one.options.dataDir, 'pg_hba.conf'), options.hba ?? `host postgres ${PROBER_USER} 127.0.0.0/8 scram-sha-256\n`);
  const canary = options.canary ?? false;
  appendFileSync(join(one.options.dataDir, 'pg_hba.conf'), `host postgres ${ADMIN_USER} 127.0.0.0/8 scram-sha-256\n`);
  await runSql(one.options, 'postgres', [
    ...probeSetupStatements({ user: PROBER_USER, verifier: scramVerifier(password), canary }),
    `CREATE ROLE ${ADMIN_USER} SUPERUSER LOGIN PASSWORD '${scramVerifier(ADMIN_PASSWORD)}'`,
  ]);
  options.prepare?.(pair);
  const link = await startTcpProxy({ host: one.options.host, port: one.options.port });
  await startServer(one);
  await asAdmin(one, (client) => copyStandby(one, two, link, client));
  await startServer(two);
  const isStreaming = `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL`;
  await waitFor('the standby to stream', async () => (await admin(one, isStreaming)).length === 1);
  if (options.synchronous === true) {
    await admin(one, `ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ("${two.region}")'`);
    await admin(one, 'SELECT pg_reload_conf()');
    await waitFor('commits to wait', async () => (await admin(one, `SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'`)).length === 1);
    // A commit waits only once the checkpointer has read the setting, which no view shows: packages/adapters/src/postgres/synchronous.ts.
    for (let pass = 0; pass < 2; pass++) await admin(one, 'CHECKPOINT');
  }
  const probes: PostgresProbe[] = [];
  const probeOptions = (member: PairMember): ProbeOptions => ({
    host: member.options.host,
    port: member.options.port,
    database: 'postgres',
    user: PROBER_USER,
    passFile: member.options.passFile,
    tls: null,
    connectTimeoutMs: 1_000,
    statementTimeoutMs: 1_000,
    canary,
  });
  return {
    ...pair,
    link,
    probeOptions,
    probe: (member) => {
      const probe = createPostgresProbe(probeOptions(member));
      probes.push(probe);
      return probe;
    },
    admin,
    start: startServer,
    close: async () => {
      for (const probe of probes) probe.close();
      await pair.close();
      await link.close();
    },
  };
}

async function asAdmin<T>({ options: { host, port } }: PairMember, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ host, port, user: ADMIN_USER, password: ADMIN_PASSWORD, database: 'postgres' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const admin: LagPair['admin'] = (member, sql) => asAdmin(member, async (client) => (await client.query<Record<string, unknown>>(sql)).rows);

/** A new password for the prober in the password file. */
export function rotatePassFile(passFile: string, password: string): void {
  const lines = readFileSync(passFile, 'utf8').split('\n').filter((line) => line !== '' && !line.includes(`:${PROBER_USER}:`));
  writeFileSync(passFile, `${[...lines, `*:*:*:${PROBER_USER}:${password}`].join('\n')}\n`);
}

/** The pids of a server's processes whose title says `what`, for example `walreceiver`. */
export function processesOf(member: PairMember, what: string): number[] {
  return descendants(member.pid()).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(what));
}
