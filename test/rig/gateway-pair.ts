// Two regions' gateways with a small application behind each, and in the controllers' place the test itself, which speaks
// to the gates through the same link that a controller uses.

import { join } from 'node:path';
import { monoMs } from '@continuum/core';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import type { GateLink, GateLinkInstruction } from '@continuum/adapters/gate-link/gate-link';
import { Agent, request } from 'undici';
import { systemClock } from '@continuum/runtime';
import { startEchoApp } from './echo-app.ts';
import type { Echo, EchoApp } from './echo-app.ts';
import { startGateway } from './gateway.ts';
import type { Gateway, GatewayOptions } from './gateway.ts';
import { freePort, runFolder, stopAll, waitFor } from './process.ts';

export type Reply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Of the application; null when the gateway answered. */
  readonly echo: Echo | null;
  readonly text: string;
  /** `performance.now()` when the answer was complete. */
  readonly atMs: number;
};

export type GatewayRegion = {
  readonly name: string;
  readonly gateway: Gateway;
  readonly app: EchoApp;
  readonly link: () => GateLink;
  /** A controller that starts on this region's socket, after `link().close()`. */
  readonly openLink: () => Promise<GateLink>;
  /** Tells the gate, and returns when it is in force. `remainingMs` counts from now. */
  readonly tell: (instruction: Partial<GateLinkInstruction> & { mode: GateLinkInstruction['mode'] }, remainingMs?: number) => Promise<void>;
  readonly get: (path: string, headers?: Readonly<Record<string, string>>, method?: 'GET' | 'POST') => Promise<Reply>;
  readonly metric: (name: string) => Promise<number>;
};

export type GatewayPair = { readonly r1: GatewayRegion; readonly r2: GatewayRegion; readonly close: () => Promise<void> };

export const WELL_KNOWN = '/.well-known/continuum/shop';

export async function startGatewayPair(
  name: string,
  addresses: readonly [string, string],
  change: Partial<Pick<GatewayOptions, 'heldMax' | 'holdMsLimit' | 'askIntervalMs'>> = {},
): Promise<GatewayPair> {
  const folder = runFolder(name);
  const ports = new Set<number>();
  while (ports.size < 5) ports.add(await freePort(...addresses));
  const client = new Agent({ pipelining: 1 });
  const [r1, r2] = await Promise.all([
    startRegion('r1', addresses[0], { name: 'r2', address: addresses[1] }),
    startRegion('r2', addresses[1], { name: 'r1', address: addresses[0] }),
  ]);
  const close = async (): Promise<void> => {
    await client.destroy();
    await Promise.all([r1, r2].flatMap(({ link, app }) => [link().close(), app.close()]));
    await stopAll();
  };
  return { r1, r2, close };

  async function startRegion(region: string, address: string, peer: { name: string; address: string }): Promise<GatewayRegion> {
    const [port, adminPort, gatePort, gateMetricsPort, appPort] = [...ports] as [number, number, number, number, number];
    const controllerSocket = join(folder, `${region}.sock`);
    const app = await startEchoApp({ region, address, port: appPort });
    let link = await openLink(controllerSocket);
    const gateway = await startGateway({
      folder: join(folder, region),
      region,
      address,
      port,
      adminPort,
      gatePort,
      gateMetricsPort,
      appPort,
      controllerSocket,
      peers: [{ region: peer.name, address: peer.address, port }],
      leaseName: 'shop',
      ...change,
    });
    return {
      name: region,
      gateway,
      app,
      link: () => link,
      openLink: async () => {
        link = await openLink(controllerSocket);
        return link;
      },
      tell: (instruction, remainingMs = 0) => tell(link, region, instruction, remainingMs),
      get: (path, headers = {}, method = 'GET') => fetchOnce(client, `${gateway.url}${path}`, headers, method),
      metric: (metric) => readMetric(gateway.metricsUrl, metric),
    };
  }
}

async function openLink(socketPath: string): Promise<GateLink> {
  const created = await createGateLink({ socketPath, clock: systemClock.now });
  if (!created.ok) throw new Error(created.failure.message);
  return created.value;
}

/** Different in every instruction, so that each is a change of its own and can be waited for. */
let told = 0;

async function tell(
  link: GateLink,
  region: string,
  instruction: Partial<GateLinkInstruction> & { mode: GateLinkInstruction['mode'] },
  remainingMs: number,
): Promise<void> {
  const whole = { epoch: 1, activeRegion: region, holdForwarded: false, holdMsMax: 10_000, ...instruction };
  told += 1;
  whole.holdMsMax += told / 1_000;
  const version = link.set(whole, monoMs(systemClock.now().monoMs + remainingMs));
  await waitFor(`${region} to be ${whole.mode} at epoch ${whole.epoch}`, () => link.observed().applied === version, { everyMs: 1 });
}

async function fetchOnce(
  client: Agent,
  url: string,
  headers: Readonly<Record<string, string>>,
  method: 'GET' | 'POST',
): Promise<Reply> {
  const reply = await request(url, { dispatcher: client, headers, method, headersTimeout: 60_000 });
  const text = await reply.body.text();
  const echo = text.startsWith('{"region":') ? (JSON.parse(text) as Echo) : null;
  return { status: reply.statusCode, headers: reply.headers, echo, text, atMs: performance.now() };
}

async function readMetric(url: string, name: string): Promise<number> {
  const text = await (await fetch(url)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  if (line === undefined) return 0;
  return Number(line.slice(name.length + 1));
}
