// One resolver's UDP: a socket that is connected to it (the kernel passes over what comes from elsewhere) and kept from round to round,
// because to open one, bind it and close it cost more than all else in a round but the signatures.
//
// What a port that nobody can guess protects elsewhere is protected here by the question itself: it holds a nonce of 128 bits, and only
// a datagram that repeats identifier, name and case ends the wait for it. So an answer of an earlier round, a doubled one or a forged
// one on the same socket is nothing but counted; it can neither be a vote nor end one. A bad signature cannot be forged in either.
//
// What a kept socket adds is that its troubles may be old ones: an ICMP message about an earlier question, a source address that the
// machine has lost. Therefore an error on a socket with a past ends nothing: what is open is asked once more through a fresh one, whose
// own error counts. Where answers stop without an error (another network, a path that swallows this flow), the next round has a fresh one.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import type { LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import { readAnswer } from './question.ts';
import type { Question, Reading } from './question.ts';
import type { RoundEnd } from './round-end.ts';

export type Endpoint = { readonly address: string; readonly port: number };
export type UdpReading = Exclude<Reading, { kind: 'not-ours' }>;

export type Datagrams = {
  /** `settle` is called once: what cannot be had by the round's end is `nothing`, with its reason. */
  readonly ask: (question: Question, end: RoundEnd, settle: (reading: UdpReading) => void) => void;
  readonly close: () => void;
};

type Open = { readonly question: Question; readonly end: RoundEnd; readonly settle: (reading: UdpReading) => void };
type Kept = {
  readonly socket: Socket;
  readonly openedMs: number;
  connected: boolean;
  /** It has carried questions that are over. */
  used: boolean;
  answeredMs: number | null;
  /** A question found no answer, and nothing has come since it was asked. */
  missed: boolean;
};

/** Not one flow for ever: it always takes the same of several equal paths. The process's clock, which stands still in a sleep. */
const AGE_MAX_MS = 10_000;
/** One that never brought an answer: the resolver is away, or this machine's network was when it was opened. */
const AGE_UNANSWERED_MAX_MS = 3_000;

/** `onStray`: a datagram from the resolver that answers nothing that is open. */
export function createDatagrams({ address, port }: Endpoint, onStray: () => void): Datagrams {
  const open = new Set<Open>();
  let kept: Kept | null = null;

  const drop = (): void => {
    kept?.socket.close();
    kept = null;
  };
  const settle = (one: Open, reading: UdpReading): void => {
    if (!open.delete(one)) return;
    if (kept !== null) kept.used = true;
    one.settle(reading);
  };
  const failed = (from: Kept, { code, message }: NodeJS.ErrnoException): void => {
    if (kept !== from) return;
    drop();
    if (!from.used) for (const one of open) settle(one, { kind: 'nothing', reason: code ?? message });
    else if (open.size > 0) connect();
  };
  const send = (through: Kept, { bytes }: Question): void => {
    // Not sent is an error here, and no event: the kernel tells of an earlier datagram's fate at the next one.
    through.socket.send(bytes, (error) => {
      if (error !== null) failed(through, error);
    });
  };
  const received = (from: Kept, bytes: Buffer): void => {
    if (kept !== from) return;
    for (const one of open) {
      const reading = readAnswer(bytes, one.question);
      if (reading.kind === 'not-ours') continue;
      const nowMs = performance.now();
      from.answeredMs = nowMs;
      from.missed = false;
      // A timer may be late: the clock decides.
      return settle(one, nowMs >= one.end.atMs ? tooLate() : reading);
    }
    onStray();
  };
  const connect = (): Kept => {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', lookup: asGiven });
    const opened: Kept = { socket, openedMs: performance.now(), connected: false, used: false, answeredMs: null, missed: false };
    kept = opened;
    socket.unref();
    socket.on('error', (error) => failed(opened, error));
    socket.on('message', (bytes) => received(opened, bytes));
    // Without a callback: it would be called for a failure as well, and `send` on what is not connected throws past every handler.
    socket.once('connect', () => {
      if (kept !== opened) return;
      opened.connected = true;
      for (const one of open) send(opened, one.question);
    });
    socket.connect(port, address);
    return opened;
  };
  const expire = (one: Open): void => {
    if (!open.has(one)) return;
    if (kept !== null && (kept.answeredMs ?? 0) < one.end.startedMs) kept.missed = true;
    settle(one, tooLate());
  };

  return {
    ask: (question, end, answered) => {
      if (kept !== null && isWorn(kept, end.startedMs)) drop();
      const one: Open = { question, end, settle: answered };
      open.add(one);
      end.whenOver(() => expire(one));
      const through = kept ?? connect();
      if (through.connected) send(through, question);
    },
    close: drop,
  };
}

/** Whether the next question needs a fresh one. */
export function isWorn({ openedMs, answeredMs, missed }: Pick<Kept, 'openedMs' | 'answeredMs' | 'missed'>, nowMs: number): boolean {
  const ageMs = nowMs - openedMs;
  return ageMs >= AGE_MAX_MS || (missed && (answeredMs !== null || ageMs >= AGE_UNANSWERED_MAX_MS));
}

/** A resolver is named by its address: there is nothing to look up, and nobody to ask. */
function asGiven(address: string, _: LookupOptions, found: (error: null, address: string, family: number) => void): void {
  found(null, address, isIP(address));
}

const tooLate = (): UdpReading => ({ kind: 'nothing', reason: 'no answer in time' });
