// The DNS daemon of one region: serves its attestation beacon, keeps its name servers at what the specification says, or both.
// Start: `node daemons/dns/src/main.ts --config dns.yaml`. Exit codes: 0 stopped, 69 an address is taken, 78 the configuration, the
// specification or a key is bad.

import { createPrivateKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { logLines, serveMetrics, systemClock } from '@continuum/runtime';
import { formatProblems } from '@continuum/wire/config-file';
import type { Beacon } from './beacon.ts';
import { serveBeacon } from './beacon-server.ts';
import type { BeaconServer } from './beacon-server.ts';
import { parseConfig } from './config.ts';
import type { BeaconConfig, DnsConfig, PublishConfig } from './config.ts';
import { watchFlips } from './flip-watch.ts';
import { watchGrant } from './grant-watch.ts';
import type { GrantWatch } from './grant-watch.ts';
import { createBeaconMetrics } from './metrics.ts';
import { openPublishMemory } from './publish-memory.ts';
import { createPublishMetrics } from './publish-metrics.ts';
import { readSpec } from './publish-spec.ts';
import { openTargets } from './publish-targets.ts';
import { describe, startPublishing } from './publishing.ts';
import type { Publishing } from './publishing.ts';
import { readSecret, rotatingSecret } from './secrets.ts';

const EXIT_UNAVAILABLE = 69;
const EXIT_CONFIG = 78;

type Daemon = {
  readonly config: DnsConfig;
  readonly log: Logger;
  readonly registry: Registry;
  readonly watches: ReadonlyMap<string, GrantWatch>;
};

await main();

async function main(): Promise<void> {
  const config = readConfig();
  const log = pino({ level: config.logLevel, base: { region: config.region } }, logLines());
  const stop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const registry = new Registry();
  registry.setDefaultLabels({ region: config.region });
  collectDefaultMetrics({ register: registry });
  const key = config.beacon === undefined ? null : readKey(config.beacon.privateKeyFile);
  const daemon: Daemon = { config, log, registry, watches: watchGrants(config, log) };
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

async function startBeacon({ config, log, registry, watches }: Daemon, serves: BeaconConfig, key: KeyObject): Promise<BeaconServer> {
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
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64url'),
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

function startPublisher({ config, log, registry, watches }: Daemon, publish: PublishConfig): Publishing {
  const { specFile, stateDir, regionAddresses, compareIntervalMs } = publish;
  const text = readGiven('publish.specFile', specFile);
  const metrics = createPublishMetrics(registry);
  const first = readSpec(text, regionAddresses, metrics.rendered);
  if (!first.ok) return fail(EXIT_CONFIG, 'CTM_SPEC_INVALID', `publish.specFile ${specFile}: ${describe(first.problems)}`);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', `publish.stateDir ${stateDir}: ${(error as Error).message}; use a folder that this user may write`);
  }
  const memory = openPublishMemory(stateDir, (problem) => log.error({ event: 'dns-memory-lost' }, `${problem}: what is on the servers decides`));
  const targets = openTargets(publish, { who: config.region, memory, secret: (field, file) => openSecret(field, file, log), nowMs: () => systemClock.now().monoMs });
  const publishing = startPublishing({ targets, specFile, regionAddresses, compareIntervalMs, log, metrics, random: Math.random }, first.spec, text);
  log.info({ publisher: publish.publisher, targets: targets.map((one) => one.name), spec: first.spec.name }, 'publishing');
  const [authority] = publish.publisher === 'powerdns' ? publish.servers.map((one) => one.authority) : publish.manager.authorities;
  const ending = new AbortController();
  const timing = config.leases.map(async ({ name: lease }) => {
    const watch = watches.get(lease);
    if (authority === undefined || watch === undefined) return;
    const asked = () => ({ name: publishing.spec().firstName, addresses: publishing.spec().ofRegion(config.region) });
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

/** Says nothing of what is in the file: it is a secret. */
function readKey(file: string): KeyObject {
  const text = readGiven('beacon.privateKeyFile', file);
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    return fail(EXIT_CONFIG, 'CTM_KEY_INVALID', `beacon.privateKeyFile ${file}: use an Ed25519 key as PKCS #8 PEM (openssl genpkey -algorithm ed25519)`);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  return fail(EXIT_CONFIG, 'CTM_KEY_INVALID', `beacon.privateKeyFile ${file}: it is a key of type ${key.asymmetricKeyType}; use an Ed25519 key`);
}

function openSecret(field: string, file: string, log: Logger): () => string {
  const first = readSecret(field, file);
  if (!first.ok) return fail(EXIT_CONFIG, first.code, first.message);
  const onRotated = (): void => log.info({ event: 'dns-key-rotated', field }, `${field}: another key from now on`);
  const onUnusable = (message: string): void => log.warn({ event: 'dns-key-unusable', field }, `${message}; the last one stays in force`);
  return rotatingSecret({ field, file, first: first.value, onRotated, onUnusable });
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
