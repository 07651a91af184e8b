// Starts the real dnsdist with the configuration that is deployed.

import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locate } from '../../scripts/parts.mjs';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

export type DnsdistOptions = {
  readonly folder: string;
  readonly address: string;
  readonly port: number;
  readonly backends: readonly { readonly address: string; readonly port: number }[];
  readonly zone: string;
  /** Overrides of the deployed settings: ACL, QPS, CACHE_SECONDS. */
  readonly settings?: Readonly<Record<string, string>>;
};

const READY_TIMEOUT_MS = 8_000;
const CONFIG = fileURLToPath(new URL('../../deploy/dnsdist/dnsdist.conf', import.meta.url));

export async function startDnsdist(options: DnsdistOptions): Promise<Started> {
  const part = locate('dnsdist');
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const config = join(options.folder, 'dnsdist.conf');
  copyFileSync(CONFIG, config);
  const more = Object.entries(options.settings ?? {}).map(([name, value]) => [`CONTINUUM_DNSDIST_${name}`, value]);
  const started = await start({
    name: 'dnsdist',
    command: part.command,
    args: ['--supervised', '--disable-syslog', '--config', config],
    env: {
      ...part.env,
      CONTINUUM_DNSDIST_LISTEN: `${options.address}:${options.port}`,
      CONTINUUM_DNSDIST_BACKENDS: options.backends.map(({ address, port }) => `${address}:${port}`).join(','),
      CONTINUUM_DNSDIST_ZONE: `${options.zone}.`,
      ...Object.fromEntries(more),
    },
    logFile: join(options.folder, 'dnsdist.log'),
  });
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${options.address}:${options.port}`]);
  const gone = started.exited.then((how) => {
    throw new Error(`dnsdist ended (${how}): ${readFileSync(started.logFile, 'utf8').slice(-500)}`);
  });
  const up = waitFor(`dnsdist (see ${started.logFile})`, async () => {
    return resolver.resolveSoa(options.zone).then(() => true, (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED' ? false : error.code !== 'ETIMEOUT');
  }, { timeoutMs: READY_TIMEOUT_MS });
  // Its end later on is the test's affair.
  gone.catch(() => undefined);
  await Promise.race([up, gone]);
  return started;
}
