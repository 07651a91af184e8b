// Ed25519 keys in the forms that operators have them in: PKCS #8 PEM or JWK for private keys (`openssl genpkey
// -algorithm ed25519` writes the former), raw base64url or JWK for public ones. WebCrypto only, so that the same code
// runs in workerd and in Node. No error here quotes key material.

import { webcrypto } from 'http-message-sig';
import type { Signer, Verifier } from 'http-message-sig';

/** `<region>/<label>`; the witness's own keys are `witness/<label>`. */
export type KeyId = string;
export type SigningKey = { readonly keyId: KeyId; readonly signer: Signer };
/** The public keys that count, by key id. A key that is not in here does not exist. */
export type KeyRing = ReadonlyMap<KeyId, Verifier>;

export type PublicKey = string | { readonly kty: string; readonly crv?: string; readonly x?: string };
export type PrivateKey = string | { readonly kty: string; readonly crv?: string; readonly x?: string; readonly d?: string };

/** A key that cannot be used: a mistake in the configuration. `code` is stable. */
export class KeyError extends Error {
  readonly code = 'CTM_KEY_INVALID';
  constructor(detail: string, cause?: unknown) {
    super(detail, { cause });
    this.name = 'KeyError';
  }
}

const ALGORITHM = 'Ed25519';
const PUBLIC_KEY_BYTES = 32;
const KEY_ID = /^[a-z0-9][a-z0-9-]{0,30}\/[A-Za-z0-9._-]{1,32}$/;

/** The region that a key speaks for. Throws `KeyError` for something that is not a key id. */
export function keyRegion(keyId: KeyId): string {
  if (!KEY_ID.test(keyId)) throw new KeyError(`key id ${keyId.slice(0, 80)}: use <region>/<label>, for example r1/2026-11`);
  return keyId.slice(0, keyId.indexOf('/'));
}

export async function importSigningKey(keyId: KeyId, privateKey: PrivateKey): Promise<SigningKey> {
  keyRegion(keyId);
  try {
    const key = isPem(privateKey)
      ? await crypto.subtle.importKey('pkcs8', pemBytes(privateKey), ALGORITHM, false, ['sign'])
      : await crypto.subtle.importKey('jwk', jwk(privateKey), ALGORITHM, false, ['sign']);
    return { keyId, signer: webcrypto.signer(key) };
  } catch (cause) {
    throw new KeyError(`private key ${keyId}: use an Ed25519 key as PKCS #8 PEM (BEGIN PRIVATE KEY) or as JWK`, cause);
  }
}

export async function importKeyRing(publicKeys: Readonly<Record<KeyId, PublicKey>>): Promise<KeyRing> {
  const entries = Object.entries(publicKeys).map(async ([keyId, key]) => [keyId, await importPublicKey(keyId, key)] as const);
  return new Map(await Promise.all(entries));
}

async function importPublicKey(keyId: KeyId, publicKey: PublicKey): Promise<Verifier> {
  const raw = publicKeyBytes(keyId, publicKey);
  try {
    return webcrypto.verifier(await crypto.subtle.importKey('raw', raw, ALGORITHM, true, ['verify']));
  } catch (cause) {
    throw new KeyError(publicKeyFix(keyId), cause);
  }
}

/** What to do about a key that came before under another id, else null: one key for two regions lets one speak for the other. Throws as `publicKeyBytes`. */
export function sharedKeyCheck(): (keyId: KeyId, publicKey: PublicKey) => string | null {
  const owners = new Map<string, KeyId>();
  return (keyId, publicKey) => {
    const bytes = publicKeyBytes(keyId, publicKey).join();
    const other = owners.get(bytes);
    owners.set(bytes, keyId);
    return other === undefined ? null : `use another key than ${other}: each key is one region's own`;
  };
}

/** The 32 bytes of a public key in either of its forms. Throws `KeyError` for what is none, or has no proper key id. */
export function publicKeyBytes(keyId: KeyId, publicKey: PublicKey): Uint8Array<ArrayBuffer> {
  keyRegion(keyId);
  try {
    const x = typeof publicKey === 'string' && !publicKey.startsWith('{') ? publicKey : jwk(publicKey).x;
    const raw = base64Decode(x ?? '');
    if (raw.byteLength !== PUBLIC_KEY_BYTES) throw new KeyError(`${raw.byteLength} bytes instead of ${PUBLIC_KEY_BYTES}`);
    return raw;
  } catch (cause) {
    throw new KeyError(publicKeyFix(keyId), cause);
  }
}

const publicKeyFix = (keyId: KeyId): string => `public key ${keyId}: use the 32 bytes of an Ed25519 public key in base64url, or a JWK`;

/** A new pair: the private half as PEM for a file of mode 0600, the public half as text for a configuration. */
export async function generateKeyPair(): Promise<{ privateKey: string; publicKey: string }> {
  const pair = (await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as KeyPair;
  const pkcs8 = base64Encode(new Uint8Array((await crypto.subtle.exportKey('pkcs8', pair.privateKey)) as ArrayBuffer));
  const raw = new Uint8Array((await crypto.subtle.exportKey('raw', pair.publicKey)) as ArrayBuffer);
  return {
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    publicKey: base64UrlEncode(raw),
  };
}

export function base64Encode(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

export function base64UrlEncode(bytes: Uint8Array): string {
  return base64Encode(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Standard or URL alphabet. Throws for anything else. */
export function base64Decode(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
}

type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
type KeyPair = { publicKey: Key; privateKey: Key };

function isPem(key: PrivateKey): key is string {
  return typeof key === 'string' && key.trimStart().startsWith('-----BEGIN');
}

function pemBytes(pem: string): Uint8Array<ArrayBuffer> {
  const body = /-----BEGIN PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END PRIVATE KEY-----/.exec(pem)?.[1];
  if (body === undefined) throw new KeyError('not a BEGIN PRIVATE KEY block');
  return base64Decode(body.replace(/\s+/g, ''));
}

function jwk(key: PrivateKey | PublicKey): { kty: string; crv?: string; x?: string; d?: string } {
  const { kty, crv, x, d } = (typeof key === 'string' ? JSON.parse(key) : key) as Record<string, unknown>;
  if (kty !== 'OKP' || crv !== ALGORITHM || typeof x !== 'string') throw new KeyError('not an OKP Ed25519 JWK');
  return { kty, crv, x, ...(typeof d === 'string' ? { d } : {}) };
}
