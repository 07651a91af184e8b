// Transaction signatures (RFC 8945) with hmac-sha256: what a region sends to the register is signed under its own key, and
// an answer counts only when it is signed under the same key over the question that was asked. Bytes in, bytes out.

import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ResourceRecord } from './message.ts';
import { CLASS, concat, decodeMessage, encodeName, MESSAGE_BYTES_MAX, MessageError, Reader, TYPE, u16, u32 } from './message.ts';
import type { Message } from './message.ts';

export type TsigKey = {
  /** Lower case, with the final dot. */
  readonly name: string;
  readonly secret: Uint8Array;
};

export type Signed = { readonly bytes: Uint8Array; readonly mac: Uint8Array };

export type Verified =
  | { readonly ok: true; readonly message: Message }
  /** `problem` is for a log: it holds nothing of the key. */
  | { readonly ok: false; readonly reason: 'unsigned' | 'refused' | 'invalid'; readonly problem: string };

/** How far the two wall clocks may be apart, both ways. Nothing of the lease is judged by them. */
export const FUDGE_SECONDS = 300;

const ALGORITHM = encodeName('hmac-sha256.');
const ALGORITHM_NAME = 'hmac-sha256.';
const MAC_BYTES = 32;
const ADDITIONAL_COUNT_AT = 10;
const ERROR_TEXT: Readonly<Record<number, string>> = {
  16: 'BADSIG: the secret of the key differs from the one that the server has',
  17: 'BADKEY: the server does not know the key, or knows it with another algorithm',
  18: `BADTIME: the wall clocks of both ends are more than ${FUDGE_SECONDS} s apart`,
};

/** Signs a request at `wallSeconds`. */
export function signRequest(request: Uint8Array, key: TsigKey, wallSeconds: number): Signed {
  const name = encodeName(key.name);
  const variables = tsigVariables(name, wallSeconds, FUDGE_SECONDS, 0, new Uint8Array(0));
  const mac = hmac(key, [request, variables]);
  const id = request.subarray(0, 2);
  const data = concat([ALGORITHM, u48(wallSeconds), u16(FUDGE_SECONDS), u16(mac.length), mac, id, u16(0), u16(0)]);
  const record = concat([name, u16(TYPE.TSIG), u16(CLASS.ANY), u32(0), u16(data.length), data]);
  const bytes = concat([request, record]);
  if (bytes.length > MESSAGE_BYTES_MAX) throw new RangeError(`a message of ${bytes.length} bytes`);
  setAdditionalCount(bytes, 1);
  return { bytes, mac };
}

/** Whether `reply` was signed under `key` as the answer to the request that carried `requestMac`. Never throws. */
export function verifyReply(reply: Uint8Array, key: TsigKey, requestMac: Uint8Array, wallSeconds: number): Verified {
  try {
    const message = decodeMessage(reply);
    const last = message.additionals.at(-1);
    if (last === undefined || last.type !== TYPE.TSIG) {
      return { ok: false, reason: 'unsigned', problem: `it is not signed (rcode ${message.rcode})` };
    }
    const problem = check(reply, last, key, requestMac, wallSeconds);
    return problem ?? { ok: true, message };
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    return { ok: false, reason: 'invalid', problem: error.message };
  }
}

function check(
  reply: Uint8Array,
  record: ResourceRecord,
  key: TsigKey,
  requestMac: Uint8Array,
  wallSeconds: number,
): Extract<Verified, { ok: false }> | null {
  const no = (problem: string): Extract<Verified, { ok: false }> => ({ ok: false, reason: 'invalid', problem });
  const { algorithm, signedSeconds, fudgeSeconds, mac, originalId, error, other } = readTsig(record.data);
  if (record.name !== key.name) return no('it is signed under another key');
  if (algorithm !== ALGORITHM_NAME) return no('it is signed by another algorithm');
  if (error !== 0 && mac.length === 0) {
    return { ok: false, reason: 'refused', problem: ERROR_TEXT[error] ?? `signature error ${error}` };
  }
  if (mac.length !== MAC_BYTES) return no(`its signature has ${mac.length} bytes`);
  // A copy: `slice` of a Buffer would be the reply itself.
  const unsigned = Uint8Array.from(reply.subarray(0, record.offset));
  unsigned.set(u16(originalId), 0);
  setAdditionalCount(unsigned, new Reader(reply, ADDITIONAL_COUNT_AT).u16() - 1);
  const variables = tsigVariables(encodeName(record.name), signedSeconds, fudgeSeconds, error, other);
  const expected = hmac(key, [u16(requestMac.length), requestMac, unsigned, variables]);
  if (!timingSafeEqual(mac, expected)) return no('its signature does not fit');
  if (error !== 0) return { ok: false, reason: 'refused', problem: ERROR_TEXT[error] ?? `signature error ${error}` };
  if (Math.abs(signedSeconds - wallSeconds) > FUDGE_SECONDS) {
    return no(`it was signed ${Math.round(Math.abs(signedSeconds - wallSeconds))} s away from this machine's time`);
  }
  return null;
}

function readTsig(data: Uint8Array): {
  algorithm: string;
  signedSeconds: number;
  fudgeSeconds: number;
  mac: Uint8Array;
  originalId: number;
  error: number;
  other: Uint8Array;
} {
  const reader = new Reader(data);
  const algorithm = reader.name();
  const signedSeconds = reader.u16() * 2 ** 32 + reader.u32();
  const fudgeSeconds = reader.u16();
  const mac = reader.take(reader.u16());
  const [originalId, error] = [reader.u16(), reader.u16()];
  const other = reader.take(reader.u16());
  if (reader.offset !== data.length) throw new MessageError('a signature with something after it');
  return { algorithm, signedSeconds, fudgeSeconds, mac, originalId, error, other };
}

function tsigVariables(name: Uint8Array, signedSeconds: number, fudgeSeconds: number, error: number, other: Uint8Array): Uint8Array {
  const head = [name, u16(CLASS.ANY), u32(0), ALGORITHM, u48(signedSeconds), u16(fudgeSeconds)];
  return concat([...head, u16(error), u16(other.length), other]);
}

function hmac(key: TsigKey, parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHmac('sha256', key.secret);
  for (const part of parts) digest.update(part);
  return new Uint8Array(digest.digest());
}

function u48(seconds: number): Uint8Array {
  const whole = Math.floor(seconds);
  return concat([u16(Math.floor(whole / 2 ** 32)), u32(whole % 2 ** 32)]);
}

function setAdditionalCount(bytes: Uint8Array, count: number): void {
  bytes.set(u16(count), ADDITIONAL_COUNT_AT);
}
