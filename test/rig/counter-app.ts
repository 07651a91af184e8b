// The application that the two regions serve: counts writes in PostgreSQL. Small, but honest about what it knows: an
// answer says acknowledged, certainly not executed (x-continuum-refused), or unknown, and never guesses.
//
//   node test/rig/counter-app.ts --listen 127.10.0.1:8080 --database 127.10.0.1:5432 --user app --region r1
//
//   POST /write?id=<uuid>  one row; 200 { id, writeId, region }
//   GET  /read             highest id; 200 { id, region }

import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { REFUSED_HEADER } from '@continuum/wire/gateway-headers';

const CONNECT_TIMEOUT_MS = 2_000;
/** Ends a statement before its commit; PostgreSQL does not apply it to the wait for the standby. */
const STATEMENT_TIMEOUT_MS = 3_000;
/** Ends our wait, whatever PostgreSQL waits for: a commit that hangs on the standby is unknown after this. */
const QUERY_TIMEOUT_MS = 4_000;
/** Made before they are needed, and no more of them: a pool that grows under a burst opens its connections when that costs most. */
const CONNECTIONS = 10;
const WARM_EVERY_MS = 500;
/** Longer than the gateway keeps an idle connection (30 s): the gateway must be the one that closes it. */
const KEEP_ALIVE_MS = 90_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Outcome =
  | { readonly kind: 'done'; readonly id: string | null }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string; readonly detail: string }
  | { readonly kind: 'unknown'; readonly status: number; readonly detail: string };

const { values } = parseArgs({
  options: {
    listen: { type: 'string' },
    database: { type: 'string' },
    user: { type: 'string' },
    region: { type: 'string' },
    'database-name': { type: 'string', default: 'postgres' },
  },
});
const region = required('region');
const listen = hostAndPort('listen');
const database = hostAndPort('database');
const pool = new pg.Pool({
  host: database.host,
  port: database.port,
  user: required('user'),
  database: values['database-name'],
  application_name: `counter-${region}`,
  max: CONNECTIONS,
  idleTimeoutMillis: 0,
  connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  statement_timeout: STATEMENT_TIMEOUT_MS,
  query_timeout: QUERY_TIMEOUT_MS,
});
// An idle connection that breaks leaves the pool by itself; the next request opens a new one.
pool.on('error', (error) => process.stderr.write(`idle database connection lost: ${error.message}\n`));
// One in use fails its statement as well; without a listener the event would end the process.
pool.on('connect', (client) => client.on('error', () => undefined));

// Connections are made before they are needed, as any service does: a standby's pool must not be cold when it takes over.
setInterval(() => void warm(), WARM_EVERY_MS).unref();

const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
  request.resume();
  handle(request).then(
    (outcome) => answer(response, outcome),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      answer(response, { kind: 'unknown', status: 500, detail: 'the application failed' });
    },
  );
});
server.listen(listen.port, listen.host, () => process.stdout.write(`counter of ${region} listens\n`));
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close(() => void pool.end());
    server.closeIdleConnections();
  });
}

async function handle(request: IncomingMessage): Promise<Outcome> {
  const url = new URL(request.url ?? '/', 'http://counter');
  if (request.method === 'GET' && url.pathname === '/read') {
    return run('SELECT max(id) AS id FROM counter', []);
  }
  if (request.method === 'POST' && url.pathname === '/write') {
    const writeId = url.searchParams.get('id') ?? '';
    if (!UUID.test(writeId)) {
      return { kind: 'refused', status: 400, code: 'CTM_APP_BAD_ID', detail: 'give ?id= the uuid of this write' };
    }
    return run('INSERT INTO counter (write_id, region) VALUES ($1, $2) RETURNING id', [writeId, region]);
  }
  return { kind: 'refused', status: 404, code: 'CTM_APP_NO_ROUTE', detail: 'POST /write?id=<uuid> or GET /read' };
}

/** One statement in its own transaction. */
async function run(text: string, parameters: readonly string[]): Promise<Outcome> {
  let client: pg.PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    return { kind: 'refused', status: 503, code: 'CTM_APP_NO_DATABASE', detail: message(error) };
  }
  let warning: string | null = null;
  const onNotice = (notice: { severity?: string | undefined; message?: string | undefined }): void => {
    if (notice.severity === 'WARNING') warning = notice.message ?? 'warning';
  };
  client.on('notice', onNotice);
  let broken = false;
  try {
    const { rows } = await client.query<{ id: string | null }>(text, [...parameters]);
    // A cancelled wait for the standby arrives as success with a warning: committed here, maybe nowhere else.
    if (warning !== null) return { kind: 'unknown', status: 500, detail: warning };
    return { kind: 'done', id: rows[0]?.id ?? null };
  } catch (error) {
    const rolledBack = error instanceof pg.DatabaseError && error.severity === 'ERROR';
    broken = !rolledBack;
    if (rolledBack) return { kind: 'refused', status: 503, code: 'CTM_APP_DATABASE', detail: message(error) };
    return { kind: 'unknown', status: message(error) === 'Query read timeout' ? 504 : 500, detail: message(error) };
  } finally {
    client.off('notice', onNotice);
    client.release(broken);
  }
}

async function warm(): Promise<void> {
  const missing = CONNECTIONS - pool.totalCount;
  if (missing <= 0) return;
  // As many more as are idle: those are handed out before a new one is made.
  await Promise.allSettled(Array.from({ length: missing + pool.idleCount }, async () => (await pool.connect()).release()));
}

function answer(response: ServerResponse, outcome: Outcome): void {
  if (outcome.kind === 'done') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify({ id: outcome.id, region })}\n`);
    return;
  }
  const { status, detail } = outcome;
  const code = outcome.kind === 'refused' ? outcome.code : 'CTM_APP_UNKNOWN';
  const title = outcome.kind === 'refused' ? 'The request was not executed' : 'The request may have been executed';
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (outcome.kind === 'refused') headers[REFUSED_HEADER] = code;
  const body = { type: `urn:continuum:${code}`, title, status, code, detail, region };
  response.writeHead(status, headers).end(`${JSON.stringify(body)}\n`);
}

function required(name: 'listen' | 'database' | 'user' | 'region'): string {
  const value = values[name];
  if (value === undefined || value === '') return usage(`--${name} is missing`);
  return value;
}

function hostAndPort(name: 'listen' | 'database'): { host: string; port: number } {
  const text = required(name);
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return usage(`--${name} ${text}: write address:port, for example 127.0.0.1:8080`);
  }
  return { host: text.slice(0, colon), port };
}

function usage(problem: string): never {
  process.stderr.write(`${problem}\nusage: counter-app.ts --listen A:P --database A:P --user NAME --region NAME\n`);
  process.exit(64);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
