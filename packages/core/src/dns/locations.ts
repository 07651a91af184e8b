// Which part of the world a region is the first choice for. `pickclosest` cannot be told where an address is: it looks addresses
// up in the name server's own GeoIP database, which does not know a private site or an anycast address and may be wrong about others.
// `country` and `continent` look up only the client, and are as old as LUA records (4.2), so no version has to be gated. A client
// whose place is not known, or no region's, is answered with the nearest of all.

import type { LuaExpression } from './lua.ts';
import { problem } from './records.ts';
import type { DnsProblem } from './records.ts';

export type Locations = {
  readonly continents?: readonly string[];
  /** ISO 3166-1 codes. They go before continents. */
  readonly countries?: readonly string[];
};

type Located = { readonly region: string; readonly locations?: Locations };

const CONTINENTS = ['AF', 'AN', 'AS', 'EU', 'NA', 'OC', 'SA'];
const COUNTRY = /^[A-Z]{2}$/;
const KINDS = [
  { kind: 'countries', name: 'country', takes: (code: string) => COUNTRY.test(code), fix: 'a country by its two capital letters (ISO 3166-1), such as "DE"' },
  { kind: 'continents', name: 'continent', takes: (code: string) => CONTINENTS.includes(code), fix: `one of ${CONTINENTS.join(', ')}` },
] as const;

/** `otherwise` for every client that no region has a location for. */
export function byLocation(regions: readonly Located[], answerOf: (region: string) => LuaExpression, otherwise: LuaExpression): LuaExpression {
  const cases = KINDS.flatMap(({ kind, name }) =>
    regions.flatMap(({ region, locations }) => {
      const codes = locations?.[kind] ?? [];
      const items = codes.map((code): LuaExpression => ({ kind: 'text', value: code }));
      return codes.length === 0 ? [] : [[{ kind: 'call', name, parameters: [{ kind: 'list', items }] }, answerOf(region)] as const];
    }),
  );
  return cases.length === 0 ? otherwise : { kind: 'choice', cases, otherwise };
}

export function hasLocations(regions: readonly Located[]): boolean {
  return regions.some(({ locations }) => locations !== undefined);
}

/** `used`: whether the placement looks at them. */
export function locationProblems(regions: readonly Located[], used: boolean): DnsProblem[] {
  const seen = new Map<string, string>();
  return regions.flatMap(({ locations }, index) => {
    if (locations === undefined) return [];
    const field = `regions[${index}].locations`;
    const codes = [...(locations.countries ?? []), ...(locations.continents ?? [])];
    if (!used || codes.length === 0) return [problem(field, codes.join(' '), used ? 'at least one country or continent, or no locations' : 'no locations: only active-active with the nearest chosen has a use for them')];
    return KINDS.flatMap(({ kind, takes, fix }) =>
      (locations[kind] ?? []).flatMap((code, at) => {
        const here = `${field}.${kind}[${at}]`;
        const first = seen.get(`${kind} ${code}`);
        seen.set(`${kind} ${code}`, here);
        if (!takes(code)) return [problem(here, code, fix)];
        return first === undefined ? [] : [problem(here, code, `each of them once: it is ${first} already`)];
      }),
    );
  });
}
