// Writes record sets to one PowerDNS over its HTTP API. It reads first and writes only what differs, in one PATCH, which
// PowerDNS carries out in one transaction. The API has no compare-and-set, so one zone has one writer.
//
// PowerDNS answers 500 when its SQLite file is locked for a moment; that is retried. A record set is replaced whole, so a
// write whose reply was lost can be sent again.

import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { z } from 'zod';
import type { Rrset } from '@continuum/core';
import type { DnsPublisherPort, Failure, Publication, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';

export type PowerdnsOptions = {
  /** For example `http://127.0.0.1:8081`. The API gives the power to run code on the name server: loopback or TLS only. */
  readonly url: string;
  readonly apiKey: string;
  /** Random number from 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly tries?: number;
  readonly retryMs?: number;
};

/** `DnsPublisherPort` for PowerDNS 4.7 to 5.0; on 5.1 `enable-lua-record-updates=yes` must be set (else `CTM_DNS_REFUSED`). */
export type PowerdnsPublisher = DnsPublisherPort & {
  /** Version of the server, for example `4.7.3`. */
  readonly version: (signal: AbortSignal) => Promise<Result<string>>;
  /** A counter of the server, for example `udp-queries`; null when it has none of that name. */
  readonly statistic: (name: string, signal: AbortSignal) => Promise<Result<number | null>>;
};

type Reply = { readonly status: number; readonly body: string };

const REPLY_BYTES_MAX = 8_388_608;
const MESSAGE_LENGTH_MAX = 200;
const TRIES_DEFAULT = 6;
const RETRY_MS_DEFAULT = 50;

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
    statistic: (name, signal) => readStatistic(api, name, signal),
  };
}

type Api = {
  readonly call: (method: 'GET' | 'PATCH' | 'POST', path: string, body: unknown, signal: AbortSignal) => Promise<Result<Reply>>;
  readonly writes: () => number;
};

/** One exchange at a time, each tried again while the server says 500. */
function createApi(options: PowerdnsOptions): Api {
  const { random = Math.random, tries = TRIES_DEFAULT, retryMs = RETRY_MS_DEFAULT } = options;
  const api = `${options.url.replace(/\/$/, '')}/api/v1/servers/localhost`;
  let writes = 0;
  return {
    writes: () => writes,
    call: async (method, path, body, signal) => {
      for (let attempt = 1; ; attempt++) {
        if (method !== 'GET') writes++;
        const reply = await exchange(method, `${api}${path}`, body, options.apiKey, signal);
        if (!reply.ok || reply.value.status < 500) return reply;
        if (attempt === tries) return failure('CTM_DNS_SERVER_ERROR', `${method} ${path}: ${describe(reply.value)}, ${tries} times`);
        try {
          await delay(retryMs * 2 ** (attempt - 1) * (0.5 + random()), undefined, { signal });
        } catch (cause) {
          return failure('CTM_DNS_TIMEOUT', `${method} ${path}: no time left after ${describe(reply.value)}`, cause);
        }
      }
    },
  };
}

async function read<T>(api: Api, path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<Result<T>> {
  const reply = await api.call('GET', path, undefined, signal);
  return reply.ok ? parse(schema, reply.value, `GET ${path}`) : reply;
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

async function exchange(
  method: 'GET' | 'PATCH' | 'POST',
  url: string,
  body: unknown,
  apiKey: string,
  signal: AbortSignal,
): Promise<Result<Reply>> {
  try {
    const response = await request(url, {
      method,
      signal,
      headers: { 'x-api-key': apiKey, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += (chunk as Buffer).length;
      if (bytes > REPLY_BYTES_MAX) return failure('CTM_DNS_REPLY_INVALID', `${method} ${url}: more than ${REPLY_BYTES_MAX} bytes`);
      chunks.push(chunk as Buffer);
    }
    return success({ status: response.statusCode, body: Buffer.concat(chunks).toString('utf8') });
  } catch (cause) {
    if (signal.aborted) return failure('CTM_DNS_TIMEOUT', `${method} ${url}: no reply in time`, cause);
    const reason = (cause as { code?: string }).code ?? (cause as Error).message;
    return failure('CTM_DNS_UNREACHABLE', `${method} ${url}: ${reason}`, cause);
  }
}

function parse<T>(schema: z.ZodType<T>, reply: Reply, what: string): Result<T> {
  if (reply.status !== 200) return rejected(what, reply);
  try {
    return success(schema.parse(JSON.parse(reply.body)));
  } catch (cause) {
    return failure('CTM_DNS_REPLY_INVALID', `${what}: the reply is not what the PowerDNS API answers`, cause);
  }
}

function rejected(what: string, reply: Reply): { ok: false; failure: Failure } {
  const message = `${what}: ${describe(reply)}`;
  if (reply.status === 401) return failure('CTM_DNS_UNAUTHORIZED', `${message}; is the API key that of this server?`);
  if (reply.status === 404) return failure('CTM_DNS_ZONE_MISSING', message);
  return failure('CTM_DNS_REFUSED', message);
}

const describe = (reply: Reply): string => `HTTP ${reply.status} ${reply.body.slice(0, MESSAGE_LENGTH_MAX).replaceAll(/\s+/g, ' ')}`;

/** Whether the zone holds exactly this record set. The SOA's serial is the server's own and does not count. */
function holds(zone: StoredZone, rrset: Rrset): boolean {
  const stored = zone.rrsets.find((one) => one.name.toLowerCase() === rrset.name && one.type === rrset.type);
  if (stored === undefined || stored.ttl !== rrset.ttlSeconds) return false;
  if (stored.records.some((record) => record.disabled)) return false;
  const comparable = (content: string): string =>
    rrset.type === 'SOA' ? content.split(' ').with(2, 'serial').join(' ') : content;
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

const absolute = (zone: string): string => (zone.endsWith('.') ? zone : `${zone}.`);
const zonePath = (zone: string): string => `/zones/${encodeURIComponent(absolute(zone))}`;
