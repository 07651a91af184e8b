// The DNS daemon of one region: serves its attestation beacon, keeps its name servers at what the specification says, or both.
// Start: `node daemons/dns/src/main.ts --config dns.yaml`. Exit codes: 0 stopped, 69 an address is taken, 78 the configuration, the
// specification or a key is bad.

import { sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { logLines, readPrivateKey, readSecret, rotating, serveMetrics, systemClock } from '@continuum/runtime';
import type { Secret } from '@continuum/runtime';
import { formatProblems } from '@continuum/wire/config-file';
import type { Beacon } from './beacon.ts';
import { serveBeacon } from './beacon-server.ts';
import type { BeaconServer } from './beacon-server.ts';
import { parseConfig } from './config.ts';
import type { BeaconConfig, DnsConfig, PublishConfig } from './config.ts';
import { watchFlips } from './flip-watch.ts';
import { watchGrant } from './grant-watch.ts';
import type { GrantWatch } from './grant-watch.ts';
import { createBeaconMetrics, createKeyMetrics } from './metrics.ts';
import { openPublishMemory } from './publish-memory.ts';
import { createPublishMetrics } from './publish-metrics.ts';
import { readSpec } from './publish-spec.ts';
import { openTargets } from './publish-targets.ts';
import { describe, startPublishing } from './publishing.ts';
import type { Publishing } from './publishing.ts';

const EXIT_UNAVAILABLE = 69;
const EXIT_CONFIG = 78;
/** The beacon's own key is looked at so often, and not at every answer: its file would cost as much as the signature. */
const KEY_LOOK_MS = 1_000;

type Daemon = {
  readonly config: DnsConfig;
  readonly log: Logger;
  readonly registry: Registry;
  readonly watches: ReadonlyMap<string, GrantWatch>;
  readonly openKey: OpenKey;
};
/** The key in a file, as it is at each call. Ends the process when there is none at the start. */
type OpenKey = <T>(field: string, read: () => Secret<T>, same: (one: T, other: T) => boolean) => () => T;

await main();

async function main(): Promise<void> {
  const config = readConfig();
  const log = pino({ level: config.logLevel, base: { region: config.region } }, logLines());
  const stop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const registry = new Registry();
  registry.setDefaultLabels({ region: config.region });
  collectDefaultMetrics({ register: registry });
  const openKey = keyOpener(registry, log);
  const key = config.beacon === undefined ? null : openPrivateKey(config.beacon, openKey);
  const daemon: Daemon = { config, log, registry, watches: watchGrants(config, log), openKey };
  const metricsServer = await listening('metricsListen', config.metricsListen, () => serveMetrics(registry, config.metricsListen));
  const beacon = config.beacon === undefined || key === null ? null : await startBeacon(daemon, config.beacon, key);
  const publishing = config.publish === undefined ? null : startPublisher(daemon, config.publish);
  await stop;
  for (const watch of daemon.watches.values()) watch.close();
  await Promise.all([beacon?.close(), publishing?.stop()]);
  metricsServer.close();
  metricsServer.closeAllConnections();
}

function watchGrants({ leases, askIntervalMs }: DnsConfig, log: Logger): ReadonlyMap<string, GrantWatch> {
  const watches = new Map<string, GrantWatch>();
  for (const { name: lease, controllerSocket } of leases) {
    const onConnected = (): void => log.info({ lease }, 'controller connected');
    const onDisconnected = (reason: string): void => log.warn({ lease, reason }, 'controller lost: attesting what is left');
    watches.set(lease, watchGrant({ controllerSocket, askIntervalMs, clock: systemClock.now, random: Math.random, onConnected, onDisconnected }));
  }
  return watches;
}

async function startBeacon({ config, log, registry, watches }: Daemon, serves: BeaconConfig, key: () => KeyObject): Promise<BeaconServer> {
  const metrics = createBeaconMetrics(registry, {
    leases: config.leases.map((one) => one.name),
    connected: (lease) => watches.get(lease)?.connected() ?? false,
    remainingMs: (lease) => watches.get(lease)?.held()?.remainingMs ?? 0,
  });
  const beacon: Beacon = {
    region: config.region,
    zone: serves.zone,
    addresses: serves.addresses.map((address) => ({ address, family: isIP(address) as 4 | 6 })),
    held: (lease) => watches.get(lease)?.held(),
    sign: (text) => sign(null, Buffer.from(text), key()).toString('base64url'),
  };
  const server = await listening('beacon.listen', serves.listen, () =>
    serveBeacon({
      ...serves.listen,
      beacon,
      rateLimit: serves.rateLimit,
      nowMs: () => systemClock.now().monoMs,
      onAnswer: (kind, transport) => metrics.answers.inc({ kind, transport }),
      onDropped: (reason, transport) => metrics.dropped.inc({ reason, transport }),
    }),
  );
  log.info({ listen: serves.listen, zone: `${config.region}.${serves.zone}` }, 'beacon listens');
  return server;
}

function startPublisher({ config, log, registry, watches, openKey }: Daemon, publish: PublishConfig): Publishing {
  const { specFile, stateDir, compareIntervalMs } = publish;
  const text = readGiven('publish.specFile', specFile);
  const metrics = createPublishMetrics(registry);
  const first = readSpec(text, metrics.rendered);
  if (!first.ok) return fail(EXIT_CONFIG, 'CTM_SPEC_INVALID', `publish.specFile ${specFile}: ${describe(first.problems)}`);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', `publish.stateDir ${stateDir}: ${(error as Error).message}; use a folder that this user may write`);
  }
  const memory = openPublishMemory(stateDir, (problem) => log.error({ event: 'dns-memory-lost' }, `${problem}: what is on the servers decides`));
  const targets = openTargets(publish, { who: config.region, memory, secret: (field, file) => openKey(field, () => readSecret(field, file), Object.is), nowMs: () => systemClock.now().wallMs });
  const publishing = startPublishing({ targets, specFile, compareIntervalMs, log, metrics, random: Math.random }, first.spec, text);
  log.info({ publisher: publish.publisher, targets: targets.map((one) => one.name), spec: first.spec.name, timed: config.leases.map((one) => one.name).filter((lease) => first.spec.flipTo(lease, config.region) !== null) }, 'publishing');
  const [authority] = publish.publisher === 'powerdns' ? publish.servers.map((one) => one.authority) : publish.manager.authorities;
  const ending = new AbortController();
  const timing = config.leases.map(async ({ name: lease }) => {
    const watch = watches.get(lease);
    if (authority === undefined || watch === undefined) return;
    const asked = () => publishing.spec().flipTo(lease, config.region);
    const heldEpoch = (): number | null => (watch.connected() ? (watch.held()?.epoch ?? 0) : null);
    const at = { address: authority.host, port: authority.port };
    await watchFlips({ authority: at, asked, heldEpoch, nowMs: () => systemClock.now().monoMs, onFlip: (seconds) => metrics.flipped(lease, seconds) }, ending.signal);
  });
  return {
    ...publishing,
    stop: async () => {
      ending.abort();
      await Promise.all([publishing.stop(), ...timing]);
    },
  };
}

