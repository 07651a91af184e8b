// Two gateways as a name server sees them: they answer the probe of a lease, 200 in the region that holds it and 503 in the
// other one. For tests and benches of DNS that need no lease of their own.

import { createServer } from 'node:http';
import type { Server } from 'node:http';

export type LeaseGates = {
  readonly port: number;
  /** Who answers 200 from now on; null: nobody. */
  readonly open: (address: string | null) => void;
  readonly probes: () => number;
  readonly close: () => Promise<void>;
};

/**
 * With `holdMs` a probe is answered at the first change of the lease, at the latest after so long: the name server hears of a
 * change when it happens, and not at its next probe.
 */
export async function startLeaseGates(addresses: readonly string[], port: number, holdMs = 0): Promise<LeaseGates> {
  const held = new Set<() => void>();
  let holder: string | null = null;
  let probes = 0;
  const servers = await Promise.all(
    addresses.map(
      (address) =>
        new Promise<Server>((resolve, reject) => {
          const server = createServer((_request, response) => {
            probes++;
            const answer = (): void => {
              held.delete(answer);
              clearTimeout(timer);
              response.writeHead(holder === address ? 200 : 503).end(holder === address ? 'open\n' : 'closed\n');
            };
            const timer = setTimeout(answer, holdMs);
            held.add(answer);
            response.once('close', () => {
              held.delete(answer);
              clearTimeout(timer);
            });
          });
          server.once('error', reject).listen(port, address, () => resolve(server));
        }),
    ),
  );
  return {
    port,
    open: (address) => {
      if (holder === address) return;
      holder = address;
      for (const answer of [...held]) answer();
    },
    probes: () => probes,
    close: async () => {
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
    },
  };
}
