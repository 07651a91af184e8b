// Starts a region's real attestation beacon, and asks it as a resolver would.

import { createSocket } from 'node:dgram';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

export type BeaconOptions = {
  readonly folder: string;
  readonly region: string;
  readonly zone: string;
  readonly address: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly lease: string;
  readonly controllerSocket: string;
  readonly privateKeyFile: string;
  readonly askIntervalMs?: number;
  readonly rateLimit?: { readonly perSecond: number; readonly burst: number };
};

const DNS_MAIN = fileURLToPath(new URL('../../daemons/dns/src/main.ts', import.meta.url));

export async function startBeacon(options: BeaconOptions): Promise<Started> {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const { region, zone, address, port } = options;
  const file = join(options.folder, 'dns.yaml');
  const config = {
    region,
    zone,
    listen: `${address}:${port}`,
    metricsListen: `${address}:${options.metricsPort}`,
    addresses: [address],
    leases: [{ name: options.lease, controllerSocket: options.controllerSocket }],
    privateKeyFile: options.privateKeyFile,
    askIntervalMs: options.askIntervalMs ?? 50,
    rateLimit: options.rateLimit ?? { perSecond: 10_000, burst: 10_000 },
  };
  // JSON is YAML.
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  const started = await start({ name: `${region} beacon`, command: process.execPath, args: [DNS_MAIN, '--config', file], logFile: join(options.folder, 'dns.log') });
  await waitFor(`${started.name} to be ready (see ${started.logFile})`, async () => {
    if (!started.running()) throw new Error(`it ended: ${await started.exited}`);
    return (await fetch(`http://${address}:${options.metricsPort}/metrics`)).ok;
  });
  return started;
}

/** `spec.dns.attestation` with each region's key `<region>/1`. */
export function attestationOf(zone: string, publicKeys: Readonly<Record<string, string>>): object {
  return { zone, publicKeys: Object.fromEntries(Object.entries(publicKeys).map(([region, key]) => [`${region}/1`, key])) };
}

/** `spec.dns.resolvers`: the recursors under the vendors of those they stand for. */
export function resolversOf({ resolvers }: { readonly resolvers: readonly { readonly server: ResolverServer }[] }): object {
  const vendors = ['google', 'cloudflare', 'quad9'];
  return { resolvers: resolvers.map(({ server }, index) => ({ ...server, vendor: vendors[index] })) };
}

/** Sends one datagram; the first datagram that comes back, or null. */
export function exchange(bytes: Buffer, at: { readonly address: string; readonly port: number }, timeoutMs = 500): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const settle = (reply: Buffer | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    const timer = setTimeout(settle, timeoutMs, null);
    socket.once('message', settle);
    socket.send(bytes, at.port, at.address);
  });
}
