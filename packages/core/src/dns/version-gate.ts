// What each PowerDNS understands. A server ignores an option that it does not know and answers as if it had not been asked
// for, so a configuration that is safe on one version is unsafe on an older one without a word. Everything wished for is
// therefore looked up here first, and either written, lowered with a reason that the operator sees, or refused.
// From the tagged sources of PowerDNS 4.2 to 5.1.4, see docs of each tag and `lua-record.cc`; seen on running servers of 4.7, 4.9
// and 5.1 (test/e2e/pdns-versions.ts).

import type { LuaOption } from './lua.ts';

export const PDNS_VERSIONS = ['4.7', '4.8', '4.9', '5.0', '5.1'] as const;
export type PdnsVersion = (typeof PDNS_VERSIONS)[number];

/** How a name shall be probed, beyond what every version does. */
export type ProbeWish = {
  /** Seconds between two probes of one address. */
  readonly intervalSeconds?: number;
  /** So many failures in a row before an address counts as down; before it was ever up, too. */
  readonly failures?: number;
  /** Answer SERVFAIL until every address was probed once: no version does, so it is refused. */
  readonly failUntilProbed?: boolean;
  /** The status that counts as up, instead of 200. */
  readonly httpCode?: number;
  /** Seconds. */
  readonly timeoutSeconds?: number;
  /** A text that the answer must hold. */
  readonly match?: string;
};

export type Note = {
  /** Stable: `lowered`, `static` or `needs`. */
  readonly kind: 'lowered' | 'static' | 'needs';
  readonly what: string;
  readonly reason: string;
};

export type GatedOption = {
  readonly wish: keyof ProbeWish;
  readonly option: LuaOption;
  readonly since: PdnsVersion;
  /** What a server before `since` does instead; null when that would change what an answer means, so that it is refused. */
  readonly otherwise: string | null;
};

/** All that is not understood since 4.2. */
export const GATED: readonly GatedOption[] = [
  { wish: 'intervalSeconds', option: 'interval', since: '5.0', otherwise: 'the server probes everything at its own lua-health-checks-interval' },
  { wish: 'failures', option: 'minimumFailures', since: '5.0', otherwise: 'the first failed probe takes an address out' },
  { wish: 'httpCode', option: 'httpcode', since: '5.0', otherwise: null },
];

/** `4.7.3` is `4.7`; null for a version that was not looked at, which is not guessed to be like another. */
export function pdnsVersion(text: string): PdnsVersion | null {
  const [, release] = /^(\d+\.\d+)(?:\.[0-9A-Za-z.~+-]+|-[0-9A-Za-z.~+-]+)?$/.exec(text.trim()) ?? [];
  return PDNS_VERSIONS.find((version) => version === release) ?? null;
}

export function knows(version: PdnsVersion, since: PdnsVersion): boolean {
  return PDNS_VERSIONS.indexOf(version) >= PDNS_VERSIONS.indexOf(since);
}

/** From 5.1 on the API, transfers and updates may not change a LUA record: it is loaded once, and plain records move. */
export function luaIsStatic(version: PdnsVersion): boolean {
  return knows(version, '5.1');
}
