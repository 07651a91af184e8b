// Sends every new report to the local controller, one JSON object a line, over a unix socket or loopback. Only the newest
// report of a cluster is ever sent: a reader that is slow or away misses looks, never gets old ones late.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { MonoMs } from '@continuum/core';
import type { ProberConfig } from './config.ts';
import type { Watcher } from './watcher.ts';

export type Push = {
  readonly changed: (watcher: Watcher) => void;
  readonly close: () => void;
};

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

export function createPush(target: ProberConfig['push'][number], now: () => MonoMs): Push {
  const fresh = new Map<string, Watcher>();
  let socket: Socket | null = null;
  let open = false;
  let writable = false;
  let closed = false;
  let retryMs = RETRY_MS_MIN;
  let timer: NodeJS.Timeout | undefined;

  const flush = (): void => {
    for (const [name, watcher] of fresh) {
      if (!open || !writable || socket === null) return;
      fresh.delete(name);
      writable = socket.write(`${JSON.stringify(watcher.report(now()))}\n`);
    }
  };
  const dial = (): void => {
    const dialled = 'socket' in target ? connect(target.socket) : connect(target.address.port, target.address.host);
    socket = dialled;
    dialled.on('connect', () => {
      [open, writable, retryMs] = [true, true, RETRY_MS_MIN];
      flush();
    });
    dialled.on('drain', () => {
      writable = true;
      flush();
    });
    // Nothing is expected back; what comes is read so that the other side's end is noticed.
    dialled.resume();
    dialled.on('error', () => dialled.destroy());
    dialled.on('close', () => {
      open = false;
      if (closed) return;
      timer = setTimeout(dial, retryMs * (0.5 + Math.random() / 2));
      retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
    });
  };
  dial();
  return {
    changed: (watcher) => {
      fresh.set(watcher.name, watcher);
      flush();
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
      socket?.destroy();
    },
  };
}
