// A real pg_auto_failover formation on loopback addresses: two nodes and, outside both, the monitor that decides. The monitor
// is a PostgreSQL with an extension; it is set up by hand because `pg_autoctl create monitor` listens on every address.

import { randomBytes } from 'node:crypto';
import { appendFileSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { unprivilegedUser } from '../../scripts/parts.mjs';
import { COUNTER_SCHEMA } from '../../test/rig/counter-schema.ts';
import { APP_DATABASE, APP_USER, SERVER_SETTINGS, postmasterPid } from '../../test/rig/postgres.ts';
import { adopt, descendants, freePort, signalAll, start } from '../../test/rig/process.ts';
import type { Started } from '../../test/rig/process.ts';
import type { PgAutoFailoverPrograms } from './install.mjs';
import type { PeerCluster, PeerNode } from './measure-peer.ts';
import { PeerProblem, waitForPeer } from './peer-problem.ts';
import type { Endpoint, Login } from './primary-client.ts';

type NodeName = 'n1' | 'n2';

export type FormationOptions = {
  readonly folder: string;
  readonly programs: PgAutoFailoverPrograms;
  readonly timings: FormationTimings;
};

/** What is not named has its default. */
export type FormationTimings = {
  /** Settings of the monitor, without their prefix `pgautofailover.`. */
  readonly monitor: Readonly<Record<string, number>>;
  /** A primary that sees neither the monitor nor the standby for this long stops itself. */
  readonly networkPartitionTimeoutSeconds?: number;
};

type Shared = {
  readonly options: FormationOptions;
  readonly ports: { readonly monitor: number; readonly database: number };
  /** One for all roles: pg_autoctl finds it in the password file, whoever it connects as. */
  readonly password: string;
  readonly passFile: string;
  readonly user: { readonly uid: number; readonly gid: number } | null;
};

const ADDRESS: Readonly<Record<NodeName | 'monitor', string>> = { n1: '127.40.0.1', n2: '127.50.0.1', monitor: '127.60.0.1' };
const START_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 120_000;
const QUERY_TIMEOUT_MS = 10_000;
const HBA = 'local all all scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n';

/** Starts everything and returns once the first node is primary and the other one secondary. */
export async function startFormation(options: FormationOptions): Promise<PeerCluster> {
  const password = randomBytes(18).toString('base64url');
  const shared: Shared = {
    options,
    ports: { monitor: await freePort(ADDRESS.monitor), database: await freePort(ADDRESS.n1, ADDRESS.n2) },
    password,
    passFile: join(options.folder, 'passwords'),
    user: unprivilegedUser(),
  };
  writeOwn(shared, shared.passFile, `*:*:*:*:${password}\n`);
  const login: Login = { user: APP_USER, database: APP_DATABASE, password };
  const [first, second] = [createNode('n1', shared), createNode('n2', shared)];
  const probes = new Map([first, second].map((node) => [node.name, probePool(node, login)]));
  const monitor: Endpoint = { name: 'monitor', host: ADDRESS.monitor, port: shared.ports.monitor };
  let monitorProcess: Started | null = null;
  const cluster: PeerCluster = {
    nodes: [first, second],
    login,
    isPrimary: async (node) => isWritable(probes.get(node.name)),
    settled: async (primary) => {
      const standby = primary === first ? second : first;
      const condition = () => isSettled(monitor, shared, primary, standby);
      await waitForPeer(`${primary.name} to be primary and ${standby.name} secondary`, condition, { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 200 });
    },
    switchover: async () => {
      await query(monitor, shared, 'pg_auto_failover', ["SELECT pgautofailover.perform_failover('default', 0)"]);
    },
    stop: async () => {
      await Promise.all([...probes.values()].map((pool) => pool.end()));
      await Promise.all([first.kill(), second.kill()]);
      await monitorProcess?.kill();
    },
  };
  try {
    monitorProcess = await startMonitor(monitor, shared);
    await initNode('n1', shared);
    await first.start();
    await createCounter(first, shared, login);
    await createNodeFiles('n2', shared);
    await second.start();
    await cluster.settled(first);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function createNode(name: NodeName, shared: Shared): PeerNode {
  const { options, ports } = shared;
  const home = subfolder(join(options.folder, name), shared);
  subfolder(join(home, 's'), shared);
  const dataDir = join(home, 'data');
  let daemon: Started | null = null;
  const postmaster = (): number[] => {
    const pid = postmasterPid(dataDir);
    return pid === null ? [] : [pid];
  };
  adopt(postmaster);
  return {
    name,
    host: ADDRESS[name],
    port: ports.database,
    start: async () => {
      daemon = await launch(`pg_autoctl ${name}`, options.programs.autoctl, ['run', '--pgdata', dataDir], home, shared);
    },
    kill: async () => {
      const roots = [...(daemon?.running() === true ? [daemon.pid] : []), ...postmaster()];
      signalAll(roots.flatMap((pid) => [pid, ...descendants(pid)]), 'SIGKILL');
      await daemon?.exited;
      await waitForPeer(`${name} to be gone`, () => postmaster().length === 0);
    },
  };
}

async function startMonitor(monitor: Endpoint, shared: Shared): Promise<Started> {
  const { folder, programs, timings } = shared.options;
  const home = subfolder(join(folder, 'monitor'), shared);
  const dataDir = join(home, 'data');
  await initdb(home, shared);
  const settings = Object.entries(timings.monitor).map(([name, value]) => `pgautofailover.${name} = ${value}\n`);
  const server = `listen_addresses = '${monitor.host}'\nport = ${monitor.port}\nunix_socket_directories = ''\nshared_preload_libraries = 'pgautofailover'\n`;
  appendFileSync(join(dataDir, 'postgresql.conf'), server + settings.join(''));
  const started = await launch('pg_auto_failover monitor', join(programs.binDir, 'postgres'), ['-D', dataDir], home, shared);
  await waitForPeer(`the monitor (see ${started.logFile})`, async () => {
    await query(monitor, shared, 'postgres', ['SELECT 1']);
    return true;
  });
  await query(monitor, shared, 'postgres', ['CREATE ROLE autoctl LOGIN', 'CREATE DATABASE pg_auto_failover OWNER autoctl']);
  await query(monitor, shared, 'pg_auto_failover', [
    'CREATE EXTENSION pgautofailover CASCADE',
    `ALTER ROLE autoctl_node PASSWORD '${shared.password}'`,
  ]);
  return started;
}

async function initNode(name: NodeName, shared: Shared): Promise<void> {
  const home = join(shared.options.folder, name);
  await initdb(home, shared);
  // pg_autoctl's base backups do not ask for a fast checkpoint: spread as usual, the first would last minutes.
  const settings = Object.entries({ ...SERVER_SETTINGS, checkpoint_completion_target: '0' }).map(([key, value]) => `${key} = '${value}'\n`);
  appendFileSync(join(home, 'data', 'postgresql.conf'), settings.join(''));
  await createNodeFiles(name, shared);
}

/** `pg_autoctl create postgres`: registers the node and, for the second one, copies the first. */
async function createNodeFiles(name: NodeName, shared: Shared): Promise<void> {
  const { options, ports } = shared;
  const home = join(options.folder, name);
  const monitor = `postgresql://autoctl_node@${ADDRESS.monitor}:${ports.monitor}/pg_auto_failover`;
  const where = ['--pgdata', join(home, 'data'), '--pgctl', join(options.programs.binDir, 'pg_ctl'), '--pgport', String(ports.database)];
  const who = ['--name', name, '--hostname', ADDRESS[name], '--listen', ADDRESS[name], '--monitor', monitor];
  const args = ['create', 'postgres', ...where, ...who, '--skip-pg-hba', '--no-ssl'];
  await runToEnd(`pg_autoctl create ${name}`, options.programs.autoctl, args, home, shared);
  const partition = options.timings.networkPartitionTimeoutSeconds;
  if (partition === undefined) return;
  const setting = ['config', 'set', '--pgdata', join(home, 'data'), 'timeout.network_partition_timeout', String(partition)];
  await runToEnd(`pg_autoctl config of ${name}`, options.programs.autoctl, setting, home, shared);
}

/** initdb with checksums; passwords only, loopback only. */
async function initdb(home: string, shared: Shared): Promise<void> {
  const passwordFile = join(home, 'initdb-password');
  writeOwn(shared, passwordFile, `${shared.password}\n`);
  const access = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  const args = ['-D', join(home, 'data'), ...access, '-k', '-N', '-E', 'UTF8', '--locale', 'C'];
  await runToEnd('initdb', join(shared.options.programs.binDir, 'initdb'), args, home, shared);
  writeFileSync(join(home, 'data', 'pg_hba.conf'), HBA);
}

async function createCounter(node: Endpoint, shared: Shared, login: Login): Promise<void> {
  await waitForPeer(`${node.name} to accept connections`, async () => {
    await query(node, shared, 'postgres', ['SELECT 1']);
    return true;
  }, { timeoutMs: START_TIMEOUT_MS });
  await query(node, shared, 'postgres', [
    `ALTER ROLE pgautofailover_replicator PASSWORD '${shared.password}'`,
    `CREATE ROLE ${login.user} LOGIN PASSWORD '${login.password}'`,
    // pg_autoctl's own file of settings says `on`, which does not wait until the standby has applied.
    `ALTER ROLE ${login.user} SET synchronous_commit = remote_apply`,
    `CREATE DATABASE ${login.database} OWNER ${login.user}`,
  ]);
  await query(node, shared, login.database, [COUNTER_SCHEMA, `ALTER TABLE counter OWNER TO ${login.user}`]);
}

async function isSettled(monitor: Endpoint, shared: Shared, primary: Endpoint, standby: Endpoint): Promise<boolean> {
  const rows = await query(monitor, shared, 'pg_auto_failover', ['SELECT nodename, reportedstate, goalstate FROM pgautofailover.node']);
  const isIn = (node: Endpoint, state: string): boolean =>
    rows.some((row) => row['nodename'] === node.name && row['reportedstate'] === state && row['goalstate'] === state);
  return isIn(primary, 'primary') && isIn(standby, 'secondary');
}

/** The question behind `target_session_attrs=read-write`, with which this peer's clients find the primary. */
async function isWritable(pool: pg.Pool | undefined): Promise<boolean> {
  try {
    const answer = await pool?.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    return answer?.rows[0]?.standby === false;
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return false;
  }
}

function probePool({ host, port }: Endpoint, login: Login): pg.Pool {
  const pool = new pg.Pool({ host, port, ...login, max: 1, idleTimeoutMillis: 0, connectionTimeoutMillis: 500, query_timeout: 500 });
  // A server that is killed ends the connection; the next question says so.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** As superuser; the rows of the last statement. */
async function query({ host, port }: Endpoint, { password }: Shared, database: string, statements: readonly string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ host, port, user: 'postgres', password, database, connectionTimeoutMillis: QUERY_TIMEOUT_MS, query_timeout: QUERY_TIMEOUT_MS });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query<Record<string, unknown>>(statement));
    return rows;
  } finally {
    await client.end();
  }
}

