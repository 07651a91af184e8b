// The client side of the proof: one write every 100 ms, each with an id of its own, sent the way a client would. It asks a
// recursor for the application's name (and keeps the answer for its TTL), connects to the gateway that the answer
// names, tries the next address when a connection is refused, and reports exactly what it knows about each write.

import { randomUUID } from 'node:crypto';
import { Agent, errors, request } from 'undici';
import { REFUSED_HEADER } from '@continuum/wire/gateway-headers';
import { monotonicMs } from '../rig/clock.ts';
import type { CachingClient } from '@continuum/adapters/resolver/caching-client';

/** acknowledged: the database said so. refused: certainly not executed. unknown: may or may not be there. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

export type Write = {
  readonly id: string;
  /** Monotonic milliseconds of this machine. */
  readonly sentMs: number;
  readonly endMs: number;
  readonly outcome: Outcome;
  readonly region: string | null;
  readonly detail: string;
};

export type ClientOptions = {
  readonly dns: CachingClient;
  readonly name: string;
  readonly port: number;
  /** Longest time a client waits for one answer. */
  readonly timeoutMs: number;
};

export type Client = {
  readonly call: (method: 'GET' | 'POST', path: string) => Promise<Pick<Write, 'outcome' | 'region' | 'detail'>>;
  readonly close: () => Promise<void>;
};

const CONNECT_TIMEOUT_MS = 500;

/** A client that keeps connections open, as browsers and services do. */
export function createClient({ dns, name, port, timeoutMs }: ClientOptions): Client {
  const agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    keepAliveTimeout: 4_000,
    pipelining: 1,
  });
  const once = async (address: string, method: 'GET' | 'POST', path: string): Promise<Pick<Write, 'outcome' | 'region' | 'detail'>> => {
    const response = await request(`http://${address}:${port}${path}`, { method, dispatcher: agent, headers: { host: name } });
    const body = await response.body.text();
    if (response.statusCode === 200) return { outcome: 'acknowledged', region: regionOf(body), detail: address };
    const refused = response.headers[REFUSED_HEADER];
    const detail = `${response.statusCode} from ${address}${refused === undefined ? '' : ` ${String(refused)}`}`;
    return { outcome: refused === undefined ? 'unknown' : 'refused', region: null, detail };
  };
  return {
    call: async (method, path) => {
      const answer = await dns.resolve(name);
      if (!answer.ok) return { outcome: 'refused', region: null, detail: `DNS: ${answer.reason}` };
      let detail = 'no address';
      for (const address of answer.addresses) {
        try {
          return await once(address, method, path);
        } catch (error) {
          detail = `${codeOf(error)} from ${address}`;
          if (!neverSent(error)) return { outcome: 'unknown', region: null, detail };
        }
      }
      return { outcome: 'refused', region: null, detail };
    },
    close: () => agent.destroy(),
  };
}

export type Load = { readonly stop: () => Promise<void> };

/** One write every `everyMs`, each in its own time: a slow one does not delay the next. */
export function startWriter(client: Client, everyMs: number, onWrite: (write: Write) => void): Load {
  return startLoad(everyMs, async () => {
    const id = randomUUID();
    const sentMs = monotonicMs();
    const result = await client.call('POST', `/write?id=${id}`);
    onWrite({ id, sentMs, endMs: monotonicMs(), ...result });
  });
}

export type Read = { readonly sentMs: number; readonly endMs: number; readonly ok: boolean; readonly detail: string };

/** A steady readers' load. */
export function startReaders(client: Client, perSecond: number, onRead: (read: Read) => void): Load {
  return startLoad(1_000 / perSecond, async () => {
    const sentMs = monotonicMs();
    const { outcome, detail } = await client.call('GET', '/read');
    onRead({ sentMs, endMs: monotonicMs(), ok: outcome === 'acknowledged', detail });
  });
}

function startLoad(everyMs: number, one: () => Promise<void>): Load {
  const open = new Set<Promise<void>>();
  const startMs = monotonicMs();
  let count = 0;
  const timer = setInterval(() => {
    // Evenly paced against the clock: a late timer is made up for, not forgotten.
    while (startMs + count * everyMs <= monotonicMs()) {
      count += 1;
      const running: Promise<void> = one().finally(() => open.delete(running));
      open.add(running);
    }
  }, Math.max(1, Math.min(everyMs, 5)));
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}

/** The request cannot have reached anybody: no connection was made. */
function neverSent(error: unknown): boolean {
  return error instanceof errors.ConnectTimeoutError || ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

function regionOf(body: string): string | null {
  const parsed = JSON.parse(body) as { region?: string };
  return parsed.region ?? null;
}
