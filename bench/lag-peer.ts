// The Prometheus exporter of PostgreSQL beside the prober: one per end of the pair, as it is deployed, asked by a scrape.

import { join } from 'node:path';
import { request } from 'undici';
import { PROBER_USER } from '../test/rig/lag-pair.ts';
import type { PairMember } from '../test/rig/postgres-pair.ts';
import { passwordOf } from '../test/rig/postgres.ts';
import { freePort, runFolder, start, waitFor } from '../test/rig/process.ts';
import { ensurePostgresExporter } from './peers/install.mjs';

export type Exporter = {
  readonly pid: number;
  /** One scrape, and the standby's lag in it; null when it names none. */
  readonly scrape: () => Promise<number | null>;
};

export async function startExporter(member: PairMember, say: (line: string) => void): Promise<Exporter> {
  const command = await ensurePostgresExporter(say);
  const { host, port, passFile } = member.options;
  const webPort = await freePort();
  const dsn = `postgresql://${PROBER_USER}:${encodeURIComponent(passwordOf(passFile, PROBER_USER))}@${host}:${port}/postgres?sslmode=disable`;
  const folder = runFolder('exporter');
  const url = `http://127.0.0.1:${webPort}/metrics`;
  const started = await start({
    name: 'postgres_exporter',
    command,
    args: [`--web.listen-address=127.0.0.1:${webPort}`],
    env: { DATA_SOURCE_NAME: dsn },
    logFile: join(folder, 'exporter.log'),
  });
  const scrape = async (): Promise<number | null> => {
    const text = await (await request(url)).body.text();
    const value = /^pg_replication_lag(?:_seconds)?(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1];
    return value === undefined ? null : Number(value) * 1_000;
  };
  await waitFor('the exporter to be connected', async () => /^pg_up(\{[^}]*\})? 1$/m.test(await (await request(url)).body.text()));
  return { pid: started.pid, scrape };
}
