// Publishes LUA records the careful way, because the server's API takes anything that looks like one and answers SERVFAIL
// afterwards: each new expression is first published under a name that nobody uses and asked for there, and only an answer
// with addresses lets it reach the real name. Then the other servers forget what they had cached, and the real names are
// asked for at the authority.

import type { RecordKey, Rrset } from '@continuum/core';
import { luaIsStatic, pdnsVersion } from '@continuum/core';
import type { Failure, Publication, Result } from '@continuum/ports';
import { failure } from '@continuum/ports';
import { whyUnanswered } from './answers.ts';
import type { Authority } from './answers.ts';
import type { PowerdnsPublisher } from './publisher.ts';

export type GuardedOptions = {
  readonly publisher: PowerdnsPublisher;
  /** Where the same server answers DNS. */
  readonly authority: Authority;
  /** Servers that read the same database: they are told to forget. */
  readonly others?: readonly PowerdnsPublisher[];
  /** Who publishes: two who try their records on one server at a time must not take each other's away. */
  readonly canary?: string;
  readonly queryTimeoutMs?: number;
};

export type Wanted = {
  readonly rrsets: readonly Rrset[];
  /** Names that were published before and are to answer no more. */
  readonly retired: readonly string[];
  /** Every address that may be answered. */
  readonly addresses: readonly string[];
};

export type GuardedPublisher = {
  /**
   * As `DnsPublisherPort.publish`, with more failures: `CTM_DNS_CANARY_FAILED` (nothing reached the real names),
   * `CTM_DNS_LUA_STATIC` (5.1 and newer: load the zone instead), `CTM_DNS_VERSION_UNKNOWN`, `CTM_DNS_NOT_ANSWERED` (written,
   * and the authority does not answer with addresses of the regions), `CTM_DNS_NOT_FLUSHED` (written, and another server may
   * still answer from its cache).
   */
  readonly publish: (zone: string, wanted: Wanted, signal: AbortSignal) => Promise<Result<Publication>>;
  /** Null when the authority answers every record set with addresses that may be answered. */
  readonly unanswered: (wanted: Wanted) => Promise<string | null>;
};

const CANARY_LABEL = '_continuum-canary';
const QUERY_TIMEOUT_MS = 2_000;
const REMOVE_MS = 5_000;

type Refusal = { readonly ok: false; readonly failure: Failure };

export function createGuardedPublisher(options: GuardedOptions): GuardedPublisher {
  const { publisher, authority, queryTimeoutMs = QUERY_TIMEOUT_MS } = options;
  const why = (rrset: Rrset, addresses: readonly string[]): Promise<string | null> => whyUnanswered(authority, rrset, addresses, queryTimeoutMs);
  /** By zone, those who have not been told of the last write: told at its next call, whatever that writes. */
  const stale = new Map<string, Set<PowerdnsPublisher>>();

  async function publish(zone: string, { rrsets, retired, addresses }: Wanted, signal: AbortSignal): Promise<Result<Publication>> {
    const compared = await publisher.compare(zone, rrsets, signal, retired);
    if (!compared.ok) return compared;
    const { lacking, stray } = compared.value;
    const isLua = ({ type }: RecordKey): boolean => type === 'LUA';
    const lua = lacking.filter(isLua);
    const changed = [...lua, ...stray.filter(isLua)];
    const refused = changed.length === 0 ? null : await mayWriteLua(publisher, changed, signal);
    if (refused !== null) return refused;
    if (lua.length > 0) {
      const name = `${CANARY_LABEL}${options.canary === undefined ? '' : `-${options.canary}`}.${zone.replace(/\.$/, '')}.`;
      const tried = await tryCanary(publisher, zone, name, lua, (one) => why(one, addresses), signal);
      if (tried !== null) return tried;
    }
    const published = await publisher.publish(zone, rrsets, signal, retired);
    if (!published.ok) return published;
    const untold = published.value.written ? new Set(options.others) : (stale.get(zone) ?? new Set());
    stale.set(zone, untold);
    const deaf: string[] = [];
    for (const other of untold) {
      const flushed = await other.flush(zone, signal);
      if (flushed.ok) untold.delete(other);
      else deaf.push(`${flushed.failure.code}: ${flushed.failure.message}`);
    }
    if (deaf.length > 0) return failure('CTM_DNS_NOT_FLUSHED', `zone ${zone} was written, and ${deaf.length} of its other servers may answer from their caches until those end: ${deaf.join('; ')}`);
    for (const rrset of lacking) {
      const silent = await why(rrset, addresses);
      if (silent !== null) return failure('CTM_DNS_NOT_ANSWERED', `${rrset.name} was written, and ${silent}`);
    }
    return published;
  }

  return {
    publish,
    unanswered: async ({ rrsets, addresses }) => {
      for (const rrset of rrsets) {
        const silent = await why(rrset, addresses);
        if (silent !== null) return `${rrset.name}: ${silent}`;
      }
      return null;
    },
  };
}

/** Null when it may. */
async function mayWriteLua(publisher: PowerdnsPublisher, lua: readonly RecordKey[], signal: AbortSignal): Promise<Refusal | null> {
  const running = await publisher.version(signal);
  if (!running.ok) return running;
  const version = pdnsVersion(running.value);
  if (version === null) return failure('CTM_DNS_VERSION_UNKNOWN', `PowerDNS ${running.value} was not looked at: it might ignore what it is told without a word`);
  if (!luaIsStatic(version)) return null;
  const names = lua.map(({ name }) => name).join(', ');
  return failure('CTM_DNS_LUA_STATIC', `PowerDNS ${running.value} refuses changes of LUA records (${names}): load or remove them with pdnsutil, and leave enable-lua-record-updates off`);
}

/** Null when every expression answered with addresses. The canary is removed whatever came of it. */
async function tryCanary(
  publisher: PowerdnsPublisher,
  zone: string,
  name: string,
  lua: readonly Rrset[],
  why: (rrset: Rrset) => Promise<string | null>,
  signal: AbortSignal,
): Promise<Refusal | null> {
  // All names of an application have the same expressions: each is tried once.
  const distinct = new Map(lua.map((rrset) => [JSON.stringify(rrset.records), rrset]));
  let problem: Refusal | null = null;
  for (const rrset of distinct.values()) {
    const canary = { ...rrset, name, ttlSeconds: 0 };
    const written = await publisher.publish(zone, [canary], signal);
    const silent = written.ok ? await why(canary) : null;
    if (!written.ok) problem ??= written;
    else if (silent !== null) problem ??= failure('CTM_DNS_CANARY_FAILED', `the records of ${rrset.name} were tried at ${name}: ${silent}. The real names were not touched`);
  }
  // Whoever had enough of it must not leave it there: it would stay until the next new expression.
  const removed = await publisher.remove(zone, name, 'LUA', AbortSignal.timeout(REMOVE_MS));
  return problem ?? (removed.ok ? null : removed);
}
