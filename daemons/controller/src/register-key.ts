// This region's key at the DNS register, in a file that somebody replaces while the controller runs.

import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { readTsigSecret, TSIG_SECRET_FIX } from '@continuum/adapters/dns-register/options';
import { rotating } from '@continuum/runtime';
import type { Reading } from '@continuum/runtime';

export type RegisterKeyOptions = {
  readonly file: string;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** For the metrics. */
  readonly onUnusable: (unusable: boolean) => void;
};

/** The secret, read again at each call. Throws when there is none at the start. */
export function registerKey({ file, log, onUnusable }: RegisterKeyOptions): () => string {
  const field = `local.dnsRegister.keyFile ${file}`;
  const read = (): Reading<string> => {
    try {
      const value = readFileSync(file, 'utf8').trim();
      return readTsigSecret(value) === null ? { ok: false, message: `${field}: ${TSIG_SECRET_FIX}` } : { ok: true, value };
    } catch (error) {
      return { ok: false, message: `${field}: ${(error as Error).message}` };
    }
  };
  const first = read();
  if (!first.ok) throw new Error(first.message);
  return rotating({
    read,
    first: first.value,
    same: Object.is,
    onRotated: () => log.info({ event: 'register-key-rotated' }, `${field}: another key from now on`),
    onProblem: (message) => {
      onUnusable(message !== null);
      if (message !== null) log.warn({ event: 'register-key-unusable' }, `${message}; the last one stays in force`);
    },
  });
}
