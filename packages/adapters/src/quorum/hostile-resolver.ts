// A resolver that a test has in its hands: it answers each question, over UDP and TCP, as it is told to, rightly or not. Part of the
// tests; nothing in the product uses it.

import { createSocket } from 'node:dgram';
import type { Socket as Datagrams } from 'node:dgram';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { Packet } from 'dns2';
import type { Resource } from 'dns2';

export type Asked = { readonly bytes: Buffer; readonly packet: Packet; readonly name: string; readonly transport: 'udp' | 'tcp'; readonly fromPort: number };
/** Null: no answer. More than one: each is sent, in order. */
export type Behaviour = (asked: Asked, resolver: HostileResolver) => Buffer | readonly Buffer[] | null | Promise<Buffer | null>;

export type HostileResolver = {
  readonly address: string;
  readonly port: number;
  behave: Behaviour;
  /** Sends to the asker from another port than the one that was asked. */
  readonly sendFromElsewhere: (bytes: Buffer) => Promise<void>;
  readonly close: () => Promise<void>;
};

export async function startHostileResolver(address: string, port: number, behave: Behaviour): Promise<HostileResolver> {
  const udp = createSocket('udp4');
  let closed = false;
  let asker: { address: string; port: number } | null = null;
  const resolver: HostileResolver = {
    address,
    port,
    behave,
    sendFromElsewhere: async (bytes) => {
      const other = createSocket('udp4');
      const { address: to, port: toPort } = asker ?? { address, port };
      await new Promise<void>((resolve) => other.send(bytes, toPort, to, () => resolve()));
      other.close();
    },
    close: async () => {
      closed = true;
      await Promise.all([new Promise<void>((done) => udp.close(() => done())), new Promise<void>((done) => tcp.close(() => done()))]);
    },
  };
  udp.on('message', (bytes, from) => {
    asker = from;
    void answer(resolver, bytes, 'udp', from.port, (reply) => {
      // What it holds back until after the end of its test is never sent.
      if (!closed) udp.send(reply, from.port, from.address);
    });
  });
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      void answer(resolver, chunk.subarray(2), 'tcp', socket.remotePort ?? 0, (reply) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      });
    });
  });
  await bind(udp, tcp, address, port);
  return resolver;
}

/** A proper answer to `asked`, changed as told. */
export function answerTo({ packet, name }: Asked, texts: readonly (readonly string[])[], change: (reply: Packet) => void = () => undefined): Buffer {
  const reply = new Packet();
  reply.header = new Packet.Header({ id: packet.header.id, qr: 1, rd: 1, ra: 1 });
  reply.questions = packet.questions;
  reply.answers = texts.map((data) => ({ name, type: Packet.TYPE.TXT, class: Packet.CLASS.IN, ttl: 0, data: [...data] })) as unknown as Resource[];
  change(reply);
  return reply.toBuffer();
}

async function answer(resolver: HostileResolver, bytes: Buffer, transport: Asked['transport'], fromPort: number, send: (reply: Buffer) => void): Promise<void> {
  const packet = Packet.parse(bytes);
  const replies = await resolver.behave({ bytes, packet, name: packet.questions[0]?.name ?? '', transport, fromPort }, resolver);
  if (replies === null) return;
  for (const reply of Buffer.isBuffer(replies) ? [replies] : replies) send(reply);
}

async function bind(udp: Datagrams, tcp: Server, address: string, port: number): Promise<void> {
  await new Promise<void>((resolve) => udp.bind(port, address, resolve));
  await new Promise<void>((resolve) => tcp.listen(port, address, resolve));
}
