// Keys in files: those of other people's APIs, and this region's own. No message quotes what is in such a file.

import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

export type Secret<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: 'CTM_CONFIG_UNREADABLE' | 'CTM_KEY_INVALID'; readonly message: string };

const ONE_LINE = /^[\x21-\x7e]{1,4096}$/;

/** `field`: where the configuration names the file. */
export function readSecret(field: string, file: string): Secret<string> {
  const read = readText(field, file);
  if (!read.ok) return read;
  const value = read.value.trim();
  return ONE_LINE.test(value) ? { ok: true, value } : invalid(field, file, 'use one line of printable characters, at most 4096');
}

/** An Ed25519 key as PKCS #8 PEM. */
export function readPrivateKey(field: string, file: string): Secret<KeyObject> {
  const read = readText(field, file);
  if (!read.ok) return read;
  let key: KeyObject;
  try {
    key = createPrivateKey(read.value);
  } catch {
    return invalid(field, file, 'use an Ed25519 key as PKCS #8 PEM (openssl genpkey -algorithm ed25519)');
  }
  if (key.asymmetricKeyType === 'ed25519') return { ok: true, value: key };
  return invalid(field, file, `it is a key of type ${key.asymmetricKeyType}; use an Ed25519 key`);
}

function readText(field: string, file: string): Secret<string> {
  try {
    return { ok: true, value: readFileSync(file, 'utf8') };
  } catch (error) {
    return { ok: false, code: 'CTM_CONFIG_UNREADABLE', message: `${field} ${file}: ${(error as Error).message}` };
  }
}

const invalid = (field: string, file: string, fix: string): Secret<never> => ({ ok: false, code: 'CTM_KEY_INVALID', message: `${field} ${file}: ${fix}` });
