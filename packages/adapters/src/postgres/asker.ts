// A kept connection that asks one prepared question over and over, for whoever keeps thousands of them. pg connects, with its
// TLS and its authentication; then its client is let go, and what is left is the socket and this file. A pg client keeps
// some ten kB a connection, and a query through it costs more than reading the answer.

import type { Duplex } from 'node:stream';
import pg from 'pg';
import { DatabaseProblem } from './problem.ts';
import { connect } from './session.ts';
import type { Connection, SessionContext } from './session.ts';
import { abortable } from './wait.ts';

/** The messages of one statement that takes no values and answers one row of one text column. */
export type Question = {
  /** On a new connection: prepares it, and asks. */
  readonly first: Buffer;
  readonly again: Buffer;
};

export type Asker = {
  /** The column; null when there was no row, or nothing in it. Calls wait for each other. Rejects as a session's query does. */
  readonly ask: (signal: AbortSignal) => Promise<string | null>;
  readonly close: () => void;
};

/** A connection in its own words. */
type Line = {
  readonly ask: (signal: AbortSignal) => Promise<string | null>;
  readonly isBroken: () => boolean;
  readonly close: () => void;
};

type Waiting = { readonly resolve: (text: string | null) => void; readonly reject: (error: unknown) => void };

const HEAD_BYTES = 5;
const LENGTH_BYTES_LEAST = 4;

export function toQuestion(name: string, text: string): Question {
  const again = Buffer.concat([message('B', `\0${name}\0\0\0\0\0\0\0`), message('E', '\0\0\0\0\0'), message('S', '')]);
  return { first: Buffer.concat([message('P', `${name}\0${text}\0\0\0`), again]), again };
}

export function createAsker(context: SessionContext, applicationName: string, question: Question): Asker {
  let line: Line | null = null;
  let busy: Promise<unknown> | null = null;

  const askNow = async (signal: AbortSignal): Promise<string | null> => {
    if (line === null || line.isBroken()) {
      line?.close();
      line = null;
      line = openLine(await connect(context, applicationName, signal), question);
    }
    return line.ask(signal);
  };
  return {
    ask: async (signal) => {
      while (busy !== null) await abortable(signal, busy.then(ignore, ignore));
      const mine = askNow(signal);
      busy = mine;
      try {
        return await mine;
      } finally {
        busy = null;
      }
    },
    close: () => {
      line?.close();
      line = null;
    },
  };
}

/** Takes the connection over from pg's client, which has nothing under way: what the server says is heard here from now on. */
function openLine({ client, socket, guard, health }: Connection, question: Question): Line {
  const { connection } = client;
  const { stream } = connection;
  connection.removeAllListeners();
  // pg's connection still hears of the socket's end; an error that nobody hears would end the process.
  connection.on('error', ignore);
  stream.removeAllListeners('data');
  const line = listen(stream, question, guard.begin);
  return {
    ask: line.ask,
    isBroken: () => health.broken || line.isBroken(),
    close: () => {
      stream.destroy();
      socket.destroy();
    },
  };
}

function listen(stream: Duplex, question: Question, begin: () => void): Omit<Line, 'close'> {
  let waiting: Waiting | null = null;
  let isKnown = false;
  let broken = false;
  let watched: AbortSignal | null = null;

  const end = (error: unknown): void => {
    broken = true;
    stream.destroy();
    watched?.removeEventListener('abort', onAbort);
    watched = null;
    waiting?.reject(error);
    waiting = null;
  };
  const onAbort = (): void => {
    if (waiting !== null) end(watched?.reason);
  };
  /** Most callers use one signal until it was needed: it is listened to once, not with every question. */
  const watch = (signal: AbortSignal): void => {
    if (signal === watched) return;
    watched?.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort);
    watched = signal;
  };
  const answers = createReader({
    known: () => {
      isKnown = true;
    },
    done: (text, refusal) => {
      if (waiting === null) throw new Error('an answer to no question');
      const { resolve, reject } = waiting;
      waiting = null;
      if (refusal === null) resolve(text);
      else reject(refusal);
    },
  });
  stream.on('data', answers.take);
  stream.on('error', end);
  stream.on('close', () => end(answers.refusal() ?? new DatabaseProblem('CTM_DATABASE_UNREACHABLE', 'Connection terminated unexpectedly')));
  return {
    isBroken: () => broken || stream.destroyed,
    ask: (signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        begin();
        watch(signal);
        waiting = { resolve, reject };
        stream.write(isKnown ? question.again : question.first);
      }),
  };
}

type Heard = {
  /** The statement is prepared. */
  readonly known: () => void;
  readonly done: (text: string | null, refusal: Error | null) => void;
};

/** Reads the server's messages. Throws for what is none; the guard of the stream makes that the end of the connection. */
function createReader({ known, done }: Heard): { readonly take: (chunk: Buffer) => void; readonly refusal: () => Error | null } {
  let pieces: Buffer[] = [];
  let heldBytes = 0;
  let neededBytes = HEAD_BYTES;
  let rows = 0;
  let text: string | null = null;
  let refusal: Error | null = null;

  const read = (type: string, body: Buffer): void => {
    if (type === 'D') {
      if (++rows > 1) throw new Error('more than one row');
      text = readColumn(body);
    } else if (type === '1') known();
    else if (type === 'E') refusal = readRefusal(body);
    else if (type === 'Z') {
      const [said, refused] = [text, refusal];
      [rows, text, refusal] = [0, null, null];
      done(said, refused);
    } else if (!'2CNSA'.includes(type)) throw new Error(`a message of the type ${JSON.stringify(type)}`);
  };
  const take = (chunk: Buffer): void => {
    heldBytes += chunk.length;
    if (pieces.length > 0 || heldBytes < neededBytes) pieces.push(chunk);
    if (heldBytes < neededBytes) return;
    const bytes = pieces.length === 0 ? chunk : Buffer.concat(pieces);
    let at = 0;
    neededBytes = HEAD_BYTES;
    while (bytes.length - at >= neededBytes) {
      const lengthBytes = bytes.readUInt32BE(at + 1);
      if (lengthBytes < LENGTH_BYTES_LEAST) throw new Error('a message shorter than its own length');
      neededBytes = 1 + lengthBytes;
      if (bytes.length - at < neededBytes) break;
      read(String.fromCharCode(bytes[at] ?? 0), bytes.subarray(at + HEAD_BYTES, at + neededBytes));
      at += neededBytes;
      neededBytes = HEAD_BYTES;
    }
    heldBytes = bytes.length - at;
    pieces = heldBytes === 0 ? [] : [bytes.subarray(at)];
  };
  return { take, refusal: () => refusal };
}

function readColumn(body: Buffer): string | null {
  if (body.readUInt16BE(0) !== 1) throw new Error('a row of another shape');
  const lengthBytes = body.readInt32BE(2);
  if (lengthBytes === -1) return null;
  if (lengthBytes !== body.length - 6) throw new Error('a column longer than its row');
  return body.toString('utf8', 6);
}

/** As pg tells it, so that it is understood in the same places. */
function readRefusal(body: Buffer): Error {
  const fields = new Map(body.toString('utf8').split('\0').map((field) => [field.charAt(0), field.slice(1)]));
  const refusal = new pg.DatabaseError(fields.get('M') ?? 'no message', body.length, 'error');
  refusal.code = fields.get('C');
  refusal.severity = fields.get('S');
  return refusal;
}

function message(type: string, body: string): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(type);
  head.writeUInt32BE(LENGTH_BYTES_LEAST + bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function ignore(): void {
  return undefined;
}
