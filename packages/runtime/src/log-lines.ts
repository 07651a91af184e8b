// Where a daemon's log lines go: standard output, whatever stands behind it. A collector that reads no more and a full disk must not
// stop a daemon, whose word about the lease is due in milliseconds: pino's own destination waits for the reader in both cases.
// Lines that cannot be written are counted and given up, and the log says so as soon as it takes lines again.

import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** What may wait for a reader that is behind. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** pino's number for a warning. */
const WARN = 40;

export type LogLines = {
  /** One line with its end; never throws, never waits. */
  readonly write: (line: string) => void;
};

/** Lines to an open descriptor: a pipe or socket through its queue, a file or terminal at once. */
export function logLines(fd = 1): LogLines {
  const put = writerFor(fd);
  let lost = 0;
  return {
    write: (line) => {
      const notice = lost === 0 ? '' : `${JSON.stringify({ level: WARN, lost, msg: 'lines of this log were lost: nobody took them' })}\n`;
      if (put(notice + line)) lost = 0;
      else lost++;
    },
  };
}

/** Whether the text was taken. */
type Put = (text: string) => boolean;

function writerFor(fd: number): Put {
  const kind = fstatSync(fd);
  return kind.isFIFO() || kind.isSocket() ? queued(fd) : direct(fd);
}

function queued(fd: number): Put {
  const socket = new Socket({ fd, readable: false, writable: true });
  let broken = false;
  // The reader is gone: there is nobody to tell it to.
  socket.on('error', () => {
    broken = true;
  });
  return (text) => {
    if (broken || socket.writableLength + text.length > WAITING_BYTES_MAX) return false;
    socket.write(text);
    return true;
  };
}

function direct(fd: number): Put {
  // The end of a line that a full disk has cut: it comes first when there is room again, or the next line would be glued to its beginning.
  let rest: Buffer = Buffer.alloc(0);
  const drain = (): boolean => {
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
      return true;
    } catch {
      return false;
    }
  };
  return (text) => {
    if (!drain()) return false;
    rest = Buffer.from(text);
    const whole = rest.length;
    if (drain() || rest.length < whole) return true;
    rest = Buffer.alloc(0);
    return false;
  };
}
