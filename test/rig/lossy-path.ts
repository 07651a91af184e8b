// Stands between the controllers and the witness and loses what it is told to lose: all replies to one region's commands,
// while commands still arrive, and reads and pushed events still pass. The worst kind of loss: it looks almost healthy.

import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export type LossyPath = {
  readonly url: string;
  /** The region whose command replies are lost now; null: none. */
  readonly lose: (region: string | null) => void;
  /** Replies that were lost so far, at least. */
  readonly lost: () => number;
  readonly close: () => Promise<void>;
};

/** Forwards to the witness at `target`, which may be down now and then. */
export async function startLossyPath(target: string): Promise<LossyPath> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let losing: string | null = null;
  let lost = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let silenced = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      // An error is followed by a close, and a close of one end ends the other.
      socket.on('error', () => socket.destroy());
    }
    client.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1');
      if (text.startsWith('POST ') && losing !== null && text.includes(`keyid="${losing}/`)) silenced = true;
      upstream.write(bytes);
    });
    upstream.on('data', (bytes: Buffer) => {
      if (silenced) lost += 1;
      else client.write(bytes);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose: (region) => {
      losing = region;
    },
    lost: () => lost,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
