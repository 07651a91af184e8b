// A real pair with a role for the prober, and a way between the two that a test can cut, slow down or freeze.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { epoch } from '@continuum/core';
import { scramVerifier } from '@continuum/adapters/postgres/index';
import type { PostgresOptions } from '@continuum/adapters/postgres/index';
import { createPostgresProbe, probeSetupStatements } from '@continuum/adapters/postgres-probe/index';
import type { PostgresProbe, ProbeOptions } from '@continuum/adapters/postgres-probe/index';
import { createPair, expectOk, soon } from './postgres-pair.ts';
import type { Pair, PairMember } from './postgres-pair.ts';
import { runSql } from './postgres.ts';
import { descendants } from './process.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import type { TcpProxy } from './tcp-proxy.ts';

export const PROBER_USER = 'continuum_prober';
/** For what a test does to a server; the product never has one like it. */
const ADMIN_USER = 'rig_admin';
const ADMIN_PASSWORD = 'admin-secret';

export type LagPair = Pair & {
  /** Where the log flows: `two`'s walreceiver connects through it. */
  readonly link: TcpProxy;
  readonly probeOptions: (member: PairMember) => ProbeOptions;
  readonly probe: (member: PairMember) => PostgresProbe;
  /** One statement as superuser. */
  readonly admin: (member: PairMember, sql: string) => Promise<void>;
};

export type LagPairOptions = {
  readonly synchronous?: boolean;
  readonly canary?: boolean;
  readonly changes?: Partial<PostgresOptions>;
  /** Before the first start, for example to add certificates. */
  readonly prepare?: (pair: Pair) => void;
  /** Lines of pg_hba.conf for the prober instead of passwords in clear on loopback. */
  readonly hba?: string;
};

/** `one` is the primary at epoch 1, `two` streams from it through `link`. */
export async function startLagPair(options: LagPairOptions = {}): Promise<LagPair> {
  const pair = await createPair(options.changes);
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
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  const source = { region: one.region, host: link.host, port: link.port };
  expectOk(await two.database.rejoin({ epoch: epoch(1), source, preserve: false }, soon()));
  if (options.synchronous === true) {
    expectOk(await one.database.setSynchronous({ epoch: epoch(1), standbys: [two.region] }, soon()));
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
    admin: async (member, sql) => {
      const { host, port } = member.options;
      const client = new pg.Client({ host, port, user: ADMIN_USER, password: ADMIN_PASSWORD, database: 'postgres' });
      await client.connect();
      try {
        await client.query(sql);
      } finally {
        await client.end();
      }
    },
    close: async () => {
      for (const probe of probes) probe.close();
      await pair.close();
      await link.close();
    },
  };
}

/** A new password for the prober in the password file. */
export function rotatePassFile(passFile: string, password: string): void {
  const lines = readFileSync(passFile, 'utf8').split('\n').filter((line) => line !== '' && !line.includes(`:${PROBER_USER}:`));
  writeFileSync(passFile, `${[...lines, `*:*:*:${PROBER_USER}:${password}`].join('\n')}\n`);
}

/** The pids of a server's processes whose title says `what`, for example `walreceiver`. */
export function processesOf(member: PairMember, what: string): number[] {
  return descendants(member.pid()).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(what));
}
