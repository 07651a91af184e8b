// A connection to a server on which one prepared question is asked over and over: what is sent and what is heard, in
// PostgreSQL's own messages. One object and one socket are all that is kept; of a plain connection even the memory that is
// read into is everybody's.

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import type { AnswerGuard, Ear } from './answer-guard.ts';
import { DatabaseProblem } from './problem.ts';

/** The messages of one statement that takes no values and answers one row of one text column. */
export type Question = {
  /** On a new connection: prepares it, and asks. */
  readonly first: Buffer;
  readonly again: Buffer;
};

type Waiting = { readonly resolve: (text: string | null) => void; readonly reject: (error: unknown) => void };

const HEAD_BYTES = 5;
const LENGTH_BYTES_LEAST = 4;
/** Before the bytes of a row's one column: how many columns there are, and how long this one is. */
const COLUMN_HEAD_BYTES = 6;
const [ROW, PREPARED, REFUSED, READY] = ['D', '1', 'E', 'Z'].map((type) => type.charCodeAt(0));
const PASSED_OVER: readonly number[] = [...Buffer.from('2CNSA')];

export function toQuestion(name: string, text: string): Question {
  const again = Buffer.concat([message('B', `\0${name}\0\0\0\0\0\0\0`), message('E', '\0\0\0\0\0'), message('S', '')]);
  return { first: Buffer.concat([message('P', `${name}\0${text}\0\0\0`), again]), again };
}

/** A class and not closures: a prober of a thousand clusters keeps two thousand of these. */
export class Line implements Ear {
  readonly #stream: Duplex;
  readonly #socket: Socket;
  readonly #question: Question;
  readonly #guard: AnswerGuard;
  #waiting: Waiting | null = null;
  /** Called when what is under way is over. */
  #onFree: (() => void)[] | null = null;
  #isKnown = false;
  #isBroken = false;
  #watched: AbortSignal | null = null;
  /** What came of a message that is not whole yet. */
  #pieces: Buffer[] | null = null;
  #heldBytes = 0;
  #neededBytes = HEAD_BYTES;
  #rows = 0;
  #text: string | null = null;
  #refusal: Error | null = null;

  /** `stream` is `socket`, or TLS over it: nobody else follows its errors and its end from now on. What it says comes in through `take`. */
  constructor(stream: Duplex, socket: Socket, question: Question, guard: AnswerGuard) {
    this.#stream = stream;
    this.#socket = socket;
    this.#question = question;
    this.#guard = guard;
    stream.on('error', (error) => this.#end(error));
    stream.on('close', () => this.#end(this.#refusal ?? new DatabaseProblem('CTM_DATABASE_UNREACHABLE', 'Connection terminated unexpectedly')));
  }

  isBroken(): boolean {
    return this.#isBroken || this.#stream.destroyed;
  }

  /** Null when it can be asked, else resolves when that may have changed. */
  busy(): Promise<void> | null {
    if (this.#waiting === null) return null;
    return new Promise((resolve) => {
      (this.#onFree ??= []).push(resolve);
    });
  }

  /** The column; null when there was no row, or nothing in it. Only while nothing else is asked. */
  ask(signal: AbortSignal): Promise<string | null> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      this.#guard.begin();
      this.#watch(signal);
      this.#waiting = { resolve, reject };
      this.#stream.write(this.#isKnown ? this.#question.again : this.#question.first);
    });
  }

  /** Ends the connection, and what is asked on it. */
  close(): void {
    this.#stream.destroy();
    this.#socket.destroy();
  }

  handleEvent(): void {
    if (this.#waiting !== null) this.#end(this.#watched?.reason);
  }

  take(chunk: Buffer, count: number): void {
    this.#heldBytes += count;
    if (this.#pieces === null && this.#heldBytes >= this.#neededBytes) return this.#readAll(chunk, count);
    (this.#pieces ??= []).push(Buffer.from(chunk.subarray(0, count)));
    if (this.#heldBytes < this.#neededBytes) return;
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = null;
    this.#readAll(whole, whole.length);
  }

  #readAll(bytes: Buffer, count: number): void {
    let at = 0;
    this.#neededBytes = HEAD_BYTES;
    while (count - at >= this.#neededBytes) {
      const lengthBytes = bytes.readUInt32BE(at + 1);
      if (lengthBytes < LENGTH_BYTES_LEAST) throw new Error('a message shorter than its own length');
      this.#neededBytes = 1 + lengthBytes;
      if (count - at < this.#neededBytes) break;
      const end = at + this.#neededBytes;
      this.#read(bytes, at + HEAD_BYTES, end);
      at = end;
      this.#neededBytes = HEAD_BYTES;
    }
    this.#heldBytes = count - at;
    if (this.#heldBytes > 0) this.#pieces = [Buffer.from(bytes.subarray(at, count))];
  }

  /** One message, its body from `start` to `end`. */
  #read(bytes: Buffer, start: number, end: number): void {
    const type = bytes[start - HEAD_BYTES];
    if (type === ROW) {
      if (++this.#rows > 1) throw new Error('more than one row');
      this.#text = readColumn(bytes, start, end);
    } else if (type === PREPARED) this.#isKnown = true;
    else if (type === REFUSED) this.#refusal = readRefusal(bytes.toString('utf8', start, end));
    else if (type === READY) this.#answered();
    else if (type === undefined || !PASSED_OVER.includes(type)) throw new Error(`a message of the type ${JSON.stringify(String.fromCharCode(type ?? 0))}`);
  }

  #answered(): void {
    const [text, refusal, waiting] = [this.#text, this.#refusal, this.#waiting];
    this.#rows = 0;
    this.#text = null;
    this.#refusal = null;
    if (waiting === null) throw new Error('an answer to no question');
    this.#waiting = null;
    if (refusal === null) waiting.resolve(text);
    else waiting.reject(refusal);
    this.#tellFree();
  }

  #end(error: unknown): void {
    this.#isBroken = true;
    this.#stream.destroy();
    this.#watched?.removeEventListener('abort', this);
    this.#watched = null;
    this.#waiting?.reject(error);
    this.#waiting = null;
    this.#tellFree();
  }

  #tellFree(): void {
    if (this.#onFree === null) return;
    const told = this.#onFree;
    this.#onFree = null;
    for (const tell of told) tell();
  }

  /** Most callers use one signal until it was needed: it is listened to once, not with every question. */
  #watch(signal: AbortSignal): void {
    if (signal === this.#watched) return;
    this.#watched?.removeEventListener('abort', this);
    signal.addEventListener('abort', this);
    this.#watched = signal;
  }
}

function readColumn(bytes: Buffer, start: number, end: number): string | null {
  if (end - start < 2 || bytes.readUInt16BE(start) !== 1) throw new Error('a row of another shape');
  if (end - start < COLUMN_HEAD_BYTES) throw new Error('a row without its column');
  const lengthBytes = bytes.readInt32BE(start + 2);
  if (lengthBytes === -1) return null;
  if (lengthBytes !== end - start - COLUMN_HEAD_BYTES) throw new Error('a column longer than its row');
  return bytes.toString('utf8', start + COLUMN_HEAD_BYTES, end);
}

/** As pg tells it, so that it is understood in the same places. */
function readRefusal(body: string): Error {
  const fields = new Map(body.split('\0').map((field) => [field.charAt(0), field.slice(1)]));
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
