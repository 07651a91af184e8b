// The whole system of real parts on loopback addresses: two regions, and outside both the witness and three recursors.
// Used by the demo, the bench and the drills. A region is killed as a power cut would: every process at once.

import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { stringify } from 'yaml';
import { deriveTimings, regionId } from '@continuum/core';
import type { Mode, Timings } from '@continuum/core';
import { generateKeyPair } from '@continuum/wire';
import { API_VERSION } from '@continuum/wire/spec';
import type { Status } from '../../daemons/controller/src/status.ts';
import { unprivilegedUser } from '../../scripts/parts.mjs';
import { attestationOf, beaconOf, resolversOf } from './beacon.ts';
import { dnsMetric, startDnsDaemon } from './dns-daemon.ts';
import { distinctPorts } from './distinct-ports.ts';
import { startAuthoritative, startResolvers, storedSerial } from './dns.ts';
import type { Recursor, RecursorOptions } from './dns.ts';
import { startGateway } from './gateway.ts';
import type { Gateway } from './gateway.ts';
import { APP_DATABASE, APP_USER, initPrimary, passwordOf, postgresOptions, postmasterPid } from './postgres.ts';
import { adopt, descendants, freePort, killNaming, signalAll, start, waitFor } from './process.ts';
import type { Started } from './process.ts';
import { addProberRole, startSiteProber } from './site-prober.ts';
import { startWitness } from './witness.ts';
import type { Witness } from './witness.ts';

export const REGIONS = ['r1', 'r2'] as const;
export type RegionName = (typeof REGIONS)[number];

const ADDRESS: Record<RegionName | 'witness', string> = { r1: '127.10.0.1', r2: '127.20.0.1', witness: '127.30.0.1' };
const ZONE = 'app.test';
const ATTEST_ZONE = `attest.${ZONE}`;
const LEASE = 'counter';
const CONTROLLER_MAIN = fileURLToPath(new URL('../../daemons/controller/src/main.ts', import.meta.url));
const APP_MAIN = fileURLToPath(new URL('./counter-app.ts', import.meta.url));
const SETTLE_TIMEOUT_MS = 60_000;

export type SiteOptions = {
  readonly folder: string;
  readonly rtoMs: number;
  readonly mode?: Mode;
  /** More environment of a region's controller and gate (and of what they start), for example a clock of its own. */
  readonly environment?: (region: RegionName) => Readonly<Record<string, string>>;
  /** Where the regions find the witness, given where it is: for something that stands in between. One for both, as in one spec. */
  readonly witnessVia?: (url: string) => Promise<string>;
  /** The configuration that a region's controller gets, given the usual one: for another register, for example. */
  readonly configure?: (region: RegionName, config: object) => object;
  readonly forward?: RecursorOptions['forward'];
  /** Beacons in both regions, and a controller that asks the resolvers when the witness is silent. */
  readonly attestation?: boolean;
  /** A lag prober beside each controller. */
  readonly lagProber?: boolean;
  /** Progress, one line a step. */
  readonly say?: (line: string) => void;
};

export type Site = {
  readonly folder: string;
  readonly timings: Timings;
  readonly dnsName: string;
  readonly gatewayPort: number;
  readonly resolvers: readonly Recursor[];
  readonly regions: Readonly<Record<RegionName, Region>>;
  readonly witness: () => Witness;
  readonly startWitness: (variables?: Readonly<Record<string, unknown>>) => Promise<Witness>;
  /** Writes to all name servers, by whomever, since their zones were made: must not grow at a failover. */
  readonly dnsWrites: () => number;
  /** Both regions settled: `holder` serves, the other one streams and is in the in-sync set. */
  readonly settled: (holder: RegionName) => Promise<void>;
  readonly stop: () => Promise<void>;
};

type Ports = Record<'gateway' | 'admin' | 'gate' | 'gateMetrics' | 'app' | 'database' | 'dns' | 'dnsApi' | 'api' | 'beacon' | 'dnsMetrics' | 'lag', number>;

