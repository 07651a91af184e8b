// One connection to the local server that is kept, reconnects when it broke, and never outlives its caller's deadline.
//
// pg's own timeouts leave the socket open; here the deadline destroys the socket, so a stopped server costs nothing more.

import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { AnswerGuard } from './answer-guard.ts';
import { DatabaseProblem } from './problem.ts';
import type { PostgresContext } from './options.ts';
import { abortable, createTurnstile } from './wait.ts';

export type Row = Readonly<Record<string, unknown>>;

export type Session = {
  /** Runs one statement (prepared under `name` when given) and returns its rows. */
  readonly query: (signal: AbortSignal, text: string, values?: readonly unknown[], name?: string) => Promise<readonly Row[]>;
  /** Connects ahead of need; a failure shows at the next query. */
  readonly warm: () => void;
  readonly close: () => void;
};

/** What a session needs to know. TLS, when given, is read anew for each connection: a rotated file counts at once. */
export type SessionContext = Pick<PostgresContext, 'host' | 'port' | 'controlUser' | 'database' | 'passFile' | 'connectTimeoutMs'> & {
  readonly tls?: () => Promise<ConnectionOptions>;
  /** Settings of the session, as `-c name=value ...`. */
  readonly serverOptions?: string;
  /** More bytes than this for one statement, or for connecting, end the connection. Default 16 MiB. */
  readonly answerBytesMax?: number;
};

export const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** `health` is an object of its own, so that whoever watches the socket keeps no client alive. */
export type Connection = { readonly client: pg.Client; readonly socket: Socket; readonly guard: AnswerGuard; readonly health: { broken: boolean } };

export function createSession(context: SessionContext, applicationName: string): Session {
  let connection: Connection | null = null;
  let warming = false;
  const turn = createTurnstile();

  const connected = async (signal: AbortSignal): Promise<Connection> => {
    if (connection !== null && !connection.health.broken) return connection;
    connection?.socket.destroy();
    connection = null;
    connection = await connect(context, applicationName, signal);
    return connection;
  };

  const query: Session['query'] = (signal, text, values = [], name = undefined) =>
    turn(signal, async () => {
      const current = await connected(signal);
      const { client, socket, guard } = current;
      guard.begin();
      const statement = { text, values: [...values], ...(name === undefined ? {} : { name }) };
      const answer = client.query<Record<string, unknown>>(statement);
      try {
        return (await abortable(signal, answer)).rows;
      } catch (error) {
        if (signal.aborted) {
          // The socket says so itself only later; the next statement may come before.
          current.health.broken = true;
          abandon(socket, answer);
        }
        throw error;
      }
    });

  const warm = () => {
    if (warming || (connection !== null && !connection.health.broken)) return;
    warming = true;
    const signal = AbortSignal.timeout(context.connectTimeoutMs);
    const done = () => {
      warming = false;
    };
    turn(signal, () => connected(signal)).then(done, done);
  };

  const close = () => {
    connection?.socket.destroy();
    connection = null;
  };
  return { query, warm, close };
}

/** `own`: a socket of the caller's, who guards what comes in on it while it is not under TLS. */
export async function connect(context: SessionContext, applicationName: string, signal: AbortSignal, own?: Pick<Connection, 'socket' | 'guard'>): Promise<Connection> {
  const { socket, guard } = own ?? { socket: new Socket(), guard: new AnswerGuard(context.answerBytesMax ?? ANSWER_BYTES_MAX) };
  if (own === undefined) guard.watch(socket);
  const tls = await context.tls?.();
  const client = new pg.Client({
    host: context.host,
    port: context.port,
    user: context.controlUser,
    database: context.database,
    password: () => readPassword(context, context.controlUser),
    application_name: applicationName,
    stream: () => socket,
    ...(context.serverOptions === undefined ? {} : { options: context.serverOptions }),
    ...(tls === undefined ? {} : { ssl: tls }),
  });
  // With TLS the answers come out of another stream than the one they went into.
  client.connection.once('sslconnect', () => guard.watch(client.connection.stream));
  const health = { broken: false };
  const onBroken = breaks(health);
  client.on('error', onBroken);
  client.on('end', onBroken);
  socket.on('error', onBroken);
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(context.connectTimeoutMs)]);
  const connecting = client.connect();
  try {
    await abortable(bounded, connecting);
  } catch (error) {
    abandon(socket, connecting);
    if (signal.aborted || !bounded.aborted) throw error;
    const where = `${context.host}:${context.port}`;
    throw new DatabaseProblem('CTM_DATABASE_UNREACHABLE', `${where} did not answer in ${context.connectTimeoutMs} ms`);
  }
  return { client, socket, guard, health };
}

const breaks = (health: Connection['health']) => () => {
  health.broken = true;
};

/** Nobody waits for `pending` any more: its late rejection is the expected echo of the destroyed socket. */
function abandon(socket: Socket, pending: Promise<unknown>): void {
  socket.destroy();
  const ignore = () => undefined;
  pending.then(ignore, ignore);
}

/** Reads the password at each connect, so that a rotated file counts at once. libpq's format: host:port:database:user:password. */
export async function readPassword(context: Pick<PostgresContext, 'host' | 'port' | 'database' | 'passFile'>, user: string): Promise<string> {
  const wanted = [context.host, String(context.port), context.database, user];
  for (const line of (await readFile(context.passFile, 'utf8')).split('\n')) {
    if (line.startsWith('#')) continue;
    const fields = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map((match) => (match[1] ?? '').replaceAll(/\\(.)/g, '$1'));
    if (fields.length >= 5 && wanted.every((value, at) => fields[at] === '*' || fields[at] === value)) return fields[4] ?? '';
  }
  throw new DatabaseProblem(
    'CTM_DATABASE_UNREACHABLE',
    `${context.passFile} has no line for ${wanted.join(':')}: add one in the form host:port:database:user:password`,
  );
}
