// The beacon over TCP, the way out for who was cut over UDP, so one network must not be able to take it from the others: each has its
// share of connections and of answers. Where there is no room the oldest connection gives way, because a question takes two round
// trips and only who wants to be in the way stays longer. A message that cannot be a question is not parsed: one of 64 KiB would keep
// this thread, which answers UDP too, for a sixth of a second.

import { Packet } from 'dns2';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { answerQuestion } from './beacon.ts';
import { QUESTION_BYTES_MAX, QUESTION_BYTES_MIN } from './beacon-datagrams.ts';
import type { AnsweringOptions } from './beacon-datagrams.ts';
import { createRateLimiter, networkOf } from './rate-limit.ts';

export const CONNECTIONS_MAX = 256;
export const CONNECTIONS_OF_NETWORK_MAX = 16;
const CONNECTION_MS_MAX = 5_000;
const LENGTH_BYTES = 2;

export type Streams = { readonly server: Server; readonly close: () => Promise<void> };

/** Not bound yet. */
export function createStreams(options: AnsweringOptions): Streams {
  const { nowMs, onDropped } = options;
  const admit = createRateLimiter(options.rateLimit);
  /** With their networks, oldest first. */
  const connections = new Map<Socket, string>();
  const makeRoom = (network: string): void => {
    const all = [...connections];
    const own = all.filter(([, of]) => of === network);
    const crowd = own.length >= CONNECTIONS_OF_NETWORK_MAX ? own : all.length >= CONNECTIONS_MAX ? all : [];
    const [oldest] = crowd[0] ?? [];
    if (oldest === undefined) return;
    onDropped('connections', 'tcp');
    connections.delete(oldest);
    oldest.destroy();
  };

  const server = createServer((socket) => {
    const { remoteAddress: address } = socket;
    // It is gone already.
    if (address === undefined) return void socket.destroy();
    const network = networkOf(address);
    makeRoom(network);
    connections.set(socket, network);
    // From the first byte to the last, whatever trickles in between.
    const end = setTimeout(() => socket.destroy(), CONNECTION_MS_MAX);
    socket.once('close', () => {
      clearTimeout(end);
      connections.delete(socket);
    });
    socket.on('error', () => onDropped('socket', 'tcp'));
    readMessages(socket, (message) => {
      if (message === null) return refuse(socket, 'length', onDropped);
      if (!admit(address, nowMs())) return refuse(socket, 'rate', onDropped);
      answer(options, socket, message);
    });
  });
  return {
    server,
    close: async () => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const socket of connections.keys()) socket.destroy();
      await closed;
    },
  };
}

function answer({ beacon, onAnswer, onDropped }: AnsweringOptions, socket: Socket, message: Buffer): void {
  let request: Packet;
  try {
    request = Packet.parse(message);
  } catch {
    return refuse(socket, 'malformed', onDropped);
  }
  const made = answerQuestion(beacon, request);
  if (made.kind === 'dropped') return onDropped(made.reason, 'tcp');
  onAnswer(made.kind, 'tcp');
  const bytes = made.packet.toBuffer();
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(bytes.length);
  socket.write(Buffer.concat([length, bytes]));
}

function refuse(socket: Socket, reason: string, onDropped: AnsweringOptions['onDropped']): void {
  onDropped(reason, 'tcp');
  socket.destroy();
}

/** Message after message (RFC 7766), until the socket is destroyed; null for one whose length no question has. */
function readMessages(socket: Socket, onMessage: (message: Buffer | null) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (!socket.destroyed && pending.length >= LENGTH_BYTES) {
      const length = pending.readUInt16BE(0);
      if (length < QUESTION_BYTES_MIN || length > QUESTION_BYTES_MAX) return onMessage(null);
      if (pending.length < LENGTH_BYTES + length) return;
      const message = pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
      pending = pending.subarray(LENGTH_BYTES + length);
      onMessage(message);
    }
  });
}
