// Writes record sets to one PowerDNS over its HTTP API. It reads first and writes only what differs, in one PATCH, which
// PowerDNS carries out in one transaction. The API has no compare-and-set, so one zone has one writer.
// A record set is replaced whole, so a write whose reply was lost can be sent again.
//
// A name with addresses is owned whole: an address, an alias or Lua that somebody put beside what is wanted there would be
// answered too. The other types of the name (MX, TXT, ...) are nobody's business here.

import { z } from 'zod';
import type { RecordKey, Rrset } from '@continuum/core';
import { formatIpAddress, isMark, parseIpAddress } from '@continuum/core';
import type { DnsPublisherPort, Publication, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';
import type { Api, PowerdnsOptions } from './api.ts';
import { absolute, createApi, parse, read, rejected, zonePath } from './api.ts';

export type { PowerdnsOptions } from './api.ts';

/**
 * `DnsPublisherPort` for PowerDNS 4.7 to 5.1; for LUA records on 5.1 `enable-lua-record-updates=yes` must be set (else
 * `CTM_DNS_REFUSED`). A server later than 4.7 waits for a locked SQLite file without end: a write that ended here at its deadline
 * is then carried out late, perhaps after the one that followed it, and the next comparison finds that.
 */
export type PowerdnsPublisher = DnsPublisherPort & {
  /** Version of the server, for example `4.7.3`. */
  readonly version: (signal: AbortSignal) => Promise<Result<string>>;
  /** As the port's, and what answers with addresses at a retired name goes in the same transaction, and so do our marks there. */
  readonly publish: (zone: string, rrsets: readonly Rrset[], signal: AbortSignal, retired?: readonly string[]) => Promise<Result<Publication>>;
  /** What the zone holds beside what it should hold. */
  readonly compare: (zone: string, rrsets: readonly Rrset[], signal: AbortSignal, retired?: readonly string[]) => Promise<Result<Comparison>>;
  readonly remove: (zone: string, name: string, type: Rrset['type'], signal: AbortSignal) => Promise<Result<null>>;
  /** Makes the server forget its cached answers of a zone, after another one wrote to the database that both read. */
  readonly flush: (zone: string, signal: AbortSignal) => Promise<Result<null>>;
  /** A counter of the server, for example `udp-queries`; null when it has none of that name. */
  readonly statistic: (name: string, signal: AbortSignal) => Promise<Result<number | null>>;
};

export type Comparison = {
  /** The record sets that the zone does not hold exactly. */
  readonly lacking: readonly Rrset[];
  /** What would be answered beside them. */
  readonly stray: readonly RecordKey[];
  /** What the zone holds there, in presentation format; empty for nothing. */
  readonly contents: (key: RecordKey) => readonly string[];
};

/** What makes a name answer with addresses. */
const ANSWERING_TYPES = ['A', 'AAAA', 'CNAME', 'LUA'];

const storedRrset = z.object({
  name: z.string(),
  type: z.string(),
  ttl: z.number().int(),
  records: z.array(z.object({ content: z.string(), disabled: z.boolean() })),
});
const storedZone = z.object({ serial: z.number().int(), rrsets: z.array(storedRrset) });
const server = z.object({ version: z.string() });
const statistics = z.array(z.object({ name: z.string(), value: z.unknown() }));

type StoredRrset = z.infer<typeof storedRrset>;
type StoredZone = z.infer<typeof storedZone>;

export function createPowerdnsPublisher(options: PowerdnsOptions): PowerdnsPublisher {
  const api = createApi(options);

  async function readBack(zone: string, rrsets: readonly Rrset[], signal: AbortSignal, retired: readonly string[] = []): Promise<Result<Publication>> {
    const stored = await readZone(api, zone, signal);
    if (!stored.ok) return stored;
    const { lacking, stray } = compared(stored.value, rrsets, retired);
    if (lacking.length + stray.length === 0) return success({ written: true, serial: stored.value.serial });
    const names = [...lacking, ...stray].map(({ name, type }) => `${name} ${type}`).join(', ');
    return failure('CTM_DNS_READ_BACK_DIFFERS', `zone ${zone} was written, and does not hold what was written: ${names}`);
  }

  async function publish(zone: string, rrsets: readonly Rrset[], signal: AbortSignal, retired: readonly string[] = []): Promise<Result<Publication>> {
    const stored = await readZone(api, zone, signal);
    if (!stored.ok) return stored;
    const { lacking, stray } = compared(stored.value, rrsets, retired);
    if (lacking.length + stray.length === 0) return success({ written: false, serial: stored.value.serial });
    // Removals first: an alias and addresses exclude each other.
    const changes = [...stray.map((key) => ({ ...key, changetype: 'DELETE' })), ...lacking.map((rrset) => ({ ...encode(rrset), changetype: 'REPLACE' }))];
    const reply = await api.call('PATCH', zonePath(zone), { rrsets: changes }, signal);
    if (!reply.ok) return reply;
    return reply.value.status === 204 ? readBack(zone, rrsets, signal, retired) : rejected(`PATCH ${zonePath(zone)}`, reply.value);
  }

  async function ensureZone(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>> {
    const found = await publish(zone, rrsets, signal);
    if (found.ok || found.failure.code !== 'CTM_DNS_ZONE_MISSING') return found;
    const body = { name: absolute(zone), kind: 'Native', nameservers: [], rrsets: rrsets.map(encode) };
    const reply = await api.call('POST', '/zones', body, signal);
    if (!reply.ok) return reply;
    // 409: somebody made it in between, or our own first try did and its reply was a 500.
    if (reply.value.status === 409) return publish(zone, rrsets, signal);
    return reply.value.status === 201 ? readBack(zone, rrsets, signal) : rejected('POST /zones', reply.value);
  }

  return {
    ensureZone,
    publish,
    writes: api.writes,
    serial: async (zone, signal) => {
      const stored = await readZone(api, zone, signal);
      return stored.ok ? success(stored.value.serial) : stored;
    },
    version: async (signal) => {
      const answer = await read(api, '', server, signal);
      return answer.ok ? success(answer.value.version) : answer;
    },
    compare: async (zone, rrsets, signal, retired = []) => {
      const stored = await readZone(api, zone, signal);
      return stored.ok ? success(compared(stored.value, rrsets, retired)) : stored;
    },
    remove: async (zone, name, type, signal) => {
      const reply = await api.call('PATCH', zonePath(zone), { rrsets: [{ name, type, changetype: 'DELETE' }] }, signal);
      if (!reply.ok) return reply;
      return reply.value.status === 204 ? success(null) : rejected(`PATCH ${zonePath(zone)}`, reply.value);
    },
    flush: async (zone, signal) => {
      const reply = await api.call('PUT', `/cache/flush?domain=${encodeURIComponent(absolute(zone))}`, undefined, signal);
      if (!reply.ok) return reply;
      return reply.value.status === 200 ? success(null) : rejected('PUT /cache/flush', reply.value);
    },
    statistic: (name, signal) => readStatistic(api, name, signal),
  };
}

const readZone = (api: Api, zone: string, signal: AbortSignal): Promise<Result<StoredZone>> =>
  read(api, zonePath(zone), storedZone, signal);

async function readStatistic(api: Api, name: string, signal: AbortSignal): Promise<Result<number | null>> {
  const path = `/statistics?statistic=${encodeURIComponent(name)}`;
  const reply = await api.call('GET', path, undefined, signal);
  if (!reply.ok) return reply;
  // 422: it has no counter of that name.
  if (reply.value.status === 422) return success(null);
  const parsed = parse(statistics, reply.value, `GET ${path}`);
  if (!parsed.ok) return parsed;
  const value = Number(parsed.value[0]?.value);
  return success(Number.isFinite(value) ? value : null);
}

function compared(zone: StoredZone, rrsets: readonly Rrset[], retired: readonly string[]): Comparison {
  const key = ({ name, type }: RecordKey): string => `${name.toLowerCase()} ${type}`;
  const wanted = new Set(rrsets.map(key));
  const owned = new Set([...retired, ...rrsets.filter(({ type }) => ANSWERING_TYPES.includes(type)).map(({ name }) => name)]);
  const isRetiredMark = ({ name, type, records }: StoredRrset): boolean => type === 'TXT' && retired.includes(name.toLowerCase()) && isMark(records.map(({ content }) => content));
  const stray = zone.rrsets.filter((one) => owned.has(one.name.toLowerCase()) && (ANSWERING_TYPES.includes(one.type) || isRetiredMark(one)) && !wanted.has(key(one)));
  return {
    lacking: rrsets.filter((rrset) => !holds(zone, rrset)),
    stray: stray.map(({ name, type }) => ({ name, type })),
    contents: (asked) => zone.rrsets.find((one) => key(one) === key(asked))?.records.map(({ content }) => content) ?? [],
  };
}

/** Whether the zone holds exactly this record set. The SOA's serial is the server's own and does not count. */
function holds(zone: StoredZone, rrset: Rrset): boolean {
  const stored = zone.rrsets.find((one) => one.name.toLowerCase() === rrset.name && one.type === rrset.type);
  if (stored === undefined || stored.ttl !== rrset.ttlSeconds) return false;
  if (stored.records.some((record) => record.disabled)) return false;
  const comparable = (content: string): string => {
    if (rrset.type === 'SOA') return content.split(' ').with(2, 'serial').join(' ');
    // It shortens IPv6 addresses.
    const address = rrset.type === 'AAAA' ? parseIpAddress(content) : null;
    return address === null ? content : formatIpAddress(address);
  };
  const have = stored.records.map((record) => comparable(record.content)).sort();
  const want = rrset.records.map(comparable).sort();
  return have.length === want.length && have.every((content, index) => content === want[index]);
}

const encode = (rrset: Rrset): object => ({
  name: rrset.name,
  type: rrset.type,
  ttl: rrset.ttlSeconds,
  records: rrset.records.map((content) => ({ content, disabled: false })),
});
