// What the name servers are told, once, at set-up. The answer for the application's name follows the lease without any
// later write: each name server probes every region's gateway for `/.well-known/continuum/<lease>`, which answers 200
// only in the region that holds a valid lease, and names the regions that did.
//
// The list of addresses is flat and both selectors are `all`, on purpose:
//   - exactly one region answers 200, so "all that are up" is the holder; during a hand-over it may be both, never neither;
//   - with nobody up (between two holders) and before the first probe after a start, all regions are named: the answer is
//     never empty, never random and never only a fenced region (I5), and a client tries the next address on refusal;
//   - grouped lists look more natural, but from 5.1 on their backup is the first group alone: one region, maybe the dead one.

import { probeQuery } from '../gate/probe.ts';
import type { IpAddress } from './address.ts';
import { formatIpAddress, parseIpAddress } from './address.ts';
import type { LuaExpression } from './lua.ts';
import { isLuaText, LUA_TEXT_LENGTH_MAX, luaRecordContent } from './lua.ts';

/** One record set as a name server stores it. `name` is canonical: lower case, with the final dot. */
export type Rrset = {
  readonly name: string;
  readonly type: 'SOA' | 'NS' | 'A' | 'AAAA' | 'TXT' | 'LUA';
  readonly ttlSeconds: number;
  /** In presentation format. */
  readonly records: readonly string[];
};

/** One thing wrong with the input: where, what was there, and what to write instead. */
export type DnsProblem = { readonly field: string; readonly value: string; readonly fix: string };

export type Synthesis<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly DnsProblem[] };

export type HotStandbyRecord = {
  /** The application's name, for example `counter.app.test`. */
  readonly name: string;
  readonly lease: string;
  readonly regions: readonly { readonly region: string; readonly addresses: readonly string[] }[];
  /** Port of the gateways; the same in every region, because the probe's URL holds one. */
  readonly port: number;
  /** What the lease's name is appended to. */
  readonly path?: string;
  readonly ttlSeconds: number;
};

export type ZoneRecords = {
  readonly zone: string;
  readonly nameServers: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** TTL of the zone's own records, and how long a name that was missing may be remembered as missing. */
  readonly ttlSeconds: number;
};

export const WELL_KNOWN_PATH = '/.well-known/continuum/';

const TTL_SECONDS_MAX = 3_600;
const REGIONS_MAX = 16;
const ADDRESSES_MAX = 16;
const NAME_LENGTH_MAX = 253;
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
export const PATH = /^\/(?:[A-Za-z0-9._~-]+\/)*$/;
export const LEASE = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,62}$/;
/** Whole seconds are all that PowerDNS knows; a probe that is slower than this is a gateway that is not fit to be named. */
export const PROBE_TIMEOUT_SECONDS = 1;
/** Of a probe that the gate keeps waiting for a part of it, see `probeQuery`. */
export const WAITING_PROBE_TIMEOUT_SECONDS = 2;

/** The canonical form (lower case, final dot) of a host name, or null when it is not one. */
export function canonicalName(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  const valid = name.length <= NAME_LENGTH_MAX && name.split('.').every((label) => LABEL.test(label));
  return valid ? `${name}.` : null;
}

/** The LUA record set of an application in active-hotstandby placement; every problem of the input at once otherwise. */
export function synthesize(input: HotStandbyRecord): Synthesis<Rrset> {
  const path = input.path ?? WELL_KNOWN_PATH;
  const name = canonicalName(input.name);
  const problems = [
    ...(name === null ? [problem('name', input.name, 'a host name such as "counter.app.example"')] : []),
    ...(LEASE.test(input.lease) ? [] : [problem('lease', input.lease, 'letters, digits, ".", "_", "~", "-"; at most 63')]),
    ...(PATH.test(path) ? [] : [problem('path', path, 'segments of letters, digits, ".", "_", "~", "-" between slashes, as in "/.well-known/continuum/"')]),
    ...(isPort(input.port) ? [] : [problem('port', input.port, 'a whole number from 1 to 65535')]),
    ...ttlProblems(input.ttlSeconds),
    ...regionProblems(input.regions),
  ];
  if (name === null || problems.length > 0) return { ok: false, problems };
  const url = `http://${name.slice(0, -1)}:${input.port}${path}${input.lease}${probeQuery(WAITING_PROBE_TIMEOUT_SECONDS)}`;
  if (!isLuaText(url)) {
    const fix = `a shorter name, path or lease: the probe's URL may have ${LUA_TEXT_LENGTH_MAX} characters, this one has ${url.length}`;
    return { ok: false, problems: [problem('path', url, fix)] };
  }
  const addresses = input.regions.flatMap((region) => region.addresses.map((text) => parseIpAddress(text) as IpAddress));
  const families = ([['A', 4], ['AAAA', 6]] as const).map(([type, family]) => ({
    type,
    addresses: addresses.filter((address) => address.family === family),
  }));
  const records = families
    .filter((family) => family.addresses.length > 0)
    .map((family) => luaRecordContent(family.type, followLease(url, family.addresses)));
  return { ok: true, value: { name, type: 'LUA', ttlSeconds: input.ttlSeconds, records } };
}

