// The part of a specification that says how a region proves itself through DNS while the witness is out of reach. Without it a
// holder's validity just ends, and a contender needs nothing but the lease.

import { deriveFallback, fallbackProblem, votersProblem } from '@continuum/core';
import type { Fallback, Voter } from '@continuum/core';
import { z } from 'zod';
import { keyRegion } from './keys.ts';

/** Who runs the well-known public resolvers, by address. */
const VENDORS: Readonly<Partial<Record<string, string>>> = {
  '8.8.8.8': 'google',
  '8.8.4.4': 'google',
  '2001:4860:4860::8888': 'google',
  '2001:4860:4860::8844': 'google',
  '1.1.1.1': 'cloudflare',
  '1.0.0.1': 'cloudflare',
  '2606:4700:4700::1111': 'cloudflare',
  '2606:4700:4700::1001': 'cloudflare',
  '9.9.9.9': 'quad9',
  '149.112.112.112': 'quad9',
  '2620:fe::fe': 'quad9',
};

/** Who is asked when a specification names no resolvers: three vendors, each over DNS and, should that fail, over HTTPS. */
export const DEFAULT_RESOLVERS = [
  { name: '8.8.8.8', vendor: 'google', address: '8.8.8.8', port: 53, https: 'https://8.8.8.8/dns-query' },
  { name: '1.1.1.1', vendor: 'cloudflare', address: '1.1.1.1', port: 53, https: 'https://1.1.1.1/dns-query' },
  { name: '9.9.9.9', vendor: 'quad9', address: '9.9.9.9', port: 53, https: 'https://9.9.9.9/dns-query' },
] as const;

const VENDOR_OF_REGISTER = { witness: 'cloudflare', dns: null } as const;

export const attestation = z.strictObject({
  /** The unsigned child zone: each region's beacon serves `<region>.<zone>`. */
  zone: z
    .string()
    .max(120, 'use at most 120 characters: a nonce, a lease and a region come before it')
    .regex(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain name in lower case, without a dot at its end'),
  /** The regions' public keys by key id, `<region>/<label>`. */
  publicKeys: z.record(z.string().min(1).max(64), z.string().min(1).max(200)),
  /**
   * Who runs the register: an outcome must be possible without this vendor's resolvers, because then it is needed. Not given:
   * `cloudflare` for a witness, which runs there, and nobody of the resolvers for `register: dns`, which runs at a third place of
   * the site's own choice. Give it when that place belongs to one of the resolvers' vendors.
   */
  witnessVendor: z.string().min(1).max(64).optional(),
});

type Resolver = { readonly name: string; readonly address: string; readonly vendor?: string | undefined };
export type AttestationProblem = { readonly path: readonly PropertyKey[]; readonly value: string; readonly fix: string };

export function fallbackOf(resolvers: readonly Resolver[], ttlMs: number, holdMs: number | undefined): Fallback {
  const voters: Voter[] = resolvers.map((one) => ({ name: one.name, vendor: vendorOf(one) ?? one.name }));
  return deriveFallback(ttlMs, voters, holdMs);
}

/** What is wrong between the attestation and the rest of the specification. */
export function attestationProblems(
  given: z.infer<typeof attestation>,
  spec: { readonly resolvers: readonly Resolver[]; readonly regions: readonly string[]; readonly ttlMs: number; readonly holdMs: number | undefined; readonly register: 'witness' | 'dns' },
): AttestationProblem[] {
  const { resolvers, regions, ttlMs, holdMs } = spec;
  const problems: AttestationProblem[] = [];
  const nameless = resolvers.findIndex((one) => vendorOf(one) === null);
  if (nameless >= 0) {
    const path = ['spec', 'dns', 'resolvers', nameless, 'vendor'];
    problems.push({ path, value: '(nothing)', fix: 'say who runs this resolver: two of one vendor are one voice' });
  }
  const fallback = fallbackOf(resolvers, ttlMs, holdMs);
  const voters = nameless >= 0 ? null : votersProblem(fallback.voters, given.witnessVendor ?? VENDOR_OF_REGISTER[spec.register]);
  if (voters !== null) problems.push({ path: ['spec', 'dns', 'resolvers'], value: fallback.voters.map(({ vendor }) => vendor).join(', '), fix: voters });
  const timing = fallbackProblem(fallback, ttlMs);
  if (timing !== null) problems.push({ path: ['spec', 'timings', 'hold'], value: `${fallback.holdMs} ms`, fix: timing });
  for (const region of regions) {
    if (Object.keys(given.publicKeys).some((keyId) => keyId.startsWith(`${region}/`) && isKeyId(keyId))) continue;
    problems.push({ path: ['spec', 'dns', 'attestation', 'publicKeys'], value: '(not shown)', fix: `name a public key of region ${region}: ${region}/<label>` });
  }
  return problems;
}

export function vendorOf({ vendor, address }: Resolver): string | null {
  return vendor ?? VENDORS[address] ?? null;
}

function isKeyId(keyId: string): boolean {
  try {
    return keyRegion(keyId) !== '';
  } catch {
    return false;
  }
}
