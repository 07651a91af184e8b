// A server is not trusted to answer sanely. One that sends without end must not fill this process's memory, and one that
// sends garbage makes a parser throw inside a socket's event, where no caller could catch it: both end the connection.

import type { Duplex } from 'node:stream';
import { DatabaseProblem } from './problem.ts';

/** Who reads what a server says. Throws for what is not of the protocol. */
export type Ear = {
  /** The first `count` of these bytes, which are somebody else's afterwards. */
  readonly take: (bytes: Buffer, count: number) => void;
};

/** Of one connection. A class: there are thousands of these, and a closure a function would be kept for each. */
export class AnswerGuard {
  readonly #answerBytesMax: number;
  #bytes = 0;

  constructor(answerBytesMax: number) {
    this.#answerBytesMax = answerBytesMax;
  }

  /** A statement is sent: its answer is counted from here. */
  begin(): void {
    this.#bytes = 0;
  }

  /** Lets `ear` hear what came in on this stream, unless it is too much. False: the connection is dropped. */
  hear(stream: Duplex, ear: Ear, bytes: Buffer, count: number): boolean {
    this.#bytes += count;
    if (this.#bytes > this.#answerBytesMax) return drop(stream, `an answer of more than ${this.#answerBytesMax} bytes`);
    try {
      ear.take(bytes, count);
      return true;
    } catch (error) {
      return drop(stream, 'an answer that is not of the protocol', error);
    }
  }

  /** Does so with all that this stream hands to the listeners of its data. */
  watch(stream: Duplex): void {
    const emit = stream.emit.bind(stream) as (event: string | symbol, ...args: unknown[]) => boolean;
    const ear: Ear = { take: (bytes) => emit('data', bytes) };
    stream.emit = (event: string | symbol, ...args: unknown[]): boolean => {
      const [bytes] = args;
      return event === 'data' && bytes instanceof Buffer ? this.hear(stream, ear, bytes, bytes.length) : emit(event, ...args);
    };
  }
}

function drop(stream: Duplex, what: string, cause?: unknown): boolean {
  stream.destroy(new DatabaseProblem('CTM_DATABASE_GARBAGE', `${what}; the connection is dropped`, cause));
  return false;
}
