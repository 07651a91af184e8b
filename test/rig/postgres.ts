// A fresh PostgreSQL cluster for tests, the demo and the bench: roles with the least they need, the counter's table, and
// settings that a pair needs. No superuser can connect over the network: what needs one is done in single-user mode.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { scramVerifier, setupStatements } from '@continuum/adapters/postgres/index';
import type { PostgresOptions } from '@continuum/adapters/postgres/index';
import { locate, unprivilegedUser } from '../../scripts/parts.mjs';
import { COUNTER_SCHEMA } from './counter-schema.ts';
import { descendants, signalAll, waitFor } from './process.ts';

export const CONTROL_USER = 'continuum';
export const REPLICATION_USER = 'continuum_replication';
export const APP_USER = 'app';
export const APP_DATABASE = 'app';

/** Small on purpose: two of these, and everything else, share a small machine. */
export const SERVER_SETTINGS = {
  wal_level: 'replica',
  hot_standby: 'on',
  synchronous_commit: 'remote_apply',
  wal_log_hints: 'on',
  wal_keep_size: '128MB',
  max_wal_senders: '8',
  max_connections: '60',
  shared_buffers: '32MB',
  max_wal_size: '256MB',
  wal_sender_timeout: '5s',
  wal_receiver_status_interval: '1s',
  wal_retrieve_retry_interval: '100ms',
  restart_after_crash: 'on',
  password_encryption: 'scram-sha-256',
  log_line_prefix: '%m [%p] ',
  log_checkpoints: 'off',
  autovacuum_naptime: '1min',
  jit: 'off',
} as const;

const HBA = `# Continuum rig: passwords only, loopback only, and each role only where it has business.
host postgres    ${CONTROL_USER}     127.0.0.0/8 scram-sha-256
host postgres    ${REPLICATION_USER} 127.0.0.0/8 scram-sha-256
host replication ${REPLICATION_USER} 127.0.0.0/8 scram-sha-256
host ${APP_DATABASE} ${APP_USER}     127.0.0.0/8 scram-sha-256
`;

