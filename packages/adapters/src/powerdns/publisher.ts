// Writes record sets to one PowerDNS over its HTTP API. It reads first and writes only what differs, in one PATCH, which
// PowerDNS carries out in one transaction. The API has no compare-and-set, so one zone has one writer.
// A record set is replaced whole, so a write whose reply was lost can be sent again.

import { z } from 'zod';
import type { Rrset } from '@continuum/core';
import { formatIpAddress, parseIpAddress } from '@continuum/core';
import type { DnsPublisherPort, Publication, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';
import type { Api, PowerdnsOptions } from './api.ts';
import { absolute, createApi, parse, read, rejected, zonePath } from './api.ts';

export type { PowerdnsOptions } from './api.ts';

/** `DnsPublisherPort` for PowerDNS 4.7 to 5.0; on 5.1 `enable-lua-record-updates=yes` must be set (else `CTM_DNS_REFUSED`). */
export type PowerdnsPublisher = DnsPublisherPort & {
  /** Version of the server, for example `4.7.3`. */
  readonly version: (signal: AbortSignal) => Promise<Result<string>>;
  /** The record sets that the zone does not hold exactly. */
  readonly lacking: (zone: string, rrsets: readonly Rrset[], signal: AbortSignal) => Promise<Result<readonly Rrset[]>>;
  readonly remove: (zone: string, name: string, type: Rrset['type'], signal: AbortSignal) => Promise<Result<null>>;
  /** Makes the server forget its cached answers of a zone, after another one wrote to the database that both read. */
  readonly flush: (zone: string, signal: AbortSignal) => Promise<Result<null>>;
  /** A counter of the server, for example `udp-queries`; null when it has none of that name. */
  readonly statistic: (name: string, signal: AbortSignal) => Promise<Result<number | null>>;
};

const storedRrset = z.object({
  name: z.string(),
  type: z.string(),
  ttl: z.number().int(),
  records: z.array(z.object({ content: z.string(), disabled: z.boolean() })),
});
const storedZone = z.object({ serial: z.number().int(), rrsets: z.array(storedRrset) });
const server = z.object({ version: z.string() });
const statistics = z.array(z.object({ name: z.string(), value: z.unknown() }));

type StoredZone = z.infer<typeof storedZone>;

export function createPowerdnsPublisher(options: PowerdnsOptions): PowerdnsPublisher {
  const api = createApi(options);

  async function readBack(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>> {
    const stored = await readZone(api, zone, signal);
    if (!stored.ok) return stored;
    const lacking = rrsets.filter((rrset) => !holds(stored.value, rrset));
    if (lacking.length === 0) return success({ written: true, serial: stored.value.serial });
    const names = lacking.map((rrset) => `${rrset.name} ${rrset.type}`).join(', ');
    return failure('CTM_DNS_READ_BACK_DIFFERS', `zone ${zone} was written, and does not hold what was written: ${names}`);
  }

  async function publish(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>> {
    const stored = await readZone(api, zone, signal);
    if (!stored.ok) return stored;
    const changed = rrsets.filter((rrset) => !holds(stored.value, rrset));
    if (changed.length === 0) return success({ written: false, serial: stored.value.serial });
    const body = { rrsets: changed.map((rrset) => ({ ...encode(rrset), changetype: 'REPLACE' })) };
    const reply = await api.call('PATCH', zonePath(zone), body, signal);
    if (!reply.ok) return reply;
    return reply.value.status === 204 ? readBack(zone, changed, signal) : rejected(`PATCH ${zonePath(zone)}`, reply.value);
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
    lacking: async (zone, rrsets, signal) => {
      const stored = await readZone(api, zone, signal);
      return stored.ok ? success(rrsets.filter((rrset) => !holds(stored.value, rrset))) : stored;
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
