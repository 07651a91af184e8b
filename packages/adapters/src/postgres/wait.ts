// Waiting that always ends: by its condition or by its signal.

import { setTimeout as delay } from 'node:timers/promises';

/** Polls until `condition` gives a value. Rejects with the signal's reason. */
export async function pollUntil<T>(
  signal: AbortSignal,
  everyMs: number,
  condition: () => Promise<T | null> | T | null,
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const value = await condition();
    if (value !== null) return value;
    await delay(everyMs, undefined, { signal });
  }
}

/** The same, but the end of the signal is an answer: null. */
export async function pollWhile<T>(
  signal: AbortSignal,
  everyMs: number,
  condition: () => Promise<T | null> | T | null,
): Promise<T | null> {
  try {
    return await pollUntil(signal, everyMs, condition);
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

/** One caller at a time; a caller whose signal ends while it waits gives up its turn. */
export function createTurnstile(): <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return async (signal, work) => {
    const before = last;
    const { promise: turn, resolve: leave } = Promise.withResolvers<void>();
    last = before.then(() => turn);
    try {
      await abortable(signal, before);
      return await work();
    } finally {
      leave();
    }
  };
}

/** Settles as `promise` does, or rejects with the signal's reason when that comes first. */
export function abortable<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
