// Opens the way to look at one end, as its configuration says.

import type { ProbeOutcome } from '@continuum/core/replication/index';
import { createExporterProbe } from '@continuum/adapters/cnpg-exporter/probe';
import { createPostgresProbe } from '@continuum/adapters/postgres-probe/index';
import type { PostgresProbe } from '@continuum/adapters/postgres-probe/index';
import type { EndConfig } from './config.ts';

export type EndProbe = {
  readonly look: (signal: AbortSignal) => Promise<ProbeOutcome>;
  /** Null where nothing can be written. */
  readonly beat: PostgresProbe['beat'] | null;
  readonly close: () => void;
};

export function openEnd(end: EndConfig, { canary, timeoutMs, connectionMaxAgeMs }: { canary: boolean; timeoutMs: number; connectionMaxAgeMs: number }): EndProbe {
  const { sql, exporter } = end;
  if (sql !== undefined) {
    const { host, port, database, user, passFile, tls } = sql;
    const files = tls === undefined ? null : dropUndefined(tls);
    const options = { host, port, database, user, passFile, tls: files, connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs, connectionMaxAgeMs, canary };
    return createPostgresProbe(options);
  }
  if (exporter === undefined) throw new Error(`end ${end.name} has neither sql nor exporter`);
  return { ...createExporterProbe(exporter), beat: null };
}

type Tls = NonNullable<NonNullable<EndConfig['sql']>['tls']>;

function dropUndefined({ caFile, certFile, keyFile, serverName }: Tls): NonNullable<Parameters<typeof createPostgresProbe>[0]['tls']> {
  return {
    caFile,
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}
