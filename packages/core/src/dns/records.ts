// Record sets as a name server stores them, what a name, a list of regions and a TTL may be, and the records of a zone itself. What an
// application's names are told is in placement.ts.

import type { IpAddress } from './address.ts';
import { formatIpAddress, parseIpAddress } from './address.ts';

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
export const NAME_LENGTH_MAX = 253;
export const LABEL_LENGTH_MAX = 63;
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

export function addressRrsets(name: string, addresses: readonly (IpAddress | null)[], ttlSeconds: number): Rrset[] {
  return ([['A', 4], ['AAAA', 6]] as const).flatMap(([type, family]) => {
    const records = addresses.flatMap((address) => (address?.family === family ? [formatIpAddress(address)] : []));
    return records.length === 0 ? [] : [{ name, type, ttlSeconds, records }];
  });
}

export function regionProblems(regions: readonly { readonly addresses: readonly string[] }[], regionsMin: number): DnsProblem[] {
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
