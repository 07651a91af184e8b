// A kept connection that asks one prepared question over and over, for whoever keeps thousands of them. pg connects, with its
// TLS and its authentication; then its client is let go, and what is left is the socket and a `Line`. A pg client keeps some
// ten kB a connection, and a query through it costs more than reading the answer.

import { Socket } from 'node:net';
import { AnswerGuard } from './answer-guard.ts';
import type { Ear } from './answer-guard.ts';
import { Line } from './line.ts';
import type { Question } from './line.ts';
import { ANSWER_BYTES_MAX, connect } from './session.ts';
import type { SessionContext } from './session.ts';
import { abortable } from './wait.ts';

export type Asker = {
  /** The column; null when there was no row, or nothing in it. Calls wait for each other. Rejects as a session's query does. */
  readonly ask: (signal: AbortSignal) => Promise<string | null>;
  readonly close: () => void;
};

/**
 * What comes in on any plain connection is read into this: one after the other, so nothing of it is there any more when the next
 * one is read. Node otherwise allocates 64 KiB for each answer and cuts them down to what came.
 */
const readInto = Buffer.allocUnsafeSlow(64 * 1_024);

export function createAsker(context: SessionContext, applicationName: string, question: Question): Asker {
  let line: Line | null = null;
  let opening: Promise<unknown> | null = null;

  const askInTurn = async (signal: AbortSignal): Promise<string | null> => {
    for (let busy = opening ?? line?.busy() ?? null; busy !== null; busy = opening ?? line?.busy() ?? null) await abortable(signal, busy);
    if (line === null || line.isBroken()) {
      line?.close();
      line = null;
      const opened = openLine(context, applicationName, question, signal);
      opening = opened.then(ignore, ignore);
      try {
        line = await opened;
      } finally {
        opening = null;
      }
    }
    return line.ask(signal);
  };
  return {
    // The usual case in one promise: a prober goes through here two thousand times a second.
    ask: (signal) => (line !== null && opening === null && line.busy() === null && !line.isBroken() ? line.ask(signal) : askInTurn(signal)),
    close: () => {
      line?.close();
      line = null;
    },
  };
}

async function openLine(context: SessionContext, applicationName: string, question: Question, signal: AbortSignal): Promise<Line> {
  const guard = new AnswerGuard(context.answerBytesMax ?? ANSWER_BYTES_MAX);
  // Whoever listens while it connects may keep what it hears.
  let ear: Ear = { take: (bytes, count) => socket.emit('data', Buffer.from(bytes.subarray(0, count))) };
  const socket = new Socket({ onread: { buffer: readInto, callback: (count) => guard.hear(socket, ear, readInto, count) } });
  const own = listenersOf(socket);
  const { client, health } = await connect(context, applicationName, signal, { socket, guard });
  // Taken over from pg's client, which has nothing under way: what the server says is heard here from now on.
  const { connection } = client;
  const { stream } = connection;
  connection.removeAllListeners();
  // pg's connection still hears of the end of a stream under TLS; an error that nobody hears would end the process.
  connection.on('error', ignore);
  stream.removeAllListeners('data');
  if (stream === socket) removeOthers(socket, own);
  const line = new Line(stream, socket, question, guard);
  if (stream === socket) ear = line;
  else stream.on('data', (chunk: Buffer) => line.take(chunk, chunk.length));
  if (health.broken) line.close();
  return line;
}

type Listeners = ReadonlyMap<string | symbol, readonly unknown[]>;

const listenersOf = (socket: Socket): Listeners => new Map(socket.eventNames().map((event) => [event, socket.rawListeners(event)]));

/** Each listener of pg's keeps its whole client alive. */
function removeOthers(socket: Socket, own: Listeners): void {
  for (const [event, listeners] of listenersOf(socket)) {
    for (const listener of listeners) if (own.get(event)?.includes(listener) !== true) socket.removeListener(event, listener as () => void);
  }
}

function ignore(): void {
  return undefined;
}