function readConfig(): DnsConfig {
  const file = readArguments();
  if (file === undefined) return fail(EXIT_CONFIG, 'CTM_CONFIG_MISSING', 'name the configuration: --config dns.yaml');
  const parsed = parseConfig(readGiven('--config', file));
  return parsed.ok ? parsed.config : fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', formatProblems(file, parsed.problems));
}

function readArguments(): string | undefined {
  try {
    return parseArgs({ options: { config: { type: 'string' } } }).values.config;
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_MISSING', `${(error as Error).message}. Use --config dns.yaml`);
  }
}

function openPrivateKey({ privateKeyFile }: BeaconConfig, openKey: OpenKey): () => KeyObject {
  const field = 'beacon.privateKeyFile';
  const look = openKey(field, () => readPrivateKey(field, privateKeyFile), (one, other) => one.equals(other));
  let key = look();
  setInterval(() => {
    key = look();
  }, KEY_LOOK_MS).unref();
  return () => key;
}

function keyOpener(registry: Registry, log: Logger): OpenKey {
  const { unusable } = createKeyMetrics(registry);
  return (field, read, same) => {
    const first = read();
    if (!first.ok) return fail(EXIT_CONFIG, first.code, first.message);
    unusable.set({ field }, 0);
    return rotating({
      read,
      first: first.value,
      same,
      onRotated: () => log.info({ event: 'dns-key-rotated', field }, `${field}: another key from now on`),
      onProblem: (message) => {
        unusable.set({ field }, message === null ? 0 : 1);
        if (message !== null) log.warn({ event: 'dns-key-unusable', field }, `${message}; the last one stays in force`);
      },
    });
  };
}

function readGiven(field: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_UNREADABLE', `${field} ${file}: ${(error as Error).message}`);
  }
}

async function listening<T>(setting: string, at: { host: string; port: number }, serve: () => Promise<T>): Promise<T> {
  try {
    return await serve();
  } catch (error) {
    return fail(EXIT_UNAVAILABLE, 'CTM_DNS_LISTEN', `cannot listen on ${setting} ${at.host}:${at.port}: ${(error as Error).message}. Stop what uses it, or choose another port`);
  }
}

function fail(code: number, name: string, message: string): never {
  process.stderr.write(`${name}: ${message}\n`);
  process.exit(code);
}
