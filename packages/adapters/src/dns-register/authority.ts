// Whether an authoritative PowerDNS can be a register at all, asked once at set-up over its HTTP API. Compare-and-set holds
// only under the lock of one process over one store: with a replicated database behind it two servers would each let
// somebody win. And a store that forgets an acknowledged write would give an epoch away twice.

import type { Failure, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';
import { z } from 'zod';
import { createApi, parse, read, rejected, zonePath } from '../powerdns/api.ts';
import type { Api, PowerdnsOptions } from '../powerdns/api.ts';

export type AuthorityProblem = {
  /** Of the server's configuration, or of the zone. */
  readonly setting: string;
  readonly value: string;
  readonly fix: string;
};

export type RegionKey = { readonly name: string; readonly secret: string };

/** Backends that keep the zone in a file of this one machine. */
const LOCAL_BACKENDS = ['gsqlite3', 'lmdb'];
const WRITABLE_KINDS = ['native', 'master', 'primary'];
const VALUE_LENGTH_MAX = 80;
/** Since 4.8, 5.0 and 5.0. Every other setting that is asked for has its name since 4.7. */
const NEWER = ['lmdb-lightning-stream', 'dnsupdate-require-tsig', 'views'];

const configuration = z.array(z.looseObject({ name: z.string(), value: z.string() }));
const zoneState = z.looseObject({ kind: z.string() });
const zoneRecords = z.looseObject({ rrsets: z.array(z.looseObject({ name: z.string(), type: z.string() })) });
const metadata = z.looseObject({ metadata: z.array(z.string()) });

/**
 * Every reason why `zone` on this server must not hold a lease; none when it may. Failures have the codes of
 * `DnsPublisherPort`.
 */
export async function checkAuthority(options: PowerdnsOptions, zone: string, signal: AbortSignal): Promise<Result<readonly AuthorityProblem[]>> {
  const api = createApi(options);
  const settings = await read(api, '/config', configuration, signal);
  if (!settings.ok) return settings;
  const state = await read(api, `${zonePath(zone)}?rrsets=false`, zoneState, signal);
  if (!state.ok) return state;
  const keys = await read(api, `${zonePath(zone)}/metadata/TSIG-ALLOW-DNSUPDATE`, metadata, signal);
  if (!keys.ok) return keys;
  const values = new Map(settings.value.map(({ name, value }) => [name, value]));
  return success([...settingProblems(values), ...zoneProblems(state.value.kind, keys.value.metadata)]);
}

/**
 * Whether this server has a TXT record at `name` of `zone`: that what was judged is the server that a lease was written to. Failures
 * have the codes of `DnsPublisherPort`.
 */
export async function hasText(options: PowerdnsOptions, zone: string, name: string, signal: AbortSignal): Promise<Result<boolean>> {
  const found = await read(createApi(options), zonePath(zone), zoneRecords, signal);
  if (!found.ok) return found;
  const owner = `${name.toLowerCase().replace(/\.$/, '')}.`;
  return success(found.value.rrsets.some((one) => one.type === 'TXT' && one.name.toLowerCase() === owner));
}

/** `checkAuthority` as one failure, `CTM_REGISTER_AUTHORITY_UNFIT`, for a set-up that must not go on. */
export function unfit(problems: readonly AuthorityProblem[]): { ok: false; failure: Failure } {
  const list = problems.map(({ setting, value, fix }) => `${setting} is ${JSON.stringify(value)}: ${fix}`).join('; ');
  return failure('CTM_REGISTER_AUTHORITY_UNFIT', `this server cannot keep a lease: ${list}`);
}

/** Gives each region's key to the server and lets these keys, and no others, update the zone. */
export async function allowKeys(options: PowerdnsOptions, zone: string, keys: readonly RegionKey[], signal: AbortSignal): Promise<Result<null>> {
  const api = createApi(options);
  for (const key of keys) {
    const added = await addKey(api, key, signal);
    if (!added.ok) return added;
  }
  const path = `${zonePath(zone)}/metadata/TSIG-ALLOW-DNSUPDATE`;
  const body = { kind: 'TSIG-ALLOW-DNSUPDATE', metadata: keys.map(({ name }) => name.replace(/\.$/, '')) };
  const reply = await api.call('PUT', path, body, signal);
  if (!reply.ok) return reply;
  const stored = parse(metadata, reply.value, `PUT ${path}`);
  return stored.ok ? success(null) : stored;
}

async function addKey(api: Api, { name, secret }: RegionKey, signal: AbortSignal): Promise<Result<null>> {
  const plain = name.replace(/\.$/, '');
  const body = { name: plain, algorithm: 'hmac-sha256', key: secret };
  const made = await api.call('POST', '/tsigkeys', body, signal);
  if (!made.ok) return made;
  if (made.value.status === 201) return success(null);
  // 409: the key is there, perhaps with another secret.
  if (made.value.status !== 409) return rejected('POST /tsigkeys', { status: made.value.status, quoted: '' });
  const changed = await api.call('PUT', `/tsigkeys/${encodeURIComponent(`${plain}.`)}`, body, signal);
  if (!changed.ok) return changed;
  return changed.value.status === 200 ? success(null) : rejected(`PUT /tsigkeys of ${plain}`, { status: changed.value.status, quoted: '' });
}

/** PowerDNS takes everything else for yes, `true` and `on` too. */
const isOff = (value: string): boolean => value === 'no' || value === 'off';

function settingProblems(values: ReadonlyMap<string, string>): AuthorityProblem[] {
  const problems: AuthorityProblem[] = [];
  const need = (setting: string, right: (value: string) => boolean, fix: string): void => {
    const value = values.get(setting);
    if (value !== undefined && !right(value)) problems.push({ setting, value: value.slice(0, VALUE_LENGTH_MAX), fix });
    // A version that calls it by another name must not pass as one that has it right.
    if (value === undefined && !NEWER.includes(setting)) problems.push({ setting, value: 'not there', fix: 'use a PowerDNS from 4.7 to 5.1: this one does not tell what it is set to' });
  };
  const launch = (values.get('launch') ?? '').trim();
  const [backend = '', name] = launch.split(':');
  // A backend with a name of its own has it in each of its settings, and none without.
  const prefix = name === undefined ? backend : `${backend}-${name}`;
  if (!LOCAL_BACKENDS.includes(backend) || launch.includes(',')) {
    problems.push({
      setting: 'launch',
      value: launch.slice(0, VALUE_LENGTH_MAX),
      fix: `use one backend that keeps the zone on this machine alone (${LOCAL_BACKENDS.join(' or ')}): in a database that other servers share, compare-and-set does not hold`,
    });
  }
  if (backend === 'gsqlite3') need(`${prefix}-pragma-synchronous`, (value) => value === '' || value === '2' || value === '3', 'use 2: a lease that was acknowledged must outlive a power cut');
  if (backend === 'lmdb') {
    need('lmdb-lightning-stream', isOff, 'use no: a store that is synchronised with others has no compare-and-set');
    need('lmdb-sync-mode', (value) => value === '' || value === 'sync', 'use sync: a lease that was acknowledged must outlive a power cut');
  }
  need('views', isOff, 'use no: with views two regions may be given two variants of the zone, each with a lease of its own');
  need('dnsupdate', (value) => value === 'yes', 'use yes: the lease is written by signed updates');
  need('dnsupdate-require-tsig', (value) => value === 'yes', 'use yes: without it an allowed address can write unsigned');
  need('lua-dnsupdate-policy-script', (value) => value === '', 'use none: with a script the server asks it, and not the keys of the zone, who may write');
  need('query-cache-ttl', (value) => value === '0', 'use 0: a lease must not be read from a cache');
  return problems;
}

function zoneProblems(kind: string, keys: readonly string[]): AuthorityProblem[] {
  return [
    ...(WRITABLE_KINDS.includes(kind.toLowerCase())
      ? []
      : [{ setting: 'kind of the zone', value: kind, fix: 'use Native or Primary: a copy of another server takes no updates of its own' }]),
    ...(keys.length > 0
      ? []
      : [{ setting: 'TSIG-ALLOW-DNSUPDATE of the zone', value: '', fix: "name each region's key: with none every allowed address can write unsigned" }]),
  ];
}
