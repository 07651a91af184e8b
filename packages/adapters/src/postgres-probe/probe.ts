// Looks at one end of a replicating cluster by SQL: one kept connection, one statement, bounded in time and bytes on both
// sides. It never throws for what a server, a network or a rotated secret can do.

import { readFile } from 'node:fs/promises';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { ProbeOutcome } from '@continuum/core/replication/sample';
import { failure, success } from '@continuum/ports';
import type { Result } from '@continuum/ports';
import { createAsker } from '../postgres/asker.ts';
import { fromOutside } from '../postgres/problem.ts';
import { createSession } from '../postgres/session.ts';
import type { SessionContext } from '../postgres/session.ts';
import { readAnswer } from './answer.ts';
import { QUESTIONS } from './statement.ts';

/** PEM files; read anew for each connection. The server's name is always verified. */
export type TlsFiles = {
  readonly caFile: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name in the server's certificate, when it is not the host that is connected to. */
  readonly serverName?: string;
};

export type ProbeOptions = {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** A role with `pg_monitor` and nothing else (setup.ts). */
  readonly user: string;
  /** libpq password file; read anew for each connection. */
  readonly passFile: string;
  /** Null: in clear, for loopback and for a link that something else protects. */
  readonly tls: TlsFiles | null;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /**
   * A connection is kept for so long at most, less up to a third by chance. A kept one goes on when the server takes no new
   * ones (its postmaster hangs), the password was rotated or the certificate ran out: only a new one shows that. Default: for ever.
   */
  readonly connectionMaxAgeMs?: number;
  readonly canary: boolean;
};

export type PostgresProbe = {
  /** One look. The signal ends it, and the connection with it. */
  readonly look: (signal: AbortSignal) => Promise<ProbeOutcome>;
  /** Canary: writes the heartbeat on a primary and returns when its commit was acknowledged. */
  readonly beat: (signal: AbortSignal, beat: number, timeline: number) => Promise<Result<null>>;
  readonly close: () => void;
};

/** What a sane answer cannot exceed: a thousand walsenders and slots. */
const ANSWER_BYTES_MAX = 512 * 1024;
const LOCK_TIMEOUT_MS = 200;
const APPLICATION = 'continuum-lag-prober';

export function createPostgresProbe(options: ProbeOptions): PostgresProbe {
  const { host, port, database, user, passFile, tls, connectTimeoutMs, statementTimeoutMs } = options;
  const limits = `-c statement_timeout=${statementTimeoutMs} -c lock_timeout=${LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout=${statementTimeoutMs}`;
  const context: SessionContext = {
    host,
    port,
    database,
    controlUser: user,
    passFile,
    connectTimeoutMs,
    answerBytesMax: ANSWER_BYTES_MAX,
    ...(tls === null ? {} : { tls: () => readTls(tls) }),
  };
  const asker = createAsker({ ...context, serverOptions: `${limits} -c default_transaction_read_only=on` }, APPLICATION, QUESTIONS[options.canary ? 'heartbeat' : 'none']);
  // No statement timeout: it would cancel the wait for the standby, and such a commit is acknowledged although it is not safe.
  const writer = options.canary ? createSession({ ...context, serverOptions: `-c lock_timeout=${LOCK_TIMEOUT_MS}` }, `${APPLICATION}-canary`) : null;

  const renewMs = (): number => performance.now() + (options.connectionMaxAgeMs ?? Number.POSITIVE_INFINITY) * (1 - Math.random() / 3);
  let renewAtMs = renewMs();

  const read = (text: string | null): ProbeOutcome => {
    const answer = readAnswer(text);
    if (answer !== null) return { ok: true, sample: answer.sample };
    return { ok: false, code: 'CTM_DATABASE_GARBAGE', message: 'the answer makes no sense' };
  };
  const look: PostgresProbe['look'] = (signal) => {
    if (performance.now() >= renewAtMs) {
      asker.close();
      renewAtMs = renewMs();
    }
    return asker.ask(signal).then(read, (error: unknown) => ({ ok: false, ...explain(error, signal, `${host}:${port}`) }));
  };

  const beat: PostgresProbe['beat'] = async (signal, value, timeline) => {
    if (writer === null) return failure('CTM_PROBE_NO_CANARY', 'this probe writes no canary');
    try {
      const rows = await writer.query(
        signal,
        'UPDATE continuum.heartbeat SET beat = $1, timeline = $2, at = clock_timestamp() WHERE beat < $1 RETURNING beat',
        [value, timeline],
        'continuum-beat',
      );
      return rows.length === 1 ? success(null) : failure('CTM_PROBE_BEAT_STALE', `a beat of ${value} or later was written already`);
    } catch (error) {
      const { code, message } = explain(error, signal, `${host}:${port}`);
      return failure(code, message, error);
    }
  };

  return {
    look,
    beat,
    close: () => {
      asker.close();
      writer?.close();
    },
  };
}

function explain(error: unknown, signal: AbortSignal, where: string): { code: string; message: string } {
  if (signal.aborted) return { code: 'CTM_DATABASE_TIMEOUT', message: `${where} did not answer in time` };
  const problem = fromOutside(error);
  if (problem !== null) return { code: problem.code, message: problem.message };
  // What is left is of the other side as well: TLS refusals, authentication schemes, a server that hangs up in between.
  if (error instanceof Error) return { code: 'CTM_DATABASE_UNREACHABLE', message: `${where}: ${error.message}` };
  throw error;
}

async function readTls({ caFile, certFile, keyFile, serverName }: TlsFiles): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((file) => (file === undefined ? undefined : readFile(file))));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate) }),
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  };
}
