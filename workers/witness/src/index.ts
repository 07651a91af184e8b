// What the runtime loads: the Worker (it demands a default export) and the Durable Object's class.

import { app } from './app.ts';

export { LeaseObject } from './lease-object.ts';
export default { fetch: app.fetch };
