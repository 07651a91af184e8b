// What the gate, the gateway's route table, the applications and the clients agree on. Written once, here.

/** Set by the gate's verdict on every request that passes, overwriting a client's own: the region that serves it. */
export const ROUTE_HEADER = 'x-continuum-route';
/** The regions whose gateways forwarded a request to another one, in order: none of them does it again. */
export const FORWARDED_HEADER = 'x-continuum-forwarded';
/** On an answer: the request was certainly not executed. The value is a stable code. */
export const REFUSED_HEADER = 'x-continuum-refused';

/** 200 here means: this region holds a valid lease `leaseName`. What DNS probes. */
export const wellKnownPath = (leaseName: string): string => `/.well-known/continuum/${leaseName}`;

const REGIONS_READ_MAX = 8;

/** The regions in `x-continuum-forwarded`; an empty or absent header names none. */
export function readForwardedBy(value: string | undefined): readonly string[] {
  if (value === undefined) return [];
  const regions = value.split(',', REGIONS_READ_MAX).map((region) => region.trim());
  return regions.filter((region) => region !== '');
}
