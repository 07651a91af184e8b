// A real Patroni cluster on loopback addresses: two nodes and, outside both, one etcd. A node is killed as a power cut would:
// its daemon and its PostgreSQL at once.

import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { locate, unprivilegedUser } from '../../scripts/parts.mjs';
import { COUNTER_SCHEMA } from '../../test/rig/counter-schema.ts';
import { APP_DATABASE, APP_USER, SERVER_SETTINGS, postmasterPid } from '../../test/rig/postgres.ts';
import { adopt, descendants, freePort, signalAll, start } from '../../test/rig/process.ts';
import type { Started } from '../../test/rig/process.ts';
import type { PatroniPrograms, PatroniVersion, Program } from './install.mjs';
import type { PeerCluster, PeerNode } from './measure-peer.ts';
import { PeerProblem, waitForPeer } from './peer-problem.ts';
import type { Endpoint, Login } from './primary-client.ts';

type NodeName = 'n1' | 'n2';

export type ClusterOptions = {
  readonly folder: string;
  readonly programs: PatroniPrograms;
  readonly version: PatroniVersion;
  readonly ttlSeconds: number;
  readonly loopWaitSeconds: number;
  readonly retryTimeoutSeconds: number;
  readonly synchronous: boolean;
};

type Shared = {
  readonly options: ClusterOptions;
  readonly ports: { readonly etcd: number; readonly api: number; readonly database: number };
  readonly passwords: Readonly<Record<'postgres' | 'replicator' | 'rewinder', string>>;
  readonly user: { readonly uid: number; readonly gid: number } | null;
};

const ADDRESS: Readonly<Record<NodeName | 'etcd', string>> = { n1: '127.40.0.1', n2: '127.50.0.1', etcd: '127.60.0.1' };
const START_TIMEOUT_MS = 60_000;
const API_TIMEOUT_MS = 2_000;
/** What Patroni says when it runs with other timings than those that it was given. */
const ADJUSTED = /WARNING: (.*adjusting.*)/i;

