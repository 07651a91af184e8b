// A client as most are: one recursor, its answer kept for the TTL and not a moment longer, no stale answers. What glibc
// with a local cache and browsers do: a name that cannot be resolved is an error to the caller, not an old address.

import type { ResolverServer } from './resolvers.ts';
import { createVoter } from './resolvers.ts';

export type CachingClientOptions = {
  readonly server: ResolverServer;
  readonly timeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
};

export type ClientAnswer =
  | {
      readonly ok: true;
      /** In the order of the answer: a client tries the next one when the first refuses. */
      readonly addresses: readonly string[];
      /** Left of the TTL. */
      readonly remainingMs: number;
      readonly cached: boolean;
    }
  | { readonly ok: false; readonly reason: string };

export type CachingClient = {
  /** Concurrent questions for one name are one question to the recursor. */
  readonly resolve: (name: string) => Promise<ClientAnswer>;
};

type Entry = { readonly addresses: readonly string[]; readonly untilMs: number };

const NAMES_MAX = 256;
const TIMEOUT_MS_DEFAULT = 1_000;

export function createCachingClient(options: CachingClientOptions): CachingClient {
  const { timeoutMs = TIMEOUT_MS_DEFAULT, now = () => performance.now() } = options;
  const ask = createVoter(options.server, timeoutMs);
  const cache = new Map<string, Entry>();
  const asking = new Map<string, Promise<ClientAnswer>>();

  async function fresh(name: string): Promise<ClientAnswer> {
    const askedAtMs = now();
    const reply = await ask(name, new AbortController().signal);
    if (reply.status === 'abstained') return { ok: false, reason: reply.reason };
    // Counted from before the question: a slow answer is not kept longer for it.
    const untilMs = askedAtMs + reply.ttlSeconds * 1_000;
    cache.delete(name);
    cache.set(name, { addresses: reply.addresses, untilMs });
    if (cache.size > NAMES_MAX) cache.delete(cache.keys().next().value ?? name);
    return { ok: true, addresses: reply.addresses, remainingMs: Math.max(0, untilMs - now()), cached: false };
  }

  return {
    resolve: (name) => {
      const entry = cache.get(name);
      const remainingMs = (entry?.untilMs ?? 0) - now();
      if (entry !== undefined && remainingMs > 0) {
        return Promise.resolve({ ok: true, addresses: entry.addresses, remainingMs, cached: true });
      }
      const pending = asking.get(name) ?? fresh(name).finally(() => asking.delete(name));
      asking.set(name, pending);
      return pending;
    },
  };
}
