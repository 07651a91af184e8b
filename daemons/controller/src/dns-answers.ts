// What a resolver's answer says of the regions: whose addresses a client is led to.

import { isIPv6 } from 'node:net';
import { canonicalIpAddress } from '@continuum/core';
import type { ResolverAnswer } from '@continuum/ports';
import { addressesOf } from '@continuum/wire/spec';
import type { ContinuumConfig } from '@continuum/wire/spec';

/** Of each region, by its name: what DNS answers while it is active. */
export type RegionAddresses = Readonly<Record<string, readonly string[]>>;

export function regionAddresses({ spec }: Pick<ContinuumConfig, 'spec'>): RegionAddresses {
  return Object.fromEntries(spec.regions.map((one) => [one.name, addressesOf(one)]));
}

/** Addresses of this region were answered, and nothing else. */
export function leadsTo(region: string, answer: ResolverAnswer, addresses: RegionAddresses): boolean {
  return answer.status === 'answered' && isOnly(region, regionsOf(answer.addresses, addresses));
}

/** Whose addresses these are, in their order; null for an address of no region. */
export function regionsOf(answered: readonly string[], addresses: RegionAddresses): readonly (string | null)[] {
  const regionOf = new Map(Object.entries(addresses).flatMap(([region, own]) => own.map((address) => [canonicalIpAddress(address), region])));
  return answered.map((address) => regionOf.get(canonicalIpAddress(address)) ?? null);
}

export function isOnly(region: string, regions: readonly (string | null)[]): boolean {
  return regions.length > 0 && regions.every((one) => one === region);
}

/** Whether a name with these addresses is asked for by A or, when none of them is IPv4, by AAAA. */
export function familyOf(addresses: readonly string[]): 4 | 6 {
  return addresses.every((address) => isIPv6(address)) ? 6 : 4;
}
