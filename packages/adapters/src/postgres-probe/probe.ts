// Looks at one end of a replicating cluster by SQL: one kept connection, one statement, bounded in time and bytes on both
// sides. It never throws for what a server, a network or a rotated secret can do.

import { readFile } from 'node:fs/promises';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { ProbeOutcome } from '@continuum/core/replication/sample';
import { failure, success } from '@continuum/ports';
import type { Result } from '@continuum/ports';
import { Asker } from '../postgres/asker.ts';
import { fromOutside } from '../postgres/problem.ts';
import { createSession } from '../postgres/session.ts';
import type { Session, SessionContext } from '../postgres/session.ts';
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
  return new SqlProbe(options);
}

/** A class: a prober has thousands of these. */
class SqlProbe implements PostgresProbe {
  readonly #options: ProbeOptions;
  readonly #asker: Asker;
  readonly #writer: Session | null;
  #renewAtMs: number;

  constructor(options: ProbeOptions) {
    const { statementTimeoutMs, canary } = options;
    const limits = `-c statement_timeout=${statementTimeoutMs} -c lock_timeout=${LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout=${statementTimeoutMs}`;
    this.#options = options;
    this.#asker = new Asker(contextOf(options, `${limits} -c default_transaction_read_only=on`), APPLICATION, QUESTIONS[canary ? 'heartbeat' : 'none']);
    // No statement timeout: it would cancel the wait for the standby, and such a commit is acknowledged although it is not safe.
    this.#writer = canary ? createSession(contextOf(options, `-c lock_timeout=${LOCK_TIMEOUT_MS}`), `${APPLICATION}-canary`) : null;
    this.#renewAtMs = renewMs(options);
  }

  look(signal: AbortSignal): Promise<ProbeOutcome> {
    if (performance.now() >= this.#renewAtMs) {
      this.#asker.close();
      this.#renewAtMs = renewMs(this.#options);
    }
    return this.#asker.ask(signal).then(read, (error: unknown) => ({ ok: false, ...explain(error, signal, this.#options) }));
  }

  async beat(signal: AbortSignal, value: number, timeline: number): Promise<Result<null>> {
    if (this.#writer === null) return failure('CTM_PROBE_NO_CANARY', 'this probe writes no canary');
    try {
      const rows = await this.#writer.query(
        signal,
        'UPDATE continuum.heartbeat SET beat = $1, timeline = $2, at = clock_timestamp() WHERE beat < $1 RETURNING beat',
        [value, timeline],
        'continuum-beat',
      );
      return rows.length === 1 ? success(null) : failure('CTM_PROBE_BEAT_STALE', `a beat of ${value} or later was written already`);
    } catch (error) {
      const { code, message } = explain(error, signal, this.#options);
      return failure(code, message, error);
    }
  }

  close(): void {
    this.#asker.close();
    this.#writer?.close();
  }
}

function contextOf({ host, port, database, user, passFile, tls, connectTimeoutMs }: ProbeOptions, serverOptions: string): SessionContext {
  const plain = { host, port, database, controlUser: user, passFile, connectTimeoutMs, answerBytesMax: ANSWER_BYTES_MAX, serverOptions };
  return tls === null ? plain : { ...plain, tls: () => readTls(tls) };
}

function renewMs({ connectionMaxAgeMs = Number.POSITIVE_INFINITY }: ProbeOptions): number {
  return performance.now() + connectionMaxAgeMs * (1 - Math.random() / 3);
}

function read(text: string | null): ProbeOutcome {
  const answer = readAnswer(text);
  return answer === null ? { ok: false, code: 'CTM_DATABASE_GARBAGE', message: 'the answer makes no sense' } : { ok: true, sample: answer.sample };
}

function explain(error: unknown, signal: AbortSignal, { host, port }: ProbeOptions): { code: string; message: string } {
  const where = `${host}:${port}`;
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