function launch(name: string, command: string, args: readonly string[], home: string, shared: Shared): Promise<Started> {
  const { programs } = shared.options;
  const sockets = join(home, 's');
  return start({
    name,
    command,
    args,
    cwd: home,
    env: {
      ...programs.env,
      PATH: `${programs.binDir}:${dirname(programs.autoctl)}:/usr/bin:/bin`,
      HOME: home,
      XDG_CONFIG_HOME: join(home, 'config'),
      XDG_DATA_HOME: join(home, 'share'),
      XDG_RUNTIME_DIR: home,
      PG_REGRESS_SOCK_DIR: sockets,
      PGHOST: sockets,
      PGUSER: 'postgres',
      PGPASSFILE: shared.passFile,
      LC_ALL: 'C',
    },
    logFile: `${home}.log`,
    ...(shared.user === null ? {} : { uid: shared.user.uid, gid: shared.user.gid }),
  });
}

async function runToEnd(name: string, command: string, args: readonly string[], home: string, shared: Shared): Promise<void> {
  const started = await launch(name, command, args, home, shared);
  const late = setTimeout(() => void started.kill(), START_TIMEOUT_MS);
  const end = await started.exited;
  clearTimeout(late);
  if (end !== 'code 0') throw new PeerProblem(`${name} ended with ${end}: ${readFileSync(started.logFile, 'utf8').slice(-1_000)}`);
}

function subfolder(folder: string, { user }: Shared): string {
  mkdirSync(folder, { mode: 0o700 });
  if (user !== null) chownSync(folder, user.uid, user.gid);
  return folder;
}

function writeOwn({ user }: Shared, file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  if (user !== null) chownSync(file, user.uid, user.gid);
}
