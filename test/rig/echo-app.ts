// The smallest application behind a gateway: says which region it is in and what arrived. It can be told to sit on
// requests, so that a test can have some in flight.

import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

export type Echo = { readonly region: string; readonly path: string; readonly headers: IncomingHttpHeaders };

export type EchoApp = {
  /** Requests that reached it. */
  readonly served: () => number;
  /** How many it sits on now: those whose path is under /slow. */
  readonly waiting: () => number;
  /** Answers those it sits on. */
  readonly release: () => void;
  readonly close: () => Promise<void>;
};

/** Under /fail it answers 503, so that a test sees whether somebody tries again. */
export async function startEchoApp(options: { region: string; address: string; port: number }): Promise<EchoApp> {
  const waiting = new Set<() => void>();
  let served = 0;
  const server = createServer({ keepAliveTimeout: 90_000 }, (request, response) => {
    served += 1;
    request.resume();
    const echo: Echo = { region: options.region, path: request.url ?? '', headers: request.headers };
    const answer = (): ServerResponse => {
      waiting.delete(answer);
      const status = echo.path.startsWith('/fail') ? 503 : 200;
      return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(echo));
    };
    if (!echo.path.startsWith('/slow')) return void answer();
    waiting.add(answer);
    response.once('close', () => waiting.delete(answer));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, host: options.address, backlog: 4_096 }, resolve);
  });
  return {
    served: () => served,
    waiting: () => waiting.size,
    release: () => {
      for (const answer of [...waiting]) answer();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
