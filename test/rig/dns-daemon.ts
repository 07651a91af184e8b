// Starts a region's real DNS daemon, and reads what it says of itself.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

export type DnsDaemonOptions = {
  readonly folder: string;
  readonly region: string;
  readonly address: string;
  readonly metricsPort: number;
  /** All but `region` and `metricsListen`. */
  readonly config: object;
};

const DNS_MAIN = fileURLToPath(new URL('../../daemons/dns/src/main.ts', import.meta.url));

export async function startDnsDaemon({ folder, region, address, metricsPort, config }: DnsDaemonOptions): Promise<Started> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'dns.yaml');
  // JSON is YAML.
  writeFileSync(file, `${JSON.stringify({ region, metricsListen: `${address}:${metricsPort}`, ...config }, null, 2)}\n`, { mode: 0o600 });
  const started = await start({ name: `${region} DNS daemon`, command: process.execPath, args: [DNS_MAIN, '--config', file], logFile: join(folder, 'dns.log') });
  await waitFor(`${started.name} to be ready (see ${started.logFile})`, async () => {
    if (!started.running()) throw new Error(`it ended: ${await started.exited}`);
    return (await fetch(`http://${address}:${metricsPort}/metrics`)).ok;
  });
  return started;
}

/** One sample of the daemon's metrics, for example `continuum_dns_in_place{target="ns1"}`; null when it has none. */
export async function dnsMetric(at: { readonly address: string; readonly metricsPort: number }, sample: string): Promise<number | null> {
  const text = await (await fetch(`http://${at.address}:${at.metricsPort}/metrics`)).text();
  // Every sample of the daemon has its region as its last label.
  const start = sample.endsWith('}') ? `${sample.slice(0, -1)},` : `${sample}{`;
  const line = text.split('\n').find((one) => one.startsWith(start));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ')));
}
