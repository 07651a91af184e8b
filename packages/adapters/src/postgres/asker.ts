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

/**
 * What comes in on any plain connection is read into this: one after the other, so nothing of it is there any more when the next
 * one is read. Node otherwise allocates 64 KiB for each answer and cuts them down to what came.
 */
const readInto = Buffer.allocUnsafeSlow(64 * 1_024);

/** A class, as a `Line` is: there are thousands of these as well. */
export class Asker {
  readonly #context: SessionContext;
  readonly #applicationName: string;
  readonly #question: Question;
  #line: Line | null = null;
  #opening: Promise<unknown> | null = null;

  constructor(context: SessionContext, applicationName: string, question: Question) {
    this.#context = context;
    this.#applicationName = applicationName;
    this.#question = question;
  }

  /** The column; null when there was no row, or nothing in it. Calls wait for each other. Rejects as a session's query does. */
  ask(signal: AbortSignal): Promise<string | null> {
    // The usual case in one promise: a prober goes through here two thousand times a second.
    const isFree = this.#line !== null && this.#opening === null && this.#line.busy() === null && !this.#line.isBroken();
    return isFree && this.#line !== null ? this.#line.ask(signal) : this.#askInTurn(signal);
  }

  close(): void {
    this.#line?.close();
    this.#line = null;
  }

  async #askInTurn(signal: AbortSignal): Promise<string | null> {
    const busy = (): Promise<unknown> | null => this.#opening ?? this.#line?.busy() ?? null;
    for (let until = busy(); until !== null; until = busy()) await abortable(signal, until);
    if (this.#line === null || this.#line.isBroken()) {
      this.close();
      const opened = openLine(this.#context, this.#applicationName, this.#question, signal);
      this.#opening = opened.then(ignore, ignore);
      try {
        this.#line = await opened;
      } finally {
        this.#opening = null;
      }
    }
    return this.#line.ask(signal);
  }
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
  if (stream === socket) removeOthers(socket, own);
  else stream.removeAllListeners('data');
  const line = new Line(stream, socket, question, guard);
  if (stream === socket) ear = line;
  else stream.on('data', (chunk: Buffer) => line.take(chunk, chunk.length));
  if (health.broken) line.close();
  return line;
}

type Listeners = ReadonlyMap<string | symbol, readonly unknown[]>;

const listenersOf = (socket: Socket): Listeners => new Map(socket.eventNames().map((event) => [event, socket.rawListeners(event)]));

/** Each listener of pg's keeps its whole client alive. One by one: to remove all at once makes a dictionary of those that are left. */
function removeOthers(socket: Socket, own: Listeners): void {
  for (const [event, listeners] of listenersOf(socket)) {
    for (const listener of listeners) if (own.get(event)?.includes(listener) !== true) socket.removeListener(event, listener as () => void);
  }
}

function ignore(): void {
  return undefined;
}