/** SOA, NS and the name servers' addresses of a zone. The serial is only a start: PowerDNS raises it at each write. */
export function zoneRrsets(input: ZoneRecords): Synthesis<readonly Rrset[]> {
  const zone = canonicalName(input.zone);
  const servers = input.nameServers.map((server) => ({
    name: canonicalName(server.name) ?? '',
    addresses: server.addresses.map(parseIpAddress),
  }));
  const problems = [
    ...(zone === null ? [problem('zone', input.zone, 'a domain name such as "app.example"')] : []),
    ...ttlProblems(input.ttlSeconds),
    ...(servers.length > 0 ? [] : [problem('nameServers', '[]', 'at least one name server')]),
    ...input.nameServers.flatMap((server, index) => nameServerProblems(`nameServers[${index}]`, server, zone)),
  ];
  const primary = servers[0]?.name;
  if (zone === null || primary === undefined || problems.length > 0) return { ok: false, problems };
  const { ttlSeconds } = input;
  const names = servers.map((server) => server.name);
  const soa = `${primary} hostmaster.${zone} 1 3600 600 86400 ${ttlSeconds}`;
  const hosts = servers.flatMap((server) => addressRrsets(server.name, server.addresses, ttlSeconds));
  const apex: readonly Rrset[] = [
    { name: zone, type: 'SOA', ttlSeconds, records: [soa] },
    { name: zone, type: 'NS', ttlSeconds, records: names },
  ];
  return { ok: true, value: [...apex, ...hosts] };
}

function followLease(url: string, addresses: readonly IpAddress[]): LuaExpression {
  const text = (value: string): LuaExpression => ({ kind: 'text', value });
  return {
    kind: 'call',
    name: 'ifurlup',
    parameters: [
      text(url),
      { kind: 'list', items: addresses.map((address) => text(formatIpAddress(address))) },
      {
        kind: 'options',
        entries: [
          ['selector', text('all')],
          ['backupSelector', text('all')],
          ['timeout', text(String(WAITING_PROBE_TIMEOUT_SECONDS))],
          ['useragent', text('continuum-dns')],
        ],
      },
    ],
  };
}

export function addressRrsets(name: string, addresses: readonly (IpAddress | null)[], ttlSeconds: number): Rrset[] {
  return ([['A', 4], ['AAAA', 6]] as const).flatMap(([type, family]) => {
    const records = addresses.flatMap((address) => (address?.family === family ? [formatIpAddress(address)] : []));
    return records.length === 0 ? [] : [{ name, type, ttlSeconds, records }];
  });
}

export function regionProblems(regions: HotStandbyRecord['regions'], regionsMin = 2): DnsProblem[] {
  if (regions.length < regionsMin || regions.length > REGIONS_MAX) {
    return [problem('regions', regions.length, `from ${regionsMin} to ${REGIONS_MAX} regions`)];
  }
  const families = regions.map((region) => new Set(region.addresses.flatMap((text) => parseIpAddress(text)?.family ?? [])));
  const everywhere = new Set(families.flatMap((set) => [...set]));
  const seen = new Set<string>();
  return regions.flatMap(({ addresses }, index) => {
    const field = `regions[${index}].addresses`;
    if (addresses.length === 0 || addresses.length > ADDRESSES_MAX) {
      return [problem(field, addresses.length, `from 1 to ${ADDRESSES_MAX} addresses`)];
    }
    const invalid = addresses.filter((text) => parseIpAddress(text) === null);
    if (invalid.length > 0) return invalid.map((text) => problem(field, text, 'a plain IPv4 or IPv6 address'));
    // A family that one region lacks would be answered with the other regions alone, fenced or not.
    if (families[index]?.size !== everywhere.size) {
      return [problem(field, addresses.join(' '), 'addresses of the same families (IPv4, IPv6) in every region')];
    }
    return addresses.flatMap((text) => {
      const address = formatIpAddress(parseIpAddress(text) as IpAddress);
      if (!seen.has(address)) {
        seen.add(address);
        return [];
      }
      return [problem(field, text, 'each address once: a region is known by its own address')];
    });
  });
}

function nameServerProblems(field: string, server: ZoneRecords['nameServers'][number], zone: string | null): DnsProblem[] {
  const name = canonicalName(server.name);
  const inside = name !== null && (zone === null || name.endsWith(`.${zone}`));
  const unparsed = server.addresses.filter((text) => parseIpAddress(text) === null);
  return [
    ...(inside ? [] : [problem(`${field}.name`, server.name, 'a host name inside the zone')]),
    ...(server.addresses.length > 0 ? [] : [problem(`${field}.addresses`, '[]', 'at least one address')]),
    ...unparsed.map((text) => problem(`${field}.addresses`, text, 'a plain IPv4 or IPv6 address')),
  ];
}

export function ttlProblems(ttlSeconds: number): DnsProblem[] {
  const valid = Number.isInteger(ttlSeconds) && ttlSeconds >= 0 && ttlSeconds <= TTL_SECONDS_MAX;
  return valid ? [] : [problem('ttlSeconds', ttlSeconds, `a whole number of seconds from 0 to ${TTL_SECONDS_MAX}`)];
}

export const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;

/** The value is quoted and cut, so that a report of bad input cannot itself carry anything. */
export const problem = (field: string, value: string | number, fix: string): DnsProblem => ({
  field,
  value: JSON.stringify(value).slice(0, 100),
  fix,
});
