// The lag prober of one region of a site: it looks at both databases and tells the controller beside it.

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { scramVerifier } from '@continuum/adapters/postgres/index';
import { probeSetupStatements } from '@continuum/adapters/postgres-probe/index';
import { PROBER_ENVIRONMENT, PROBER_LAUNCHER } from './prober.ts';
import { runSql } from './postgres.ts';
import type { PrimaryOptions } from './postgres.ts';
import { start, waitFor } from './process.ts';
import type { Started } from './process.ts';

const USER = 'continuum_prober';
const PASSWORD = 'site-prober-secret';
const INTERVAL_MS = 400;

export type SiteProber = {
  readonly folder: string;
  readonly region: string;
  /** As the controller's specification names it. */
  readonly cluster: string;
  readonly listen: { readonly address: string; readonly port: number };
  readonly databases: readonly { readonly region: string; readonly host: string; readonly port: number }[];
  readonly passFile: string;
  /** The controller's ear. */
  readonly socket: string;
};

/** The role that may look and nothing else, on a first database that is down; every copy of it has it too. */
export async function addProberRole(options: PrimaryOptions): Promise<void> {
  appendFileSync(options.passFile, `*:*:*:${USER}:${PASSWORD}\n`);
  appendFileSync(join(options.dataDir, 'pg_hba.conf'), `host postgres ${USER} 127.0.0.0/8 scram-sha-256\n`);
  await runSql(options, 'postgres', probeSetupStatements({ user: USER, verifier: scramVerifier(PASSWORD), canary: false }));
}

export async function startSiteProber({ folder, region, cluster, listen, databases, passFile, socket }: SiteProber): Promise<Started> {
  mkdirSync(folder, { recursive: true });
  const configFile = join(folder, 'prober.yaml');
  const at = `${listen.address}:${listen.port}`;
  const ends = databases.map(({ region: name, host, port }) => ({ name, sql: { host, port, database: 'postgres', user: USER, passFile } }));
  writeFileSync(configFile, JSON.stringify({ listen: at, intervalMs: INTERVAL_MS, push: [{ socket }], clusters: [{ name: cluster, ends }] }));
  const prober = await start({
    name: `${region} lag prober`,
    command: PROBER_LAUNCHER,
    args: ['--config', configFile],
    env: PROBER_ENVIRONMENT,
    logFile: join(folder, 'prober.log'),
  });
  await waitFor(`${region} lag prober (see ${prober.logFile})`, async () => {
    if (!prober.running()) throw new Error(`it ended: ${await prober.exited}`);
    return (await request(`http://${at}/healthz`)).statusCode === 200;
  });
  return prober;
}
