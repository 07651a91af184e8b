// What the gate, the gateway's route table, the applications and the clients agree on. Written once, here.

/** Set by the gate's verdict on every request that passes, overwriting a client's own: the region that serves it. */
export const ROUTE_HEADER = 'x-continuum-route';
/** Set by a gateway that forwards a request to another region: it is never forwarded again. */
export const FORWARDED_HEADER = 'x-continuum-forwarded';
/** On an answer: the request was certainly not executed. The value is a stable code. */
export const REFUSED_HEADER = 'x-continuum-refused';

/** 200 here means: this region holds a valid lease `leaseName`. What DNS probes. */
export const wellKnownPath = (leaseName: string): string => `/.well-known/continuum/${leaseName}`;
