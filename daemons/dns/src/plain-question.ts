// The one question that a beacon is there for, read and answered as bytes: TXT at `<nonce>.<lease>.<region>.<zone>`, with or without an
// empty EDNS record. The library's codec goes through every message bit by bit and takes longer than the signature. Whatever is not of
// exactly this shape is null here and takes the library's way; the fuzz holds both ways against each other.

import { readAttestationName } from '@continuum/core';
import type { AttestationQuestion } from '@continuum/core';
import { EDNS_BYTES } from './beacon.ts';

export type PlainQuestion = {
  readonly asked: AttestationQuestion;
  /** Where its question section ends. */
  readonly end: number;
  readonly edns: boolean;
};

const HEADER_BYTES = 12;
const NONCE_LABEL_BYTES = 33;
const LABEL_BYTES_MAX = 63;
const TXT_IN = 0x0010_0001;
const AUTHORITATIVE_ANSWER = 0x8400;
const TRUNCATED = 0x0200;
/** An EDNS record of version 0 without options; the size that it offers, in bytes 3 and 4, may be any. */
const EDNS_RECORD = Buffer.from([0, 0, 41, EDNS_BYTES >> 8, EDNS_BYTES & 255, 0, 0, 0, 0, 0, 0]);
/** The name of the question again, TXT, IN, a TTL of 0; the lengths follow. */
const ANSWER_START = Buffer.from([0xc0, HEADER_BYTES, 0, 16, 0, 1, 0, 0, 0, 0]);

/** Reads questions in `<region>.<zone>`; the zone as a beacon has it. */
export function plainQuestions(region: string, zone: string): (bytes: Buffer) => PlainQuestion | null {
  const apex = wireName(`${region}.${zone}`);
  return (bytes) => {
    const leaseAt = HEADER_BYTES + NONCE_LABEL_BYTES;
    if (bytes.length < leaseAt + 1 + apex.length + 4 || bytes[HEADER_BYTES] !== NONCE_LABEL_BYTES - 1) return null;
    // A question and nothing else but the wish to recurse; one question, no answers, perhaps one more record.
    if ((bytes[2] ?? 0) > 1 || bytes.readUInt16BE(4) !== 1 || bytes.readUInt32BE(6) !== 0) return null;
    const apexAt = leaseAt + 1 + (bytes[leaseAt] ?? 0);
    const end = apexAt + apex.length + 4;
    if (apexAt > leaseAt + 1 + LABEL_BYTES_MAX || end > bytes.length || bytes.readUInt32BE(end - 4) !== TXT_IN) return null;
    if (!apex.equals(lowerCase(bytes.subarray(apexAt, end - 4)))) return null;
    const edns = bytes.readUInt16BE(10);
    if (edns > 1 || !(edns === 1 ? isEmptyEdns(bytes.subarray(end)) : bytes.length === end)) return null;
    const nonce = bytes.toString('latin1', HEADER_BYTES + 1, leaseAt);
    const asked = readAttestationName(`${nonce}.${bytes.toString('latin1', leaseAt + 1, apexAt)}.${region}.${zone}`, zone);
    return asked === null ? null : { asked, end, edns: edns === 1 };
  };
}

/** The answer to a question that was read from `request`: one text of at most 255 ASCII characters. */
export function plainAnswer(request: Buffer, { end, edns }: PlainQuestion, text: string): Buffer {
  const textAt = end + ANSWER_START.length + 3;
  const answer = Buffer.allocUnsafe(textAt + text.length + (edns ? EDNS_RECORD.length : 0));
  copyQuestion(answer, request, end, 0);
  answer.writeUInt16BE(1, 6);
  answer.writeUInt16BE(edns ? 1 : 0, 10);
  ANSWER_START.copy(answer, end);
  answer.writeUInt16BE(text.length + 1, textAt - 3);
  answer.writeUInt8(text.length, textAt - 1);
  answer.write(text, textAt, 'latin1');
  if (edns) EDNS_RECORD.copy(answer, textAt + text.length);
  return answer;
}

/** The same cut to its question, so that whoever really asked comes back over TCP. */
export function plainCut(request: Buffer, { end }: PlainQuestion): Buffer {
  const answer = Buffer.allocUnsafe(end);
  copyQuestion(answer, request, end, TRUNCATED);
  answer.writeUInt16BE(0, 10);
  return answer;
}

/** The flags of an authoritative answer, with the wish to recurse repeated. */
function copyQuestion(answer: Buffer, request: Buffer, end: number, more: number): void {
  request.copy(answer, 0, 0, end);
  answer.writeUInt16BE(AUTHORITATIVE_ANSWER | more | (((request[2] ?? 0) & 1) << 8), 2);
}

function isEmptyEdns(bytes: Buffer): boolean {
  const same = (from: number, to: number): boolean => EDNS_RECORD.compare(bytes, from, to, from, to) === 0;
  return bytes.length === EDNS_RECORD.length && same(0, 3) && same(5, EDNS_RECORD.length);
}

function wireName(name: string): Buffer {
  return Buffer.from(name.split('.').map((label) => `${String.fromCharCode(label.length)}${label}`).join('').concat('\0'), 'latin1');
}

/** Only letters have a case; the lengths of labels lie below them. */
function lowerCase(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte)));
}
