// The beacon's two sockets, on one address and one port.

import type { UDPServer } from 'dns2';
import type { Server } from 'node:net';
import { createDatagrams } from './beacon-datagrams.ts';
import type { AnsweringOptions } from './beacon-datagrams.ts';
import { createStreams } from './beacon-streams.ts';

export type BeaconServerOptions = AnsweringOptions & { readonly host: string; readonly port: number };

export type BeaconServer = { readonly port: number; readonly close: () => Promise<void> };

/** Rejects when the address cannot be bound. */
export async function serveBeacon(options: BeaconServerOptions): Promise<BeaconServer> {
  const udp = createDatagrams(options, options.host.includes(':') ? 'udp6' : 'udp4');
  const tcp = createStreams(options);
  const port = await bindBoth(udp, tcp.server, options);
  return {
    port,
    close: async () => {
      await Promise.all([new Promise<void>((done) => udp.close(() => done())), tcp.close()]);
    },
  };
}

async function bindBoth(udp: UDPServer, tcp: Server, { host, port, onDropped }: BeaconServerOptions): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    udp.once('error', reject);
    udp.bind(port, host, () => {
      udp.off('error', reject);
      resolve();
    });
  });
  const bound = udp.address().port;
  await new Promise<void>((resolve, reject) => {
    const cannot = (error: Error): void => {
      udp.close();
      reject(error);
    };
    tcp.once('error', cannot);
    tcp.listen(bound, host, () => {
      tcp.off('error', cannot);
      resolve();
    });
  });
  udp.on('error', () => onDropped('socket', 'udp'));
  tcp.on('error', () => onDropped('socket', 'tcp'));
  return bound;
}
