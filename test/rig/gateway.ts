// One region's gateway: Envoy and the gate that it asks, as they run in production, on addresses of their own. The
// controller's socket is only named: who serves it (a controller, or a test through the gate link) is the caller's business.

import { createConnection } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { regionId } from '@continuum/core';
import { gateTimeoutMs, renderBootstrap } from '@continuum/adapters/envoy-rds/bootstrap';
import { createEnvoyTraffic } from '@continuum/adapters/envoy-rds/envoy-traffic';
import type { EnvoyTraffic, EnvoyTrafficOptions } from '@continuum/adapters/envoy-rds/envoy-traffic';
import { locate } from '../../scripts/parts.mjs';
import { start, waitFor } from './process.ts';
import type { Started } from './process.ts';

const GATE_MAIN = fileURLToPath(new URL('../../daemons/quota/src/main.ts', import.meta.url));
const APP_TIMEOUT_MS = 15_000;

export type GatewayOptions = {
  /** Made if missing; files of this gateway only. */
  readonly folder: string;
  readonly region: string;
  /** Where everything of this region listens. */
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
  readonly gatePort: number;
  readonly gateMetricsPort: number;
  /** The local application, on `address`. */
  readonly appPort: number;
  readonly controllerSocket: string;
  readonly peers: readonly { readonly region: string; readonly address: string; readonly port: number }[];
  readonly leaseName: string;
  readonly askIntervalMs?: number;
  readonly heldMax?: number;
  readonly holdMsLimit?: number;
  /** False: no gate, the weights alone decide. */
  readonly gated?: boolean;
  /** More environment of the gate, for example a clock of its own. */
  readonly gateEnvironment?: Readonly<Record<string, string>>;
};

export type Gateway = {
  readonly envoy: Started;
  /** Of the first start; null when not gated. */
  readonly gate: Started | null;
  /** Another gate process with the same configuration, after the first one ended. Returns when it listens. */
  readonly startGate: () => Promise<Started>;
  /** Another Envoy with the same configuration, after the first one ended. Returns when it is live. */
  readonly startEnvoy: () => Promise<Started>;
  readonly traffic: EnvoyTraffic;
  readonly trafficOptions: EnvoyTrafficOptions;
  readonly url: string;
  readonly metricsUrl: string;
  readonly paths: {
    readonly bootstrap: string;
    readonly gateConfig: string;
    readonly epochFile: string;
    readonly routeFile: string;
    readonly accessLog: string;
  };
};

/** Returns when Envoy is live and the gate listens. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { folder, address } = options;
  const routeFolder = join(folder, 'routes');
  mkdirSync(routeFolder, { recursive: true });
  const paths = {
    bootstrap: join(folder, 'envoy.json'),
    gateConfig: join(folder, 'gate.yaml'),
    epochFile: join(folder, 'gate-epoch.json'),
    routeFile: join(routeFolder, 'routes.json'),
    accessLog: join(folder, 'access.jsonl'),
  };
  const trafficOptions = describeTraffic(options, paths.routeFile);
  const traffic = createEnvoyTraffic(trafficOptions);
  const prepared = await traffic.prepare();
  if (!prepared.ok) throw new Error(prepared.failure.message);
  writeFileSync(paths.bootstrap, describeBootstrap(options, { ...paths, routeFolder }));
  writeFileSync(paths.gateConfig, describeGate(options, paths.epochFile));

  const startGate = () => runGate(options, paths.gateConfig);
  const startEnvoy = () => runEnvoy(options, paths.bootstrap);
  const [gate, envoy] = await Promise.all([options.gated === false ? null : startGate(), startEnvoy()]);
  return {
    envoy,
    gate,
    startGate,
    startEnvoy,
    traffic,
    trafficOptions,
    url: `http://${address}:${options.port}`,
    metricsUrl: `http://${address}:${options.gateMetricsPort}/metrics`,
    paths,
  };
}

const holdMsLimit = (options: GatewayOptions): number => options.holdMsLimit ?? 15_000;

function describeTraffic(options: GatewayOptions, routeFile: string): EnvoyTrafficOptions {
  return {
    region: regionId(options.region),
    leaseName: options.leaseName,
    peers: options.peers.map((peer) => regionId(peer.region)),
    appTimeoutMs: APP_TIMEOUT_MS,
    peerTimeoutMs: APP_TIMEOUT_MS + gateTimeoutMs(holdMsLimit(options)),
    routeFile,
    admin: { address: options.address, port: options.adminPort },
  };
}

function describeBootstrap(
  options: GatewayOptions,
  paths: { readonly routeFile: string; readonly routeFolder: string; readonly accessLog: string },
): string {
  const { address } = options;
  return renderBootstrap({
    region: regionId(options.region),
    leaseName: options.leaseName,
    listen: { address, port: options.port },
    admin: { address, port: options.adminPort },
    gate: options.gated === false ? null : { address, port: options.gatePort },
    app: { address, port: options.appPort },
    peers: options.peers.map((peer) => ({ ...peer, region: regionId(peer.region) })),
    routeFile: paths.routeFile,
    routeFolder: paths.routeFolder,
    accessLogFile: paths.accessLog,
    holdMsLimit: holdMsLimit(options),
  });
}

function describeGate(options: GatewayOptions, epochFile: string): string {
  const config = {
    region: options.region,
    leaseName: options.leaseName,
    listen: `${options.address}:${options.gatePort}`,
    metricsListen: `${options.address}:${options.gateMetricsPort}`,
    controllerSocket: options.controllerSocket,
    epochFile,
    holdMsLimit: holdMsLimit(options),
    ...(options.askIntervalMs === undefined ? {} : { askIntervalMs: options.askIntervalMs }),
    ...(options.heldMax === undefined ? {} : { heldMax: options.heldMax }),
  };
  // JSON is YAML.
  return `${JSON.stringify(config, null, 2)}\n`;
}

async function runGate(options: GatewayOptions, config: string): Promise<Started> {
  const gate = await start({
    name: `${options.region} gate`,
    command: process.execPath,
    args: [GATE_MAIN, '--config', config],
    env: options.gateEnvironment ?? {},
    logFile: join(options.folder, 'gate.log'),
  });
  await untilReady(gate, () => accepts(options.address, options.gatePort));
  return gate;
}

async function runEnvoy(options: GatewayOptions, bootstrap: string): Promise<Started> {
  const { command, env } = locate('envoy');
  const envoy = await start({
    name: `${options.region} envoy`,
    command,
    args: ['-c', bootstrap, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning', '--file-flush-interval-msec', '100'],
    env,
    logFile: join(options.folder, 'envoy.log'),
  });
  await untilReady(envoy, async () => {
    const reply = await fetch(`http://${options.address}:${options.adminPort}/ready`);
    return (await reply.text()).startsWith('LIVE');
  });
  return envoy;
}

/** Fails as soon as the process ends, with where to look, instead of waiting for what cannot come. */
async function untilReady(started: Started, ready: () => Promise<boolean>): Promise<void> {
  const ended = started.exited.then((how) => {
    throw new Error(`${started.name} ended with ${how}: see ${started.logFile}`);
  });
  await Promise.race([ended, waitFor(`${started.name} to be ready (see ${started.logFile})`, ready)]);
  ended.catch(() => undefined);
}

function accepts(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
