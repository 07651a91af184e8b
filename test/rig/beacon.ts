// Starts a region's real attestation beacon, and asks it as a resolver would.

import { createSocket } from 'node:dgram';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import { startDnsDaemon } from './dns-daemon.ts';
import type { Started } from './process.ts';

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

export async function startBeacon(options: BeaconOptions): Promise<Started> {
  return startDnsDaemon({
    ...options,
    config: { leases: [{ name: options.lease, controllerSocket: options.controllerSocket }], askIntervalMs: options.askIntervalMs ?? 50, beacon: beaconOf(options) },
  });
}

/** The daemon's section `beacon`. */
export function beaconOf({ zone, address, port, privateKeyFile, rateLimit }: Pick<BeaconOptions, 'zone' | 'address' | 'port' | 'privateKeyFile' | 'rateLimit'>): object {
  return { zone, listen: `${address}:${port}`, addresses: [address], privateKeyFile, rateLimit: rateLimit ?? { perSecond: 10_000, burst: 10_000 } };
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
