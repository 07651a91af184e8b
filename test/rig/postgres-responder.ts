// Something that speaks PostgreSQL's protocol and is no PostgreSQL: it answers every prepared statement with one column that
// the caller chooses, for a thousand servers in one process; or it misbehaves, as a hostile server would.

import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/**
 * `answer`: the text of one row. `garbage`: bytes of no protocol. `endless`: a row of 1 GB. `never`: takes the question and says
 * nothing. `silent`: does not even greet.
 */
export type Manner = 'answer' | 'garbage' | 'endless' | 'never' | 'silent';

export type Responder = {
  readonly host: string;
  readonly port: number;
  readonly be: (manner: Manner) => void;
  readonly connections: () => number;
  readonly close: () => Promise<void>;
};

const COLUMN = 'json_build_object';
const TEXT_OID = 25;
const HUGE_BYTES = 1_000_000_000;

export async function startResponder(text: () => string, host = '127.0.0.1', port = 0): Promise<Responder> {
  let manner: Manner = 'answer';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, () => manner, text);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: 4_096 }, resolve);
  });
  return {
    host,
    port: (server.address() as AddressInfo).port,
    be: (next) => {
      manner = next;
    },
    connections: () => sockets.size,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function serve(socket: Socket, manner: () => Manner, text: () => string): void {
  let buffer: Buffer = Buffer.alloc(0);
  let greeted = false;
  socket.on('data', (chunk: Buffer) => {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    if (!greeted) {
      if (buffer.length < 4 || buffer.length < buffer.readUInt32BE(0)) return;
      buffer = buffer.subarray(buffer.readUInt32BE(0));
      greeted = true;
      if (manner() !== 'silent') socket.write(GREETING);
    }
    const replies: Buffer[] = [];
    while (buffer.length >= 5 && buffer.length >= 1 + buffer.readUInt32BE(1)) {
      const type = String.fromCharCode(buffer[0] ?? 0);
      buffer = buffer.subarray(1 + buffer.readUInt32BE(1));
      replies.push(...reply(socket, type, manner(), text));
    }
    if (replies.length > 0 && !socket.destroyed) socket.write(Buffer.concat(replies));
  });
}

/** What one message of the extended protocol is answered with. */
function reply(socket: Socket, type: string, manner: Manner, text: () => string): Buffer[] {
  if (type === 'X') socket.end();
  if (manner === 'never' || manner === 'silent') return [];
  if (type === 'P') return [message('1')];
  if (type === 'B') return [message('2')];
  if (type === 'D') return [ROW_DESCRIPTION];
  if (type === 'S') return [READY];
  if (type !== 'E') return [];
  if (manner === 'garbage') return [Buffer.from('D\x00\x00\x00\x0b\x00\x02\xff\xff\xff\x00\x00Z', 'latin1'), Buffer.alloc(300, 0xa5)];
  if (manner === 'endless') {
    const head = Buffer.alloc(11);
    head.write('D');
    head.writeUInt32BE(HUGE_BYTES + 10, 1);
    head.writeUInt16BE(1, 5);
    head.writeUInt32BE(HUGE_BYTES, 7);
    const more = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 0x61)));
    };
    socket.on('drain', more);
    setImmediate(more);
    return [head];
  }
  return [dataRow(text()), message('C', Buffer.from('SELECT 1\0'))];
}

function message(type: string, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

function dataRow(text: string): Buffer {
  const value = Buffer.from(text);
  const head = Buffer.alloc(6);
  head.writeUInt16BE(1, 0);
  head.writeUInt32BE(value.length, 2);
  return message('D', Buffer.concat([head, value]));
}

function rowDescription(): Buffer {
  const rest = Buffer.alloc(18);
  rest.writeUInt32BE(TEXT_OID, 6);
  rest.writeInt16BE(-1, 10);
  rest.writeInt32BE(-1, 12);
  return message('T', Buffer.concat([Buffer.from([0, 1]), Buffer.from(`${COLUMN}\0`), rest]));
}

const READY = message('Z', Buffer.from('I'));
const ROW_DESCRIPTION = rowDescription();
const GREETING = Buffer.concat([message('R', Buffer.alloc(4)), message('S', Buffer.from('server_version\x0015.0\0')), message('K', Buffer.alloc(8)), READY]);
