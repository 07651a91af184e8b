// Keys of other people's APIs, in files that somebody rotates while this daemon runs. Read at every use; what cannot be used for a
// moment, because it is being replaced, leaves the last one in force. No message quotes what is in such a file.

import { readFileSync } from 'node:fs';

export type Secret =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly code: 'CTM_CONFIG_UNREADABLE' | 'CTM_KEY_INVALID'; readonly message: string };

const ONE_LINE = /^[\x21-\x7e]{1,4096}$/;

/** `field`: where the configuration names the file. */
export function readSecret(field: string, file: string): Secret {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return { ok: false, code: 'CTM_CONFIG_UNREADABLE', message: `${field} ${file}: ${(error as Error).message}` };
  }
  const value = text.trim();
  if (ONE_LINE.test(value)) return { ok: true, value };
  return { ok: false, code: 'CTM_KEY_INVALID', message: `${field} ${file}: use one line of printable characters, at most 4096` };
}

export type SecretOptions = {
  readonly field: string;
  readonly file: string;
  /** As read at the start. */
  readonly first: string;
  readonly onRotated: () => void;
  /** Once for each reason, until it can be used again. */
  readonly onUnusable: (message: string) => void;
};

export function rotatingSecret({ field, file, first, onRotated, onUnusable }: SecretOptions): () => string {
  let last = first;
  let told: string | null = null;
  return () => {
    const read = readSecret(field, file);
    if (read.ok && read.value !== last) onRotated();
    if (read.ok) last = read.value;
    else if (read.message !== told) onUnusable(read.message);
    told = read.ok ? null : read.message;
    return last;
  };
}
