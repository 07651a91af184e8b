// Publishes LUA records the careful way, because the server's API takes anything that looks like one and answers SERVFAIL
// afterwards: each new expression is first published under a name that nobody uses and asked for there, and only an answer
// with addresses lets it reach the real name. Then the other servers forget what they had cached, and the real names are
// asked for at the authority.
//
// Drift (somebody else changed a record) is found by comparing, told, and corrected.

import { Resolver } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rrset } from '@continuum/core';
import { luaIsStatic, pdnsVersion } from '@continuum/core';
import type { Failure, Publication, Result } from '@continuum/ports';
import { failure } from '@continuum/ports';
import type { PowerdnsPublisher } from './publisher.ts';

export type GuardedOptions = {
  readonly publisher: PowerdnsPublisher;
  /** Where the same server answers DNS. */
  readonly authority: { readonly address: string; readonly port: number };
  /** Servers that read the same database: they are told to forget. */
  readonly others?: readonly PowerdnsPublisher[];
  readonly queryTimeoutMs?: number;
};

export type DriftEvent =
  | { readonly event: 'dns-drift'; readonly zone: string; readonly names: readonly string[] }
  | { readonly event: 'dns-drift-corrected'; readonly zone: string; readonly serial: number }
  | { readonly event: 'dns-drift-uncorrected'; readonly zone: string; readonly failure: Failure };

export type GuardedPublisher = {
  /**
   * As `DnsPublisherPort.publish`, with more failures: `CTM_DNS_CANARY_FAILED` (nothing reached the real names),
   * `CTM_DNS_LUA_STATIC` (5.1 and newer: load the zone instead), `CTM_DNS_VERSION_UNKNOWN`, `CTM_DNS_NOT_ANSWERED` (written,
   * and the authority does not answer with addresses).
   */
  readonly publish: (zone: string, rrsets: readonly Rrset[], signal: AbortSignal) => Promise<Result<Publication>>;
  /** Compares every `everyMs`, until the signal aborts. Never throws. */
  readonly keep: (zone: string, rrsets: readonly Rrset[], everyMs: number, onEvent: (event: DriftEvent) => void, signal: AbortSignal) => Promise<void>;
};

const CANARY_LABEL = '_continuum-canary';
const QUERY_TIMEOUT_MS = 2_000;
const KEEP_TIMEOUT_MS = 10_000;

type AddressType = 'A' | 'AAAA';

export function createGuardedPublisher(options: GuardedOptions): GuardedPublisher {
  const { publisher } = options;

  async function publish(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>> {
    const lacking = await publisher.lacking(zone, rrsets, signal);
    if (!lacking.ok) return lacking;
    const lua = lacking.value.filter(({ type }) => type === 'LUA');
    if (lua.length > 0) {
      const tried = (await mayWriteLua(publisher, lua, signal)) ?? (await tryCanary(options, zone, lua, signal));
      if (tried !== null) return tried;
    }
    const published = await publisher.publish(zone, rrsets, signal);
    if (!published.ok || !published.value.written) return published;
    for (const other of options.others ?? []) {
      const flushed = await other.flush(zone, signal);
      if (!flushed.ok) return flushed;
    }
    for (const rrset of lacking.value) {
      const silent = await unanswered(options, rrset.name, rrset);
      if (silent !== null) return failure('CTM_DNS_NOT_ANSWERED', `${rrset.name} was written, and ${silent}`);
    }
    return published;
  }

  async function keep(zone: string, rrsets: readonly Rrset[], everyMs: number, onEvent: (event: DriftEvent) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(KEEP_TIMEOUT_MS)]);
      const lacking = await publisher.lacking(zone, rrsets, bounded);
      if (lacking.ok && lacking.value.length > 0) {
        onEvent({ event: 'dns-drift', zone, names: lacking.value.map(({ name, type }) => `${name} ${type}`) });
        const corrected = await publish(zone, rrsets, bounded);
        onEvent(corrected.ok ? { event: 'dns-drift-corrected', zone, serial: corrected.value.serial } : { event: 'dns-drift-uncorrected', zone, failure: corrected.failure });
      }
      await delay(everyMs, undefined, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }

  return { publish, keep };
}

/** Null when it may. */
async function mayWriteLua(publisher: PowerdnsPublisher, lua: readonly Rrset[], signal: AbortSignal): Promise<{ ok: false; failure: Failure } | null> {
  const running = await publisher.version(signal);
  if (!running.ok) return running;
  const version = pdnsVersion(running.value);
  if (version === null) return failure('CTM_DNS_VERSION_UNKNOWN', `PowerDNS ${running.value} was not looked at: it might ignore what it is told without a word`);
  if (!luaIsStatic(version)) return null;
  const names = lua.map(({ name }) => name).join(', ');
  return failure('CTM_DNS_LUA_STATIC', `PowerDNS ${running.value} refuses changes of LUA records (${names}): load the zone with pdnsutil, and leave enable-lua-record-updates off`);
}

/** Null when every expression answered with addresses. The canary is removed whatever came of it. */
async function tryCanary(options: GuardedOptions, zone: string, lua: readonly Rrset[], signal: AbortSignal): Promise<{ ok: false; failure: Failure } | null> {
  const name = `${CANARY_LABEL}.${zone.replace(/\.$/, '')}.`;
  // All names of an application have the same expressions: each is tried once.
  const distinct = new Map(lua.map((rrset) => [JSON.stringify(rrset.records), rrset]));
  let problem: { ok: false; failure: Failure } | null = null;
  for (const rrset of distinct.values()) {
    const written = await options.publisher.publish(zone, [{ ...rrset, name, ttlSeconds: 0 }], signal);
    const silent = written.ok ? await unanswered(options, name, rrset) : null;
    if (!written.ok) problem ??= written;
    else if (silent !== null) problem ??= failure('CTM_DNS_CANARY_FAILED', `the records of ${rrset.name} were tried at ${name}: ${silent}. The real names were not touched`);
  }
  const removed = await options.publisher.remove(zone, name, 'LUA', signal);
  return problem ?? (removed.ok ? null : removed);
}

/** Why a name does not answer with addresses as its record set says; null when it does, or has none. */
async function unanswered({ authority, queryTimeoutMs = QUERY_TIMEOUT_MS }: GuardedOptions, name: string, rrset: Rrset): Promise<string | null> {
  const resolver = new Resolver({ timeout: queryTimeoutMs, tries: 1 });
  resolver.setServers([authority.address.includes(':') ? `[${authority.address}]:${authority.port}` : `${authority.address}:${authority.port}`]);
  // A wildcard is asked for by a name below it.
  const asked = name.replace(/^\*\./, `${CANARY_LABEL}.`).replace(/\.$/, '');
  for (const type of addressTypes(rrset)) {
    try {
      const addresses = type === 'A' ? await resolver.resolve4(asked) : await resolver.resolve6(asked);
      if (addresses.length === 0) return `the authority answers ${type} with nothing`;
    } catch (error) {
      return `the authority answers ${type} with ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`;
    }
  }
  return null;
}

function addressTypes({ type, records }: Rrset): AddressType[] {
  if (type === 'A' || type === 'AAAA') return [type];
  if (type !== 'LUA') return [];
  return (['A', 'AAAA'] as const).filter((one) => records.some((content) => content.startsWith(`${one} `)));
}