type Shared = {
  readonly options: SiteOptions;
  readonly ports: Ports;
  readonly secrets: { readonly dnsApiKey: string; readonly token: string; readonly passFile: string };
  /** Of each region's signing key. */
  readonly publicKeys: Readonly<Record<RegionName, string>>;
  readonly resolvers: readonly Recursor[];
  readonly witness: Witness;
  readonly witnessUrl: string;
};

/** Starts everything and returns once r1 serves and r2 is in sync. */
export async function startSite(options: SiteOptions): Promise<Site> {
  const say = options.say ?? (() => undefined);
  const { folder } = options;
  const timings = deriveTimings(options.rtoMs);
  const addresses = Object.values(ADDRESS);
  const names = ['gateway', 'admin', 'gate', 'gateMetrics', 'app', 'database', 'dns', 'dnsApi', 'api', 'beacon', 'dnsMetrics', 'lag'] as const;
  const ports = Object.fromEntries(await distinctPorts(names, addresses)) as Ports;
  const dnsName = `counter.${ZONE}`;
  const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };
  const secrets = { dnsApiKey: secret(), token: secret(), passFile: join(folder, 'passwords') };

  say('witness (workerd) and three resolvers (pdns-recursor)');
  const witnessPort = await freePort(ADDRESS.witness);
  const runWitness = (variables: Readonly<Record<string, unknown>> = {}) =>
    startWitness({
      folder: subfolder(folder, 'witness'),
      address: ADDRESS.witness,
      port: witnessPort,
      leases: [LEASE],
      regions: REGIONS.map((region) => ({ region, publicKeys: { 1: keys[region].publicKey } })),
      variables,
    });
  let witness = await runWitness();
  const resolvers = await startResolvers({
    folder: subfolder(folder, 'resolvers'),
    port: await freePort('127.8.8.8', '127.1.1.1', '127.9.9.9'),
    forward: [
      { zone: ZONE, servers: REGIONS.map((region) => ({ address: ADDRESS[region], port: ports.dns })) },
      ...REGIONS.map((region) => ({ zone: `${region}.${ATTEST_ZONE}`, servers: [{ address: ADDRESS[region], port: ports.beacon }] })),
      ...(options.forward ?? []),
    ],
  });
  const witnessUrl = (await options.witnessVia?.(witness.url)) ?? witness.url;
  const publicKeys = { r1: keys.r1.publicKey, r2: keys.r2.publicKey };
  const shared: Shared = { options, ports, secrets, publicKeys, resolvers, witness, witnessUrl };
  for (const region of REGIONS) {
    const home = subfolder(folder, region);
    writeFileSync(join(home, 'key.pem'), keys[region].privateKey, { mode: 0o600 });
    writeFileSync(join(home, 'token'), secrets.token, { mode: 0o600 });
    writeFileSync(join(home, 'dns-api-key'), secrets.dnsApiKey, { mode: 0o600 });
    const user = unprivilegedUser();
    const databaseHome = subfolder(home, 'database');
    if (user !== null) chownSync(databaseHome, user.uid, user.gid);
  }
  say('first database of r1');
  await initPrimary(databaseOptions(shared, 'r1'));
  if (options.lagProber === true) await addProberRole(databaseOptions(shared, 'r1'));
  const regions = { r1: createRegion('r1', shared), r2: createRegion('r2', shared) };
  say('regions r1 and r2: database, name server, gateway, gate, application, controller');
  await Promise.all(REGIONS.map((region) => regions[region].start()));
  const site: Site = {
    folder,
    timings,
    dnsName,
    gatewayPort: ports.gateway,
    resolvers,
    regions,
    witness: () => witness,
    startWitness: async (variables) => (witness = await runWitness(variables)),
    dnsWrites: () => REGIONS.reduce((sum, region) => sum + regions[region].dnsWrites(), 0),
    settled: (holder) => settled(regions, holder),
    stop: async () => {
      await Promise.all(REGIONS.map((region) => regions[region].kill()));
      await Promise.all([witness.process.stop(), ...resolvers.map((one) => one.started.stop())]);
    },
  };
  say('first lease, base backup of r2, synchronous replication');
  await site.settled('r1');
  return site;
}

