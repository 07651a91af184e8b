// Listens on a unix socket that never exists with wider rights than it should, takes the place of one that a dead process left,
// and never that of a living one.

import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Server } from 'node:net';
import type { Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';

/** Linux limits a unix socket's path to 107 bytes and a terminator. */
const SOCKET_PATH_BYTES_MAX = 107;

export type SocketPlace = {
  readonly socketPath: string;
  /** In messages, for example `gate socket`. */
  readonly what: string;
  /** Failures are `<code>_PATH` (too long, or something else is there), `<code>_IN_USE` (a living process serves it), `<code>_LISTEN`. */
  readonly code: string;
  /** Members of this group may connect too; otherwise only this user. */
  readonly socketGid?: number | undefined;
};

export async function listenOnSocket(server: Server, place: SocketPlace): Promise<Result<null>> {
  const free = await clearPath(place);
  return free.ok ? listen(server, place) : free;
}

/** Makes room for the socket: a dead process's file goes, a living process keeps it. */
async function clearPath({ socketPath, what, code }: SocketPlace): Promise<Result<null>> {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    return failure(`${code}_PATH`, `${what} ${socketPath} is ${bytes} bytes long; choose a path of at most ${SOCKET_PATH_BYTES_MAX}`);
  }
  const stat = lstatSync(socketPath, { throwIfNoEntry: false });
  if (stat === undefined) return success(null);
  if (!stat.isSocket()) return failure(`${code}_PATH`, `${socketPath} is not a socket; move it away or choose another path`);
  if (await isServed(socketPath)) {
    return failure(`${code}_IN_USE`, `another process serves the ${what} ${socketPath}; stop that controller or choose another path`);
  }
  unlinkSync(socketPath);
  return success(null);
}

/** Only a refused connection proves that nobody listens. */
function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath);
    const settle = (served: boolean): void => {
      socket.destroy();
      resolve(served);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => settle(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}

function listen(server: Server, { socketPath, what, code, socketGid }: SocketPlace): Promise<Result<null>> {
  return new Promise((resolve) => {
    const cannot = (error: unknown): void => {
      const reason = error instanceof Error ? error.message : String(error);
      resolve(failure(`${code}_LISTEN`, `cannot serve the ${what} ${socketPath}: ${reason}`, error));
    };
    server.once('error', cannot);
    // The socket is bound within the call: it never exists with wider rights than these.
    const before = process.umask(0o177);
    server.listen({ path: socketPath }, () => {
      server.off('error', cannot);
      try {
        if (socketGid !== undefined) {
          chownSync(socketPath, -1, socketGid);
          chmodSync(socketPath, 0o660);
        }
        resolve(success(null));
      } catch (error) {
        server.close();
        cannot(error);
      }
    });
    process.umask(before);
  });
}
