// What may stand between a controller and its witness in these tests: something that forwards, and misbehaves when told to.

import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { request } from 'undici';
import type { SignedRequest } from '@continuum/wire';

export type Passing = { status: number; headers: Record<string, string>; body: Buffer };
export type Path = { readonly url: string; readonly close: () => Promise<void> };

export type TcpPath = Path & {
  mute: boolean;
  /** How many there were, and how many there are. */
  readonly connections: () => number;
  readonly open: () => number;
  readonly cut: () => void;
};

/** Forwards each request; `onReply` may change the reply, or do with the connection what it likes and return null. */
export async function httpPath(
  target: () => string,
  onReply: (reply: Passing, response: ServerResponse, sent: SignedRequest) => Passing | null | Promise<Passing | null>,
): Promise<Path & { readonly forwarded: () => number }> {
  let forwarded = 0;
  const server = createHttpServer((incoming, response) => {
    void forward(target(), incoming).then(async ({ reply, sent }) => {
      forwarded += 1;
      const passed = await onReply(reply, response, sent);
      if (passed !== null) response.writeHead(passed.status, passed.headers).end(passed.body);
    });
  });
  const url = await listen(server);
  return { url, forwarded: () => forwarded, close: () => closeServer(server, () => server.closeAllConnections()) };
}

/**
 * Forwards bytes; `toClient` may change what the witness sends, `mute` stops all of it without closing anything. The offer of
 * compression is taken out of the handshake, so that what passes can be read.
 */
export async function tcpPath(
  target: () => string,
  toClient: (bytes: Buffer) => Buffer = (bytes) => bytes,
): Promise<TcpPath> {
  const sockets = new Set<Socket>();
  let connections = 0;
  let open = 0;
  const state = { mute: false };
  const server = createTcpServer((client) => {
    connections += 1;
    open += 1;
    const { hostname, port } = new URL(target());
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // Ends are passed on below; an error is followed by a close.
      socket.on('error', () => socket.destroy());
    }
    client.on('data', (bytes) => void (state.mute || upstream.write(uncompressed(bytes))));
    upstream.on('data', (bytes) => void (state.mute || client.write(toClient(bytes))));
    client.on('close', () => {
      open -= 1;
      upstream.destroy();
    });
    upstream.on('close', () => client.destroy());
  });
  const url = await listen(server);
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return Object.assign(state, {
    url,
    connections: () => connections,
    open: () => open,
    cut,
    close: () => closeServer(server, cut),
  });
}

function uncompressed(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace('permessage-deflate', 'permessage-nothing'), 'latin1');
}

async function forward(target: string, incoming: IncomingMessage): Promise<{ reply: Passing; sent: SignedRequest }> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const { connection: _, 'transfer-encoding': __, ...headers } = incoming.headers;
  const response = await request(`${target}${incoming.url}`, {
    method: incoming.method as 'GET',
    headers: headers as Record<string, string>,
    ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
  });
  const body = Buffer.from(await response.body.arrayBuffer());
  const reply = { status: response.statusCode, headers: response.headers as Record<string, string>, body };
  const url = `http://${incoming.headers.host}${incoming.url}`;
  const fields = Object.entries(headers as Record<string, string>);
  return { reply, sent: { method: incoming.method ?? '', url, headers: fields, body: new Uint8Array(Buffer.concat(chunks)) } };
}

async function listen(server: ReturnType<typeof createTcpServer> | ReturnType<typeof createHttpServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closeServer(server: { close(done: () => void): unknown }, cut: () => void): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    cut();
  });
}