export type Region = {
  readonly name: RegionName;
  readonly address: string;
  readonly folder: string;
  /** Starts all parts that do not run. */
  readonly start: () => Promise<void>;
  /** SIGKILL to every process of the region at once. */
  readonly kill: () => Promise<void>;
  readonly pids: () => number[];
  readonly part: (name: PartOfRegion) => Started;
  readonly startController: () => Promise<void>;
  /** Another prober process, after the one before it ended. */
  readonly startProber: () => Promise<void>;
  /** Another gate process, after the one before it ended. */
  readonly startGate: () => Promise<void>;
  readonly gateway: () => Gateway;
  readonly configFile: string;
  readonly auditFile: string;
  readonly api: string;
  readonly token: string;
  readonly status: (timeoutMs?: number) => Promise<Status>;
  /** With the application's password. */
  readonly databaseUrl: () => string;
  readonly dnsWrites: () => number;
};

export type PartOfRegion = 'controller' | 'gate' | 'envoy' | 'app' | 'pdns' | 'dns' | 'lag-prober';

/** One region while it runs: what was started, and what is left of the runs before. */
type Running = {
  readonly name: RegionName;
  readonly home: string;
  readonly configFile: string;
  readonly shared: Shared;
  readonly parts: Map<PartOfRegion, Started>;
  gateway: Gateway | null;
};

function createRegion(name: RegionName, shared: Shared): Region {
  const { options, ports, secrets } = shared;
  const address = ADDRESS[name];
  const home = join(options.folder, name);
  const configFile = join(home, 'continuum.yaml');
  const { dataDir } = databaseOptions(shared, name);
  const running: Running = { name, home, configFile, shared, parts: new Map(), gateway: null };
  const { parts } = running;
  const postmaster = (): number[] => {
    const pid = postmasterPid(dataDir);
    return pid === null ? [] : [pid];
  };
  adopt(postmaster);
  const config = controllerConfig(name, shared);
  writeFileSync(configFile, stringify(options.configure?.(name, config) ?? config), { mode: 0o600 });
  const pids = (): number[] => {
    const roots = [...[...parts.values()].filter((one) => one.running()).map((one) => one.pid), ...postmaster()];
    return [...new Set(roots.flatMap((pid) => [pid, ...descendants(pid)]))];
  };
  return {
    name,
    address,
    folder: home,
    configFile,
    auditFile: join(home, 'state', 'audit.jsonl'),
    api: apiUrl(running),
    token: secrets.token,
    databaseUrl: () =>
      `postgres://${APP_USER}:${passwordOf(secrets.passFile, APP_USER)}@${address}:${ports.database}/${APP_DATABASE}`,
    pids,
    start: async () => {
      await Promise.all([startDns(running), startGatewayParts(running), startApp(running), startController(running), startDnsDaemonOf(running), startProberOf(running)]);
    },
    kill: async () => {
      const started = [...parts.values()].filter((one) => one.running());
      signalAll(pids(), 'SIGKILL');
      await Promise.all(started.map((one) => one.exited));
      await killNaming(home);
      parts.clear();
    },
    part: (part) => {
      const found = parts.get(part);
      if (found === undefined) throw new Error(`${name} has no ${part}`);
      return found;
    },
    startController: () => startController(running),
    startProber: () => startProberOf(running),
    startGate: async () => {
      if (running.gateway === null) throw new Error(`${name} has no gateway`);
      parts.set('gate', await running.gateway.startGate());
    },
    gateway: () => {
      if (running.gateway === null) throw new Error(`${name} has no gateway`);
      return running.gateway;
    },
    status: async (timeoutMs = 1_000) => {
      const reply = await request(`${apiUrl(running)}/v1/status`, {
        headers: { authorization: `Bearer ${secrets.token}` },
        signal: AbortSignal.timeout(timeoutMs),
      });
      return (await reply.body.json()) as Status;
    },
    dnsWrites: () => storedSerial(join(home, 'pdns'), ZONE),
  };
}

