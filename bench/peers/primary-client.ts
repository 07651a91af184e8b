// The client of a peer. It goes straight to the node that a health check calls primary, as through a load balancer that
// costs nothing: no name, gateway, gate or application is in its way, which favours the peer. Outcomes mean what they mean
// for Continuum's own client, so that the same load can drive both.

import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { monotonicMs } from '../../test/rig/clock.ts';
import type { Client, Write } from '../../test/demo/writer.ts';

export type Endpoint = { readonly name: string; readonly host: string; readonly port: number };

export type Router = {
  /** The node whose last check said primary. */
  readonly target: () => Endpoint | null;
  readonly stop: () => Promise<void>;
};

export type Login = { readonly user: string; readonly database: string; readonly password: string };

type Result = Pick<Write, 'outcome' | 'region' | 'detail'>;

/** Load balancers ask every 2 to 3 s and want 2 or 3 equal answers; here one answer counts, at once. */
const CHECK_EVERY_MS = 100;
const CHECK_TIMEOUT_MS = 500;
/** The rest as in Continuum's application. */
const CONNECT_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 3_000;
const QUERY_TIMEOUT_MS = 4_000;
const CONNECTIONS_MAX = 20;

/** Asks every node in its own time whether it is primary. `isPrimary` must not throw: no answer is a no. */
export function startRouter(nodes: readonly Endpoint[], isPrimary: (node: Endpoint, signal: AbortSignal) => Promise<boolean>): Router {
  const sinceMs = new Map<string, number>();
  let stopped = false;
  const watch = async (node: Endpoint): Promise<void> => {
    while (!stopped) {
      const askedMs = monotonicMs();
      if (!(await isPrimary(node, AbortSignal.timeout(CHECK_TIMEOUT_MS)))) sinceMs.delete(node.name);
      else if (!sinceMs.has(node.name)) sinceMs.set(node.name, monotonicMs());
      await delay(Math.max(0, CHECK_EVERY_MS - (monotonicMs() - askedMs)));
    }
  };
  const watching = nodes.map(watch);
  return {
    // Two at once only while the check of a dead one runs into its timeout: the later one is right.
    target: () => nodes.filter((node) => sinceMs.has(node.name)).sort((a, b) => since(sinceMs, b) - since(sinceMs, a))[0] ?? null,
    stop: async () => {
      stopped = true;
      await Promise.all(watching);
    },
  };
}

/** Answers `POST /write?id=` and `GET /read` with one statement each at the present primary. */
export function createPrimaryClient(router: Router, nodes: readonly Endpoint[], login: Login): Client {
  const pools = new Map(nodes.map((node) => [node.name, createPool(node, login)]));
  return {
    call: async (method, path) => {
      const node = router.target();
      const pool = node === null ? undefined : pools.get(node.name);
      if (node === null || pool === undefined) return { outcome: 'refused', region: null, detail: 'no primary' };
      const id = new URL(path, 'http://peer').searchParams.get('id');
      return method === 'GET'
        ? run(pool, node, 'SELECT max(id) AS id FROM counter', [])
        : run(pool, node, 'INSERT INTO counter (write_id, region) VALUES ($1, $2) RETURNING id', [id, node.name]);
    },
    close: async () => {
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}

function createPool({ host, port }: Endpoint, login: Login): pg.Pool {
  const pool = new pg.Pool({
    host,
    port,
    ...login,
    max: CONNECTIONS_MAX,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // A connection that breaks leaves the pool by itself; one in use fails its statement, which is where we look.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** One statement in its own transaction; says only what is known about it. */
async function run(pool: pg.Pool, node: Endpoint, text: string, parameters: readonly (string | null)[]): Promise<Result> {
  let client: pg.PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    return { outcome: 'refused', region: null, detail: `${node.name}: ${messageOf(error)}` };
  }
  let warning: string | null = null;
  const onNotice = (notice: { severity?: string | undefined; message?: string | undefined }): void => {
    if (notice.severity === 'WARNING') warning = notice.message ?? 'warning';
  };
  client.on('notice', onNotice);
  let broken = false;
  try {
    await client.query(text, [...parameters]);
    // A cancelled wait for the standby arrives as success with a warning: committed here, maybe nowhere else.
    return { outcome: warning === null ? 'acknowledged' : 'unknown', region: node.name, detail: warning ?? node.host };
  } catch (error) {
    const rolledBack = error instanceof pg.DatabaseError && error.severity === 'ERROR';
    broken = !rolledBack;
    return { outcome: rolledBack ? 'refused' : 'unknown', region: null, detail: `${node.name}: ${messageOf(error)}` };
  } finally {
    client.off('notice', onNotice);
    client.release(broken);
  }
}

function since(times: ReadonlyMap<string, number>, node: Endpoint): number {
  return times.get(node.name) ?? 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
