// Starts the authoritative PowerDNS that keeps leases for a site without a Worker: durable, uncached, one key per region.

import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zoneRrsets } from '@continuum/core';
import { allowKeys, checkAuthority, unfit } from '@continuum/adapters/dns-register/authority';
import { createDnsRegister } from '@continuum/adapters/dns-register/index';
import type { DnsRegister, DnsRegisterOptions } from '@continuum/adapters/dns-register/index';
import { createPowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import type { PowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import { locate } from '../../scripts/parts.mjs';
import type { Located } from '../../scripts/parts.mjs';
import type { AuthoritativePart } from './dns.ts';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

export type RegisterAuthorityOptions = {
  readonly part?: AuthoritativePart;
  /** Kept over restarts: the leases live there. */
  readonly folder: string;
  readonly address: string;
  readonly dnsPort: number;
  readonly apiPort: number;
  readonly zone: string;
  readonly regions: readonly string[];
  readonly leases: readonly string[];
  readonly settings?: Readonly<Record<string, string | number>>;
  readonly uid?: number;
  readonly gid?: number;
};

export type RegisterAuthority = {
  readonly process: Started;
  readonly api: { readonly url: string; readonly apiKey: string };
  readonly publisher: PowerdnsPublisher;
  readonly database: string;
  readonly keys: Readonly<Record<string, { readonly name: string; readonly secret: string }>>;
  /** A client of one region. Its memory is its own unless given. */
  readonly register: (lease: string, region: string, options?: Partial<DnsRegisterOptions>) => DnsRegister;
};

const SETUP_TIMEOUT_MS = 15_000;
const SCHEMA = '../share/pdns-backend-sqlite3/schema/schema.sqlite3.sql';

export async function startRegisterAuthority(options: RegisterAuthorityOptions): Promise<RegisterAuthority> {
  const part = locate(options.part ?? 'pdns_server');
  const { folder, address, dnsPort, apiPort, zone } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [database, config, secretFile] = [join(folder, 'leases.sqlite3'), join(folder, 'pdns.conf'), join(folder, 'secrets.json')];
  const first = !existsSync(database);
  if (first && options.settings?.['launch'] !== 'lmdb') createDatabase(database, join(dirname(part.command), SCHEMA));
  const secrets = readSecrets(secretFile, options.regions);
  writeFileSync(config, settingsText(options, database, part, secrets.apiKey), { mode: 0o600 });
  const { uid, gid = uid } = options;
  if (uid !== undefined) for (const path of [folder, database, config].filter((one) => existsSync(one))) chownSync(path, uid, gid ?? uid);
  const started = await start({
    name: 'register authority',
    command: part.command,
    args: [`--config-dir=${folder}`],
    env: { ...part.env },
    logFile: join(folder, 'pdns.log'),
    ...(uid === undefined ? {} : { uid, gid: gid ?? uid }),
  });
  const api = { url: `http://${address}:${apiPort}`, apiKey: secrets.apiKey };
  const publisher = createPowerdnsPublisher(api);
  await waitFor('the register authority', async () => {
    if (!started.running()) throw new Error(`it ended: ${readFileSync(started.logFile, 'utf8').slice(-500)}`);
    return (await publisher.version(AbortSignal.timeout(1_000))).ok;
  });
  const register: RegisterAuthority['register'] = (lease, region, more = {}) => {
    const key = secrets.keys[region];
    if (key === undefined) throw new Error(`no key of region ${region}`);
    const memory = { load: () => null, save: () => undefined };
    return createDnsRegister({ address, port: dnsPort, zone, lease, region, keyName: key.name, keySecret: key.secret, memory, ...more });
  };
  if (first) await prepare(options, api, publisher, secrets.keys, register);
  return { process: started, api, publisher, database, keys: secrets.keys, register };
}

/** What an operator does once: the zone, the keys, a check that the server is fit, and the leases. */
async function prepare(
  { zone, address, regions, leases }: RegisterAuthorityOptions,
  api: RegisterAuthority['api'],
  publisher: PowerdnsPublisher,
  keys: RegisterAuthority['keys'],
  register: RegisterAuthority['register'],
): Promise<void> {
  const soon = (): AbortSignal => AbortSignal.timeout(SETUP_TIMEOUT_MS);
  const content = zoneRrsets({ zone, nameServers: [{ name: `ns.${zone}`, addresses: [address] }], ttlSeconds: 60 });
  if (!content.ok) throw new Error(JSON.stringify(content.problems));
  const steps = [await publisher.ensureZone(zone, content.value, soon()), await allowKeys(api, zone, Object.values(keys), soon())];
  const fit = await checkAuthority(api, zone, soon());
  if (fit.ok && fit.value.length > 0) throw new Error(unfit(fit.value).failure.message);
  for (const lease of leases) steps.push(await register(lease, regions[0] ?? '').create(soon()) as never);
  for (const step of [...steps, fit]) if (!step.ok) throw new Error(`${step.failure.code}: ${step.failure.message}`);
}

function readSecrets(file: string, regions: readonly string[]): { apiKey: string; keys: Record<string, { name: string; secret: string }> } {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const keys = Object.fromEntries(regions.map((region) => [region, { name: `${region}-lease.`, secret: randomBytes(32).toString('base64') }]));
  const made = { apiKey: randomBytes(24).toString('base64url'), keys };
  writeFileSync(file, JSON.stringify(made), { mode: 0o600 });
  return made;
}

function settingsText(options: RegisterAuthorityOptions, database: string, { version, moduleDir = '' }: Located, apiKey: string): string {
  const { launch = 'gsqlite3' } = options.settings ?? {};
  const backend = String(launch).replace(':', '-');
  const settings = {
    'launch': launch,
    ...(moduleDir === '' ? {} : { 'module-dir': moduleDir }),
    // An acknowledged lease outlives a power cut.
    ...(launch === 'lmdb' ? { 'lmdb-filename': database, 'lmdb-shards': '1' } : { [`${backend}-database`]: database, [`${backend}-pragma-synchronous`]: '2' }),
    'local-address': options.address,
    'local-port': options.dnsPort,
    'socket-dir': options.folder,
    'daemon': 'no',
    'guardian': 'no',
    'disable-syslog': 'yes',
    'loglevel': '5',
    'security-poll-suffix': '',
    'version-string': 'anonymous',
    'receiver-threads': '1',
    'distributor-threads': '1',
    'max-tcp-connections': '256',
    'disable-axfr': 'yes',
    'api': 'yes',
    'api-key': apiKey,
    'webserver': 'yes',
    'webserver-address': options.address,
    'webserver-port': options.apiPort,
    'webserver-allow-from': '127.0.0.0/8',
    'webserver-loglevel': 'none',
    'dnsupdate': 'yes',
    'allow-dnsupdate-from': '127.0.0.0/8',
    // An older server does not know it, and ends at the start.
    ...(Number.parseFloat(version) < 5 ? {} : { 'dnsupdate-require-tsig': 'yes' }),
    'cache-ttl': '0',
    'query-cache-ttl': '0',
    'negquery-cache-ttl': '0',
    'zone-cache-refresh-interval': '0',
    'zone-metadata-cache-ttl': '0',
    ...options.settings,
  };
  return Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join('');
}

function createDatabase(file: string, schemaFile: string): void {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec(readFileSync(schemaFile, 'utf8'));
  database.close();
}
