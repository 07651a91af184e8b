// What the names are asked for, and what a resolver's answer says of the regions: whose addresses a client is led to.

import { isIP } from 'node:net';
import { createResolvers } from '@continuum/adapters/resolver/resolvers';
import { canonicalIpAddress, lookedUpName } from '@continuum/core';
import type { ResolverAnswer } from '@continuum/ports';
import { namesOf } from '@continuum/wire/names-spec';
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

/** One name by one type, asked through every resolver. */
export type DnsQuestion = {
  /** As it stands in the specification. */
  readonly name: string;
  readonly type: 'A' | 'AAAA';
  readonly ask: (signal: AbortSignal) => Promise<readonly ResolverAnswer[]>;
};

/** Every name by every type that these addresses are answered with: a client may ask for any of them. */
export function dnsQuestions(dns: ContinuumConfig['spec']['dns'], addresses: readonly string[], timeoutMs: number): DnsQuestion[] {
  return familiesOf(addresses).flatMap((family) => {
    const resolvers = createResolvers({ servers: dns.resolvers, timeoutMs, family });
    return namesOf(dns).names.map((name) => ({ name, type: TYPE_OF[family], ask: (signal) => resolvers.resolve(lookedUpName(name), signal) }));
  });
}

export function familiesOf(addresses: readonly string[]): readonly (4 | 6)[] {
  return ([4, 6] as const).filter((family) => addresses.some((address) => isIP(address) === family));
}

/** A burst of 64 names would make a public resolver fall silent; one after the other, a dead one would cost its time-out for each. */
export const QUESTIONS_AT_ONCE = 8;
const TYPE_OF = { 4: 'A', 6: 'AAAA' } as const;