async function startDns({ name, home, shared, parts }: Running): Promise<void> {
  const dns = await startAuthoritative({
    folder: join(home, 'pdns'),
    region: name,
    address: ADDRESS[name],
    dnsPort: shared.ports.dns,
    apiPort: shared.ports.dnsApi,
    apiKey: shared.secrets.dnsApiKey,
    zone: ZONE,
    nameServers: REGIONS.map((region) => ({ region, address: ADDRESS[region] })),
    ...identity(),
  });
  parts.set('pdns', dns.started);
  await waitFor(`${name} to have published`, async () => (await dnsMetric(dnsDaemonAt(name, shared), 'continuum_dns_in_place{target="own"}')) === 1);
  await dns.warm(`counter.${ZONE}`);
}

async function startGatewayParts(running: Running): Promise<void> {
  const gateway = await startGateway(gatewayOptions(running.name, running.shared));
  running.gateway = gateway;
  running.parts.set('envoy', gateway.envoy);
  if (gateway.gate !== null) running.parts.set('gate', gateway.gate);
}

const dnsDaemonAt = (name: RegionName, { ports }: Shared): { address: string; metricsPort: number } => ({ address: ADDRESS[name], metricsPort: ports.dnsMetrics });

async function startDnsDaemonOf({ name, home, configFile, shared, parts }: Running): Promise<void> {
  const { options, ports } = shared;
  const at = (port: number): string => `${ADDRESS[name]}:${port}`;
  const own = { name: 'own', apiUrl: `http://${at(ports.dnsApi)}`, apiKeyFile: join(home, 'dns-api-key'), authority: at(ports.dns) };
  const beacon = { zone: ATTEST_ZONE, address: ADDRESS[name], port: ports.beacon, privateKeyFile: join(home, 'key.pem') };
  const daemon = await startDnsDaemon({
    folder: join(home, 'dns'), region: name, ...dnsDaemonAt(name, shared),
    config: {
      leases: [{ name: LEASE, controllerSocket: gatewayOptions(name, shared).controllerSocket }],
      askIntervalMs: 100,
      publish: { publisher: 'powerdns', specFile: configFile, stateDir: join(home, 'dns', 'state'), compareIntervalMs: 10_000, servers: [own] },
      ...(options.attestation === true ? { beacon: beaconOf(beacon) } : {}),
    },
  });
  parts.set('dns', daemon);
}

async function startProberOf({ name, home, shared, parts }: Running): Promise<void> {
  const { options, ports, secrets } = shared;
  if (options.lagProber !== true) return;
  const listen = { address: ADDRESS[name], port: ports.lag };
  const databases = REGIONS.map((region) => ({ region, host: ADDRESS[region], port: ports.database }));
  const prober = await startSiteProber({ folder: join(home, 'lag-prober'), region: name, cluster: LEASE, listen, databases, passFile: secrets.passFile, socket: lagSocket(home) });
  parts.set('lag-prober', prober);
}

const lagSocket = (home: string): string => join(home, 'lag.sock');

async function startApp({ name, home, shared, parts }: Running): Promise<void> {
  const { ports, secrets } = shared;
  const [address, listen] = [ADDRESS[name], `${ADDRESS[name]}:${ports.app}`];
  const app = await start({
    name: `${name} application`,
    command: process.execPath,
    args: [
      APP_MAIN,
      ...['--listen', listen, '--database', `${address}:${ports.database}`, '--database-name', APP_DATABASE],
      ...['--user', APP_USER, '--region', name],
    ],
    env: { PGPASSFILE: secrets.passFile },
    logFile: join(home, 'app.log'),
  });
  parts.set('app', app);
  await waitFor(`${name} application`, async () => (await request(`http://${listen}/read`)).statusCode > 0);
}

async function startController(running: Running): Promise<void> {
  const { name, home, configFile, parts, shared } = running;
  const controller = await start({
    name: `${name} controller`,
    command: process.execPath,
    args: [CONTROLLER_MAIN, '--config', configFile],
    env: shared.options.environment?.(name) ?? {},
    logFile: join(home, 'controller.log'),
  });
  parts.set('controller', controller);
  await waitFor(`${name} controller (see ${controller.logFile})`, async () => {
    if (!controller.running()) throw new Error(`it ended: ${await controller.exited}`);
    return (await request(`${apiUrl(running)}/healthz`)).statusCode === 200;
  });
}

