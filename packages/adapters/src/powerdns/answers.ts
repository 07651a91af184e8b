// What an authoritative server answers for a record set, asked over DNS: the HTTP API of PowerDNS takes Lua that cannot run, and
// who writes through a manager has no other way to see what came of it.

import { Resolver } from 'node:dns/promises';
import type { Rrset } from '@continuum/core';
import { formatIpAddress, parseIpAddress } from '@continuum/core';

export type Authority = { readonly address: string; readonly port: number };

type AddressType = 'A' | 'AAAA';

/** A wildcard is asked for by a name below it that nobody uses. */
const WILDCARD_LABEL = '_continuum-canary';

/** Why `rrset` is not answered at `authority` as it should be, with some of `allowed` and nothing else; null when it is. */
export async function whyUnanswered(authority: Authority, rrset: Rrset, allowed: readonly string[], timeoutMs: number): Promise<string | null> {
  const resolver = resolverAt(authority, timeoutMs);
  const asked = rrset.name.replace(/^\*\./, `${WILDCARD_LABEL}.`).replace(/\.$/, '');
  const known = new Set(allowed.map(comparable));
  for (const type of addressTypes(rrset)) {
    try {
      const addresses = type === 'A' ? await resolver.resolve4(asked) : await resolver.resolve6(asked);
      if (addresses.length === 0) return `the authority answers ${type} with nothing`;
      const foreign = addresses.filter((one) => !known.has(comparable(one)));
      if (foreign.length > 0) return `the authority answers ${type} with ${foreign.join(', ')}, which is of no region`;
    } catch (error) {
      return `the authority answers ${type} with ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`;
    }
  }
  return null;
}

/** The texts at a name, each in quotes as a zone file has it; none when there is none, null when nobody answers. */
export async function textsAt(authority: Authority, name: string, timeoutMs: number): Promise<readonly string[] | null> {
  try {
    const texts = await resolverAt(authority, timeoutMs).resolveTxt(name.replace(/\.$/, ''));
    return texts.map((parts) => `"${parts.join('')}"`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOTFOUND' || code === 'ENODATA' ? [] : null;
  }
}

function resolverAt({ address, port }: Authority, timeoutMs: number): Resolver {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`]);
  return resolver;
}

function addressTypes({ type, records }: Rrset): AddressType[] {
  if (type === 'A' || type === 'AAAA') return [type];
  if (type !== 'LUA') return [];
  return (['A', 'AAAA'] as const).filter((one) => records.some((content) => content.startsWith(`${one} `)));
}

/** IPv6 has many texts for one address. */
function comparable(text: string): string {
  const address = parseIpAddress(text);
  return address === null ? text : formatIpAddress(address);
}