/** Starts everything and returns once the first node leads and the other one is in sync. */
export async function startCluster(options: ClusterOptions): Promise<PeerCluster> {
  const shared: Shared = {
    options,
    ports: { etcd: await freePort(ADDRESS.etcd), api: await freePort(ADDRESS.n1, ADDRESS.n2), database: await freePort(ADDRESS.n1, ADDRESS.n2) },
    passwords: { postgres: secret(), replicator: secret(), rewinder: secret() },
    user: unprivilegedUser(),
  };
  const login: Login = { user: APP_USER, database: APP_DATABASE, password: secret() };
  const [first, second] = [createNode('n1', shared), createNode('n2', shared)];
  const agent = new Agent({ connect: { timeout: API_TIMEOUT_MS }, headersTimeout: API_TIMEOUT_MS });
  const api = (node: Endpoint): string => `http://${node.host}:${shared.ports.api}`;
  let etcd: Started | null = null;
  const cluster: PeerCluster = {
    nodes: [first, second],
    login,
    isPrimary: (node, signal) => answers200(agent, `${api(node)}/primary`, signal),
    settled: async (primary) => {
      const standby = primary === first ? second : first;
      const condition = () => isSettled(agent, options.synchronous, api(primary), api(standby));
      const timeoutMs = 3_000 * options.ttlSeconds + START_TIMEOUT_MS;
      await waitForPeer(`${primary.name} to lead with ${standby.name} in sync`, condition, { timeoutMs, everyMs: 100 });
    },
    switchover: (from, to) => switchover(api(from), from, to, options),
    stop: async () => {
      await agent.destroy();
      await Promise.all([first.kill(), second.kill()]);
      await etcd?.kill();
    },
  };
  try {
    etcd = await startEtcd(shared);
    await first.start();
    const leads = () => cluster.isPrimary(first, AbortSignal.timeout(API_TIMEOUT_MS));
    await waitForPeer(`${first.name} to lead`, leads, { timeoutMs: START_TIMEOUT_MS, everyMs: 100 });
    refuseAdjusted(shared);
    await createCounter(first, shared, login);
    await second.start();
    await cluster.settled(first);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function createNode(name: NodeName, shared: Shared): PeerNode {
  const { options, ports, user } = shared;
  const home = subfolder(join(options.folder, name), shared);
  const dataDir = join(home, 'data');
  const configFile = join(home, 'patroni.yaml');
  writeFileSync(configFile, stringify(configOf(name, home, dataDir, shared)), { mode: 0o600 });
  if (user !== null) chownSync(configFile, user.uid, user.gid);
  let daemon: Started | null = null;
  // PostgreSQL is not below the daemon: it is meant to outlive it.
  const postmaster = (): number[] => {
    const pid = postmasterPid(dataDir);
    return pid === null ? [] : [pid];
  };
  adopt(postmaster);
  const host = ADDRESS[name];
  return {
    name,
    host,
    port: ports.database,
    start: async () => {
      const program = options.programs.patroni[options.version];
      daemon = await launch(`patroni ${name}`, program, ['-m', 'patroni', configFile], home, logFileOf(shared, name), shared);
    },
    kill: async () => {
      const roots = [...(daemon?.running() === true ? [daemon.pid] : []), ...postmaster()];
      signalAll(roots.flatMap((pid) => [pid, ...descendants(pid)]), 'SIGKILL');
      await daemon?.exited;
      await waitForPeer(`${name} to be gone`, () => postmaster().length === 0);
    },
  };
}

function configOf(name: NodeName, home: string, dataDir: string, { options, ports, passwords }: Shared): object {
  const at = (port: number): { listen: string; connect_address: string } => {
    const address = `${ADDRESS[name]}:${port}`;
    return { listen: address, connect_address: address };
  };
  return {
    scope: 'counter',
    name,
    restapi: at(ports.api),
    etcd3: { hosts: [`${ADDRESS.etcd}:${ports.etcd}`] },
    watchdog: { mode: 'off' },
    bootstrap: {
      dcs: {
        ttl: options.ttlSeconds,
        loop_wait: options.loopWaitSeconds,
        retry_timeout: options.retryTimeoutSeconds,
        // Not strict: with two nodes the strict mode stops every write while one of them is down, which is no failover.
        synchronous_mode: options.synchronous,
        postgresql: { use_pg_rewind: true, parameters: SERVER_SETTINGS },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums'],
    },
    postgresql: {
      ...at(ports.database),
      data_dir: dataDir,
      bin_dir: locate('postgres').dir,
      basebackup: [{ checkpoint: 'fast' }],
      pgpass: join(home, 'pgpass'),
      authentication: {
        superuser: { username: 'postgres', password: passwords.postgres },
        replication: { username: 'replicator', password: passwords.replicator },
        rewind: { username: 'rewinder', password: passwords.rewinder },
      },
      parameters: { unix_socket_directories: '' },
      pg_hba: ['host all all 127.0.0.0/8 scram-sha-256', 'host replication replicator 127.0.0.0/8 scram-sha-256'],
    },
  };
}

async function startEtcd(shared: Shared): Promise<Started> {
  const home = subfolder(join(shared.options.folder, 'etcd'), shared);
  const clients = `http://${ADDRESS.etcd}:${shared.ports.etcd}`;
  const peers = `http://${ADDRESS.etcd}:${await freePort(ADDRESS.etcd)}`;
  const addresses = ['--listen-client-urls', clients, '--advertise-client-urls', clients, '--listen-peer-urls', peers];
  const first = ['--initial-advertise-peer-urls', peers, '--initial-cluster', `etcd=${peers}`];
  const args = ['--name', 'etcd', '--data-dir', join(home, 'data'), ...addresses, ...first];
  const etcd = await launch('etcd', shared.options.programs.etcd, args, home, join(shared.options.folder, 'etcd.log'), shared);
  await waitForPeer(`etcd (see ${etcd.logFile})`, async () => (await request(`${clients}/health`)).statusCode === 200);
  return etcd;
}

function launch(name: string, program: Program, args: readonly string[], home: string, logFile: string, { user }: Shared): Promise<Started> {
  const libraries = [program.env['LD_LIBRARY_PATH'], locate('postgres').env['LD_LIBRARY_PATH']].filter((one) => one !== undefined);
  return start({
    name,
    command: program.command,
    args,
    cwd: home,
    env: { ...locate('postgres').env, ...program.env, LD_LIBRARY_PATH: libraries.join(':'), HOME: home, LC_ALL: 'C' },
    logFile,
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
  });
}

/** Newer releases raise timings that they think too short and carry on: figures of others must not stand under these. */
function refuseAdjusted(shared: Shared): void {
  const { version, ttlSeconds, loopWaitSeconds, retryTimeoutSeconds } = shared.options;
  const said = ADJUSTED.exec(readFileSync(logFileOf(shared, 'n1'), 'utf8'))?.[1];
  if (said === undefined) return;
  throw new PeerProblem(`Patroni ${version} does not run with ttl ${ttlSeconds}, loop_wait ${loopWaitSeconds}, retry_timeout ${retryTimeoutSeconds}: ${said}`);
}

async function createCounter(node: Endpoint, { passwords }: Shared, login: Login): Promise<void> {
  const run = async (database: string, statements: readonly string[]): Promise<void> => {
    const client = new pg.Client({ host: node.host, port: node.port, user: 'postgres', password: passwords.postgres, database, query_timeout: 10_000 });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await run('postgres', [`CREATE ROLE ${login.user} LOGIN PASSWORD '${login.password}'`, `CREATE DATABASE ${login.database} OWNER ${login.user}`]);
  await run(login.database, [COUNTER_SCHEMA, `ALTER TABLE counter OWNER TO ${login.user}`]);
}

async function isSettled(agent: Agent, synchronous: boolean, primary: string, standby: string): Promise<boolean> {
  const signal = AbortSignal.timeout(API_TIMEOUT_MS);
  if (!(await answers200(agent, `${primary}/primary`, signal))) return false;
  if (!(await answers200(agent, `${standby}/${synchronous ? 'synchronous' : 'replica'}`, signal))) return false;
  const { body } = await request(`${primary}/patroni`, { dispatcher: agent, signal });
  const { replication = [] } = (await body.json()) as { replication?: { state: string; sync_state: string }[] };
  return replication.some((one) => one.state === 'streaming' && (!synchronous || one.sync_state === 'sync'));
}

/** The answer comes when it is done. */
async function switchover(api: string, from: Endpoint, to: Endpoint, { ttlSeconds }: ClusterOptions): Promise<void> {
  const { statusCode, body } = await request(`${api}/switchover`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ leader: from.name, candidate: to.name }),
    headersTimeout: 1_000 * ttlSeconds + START_TIMEOUT_MS,
  });
  const text = await body.text();
  if (statusCode !== 200) throw new PeerProblem(`POST /switchover from ${from.name} to ${to.name}: ${statusCode} ${text}`);
}

/** False as well when nobody answers. */
async function answers200(agent: Agent, url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { dispatcher: agent, signal });
    await body.dump();
    return statusCode === 200;
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return false;
  }
}

function logFileOf({ options }: Shared, name: NodeName): string {
  return join(options.folder, `${name}.log`);
}

function subfolder(folder: string, { user }: Shared): string {
  mkdirSync(folder, { mode: 0o700 });
  if (user !== null) chownSync(folder, user.uid, user.gid);
  return folder;
}

function secret(): string {
  return randomBytes(18).toString('base64url');
}
