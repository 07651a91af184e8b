// A server is not trusted to answer sanely. One that sends without end must not fill this process's memory, and one that
// sends garbage makes pg's parser throw inside a socket's event, where no caller could catch it: both end the connection.

import type { Duplex } from 'node:stream';
import { DatabaseProblem } from './problem.ts';

export type AnswerGuard = {
  /** Watches what this stream hands to its listeners. */
  readonly watch: (stream: Duplex) => void;
  /** A statement is sent: its answer is counted from here. */
  readonly begin: () => void;
};

export function guardAnswers(answerBytesMax: number): AnswerGuard {
  let bytes = 0;
  const watch = (stream: Duplex): void => {
    const emit = stream.emit.bind(stream) as (event: string | symbol, ...args: unknown[]) => boolean;
    stream.emit = (event: string | symbol, ...args: unknown[]): boolean => {
      if (event !== 'data') return emit(event, ...args);
      bytes += args[0] instanceof Buffer ? args[0].length : 0;
      if (bytes > answerBytesMax) return drop(stream, `an answer of more than ${answerBytesMax} bytes`);
      try {
        return emit(event, ...args);
      } catch (error) {
        return drop(stream, 'an answer that is not of the protocol', error);
      }
    };
  };
  return {
    watch,
    begin: () => {
      bytes = 0;
    },
  };
}

function drop(stream: Duplex, what: string, cause?: unknown): boolean {
  stream.destroy(new DatabaseProblem('CTM_DATABASE_GARBAGE', `${what}; the connection is dropped`, cause));
  return false;
}
