// The authoritative name server of one region, as far as Continuum writes to it: once, at set-up. At failover nothing is
// written; the records themselves follow the lease.

import type { Rrset } from '@continuum/core';
import type { Result } from './result.ts';

export type Publication = {
  /** False when the zone held exactly this already. */
  readonly written: boolean;
  /** Serial of the zone afterwards. */
  readonly serial: number;
};

/**
 * Failure codes: `CTM_DNS_UNREACHABLE`, `CTM_DNS_TIMEOUT` (the signal ended it: unknown whether written), `CTM_DNS_UNAUTHORIZED`,
 * `CTM_DNS_ZONE_MISSING`, `CTM_DNS_REFUSED` (the server will not take these records), `CTM_DNS_SERVER_ERROR` (after retries),
 * `CTM_DNS_REPLY_INVALID`, `CTM_DNS_READ_BACK_DIFFERS`.
 */
export interface DnsPublisherPort {
  /** Makes the zone exist with at least these record sets. */
  ensureZone(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>>;
  /**
   * Replaces these record sets, all or none, and reads them back. Other record sets stay. Writes nothing when all are in
   * place already. May be repeated.
   */
  publish(zone: string, rrsets: readonly Rrset[], signal: AbortSignal): Promise<Result<Publication>>;
  /** Serial of the zone as the server has it: it counts every write by anybody, so an unchanged one proves that there was none. */
  serial(zone: string, signal: AbortSignal): Promise<Result<number>>;
  /** Writes that this publisher has sent, tries included. */
  writes(): number;
}
