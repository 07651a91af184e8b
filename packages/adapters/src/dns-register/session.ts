// One TCP connection to the authority. TCP, because a lease and its update are larger than a datagram that is safe to send.
// Signatures are added and checked here: nothing that is not signed under this region's key leaves as an answer.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { failure, success } from '@continuum/ports';
import type { Result } from '@continuum/ports';
import { MESSAGE_BYTES_MAX, RCODE } from './message.ts';
import type { Message } from './message.ts';
import { signRequest, verifyReply } from './tsig.ts';
import type { TsigKey } from './tsig.ts';

export type Authority = {
  readonly address: string;
  readonly port: number;
  /** As it is now: it may be replaced between two exchanges. */
  readonly key: () => TsigKey;
  /** Seconds since 1970; signatures carry it. */
  readonly wallSeconds: () => number;
};

export type Session = {
  /** One signed exchange. Failures have the codes of `RegisterPort`; after one the session is closed. */
  readonly exchange: (request: Uint8Array, signal: AbortSignal) => Promise<Result<Message>>;
  readonly close: () => void;
};

type Waiting = { readonly resolve: (reply: Result<Uint8Array>) => void };

const LENGTH_BYTES = 2;

/** Connects on the first exchange. One exchange at a time. */
export function openSession(authority: Authority): Session {
  let socket: Socket | null = null;
  let waiting: Waiting | null = null;
  let received = Buffer.alloc(0);
  let broken: ReturnType<typeof failure> | null = null;

  const end = (why: ReturnType<typeof failure>): void => {
    broken ??= why;
    socket?.destroy();
    const given = waiting;
    waiting = null;
    given?.resolve(broken);
  };
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    if (received.length < LENGTH_BYTES) return;
    const length = received.readUInt16BE(0);
    if (received.length < LENGTH_BYTES + length) return;
    const message = new Uint8Array(received.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
    received = received.subarray(LENGTH_BYTES + length);
    const given = waiting;
    waiting = null;
    // More than was asked for: whoever is there does not speak the protocol.
    if (given === null || received.length > 0) return end(failure('CTM_REGISTER_REPLY_INVALID', 'an answer that nobody asked for'));
    given.resolve(success(message));
  };
  const open = (): Socket => {
    const made = connect({ host: authority.address, port: authority.port, noDelay: true });
    made.on('data', onData);
    made.on('error', (error: NodeJS.ErrnoException) => end(unreachable(authority, error.code ?? error.message)));
    made.on('close', () => end(unreachable(authority, 'the connection was closed')));
    return made;
  };
  const transmit = (request: Uint8Array, signal: AbortSignal): Promise<Result<Uint8Array>> =>
    new Promise((resolve) => {
      if (broken !== null) return resolve(broken);
      const late = (): void => end(failure('CTM_REGISTER_TIMEOUT', `no answer of ${place(authority)} before the deadline`));
      waiting = {
        resolve: (reply) => {
          signal.removeEventListener('abort', late);
          resolve(reply);
        },
      };
      if (signal.aborted) return late();
      signal.addEventListener('abort', late, { once: true });
      socket ??= open();
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(request.length);
      socket.write(Buffer.concat([length, request]));
    });

  return {
    exchange: async (request, signal) => {
      if (request.length > MESSAGE_BYTES_MAX) throw new RangeError(`a request of ${request.length} bytes`);
      const key = authority.key();
      const signed = signRequest(request, key, authority.wallSeconds());
      const reply = await transmit(signed.bytes, signal);
      if (!reply.ok) return reply;
      const believed = believe(reply.value, request, { key, mac: signed.mac }, authority);
      if (!believed.ok) end(believed);
      return believed;
    },
    close: () => end(unreachable(authority, 'closed here')),
  };
}

/** Signed, and an answer to exactly this request; what is not is unknown. */
function believe(bytes: Uint8Array, request: Uint8Array, { key, mac }: { readonly key: TsigKey; readonly mac: Uint8Array }, authority: Authority): Result<Message> {
  const verified = verifyReply(bytes, key, mac, authority.wallSeconds());
  if (!verified.ok) {
    const { reason, problem } = verified;
    // PowerDNS does not sign when it refuses a key. It is not proven either, and says what an operator has to look at.
    const rcode = (bytes[3] ?? 0) & 0xf;
    if (reason === 'refused' || (reason === 'unsigned' && (rcode === RCODE.NOTAUTH || rcode === RCODE.REFUSED))) {
      const hint = 'is the key that of this region, known there with the same secret, and allowed to update the zone; do the clocks agree?';
      return failure('CTM_REGISTER_REJECTED', `${place(authority)} does not accept what this region signs: ${problem}; ${hint}`);
    }
    if (reason === 'unsigned' && rcode === RCODE.SERVFAIL) return unreachable(authority, 'it has trouble of its own (SERVFAIL)');
    return failure('CTM_REGISTER_REPLY_INVALID', `the answer of ${place(authority)} is not believed: ${problem}`);
  }
  const { message } = verified;
  const id = ((request[0] ?? 0) << 8) | (request[1] ?? 0);
  const opcode = ((request[2] ?? 0) >> 3) & 0xf;
  if (!message.response || message.id !== id || message.opcode !== opcode || message.truncated) {
    return failure('CTM_REGISTER_REPLY_INVALID', `the answer of ${place(authority)} is to another question`);
  }
  return success(message);
}

function unreachable(authority: Authority, why: string): ReturnType<typeof failure> {
  return failure('CTM_REGISTER_UNREACHABLE', `no answer of ${place(authority)}: ${why}`);
}

function place({ address, port }: Authority): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
