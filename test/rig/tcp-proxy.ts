// A way between two processes that a test can cut, in one direction or both, or slow down. Cutting drops nothing and closes
// nothing: bytes stop flowing, which is what a broken network looks like to both ends.

import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export type Direction = 'to-target' | 'from-target';

export type TcpProxy = {
  readonly host: string;
  readonly port: number;
  readonly cut: (...directions: readonly Direction[]) => void;
  readonly heal: () => void;
  /** At most so many bytes a second in each direction; null: as fast as it goes. */
  readonly limit: (bytesPerSecond: number | null) => void;
  readonly close: () => Promise<void>;
};

const SLICE_MS = 20;
/** A slow link keeps a little on its way; more waits at the sender. */
const ON_THE_WAY_BYTES_MAX = 64 * 1024;

export async function startTcpProxy(target: { readonly host: string; readonly port: number }, host = '127.0.0.1'): Promise<TcpProxy> {
  const cuts = new Set<Direction>();
  let bytesPerSecond: number | null = null;
  const pipes = new Set<() => void>();
  const sockets = new Set<Socket>();

  const pipe = (from: Socket, to: Socket, direction: Direction): void => {
    const waiting: Buffer[] = [];
    const pump = (): void => {
      let budget = cuts.has(direction) ? 0 : bytesPerSecond === null ? Number.POSITIVE_INFINITY : (bytesPerSecond * SLICE_MS) / 1_000;
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const now = Math.min(next.length, Math.floor(budget));
        if (now > 0) to.write(next.subarray(0, now));
        budget -= now;
        if (now < next.length) {
          waiting.unshift(next.subarray(now));
          break;
        }
      }
      if (waiting.reduce((sum, one) => sum + one.length, 0) < ON_THE_WAY_BYTES_MAX) from.resume();
    };
    from.on('data', (chunk: Buffer) => {
      waiting.push(chunk);
      from.pause();
      if (bytesPerSecond === null) pump();
    });
    pipes.add(pump);
    from.once('close', () => {
      pipes.delete(pump);
      to.destroy();
    });
    from.on('error', () => to.destroy());
  };

  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.setNoDelay(true);
    }
    pipe(client, upstream, 'to-target');
    pipe(upstream, client, 'from-target');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const timer = setInterval(() => {
    for (const pump of pipes) pump();
  }, SLICE_MS);
  return {
    host,
    port: (server.address() as AddressInfo).port,
    cut: (...directions) => {
      for (const direction of directions) cuts.add(direction);
    },
    heal: () => cuts.clear(),
    limit: (rate) => {
      bytesPerSecond = rate;
    },
    close: async () => {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
