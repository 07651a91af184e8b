// The DNS daemon: serves the attestation beacon of one region. Start: `node daemons/dns/src/main.ts --config dns.yaml`. Exit codes:
// 0 stopped, 69 an address is taken, 78 the configuration or the key is bad.

import { createPrivateKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { systemClock, serveMetrics } from '@continuum/runtime';
import type { Beacon } from './beacon.ts';
import { serveBeacon } from './beacon-server.ts';
import { formatProblems, parseConfig } from './config.ts';
import type { DnsConfig } from './config.ts';
import { watchGrant } from './grant-watch.ts';
import type { GrantWatch } from './grant-watch.ts';
import { createBeaconMetrics } from './metrics.ts';

const EXIT_UNAVAILABLE = 69;
const EXIT_CONFIG = 78;

async function main(): Promise<void> {
  const config = readConfig();
  const key = readKey(config.privateKeyFile);
  const log = pino({ level: config.logLevel, base: { region: config.region } });
  const stop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const watches = new Map<string, GrantWatch>();
  for (const { name: lease, controllerSocket } of config.leases) {
    const onConnected = (): void => log.info({ lease }, 'controller connected');
    const onDisconnected = (reason: string): void => log.warn({ lease, reason }, 'controller lost: attesting what is left');
    const { askIntervalMs } = config;
    watches.set(lease, watchGrant({ controllerSocket, askIntervalMs, clock: systemClock.now, random: Math.random, onConnected, onDisconnected }));
  }
  const metrics = createBeaconMetrics({
    leases: config.leases.map((one) => one.name),
    connected: (lease) => watches.get(lease)?.connected() ?? false,
    remainingMs: (lease) => watches.get(lease)?.held()?.remainingMs ?? 0,
  });
  const metricsServer = await listening('metricsListen', config.metricsListen, () => serveMetrics(metrics.registry, config.metricsListen));
  const server = await listening('listen', config.listen, () =>
    serveBeacon({
      ...config.listen,
      beacon: createBeacon(config, watches, key),
      rateLimit: config.rateLimit,
      nowMs: () => systemClock.now().monoMs,
      onAnswer: (kind, transport) => metrics.answers.inc({ kind, transport }),
      onDropped: (reason, transport) => metrics.dropped.inc({ reason, transport }),
    }),
  );
  log.info({ listen: config.listen, zone: `${config.region}.${config.zone}` }, 'beacon listens');
  await stop;
  for (const watch of watches.values()) watch.close();
  await server.close();
  metricsServer.close();
  metricsServer.closeAllConnections();
}

function createBeacon(config: DnsConfig, watches: ReadonlyMap<string, GrantWatch>, key: KeyObject): Beacon {
  return {
    region: config.region,
    zone: config.zone,
    addresses: config.addresses.map((address) => ({ address, family: isIP(address) as 4 | 6 })),
    held: (lease) => watches.get(lease)?.held(),
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64url'),
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
  const text = readGiven('privateKeyFile', file);
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    return fail(EXIT_CONFIG, 'CTM_KEY_INVALID', `privateKeyFile ${file}: use an Ed25519 key as PKCS #8 PEM (openssl genpkey -algorithm ed25519)`);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  return fail(EXIT_CONFIG, 'CTM_KEY_INVALID', `privateKeyFile ${file}: it is a key of type ${key.asymmetricKeyType}; use an Ed25519 key`);
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

await main();
