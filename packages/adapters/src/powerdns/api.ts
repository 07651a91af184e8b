// One exchange at a time with the HTTP API of one PowerDNS. It answers 500 when its SQLite file is locked for a moment; that is
// tried again, with jitter. Nothing else is. The key stands in no message.

import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import type { z } from 'zod';
import type { Failure, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';

export type PowerdnsOptions = {
  /** For example `http://127.0.0.1:8081`. The API gives the power to run code on the name server: loopback or TLS only. */
  readonly url: string;
  /** A function is asked before every exchange, so that a key that was rotated counts at once. */
  readonly apiKey: string | (() => string);
  /** Random number from 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly tries?: number;
  readonly retryMs?: number;
};

type Method = 'GET' | 'PATCH' | 'POST' | 'PUT' | 'DELETE';
/** `quoted`: the beginning of the body as it may stand in a message. */
export type Reply = { readonly status: number; readonly body: string; readonly quoted: string };

type Quotable = Pick<Reply, 'status' | 'quoted'>;

const REPLY_BYTES_MAX = 8_388_608;
const MESSAGE_LENGTH_MAX = 200;
const TRIES_DEFAULT = 6;
const RETRY_MS_DEFAULT = 50;

export type Api = {
  readonly call: (method: Method, path: string, body: unknown, signal: AbortSignal) => Promise<Result<Reply>>;
  readonly writes: () => number;
};

/** Each exchange is tried again while the server says 500. */
export function createApi(options: PowerdnsOptions): Api {
  const { random = Math.random, tries = TRIES_DEFAULT, retryMs = RETRY_MS_DEFAULT } = options;
  const api = `${options.url.replace(/\/$/, '')}/api/v1/servers/localhost`;
  let writes = 0;
  return {
    writes: () => writes,
    call: async (method, path, body, signal) => {
      for (let attempt = 1; ; attempt++) {
        const key = typeof options.apiKey === 'string' ? options.apiKey : options.apiKey();
        if (key === '') return failure('CTM_DNS_UNAUTHORIZED', `${method} ${path}: the API key is empty; use that of this server`);
        if (method !== 'GET') writes++;
        const reply = await exchange(method, `${api}${path}`, body, key, signal);
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

export async function read<T>(api: Api, path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<Result<T>> {
  const reply = await api.call('GET', path, undefined, signal);
  return reply.ok ? parse(schema, reply.value, `GET ${path}`) : reply;
}

async function exchange(
  method: Method,
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
    const text = Buffer.concat(chunks).toString('utf8');
    // What repeats the request, as a proxy may, repeats the key.
    const quoted = text.replaceAll(apiKey, '(key)').slice(0, MESSAGE_LENGTH_MAX).replaceAll(/\s+/g, ' ');
    return success({ status: response.statusCode, body: text, quoted });
  } catch (cause) {
    if (signal.aborted) return failure('CTM_DNS_TIMEOUT', `${method} ${url}: no reply in time`, cause);
    const reason = (cause as { code?: string }).code ?? (cause as Error).message;
    return failure('CTM_DNS_UNREACHABLE', `${method} ${url}: ${reason}`, cause);
  }
}

export function parse<T>(schema: z.ZodType<T>, reply: Reply, what: string): Result<T> {
  if (reply.status !== 200) return rejected(what, reply);
  try {
    return success(schema.parse(JSON.parse(reply.body)));
  } catch (cause) {
    return failure('CTM_DNS_REPLY_INVALID', `${what}: the reply is not what the PowerDNS API answers`, cause);
  }
}

export function rejected(what: string, reply: Quotable): { ok: false; failure: Failure } {
  const message = `${what}: ${describe(reply)}`;
  if (reply.status === 401) return failure('CTM_DNS_UNAUTHORIZED', `${message}; is the API key that of this server?`);
  if (reply.status === 404) return failure('CTM_DNS_ZONE_MISSING', message);
  return failure('CTM_DNS_REFUSED', message);
}

const describe = (reply: Quotable): string => `HTTP ${reply.status} ${reply.quoted}`;

export const absolute = (zone: string): string => (zone.endsWith('.') ? zone : `${zone}.`);
export const zonePath = (zone: string): string => `/zones/${encodeURIComponent(absolute(zone))}`;
