// Asks public resolvers what the world sees for a name. One c-ares resolver per server, one packet per question: a retry
// or a second server inside one voter would make its answer somebody else's. c-ares checks that the reply answers the
// question that was asked (identifier, port, name), which the DNS libraries on npm do not all do.

import { Resolver } from 'node:dns/promises';
import type { ResolverAnswer, ResolversPort } from '@continuum/ports';

export type ResolverServer = {
  /** What the answer is reported under, for example `8.8.8.8`. */
  readonly name: string;
  readonly address: string;
  readonly port?: number;
};

export type ResolversOptions = {
  readonly servers: readonly ResolverServer[];
  readonly timeoutMs: number;
  /** Which addresses are asked for: A records, or AAAA. */
  readonly family?: 4 | 6;
};

const ADDRESSES_MAX = 64;
const DNS_PORT = 53;

/** A resolver that does not answer in time, or answers with anything but addresses, abstains with its reason. Never throws. */
export function createResolvers({ servers, timeoutMs, family = 4 }: ResolversOptions): ResolversPort {
  const voters = servers.map((server) => ({ name: server.name, ask: createVoter(server, timeoutMs, family) }));
  return {
    resolve: (name, signal) => Promise.all(voters.map((voter) => voter.ask(name, signal))),
  };
}

/** One question to one server. */
export function createVoter(
  server: ResolverServer,
  timeoutMs: number,
  family: 4 | 6 = 4,
): (name: string, signal: AbortSignal) => Promise<ResolverAnswer> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([endpoint(server)]);
  const abstained = (reason: string): ResolverAnswer => ({ resolver: server.name, status: 'abstained', reason });
  return async (name, signal) => {
    if (signal.aborted) return abstained('aborted');
    const ended = new AbortController();
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const tooLate = new Promise<ResolverAnswer>((resolve) => {
      const late = () => resolve(abstained(signal.aborted ? 'aborted' : `no answer within ${timeoutMs} ms`));
      deadline.addEventListener('abort', late, { once: true, signal: ended.signal });
    });
    const records = family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true });
    const asked = records.then(
      (found) => answer(server.name, found) ?? abstained(`${found.length} addresses`),
      (error: NodeJS.ErrnoException) => abstained(error.code ?? error.message),
    );
    const first = await Promise.race([asked, tooLate]);
    ended.abort();
    return first;
  };
}

function answer(resolver: string, records: readonly { address: string; ttl: number }[]): ResolverAnswer | null {
  if (records.length === 0 || records.length > ADDRESSES_MAX) return null;
  return {
    resolver,
    status: 'answered',
    addresses: records.map((record) => record.address),
    ttlSeconds: Math.min(...records.map((record) => record.ttl)),
  };
}

const endpoint = ({ address, port = DNS_PORT }: ResolverServer): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
