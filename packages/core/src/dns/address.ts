// IP addresses as numbers. A record is written from the parsed value, never from the text that came in, so no text that
// a user typed can reach a name server.

export type IpAddress = { readonly family: 4 | 6; readonly groups: readonly number[] };

const OCTET = /^(?:0|[1-9]\d{0,2})$/;
const HEX_GROUP = /^[0-9a-f]{1,4}$/i;
const ADDRESS_LENGTH_MAX = 45;

/** Parses a plain IPv4 or IPv6 address (no zone index, no port, no leading zeros in octets); null when it is not one. */
export function parseIpAddress(text: string): IpAddress | null {
  if (text.length > ADDRESS_LENGTH_MAX) return null;
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** The one text form of an address: dotted decimal, or all eight groups in lower-case hexadecimal. */
export function formatIpAddress(address: IpAddress): string {
  return address.family === 4
    ? address.groups.join('.')
    : address.groups.map((group) => group.toString(16)).join(':');
}

/** The text with which two ways to write one address are the same; what is no address is left as it is. */
export function canonicalIpAddress(text: string): string {
  const address = parseIpAddress(text);
  return address === null ? text : formatIpAddress(address);
}

function parseIpv4(text: string): IpAddress | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => OCTET.test(part))) return null;
  const groups = parts.map(Number);
  return groups.every((octet) => octet <= 255) ? { family: 4, groups } : null;
}

function parseIpv6(text: string): IpAddress | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const [head, tail] = halves.map(parseGroups);
  if (head === null || head === undefined || tail === null) return null;
  if (tail === undefined) return head.length === 8 ? { family: 6, groups: head } : null;
  const missing = 8 - head.length - tail.length;
  const zeros = Array.from({ length: Math.max(0, missing) }, () => 0);
  return missing >= 1 ? { family: 6, groups: [...head, ...zeros, ...tail] } : null;
}

function parseGroups(text: string): number[] | null {
  if (text === '') return [];
  const parts = text.split(':');
  return parts.every((part) => HEX_GROUP.test(part)) ? parts.map((part) => Number.parseInt(part, 16)) : null;
}