export type PrimaryOptions = {
  readonly dataDir: string;
  readonly binDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly runAs: { readonly uid: number; readonly gid: number } | null;
  /** libpq password file for all roles; written with new passwords when it is not there. */
  readonly passFile: string;
  /** More lines for postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
};

/** What `createPostgresDatabase` and `initPrimary` both need, from the table of real parts. */
export function postgresOptions(given: {
  readonly region: PostgresOptions['region'];
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly passFile: string;
}): PostgresOptions & PrimaryOptions {
  const { dir, env } = locate('postgres');
  const user = unprivilegedUser();
  return {
    ...given,
    binDir: dir,
    env,
    logFile: `${given.dataDir}.log`,
    runAs: user === null ? null : { uid: user.uid, gid: user.gid },
    settings: {},
  };
}

/** initdb with checksums, settings, roles, the database `app` with its table. Leaves it primary-shaped and stopped. */
export async function initPrimary(options: PrimaryOptions): Promise<void> {
  mkdirSync(dirname(options.dataDir), { recursive: true, mode: 0o711 });
  mkdirSync(options.dataDir, { mode: 0o700 });
  own(options, options.dataDir);
  if (!existsSync(options.passFile)) writePassFile(options);
  const initdb = ['-D', options.dataDir, '-U', 'postgres', '-A', 'reject', '-k', '-N', '-E', 'UTF8', '--locale', 'C'];
  await run(options, 'initdb', initdb, '');
  const settings = Object.entries({ ...SERVER_SETTINGS, ...options.settings });
  appendFileSync(join(options.dataDir, 'postgresql.conf'), settings.map(([name, value]) => `${name} = '${value}'\n`).join(''));
  writeFileSync(join(options.dataDir, 'pg_hba.conf'), HBA);
  await runSql(options, 'postgres', [
    ...setupStatements({
      controlUser: CONTROL_USER,
      replicationUser: REPLICATION_USER,
      controlVerifier: scramVerifier(passwordOf(options.passFile, CONTROL_USER)),
      replicationVerifier: scramVerifier(passwordOf(options.passFile, REPLICATION_USER)),
    }),
    `CREATE ROLE ${APP_USER} LOGIN PASSWORD '${scramVerifier(passwordOf(options.passFile, APP_USER))}'`,
    `CREATE DATABASE ${APP_DATABASE} OWNER ${APP_USER}`,
  ]);
  const tables = COUNTER_SCHEMA.split(';').map((statement) => statement.trim());
  await runSql(options, APP_DATABASE, [
    ...tables.filter((statement) => statement !== ''),
    `ALTER TABLE counter OWNER TO ${APP_USER}`,
  ]);
}

/** A client of the application's role. */
export function appClient(host: string, port: number, passFile: string): pg.Client {
  const client = new pg.Client({ host, port, user: APP_USER, database: APP_DATABASE, password: passwordOf(passFile, APP_USER) });
  // The server may be killed under it: the statement under way fails, and that is where a test looks.
  client.on('error', () => undefined);
  return client;
}

/** Runs statements as superuser on a cluster that is down. */
export async function runSql(options: PrimaryOptions, database: string, statements: readonly string[]): Promise<void> {
  // In this mode a statement ends at a semicolon followed by an empty line, so none inside may be empty.
  const input = statements.map((statement) => `${statement.replaceAll(/\n\s*\n/g, '\n')};\n\n`).join('');
  const said = await run(options, 'postgres', ['--single', '-j', '-D', options.dataDir, database], input);
  const problem = said.split('\n').find((line) => /(ERROR|FATAL|PANIC): /.test(line));
  if (problem !== undefined) throw new Error(`single-user mode: ${problem}`);
}

/** The pid of the postmaster of this directory, or null. */
export function postmasterPid(dataDir: string): number | null {
  const file = join(dataDir, 'postmaster.pid');
  if (!existsSync(file)) return null;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  const command = `/proc/${pid}/cmdline`;
  return existsSync(command) && readFileSync(command, 'latin1').includes(dataDir) ? pid : null;
}

/** SIGKILL to the postmaster of this directory and to everything below it, at once, as when the machine dies. */
export async function killPostgres(dataDir: string): Promise<void> {
  const pid = postmasterPid(dataDir);
  if (pid === null) return;
  const all = [pid, ...descendants(pid)];
  signalAll(all, 'SIGKILL');
  await waitFor(`postgres in ${dataDir} to be gone`, () => all.every((one) => !isAlive(one)));
}

function isAlive(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  if (!existsSync(stat)) return false;
  try {
    return !/\) [ZX] /.test(readFileSync(stat, 'latin1'));
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) return false;
    throw error;
  }
}

export function passwordOf(passFile: string, user: string): string {
  const line = readFileSync(passFile, 'utf8').split('\n').find((one) => one.split(':')[3] === user);
  if (line === undefined) throw new Error(`${passFile} has no line for ${user}`);
  return line.split(':')[4] ?? '';
}

function writePassFile(options: PrimaryOptions): void {
  const users = [CONTROL_USER, REPLICATION_USER, APP_USER];
  const lines = users.map((user) => `*:*:*:${user}:${randomBytes(18).toString('base64url')}\n`);
  writeFileSync(options.passFile, lines.join(''), { mode: 0o600 });
  chmodSync(options.passFile, 0o600);
  own(options, options.passFile);
}

function own({ runAs }: PrimaryOptions, path: string): void {
  if (runAs !== null) chownSync(path, runAs.uid, runAs.gid);
}

async function run(options: PrimaryOptions, name: string, args: readonly string[], input: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(join(options.binDir, name), [...args], {
    cwd: '/',
    env: { ...process.env, ...options.env, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.runAs === null ? {} : options.runAs),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  child.once('error', reject);
  child.once('close', resolve);
  child.stdin.end(input);
  const code = await promise;
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${said.slice(-2_000)}`);
  return said;
}
