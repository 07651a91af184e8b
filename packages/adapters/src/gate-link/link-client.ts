// The gate's side of the gate link, and the beacon's: asks its controller for instructions over a unix socket, again and again, one
// question at a time. It reconnects for ever; meanwhile the gate keeps counting down what it has. Whatever is not a short, well-formed
// line of the protocol costs the controller the connection.

import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import type { Now } from '@continuum/core';
import type { GateAnswer, GateAsk, GateInstruction } from '@continuum/wire/gate-link';
import { gateAnswer } from '@continuum/wire/gate-link';
import { lineSplitter } from '@continuum/wire/lines';

const LINE_LENGTH_MAX = 4_096;
const RECONNECT_MS_LEAST = 20;
const RECONNECT_MS_MOST = 100;
/** A controller that does not answer for so many ask intervals is left and connected to anew. */
const SILENT_INTERVALS_MAX = 20;
const SILENT_MS_LEAST = 1_000;

export type LinkClientOptions = {
  readonly socketPath: string;
  readonly askIntervalMs: number;
  readonly clock: () => Now;
  /** A beacon only listens: it is never counted among the gates. */
  readonly role?: 'gate' | 'beacon';
  /** In [0, 1): spreads reconnects. */
  readonly random: () => number;
  /** What the next ask reports; `applied` is kept by the client. */
  readonly report: () => { held: number; epoch: number };
  /** An answer; `asked` was read before the ask was sent. Says whether the instruction is now in force. */
  readonly onInstruction: (instruction: GateInstruction | null, asked: Now) => boolean;
  readonly onConnected: () => void;
  /** Once per connection that was open, with the reason. */
  readonly onDisconnected: (reason: string) => void;
  readonly onGarbage: () => void;
};

export type LinkClient = { readonly close: () => void; readonly connected: () => boolean };

export function createLinkClient(options: LinkClientOptions): LinkClient {
  let closed = false;
  let connection: { readonly end: (reason: string) => void } | null = null;
  let retry: NodeJS.Timeout | null = null;
  let open = false;

  const connect = (): void => {
    retry = null;
    const socket = createConnection(options.socketPath);
    connection = converse(socket, options, {
      opened: () => {
        open = true;
        options.onConnected();
      },
      ended: (reason) => {
        connection = null;
        if (open && !closed) options.onDisconnected(reason);
        open = false;
        if (closed) return;
        const backOffMs = RECONNECT_MS_LEAST + options.random() * (RECONNECT_MS_MOST - RECONNECT_MS_LEAST);
        retry = setTimeout(connect, backOffMs);
      },
    });
  };
  connect();

  return {
    connected: () => open,
    close: () => {
      closed = true;
      if (retry !== null) clearTimeout(retry);
      connection?.end('closed');
    },
  };
}

/** One connection's life: asks, answers, hints. `ended` is called exactly once. */
function converse(
  socket: Socket,
  options: LinkClientOptions,
  on: { readonly opened: () => void; readonly ended: (reason: string) => void },
): { readonly end: (reason: string) => void } {
  const silentMs = Math.max(SILENT_MS_LEAST, options.askIntervalMs * SILENT_INTERVALS_MAX);
  // A version counts from 1 in each controller process: what an earlier one said is not "applied" for this one.
  let applied = 0;
  let number = 0;
  let pending: { readonly number: number; readonly asked: Now } | null = null;
  let askAgain = false;
  let next: NodeJS.Timeout | null = null;
  let silence: NodeJS.Timeout | null = null;
  let over = false;

  const end = (reason: string): void => {
    if (over) return;
    over = true;
    if (next !== null) clearTimeout(next);
    if (silence !== null) clearTimeout(silence);
    socket.destroy();
    on.ended(reason);
  };

  const refuse = (what: string): void => {
    options.onGarbage();
    end(`the controller sent ${what}`);
  };

  const ask = (): void => {
    if (next !== null) clearTimeout(next);
    next = null;
    askAgain = false;
    number += 1;
    const asked = options.clock();
    pending = { number, asked };
    const role = options.role === 'beacon' ? { role: options.role } : {};
    const message: GateAsk = { ask: number, applied, ...options.report(), ...role };
    socket.write(`${JSON.stringify(message)}\n`);
    silence = setTimeout(end, silentMs, `no answer for ${silentMs} ms`);
  };

  const take = (message: GateAnswer): void => {
    if ('changed' in message) {
      if (pending === null) ask();
      else askAgain = true;
      return;
    }
    if (pending === null || message.answer !== pending.number) return refuse(`answer ${message.answer} to no question`);
    const { asked } = pending;
    pending = null;
    if (silence !== null) clearTimeout(silence);
    const { instruction } = message;
    const before = applied;
    if (options.onInstruction(instruction, asked) && instruction !== null) applied = instruction.version;
    // The controller waits for the news that a change is in force: it is told at once, not an interval later.
    if (askAgain || applied !== before) ask();
    else next = setTimeout(ask, options.askIntervalMs);
  };

  socket.on('connect', () => {
    on.opened();
    ask();
  });
  onMessages(socket, (message) => {
    if (over) return;
    if (message !== null) take(message);
    else refuse('something that is not of the protocol');
  });
  socket.on('error', (error) => end(error.message));
  socket.on('close', () => end('the controller closed the connection'));
  return { end };
}

/** Null for what is not a message of the protocol. */
function onMessages(socket: Socket, each: (message: GateAnswer | null) => void): void {
  const split = lineSplitter(LINE_LENGTH_MAX);
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const received = split(chunk);
    for (const message of received.ok ? received.lines.map(parse) : [null]) each(message);
  });
}

function parse(line: string): GateAnswer | null {
  try {
    const parsed = gateAnswer.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
