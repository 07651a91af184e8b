// Two gateways as a name server sees them: they answer the probe of a lease, 200 in the region that holds it and 503 in the
// other one. For tests of DNS that need no lease of their own.

import { createServer } from 'node:http';
import type { Server } from 'node:http';

export type LeaseGates = {
  readonly port: number;
  /** Who answers 200 from now on; null: nobody. */
  readonly open: (address: string | null) => void;
  /** How many questions both have had so far. */
  readonly asked: () => number;
  readonly close: () => Promise<void>;
};

export async function startLeaseGates(addresses: readonly string[], port: number): Promise<LeaseGates> {
  let holder: string | null = null;
  let asked = 0;
  const servers = await Promise.all(
    addresses.map(
      (address) =>
        new Promise<Server>((resolve, reject) => {
          const server = createServer((_request, response) => {
            asked += 1;
            response.writeHead(holder === address ? 200 : 503).end(holder === address ? 'open\n' : 'closed\n');
          });
          server.once('error', reject).listen(port, address, () => resolve(server));
        }),
    ),
  );
  return {
    port,
    open: (address) => {
      holder = address;
    },
    asked: () => asked,
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
