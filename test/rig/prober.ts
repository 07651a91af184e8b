// The lag prober as a process, and ways to ask it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import type { StandbyReport } from '@continuum/core/replication/index';
import type { WatchedReport } from '@continuum/lag-prober/watcher';
import type { ProbeOptions } from '@continuum/adapters/postgres-probe/index';
import { freePort, runFolder, start, waitFor } from './process.ts';
import type { Started } from './process.ts';

/** As it is deployed. */
export const PROBER_LAUNCHER = fileURLToPath(new URL('../../daemons/lag-prober/prober.sh', import.meta.url));

/** From the second start on neither stripping nor compiling takes time or memory, as its README says. */
const COMPILED = fileURLToPath(new URL('../../.cache/prober-compiled', import.meta.url));

/** The test runner loads itself into every Node below it, which costs a second and measures the wrong process. */
export const PROBER_ENVIRONMENT = { CONTINUUM_NODE: process.execPath, NODE_OPTIONS: '', NODE_COMPILE_CACHE: COMPILED } as const;

export type Prober = {
  readonly url: string;
  readonly configFile: string;
  readonly process: Started;
  /** Writes a changed configuration over the one in force. */
  readonly configure: (changes: object) => void;
  readonly report: (cluster: string) => Promise<WatchedReport>;
  readonly standby: (cluster: string, name?: string) => Promise<StandbyReport>;
  /** Waits until the report of this standby is as wanted, and returns it; the error shows the last one. */
  readonly until: (cluster: string, what: string, wanted: (report: StandbyReport) => boolean, name?: string) => Promise<StandbyReport>;
  readonly metrics: () => Promise<string>;
};

/** `config` without `listen`. */
export async function startProber(config: object, at?: { port: number }): Promise<Prober> {
  const folder = runFolder('prober');
  const port = at?.port ?? (await freePort());
  const configFile = join(folder, 'prober.yaml');
  const configure = (changes: object): void => writeFileSync(configFile, JSON.stringify({ listen: `127.0.0.1:${port}`, ...config, ...changes }));
  configure({});
  const url = `http://127.0.0.1:${port}`;
  const started = await start({
    name: 'lag-prober',
    command: PROBER_LAUNCHER,
    args: ['--config', configFile],
    env: PROBER_ENVIRONMENT,
    logFile: join(folder, 'prober.log'),
  });
  await waitFor('the prober to answer', async () => (await request(`${url}/healthz`)).statusCode === 200);
  const report = async (cluster: string): Promise<WatchedReport> => {
    const { statusCode, body } = await request(`${url}/v1/replication/${cluster}`);
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${statusCode} ${text}`);
    return JSON.parse(text) as WatchedReport;
  };
  const standby: Prober['standby'] = async (cluster, name = 'r2') => {
    const found = (await report(cluster)).standbys.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no standby ${name}`);
    return found;
  };
  return {
    url,
    configFile,
    process: started,
    configure,
    report,
    standby,
    until: (cluster, what, wanted, name) =>
      waitFor(what, async () => {
        const found = await standby(cluster, name);
        if (wanted(found)) return found;
        throw new Error(JSON.stringify(found));
      }),
    metrics: async () => (await request(`${url}/metrics`)).body.text(),
  };
}

/** The same end in the words of the prober's configuration. */
export function endConfig(name: string, options: ProbeOptions): object {
  const { host, port, database, user, passFile, tls } = options;
  return { name, sql: { host, port, database, user, passFile, ...(tls === null ? {} : { tls }) } };
}
