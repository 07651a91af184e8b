// What a resolver's answer says of the regions: whose gateway a client is led to.

import { isIPv6 } from 'node:net';
import { formatIpAddress, parseIpAddress } from '@continuum/core';
import type { ResolverAnswer } from '@continuum/ports';

/** The answer has the region's gateway and that of no other; further addresses of the same region are the publisher's to know. */
export function leadsTo(region: string, answer: ResolverAnswer, gateways: Readonly<Record<string, string>>): boolean {
  if (answer.status !== 'answered') return false;
  const addresses = answer.addresses.map(written);
  const named = Object.entries(gateways).flatMap(([name, address]) => (addresses.includes(written(address)) ? [name] : []));
  return named.length === 1 && named[0] === region;
}

/** One text for one address: IPv6 can be written in several ways. */
export function written(address: string): string {
  const parsed = parseIpAddress(address);
  return parsed === null ? address : formatIpAddress(parsed);
}

/** Whether a gateway at this address is asked for by A or by AAAA. */
export function familyOf(address: string): 4 | 6 {
  return isIPv6(address) ? 6 : 4;
}
