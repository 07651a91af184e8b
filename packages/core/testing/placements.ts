// One of each placement, as the golden texts have it; the tests with real name servers load the same.

import type { PlacementInput } from '../src/dns/placement.ts';

export const r1 = { region: 'r1', addresses: ['192.0.2.1', '2001:db8:1::1'], weight: 3 };
export const r2 = { region: 'r2', addresses: ['198.51.100.1', '2001:db8:2::1'], weight: 1 };
const base = { zone: 'app.example', names: ['app.example', 'counter.app.example', '*.counter.app.example'], ttlSeconds: 5 };
export const probe = { port: 443, path: '/healthz', intervalSeconds: 2, failures: 3 };

export const PLACEMENTS: Readonly<Record<string, Omit<PlacementInput, 'version'>>> = {
  'single-region': { ...base, placement: 'single-region', regions: [r1] },
  'active-active-nearest': { ...base, placement: 'active-active', select: 'nearest', regions: [r1, r2], probe },
  'active-active-located': { ...base, placement: 'active-active', regions: [{ ...r1, locations: { continents: ['EU', 'AF'] } }, { ...r2, locations: { continents: ['NA'], countries: ['IS', 'IE'] } }], probe },
  'active-active-located-unprobed': { ...base, placement: 'active-active', regions: [r1, { ...r2, locations: { countries: ['IS'] } }] },
  'active-active-weighted': { ...base, placement: 'active-active', select: 'weighted', regions: [r1, r2], probe },
  'active-active-weighted-unprobed': { ...base, placement: 'active-active', select: 'weighted', regions: [r1, r2], probe: null },
  'active-active-nearest-unprobed': { ...base, placement: 'active-active', select: 'nearest', regions: [r1, r2] },
  'active-hotstandby': { ...base, placement: 'active-hotstandby', regions: [r1, r2], lease: { name: 'counter', port: 443, probe: { intervalSeconds: 1 } } },
};
