// Starts real name servers: one authoritative PowerDNS per region, and recursors that stand for public resolvers. As an
// ordinary user, on loopback and high ports, and sealed: nothing leaves the machine whatever name is asked for.

import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Rrset } from '@continuum/core';
import { canonicalName, zoneRrsets } from '@continuum/core';
import type { PowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import { createPowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import { locate } from '../../scripts/parts.mjs';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

/** Every version of the authoritative server that can be started here. */
export type AuthoritativePart = 'pdns_server' | 'pdns-4.9' | 'pdns-5.1';

export type AuthoritativeOptions = {
  readonly part?: AuthoritativePart;
  /** Kept over restarts: the zone lives there. */
  readonly folder: string;
  readonly region: string;
  readonly address: string;
  readonly dnsPort: number;
  readonly apiPort: number;
  readonly apiKey: string;
  readonly zone: string;
  /** Every region's name server; the zone is the same in each. */
  readonly nameServers: readonly { readonly region: string; readonly address: string }[];
  /** Asked for once at the start, when the zone holds them already, so that the probes run before the first client asks. */
  readonly warm?: readonly string[];
  /** More settings of the server. */
  readonly settings?: Readonly<Record<string, string | number>>;
  readonly uid?: number;
  readonly gid?: number;
};

export type Authoritative = {
  readonly started: Started;
  readonly region: string;
  readonly server: ResolverServer;
  readonly publisher: PowerdnsPublisher;
  /** From spawn to the first answer. */
  readonly readyMs: number;
  /**
   * Makes this server start to probe for `name`, once the record is published. Its first answer names every region,
   * because no probe has ended yet.
   */
  readonly warm: (name: string) => Promise<readonly string[]>;
};

export type RecursorOptions = {
  readonly folder: string;
  /** Of the resolver that it stands for, for example `8.8.8.8`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly forward: readonly { readonly zone: string; readonly servers: readonly { readonly address: string; readonly port: number }[] }[];
  /** Addresses that it may ask because somebody delegated to them. */
  readonly delegatesTo?: readonly string[];
  /** How long it waits for one authoritative server before it asks the next. */
  readonly networkTimeoutMs?: number;
  /** More settings of the recursor. */
  readonly settings?: Readonly<Record<string, string | number>>;
  readonly uid?: number;
  readonly gid?: number;
};

export type Recursor = { readonly started: Started; readonly server: ResolverServer; readonly forward: RecursorOptions['forward']; readonly readyMs: number };

/** The three public resolvers that design.md names, and the loopback address of the recursor that stands for each. */
export const PUBLIC_RESOLVERS = [
  { name: '8.8.8.8', address: '127.8.8.8' },
  { name: '1.1.1.1', address: '127.1.1.1' },
  { name: '9.9.9.9', address: '127.9.9.9' },
] as const;

const NETWORK_TIMEOUT_MS = 250;
const SETUP_TIMEOUT_MS = 10_000;
const INFRASTRUCTURE_TTL_SECONDS = 60;
const DATABASE = 'zone.sqlite3';
const SCHEMA = '../share/pdns-backend-sqlite3/schema/schema.sqlite3.sql';

export async function startAuthoritative(options: AuthoritativeOptions): Promise<Authoritative> {
  const part = locate(options.part ?? 'pdns_server');
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const database = join(options.folder, DATABASE);
  if (!existsSync(database)) createDatabase(database, join(dirname(part.command), SCHEMA));
  const config = join(options.folder, 'pdns.conf');
  writeFileSync(config, authoritativeConfig(options, database, part.moduleDir ?? ''), { mode: 0o600 });
  own([options.folder, database, config], options);

  const startedAtMs = performance.now();
  const started = await start({
    name: `pdns ${options.region}`,
    command: part.command,
    args: [`--config-dir=${options.folder}`],
    env: { ...part.env, ...NO_PROXY },
    logFile: join(options.folder, 'pdns.log'),
    ...identity(options),
  });
  const publisher = createPowerdnsPublisher({ url: `http://${options.address}:${options.apiPort}`, apiKey: options.apiKey });
  const server = { name: options.region, address: options.address, port: options.dnsPort };
  await ready(started, async () => (await publisher.version(AbortSignal.timeout(1_000))).ok);
  const zone = await publisher.ensureZone(options.zone, zoneContent(options), AbortSignal.timeout(SETUP_TIMEOUT_MS));
  if (!zone.ok) throw new Error(`pdns ${options.region}: ${zone.failure.code} ${zone.failure.message}`);
  await ready(started, () => answers(server, options.zone));
  const readyMs = performance.now() - startedAtMs;

  const warm = async (name: string): Promise<readonly string[]> =>
    waitFor(`an answer for ${name} from pdns ${options.region}`, () => direct(server).resolve4(name));
  await Promise.all((options.warm ?? []).map(warm));
  return { started, region: options.region, server, publisher, readyMs, warm };
}

export async function startRecursor(options: RecursorOptions): Promise<Recursor> {
  const part = locate('pdns_recursor');
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const config = join(options.folder, 'recursor.conf');
  writeFileSync(config, recursorConfig(options), { mode: 0o600 });
  own([options.folder, config], options);
  const startedAtMs = performance.now();
  const started = await start({
    name: `recursor ${options.name}`,
    command: part.command,
    args: [`--config-dir=${options.folder}`],
    env: { ...part.env },
    logFile: join(options.folder, 'recursor.log'),
    ...identity(options),
  });
  const server = { name: options.name, address: options.address, port: options.port };
  // Loopback's own name: answered without asking anybody, so it is ready even while no authoritative server is.
  await ready(started, async () => (await direct(server).resolvePtr('1.0.0.127.in-addr.arpa')).length > 0);
  return { started, server, forward: options.forward, readyMs: performance.now() - startedAtMs };
}

/** A zone's serial as it lies on disk, also while the server is dead: every write by anybody raises it. 0 before there is a zone. */
export function storedSerial(folder: string, zone: string): number {
  const database = new DatabaseSync(join(folder, DATABASE), { readOnly: true });
  try {
    const row = database.prepare("SELECT content FROM records WHERE name = ? AND type = 'SOA'").get(zone);
    return row === undefined ? 0 : Number(String(row['content']).split(' ')[2]);
  } finally {
    database.close();
  }
}

/** The three recursors, in the order of `PUBLIC_RESOLVERS`, all on one port. */
export function startResolvers(options: {
  readonly folder: string;
  readonly port: number;
  readonly forward: RecursorOptions['forward'];
  readonly delegatesTo?: readonly string[];
  readonly settings?: Readonly<Record<string, string | number>>;
  readonly uid?: number;
  readonly gid?: number;
}): Promise<Recursor[]> {
  mkdirSync(options.folder, { recursive: true, mode: 0o711 });
  return Promise.all(
    PUBLIC_RESOLVERS.map(({ name, address }) => startRecursor({ ...options, name, address, folder: join(options.folder, name) })),
  );
}

/** A setting that PowerDNS does not know ends it at the start, so a typo here cannot pass unseen. */
function authoritativeConfig(options: AuthoritativeOptions, database: string, moduleDir: string): string {
  return settings({
    'launch': 'gsqlite3',
    ...(moduleDir === '' ? {} : { 'module-dir': moduleDir }),
    'gsqlite3-database': database,
    'gsqlite3-pragma-synchronous': '0',
    'local-address': options.address,
    'local-port': options.dnsPort,
    'socket-dir': options.folder,
    'daemon': 'no',
    'guardian': 'no',
    'disable-syslog': 'yes',
    'loglevel': '6',
    'security-poll-suffix': '',
    'version-string': 'anonymous',
    'receiver-threads': '1',
    'distributor-threads': '1',
    'disable-axfr': 'yes',
    'api': 'yes',
    'api-key': options.apiKey,
    'webserver': 'yes',
    'webserver-address': options.address,
    'webserver-port': options.apiPort,
    'webserver-allow-from': '127.0.0.0/8',
    'webserver-loglevel': 'none',
    // `shared` would be faster, and lets one record's Lua state leak into another's.
    'enable-lua-records': 'yes',
    'lua-health-checks-interval': '1',
    'lua-health-checks-expire-delay': '86400',
    // One order in every answer.
    'no-shuffle': 'yes',
    // A name that did not exist a moment ago must be there once it is published, also when another process wrote it.
    'cache-ttl': '0',
    'query-cache-ttl': '0',
    'negquery-cache-ttl': '0',
    'zone-cache-refresh-interval': '0',
    ...options.settings,
  });
}

function recursorConfig(options: RecursorOptions): string {
  const forward = options.forward.map(
    ({ zone, servers }) => `${zone}=${servers.map(({ address, port }) => `${address}:${port}`).join(';')}`,
  );
  return settings({
    'local-address': options.address,
    'local-port': options.port,
    'socket-dir': options.folder,
    'daemon': 'no',
    'disable-syslog': 'yes',
    'loglevel': '4',
    'quiet': 'yes',
    'statistics-interval': '0',
    'security-poll-suffix': '',
    'threads': '1',
    'max-mthreads': '128',
    'max-cache-entries': '10000',
    'max-packetcache-entries': '10000',
    'forward-zones': forward.join(','),
    // Sealed: no root hints, and no query to any address that is not a forward server (those are exempt).
    'hint-file': 'no',
    'dont-query': ['0.0.0.0/0', '::/0', ...(options.delegatesTo ?? []).map((address) => `!${address}`)].join(', '),
    'query-local-address': '127.0.0.1',
    'dnssec': 'off',
    'qname-minimization': 'no',
    'export-etc-hosts': 'no',
    // TTLs as published; failures and missing names are forgotten quickly, so that a test is not told yesterday's news.
    'minimum-ttl-override': '0',
    // A server that failed once is left alone for this long, whatever the name. The defaults count failures by name and
    // leave a refused one alone for a minute: a region that dies within a minute of the other's return leaves SERVFAIL.
    'server-down-max-fails': '1',
    'server-down-throttle-time': '2',
    'network-timeout': options.networkTimeoutMs ?? NETWORK_TIMEOUT_MS,
    'packetcache-servfail-ttl': '1',
    'max-negative-ttl': '1',
    ...options.settings,
  });
}

const settings = (values: Readonly<Record<string, string | number>>): string =>
  Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join('');

/** libcurl inside PowerDNS would send the probes to a proxy that the environment names. */
const NO_PROXY = { http_proxy: '', all_proxy: '', ALL_PROXY: '', no_proxy: '*' };

function createDatabase(file: string, schemaFile: string): void {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec(readFileSync(schemaFile, 'utf8'));
  database.close();
}

function zoneContent(options: AuthoritativeOptions): readonly Rrset[] {
  const zone = canonicalName(options.zone);
  const content = zoneRrsets({
    zone: options.zone,
    nameServers: options.nameServers.map(({ region, address }) => ({ name: `ns-${region}.${zone}`, addresses: [address] })),
    ttlSeconds: INFRASTRUCTURE_TTL_SECONDS,
  });
  if (!content.ok) throw new Error(content.problems.map(({ field, value, fix }) => `${field} ${value}: want ${fix}`).join('; '));
  return content.value;
}

function identity({ uid, gid }: { readonly uid?: number; readonly gid?: number }): { uid: number; gid: number } | object {
  return uid === undefined ? {} : { uid, gid: gid ?? uid };
}

function own(paths: readonly string[], { uid, gid }: { readonly uid?: number; readonly gid?: number }): void {
  if (uid !== undefined) for (const path of paths) chownSync(path, uid, gid ?? uid);
}

async function ready(started: Started, condition: () => Promise<boolean>): Promise<void> {
  const up = waitFor(`${started.name} to be ready`, condition, { timeoutMs: SETUP_TIMEOUT_MS, everyMs: 10 });
  const gone = started.exited.then((how) => {
    throw new Error(`${started.name} ended (${how}): ${lastLines(started.logFile)}`);
  });
  await Promise.race([up, gone]);
}

const lastLines = (file: string): string => readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' | ');

function direct(server: ResolverServer): Resolver {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${server.address}:${server.port}`]);
  return resolver;
}

async function answers(server: ResolverServer, zone: string): Promise<boolean> {
  return (await direct(server).resolveSoa(zone)).serial > 0;
}