function apiUrl({ name, shared }: Running): string {
  return `http://${ADDRESS[name]}:${shared.ports.api}`;
}

async function settled(regions: Site['regions'], holder: RegionName): Promise<void> {
  const other = REGIONS.find((name) => name !== holder) ?? holder;
  const ready = async (): Promise<boolean> => {
    const [active, standby] = await Promise.all([regions[holder].status(), regions[other].status()]);
    const inSync = active.lease?.inSync.length === REGIONS.length;
    return active.phase.kind === 'active' && inSync && standby.phase.kind === 'standby' && standby.gate.mode === 'forward';
  };
  await waitFor(`${holder} to serve and ${other} to be in sync`, ready, { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 50 });
}

function controllerConfig(name: RegionName, shared: Shared): object {
  const { options, ports, witness, witnessUrl, publicKeys } = shared;
  const home = join(options.folder, name);
  const database = databaseOptions(shared, name);
  const { LD_LIBRARY_PATH: libraryPath } = database.env;
  return {
    apiVersion: API_VERSION,
    kind: 'Continuum',
    metadata: { name: LEASE },
    spec: {
      placement: 'active-hotstandby',
      mode: options.mode ?? 'automatic',
      objective: { rto: `${options.rtoMs}ms` },
      regions: REGIONS.map((region) => ({
        name: region,
        gateway: { address: ADDRESS[region], port: ports.gateway },
        database: { host: ADDRESS[region], port: ports.database },
      })),
      database: { kind: 'postgres' },
      gateway: { kind: 'envoy' },
      dns: { name: `counter.${ZONE}`, ...resolversOf(shared), ...(options.attestation === true ? { attestation: attestationOf(ATTEST_ZONE, publicKeys) } : {}) },
      witness: { url: witnessUrl, lease: LEASE, publicKeys: witness.publicKeys },
    },
    local: {
      region: name,
      stateDir: join(home, 'state'),
      api: { address: ADDRESS[name], port: ports.api, tokenFile: join(home, 'token') },
      witness: { keyId: `${name}/1`, privateKeyFile: join(home, 'key.pem') },
      gate: { socket: gatewayOptions(name, shared).controllerSocket },
      ...(options.lagProber === true ? { lag: { socket: lagSocket(home) } } : {}),
      gateway: { routeFile: join(home, 'gateway', 'routes', 'routes.json'), admin: { address: ADDRESS[name], port: ports.admin } },
      database: {
        binDir: database.binDir,
        dataDir: database.dataDir,
        logFile: database.logFile,
        passFile: database.passFile,
        ...(database.runAs === null ? {} : { runAs: database.runAs }),
        ...(libraryPath === undefined ? {} : { libraryPath }),
      },
    },
  };
}

function gatewayOptions(name: RegionName, { options, ports }: Shared): Parameters<typeof startGateway>[0] {
  return {
    folder: join(options.folder, name, 'gateway'),
    region: name,
    address: ADDRESS[name],
    port: ports.gateway,
    adminPort: ports.admin,
    gatePort: ports.gate,
    gateMetricsPort: ports.gateMetrics,
    appPort: ports.app,
    controllerSocket: join(options.folder, name, 'gate.sock'),
    peers: REGIONS.filter((region) => region !== name).map((region) => ({ region, address: ADDRESS[region], port: ports.gateway })),
    leaseName: LEASE,
    gateEnvironment: options.environment?.(name) ?? {},
  };
}

function databaseOptions({ options, ports, secrets }: Shared, name: RegionName): ReturnType<typeof postgresOptions> {
  return postgresOptions({
    region: regionId(name),
    host: ADDRESS[name],
    port: ports.database,
    dataDir: join(options.folder, name, 'database', 'data'),
    passFile: secrets.passFile,
  });
}

function subfolder(folder: string, name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true, mode: 0o711 });
  return path;
}

function identity(): { uid?: number; gid?: number } {
  const user = unprivilegedUser();
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

function secret(): string {
  return randomBytes(24).toString('base64url');
}
