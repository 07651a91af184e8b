// One TXT question to a resolver and what may answer it, as bytes. Stricter than the libraries' clients: dns2's believes an answer to
// another question, Node's hides what came with an answer (TTL, authority, a chain of aliases). What is not an answer to exactly this
// question is passed over, because whoever forges must not be able to end the wait; what answers it and is odd ends it unused.

import { assert } from '@continuum/core';
import { Packet } from 'dns2';
import { plainText } from './plain-answer.ts';

export const EDNS_BYTES = 1_232;
const HEADER_BYTES = 12;
const RESPONSE_BYTES_MAX = 4_096;
const QR_AND_OPCODE = 0xf8;
const QR = 0x80;
const TRUNCATED = 0x02;
const { TYPE, CLASS, RCODE } = Packet;
/** Recursion wished for, one question, one more record. */
const QUESTION_HEADER = Buffer.from([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
const EDNS_RECORD = Buffer.from([0, 0, TYPE.EDNS, EDNS_BYTES >> 8, EDNS_BYTES & 255, 0, 0, 0, 0, 0, 0]);
const LABEL_LENGTH_MAX = 63;
const LETTER_A = 97;
const LETTER_Z = 122;
/** From a letter to the same in upper case. */
const UPPER_CASE = 32;

export type Question = {
  readonly id: number;
  /** As asked, in mixed case. */
  readonly name: string;
  readonly bytes: Buffer;
  /** Where the question section ends in `bytes`. */
  readonly questionEnd: number;
};

export type Reading =
  /** Not an answer to this question: nothing happened. */
  | { readonly kind: 'not-ours' }
  | { readonly kind: 'truncated' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'nothing'; readonly reason: string }
  | { readonly kind: 'unusable'; readonly reason: string };

/** `random`: bytes that nobody can guess; its first two are the identifier, the rest the case of each letter (0x20). */
export function makeQuestion(name: string, random: Uint8Array, overHttps = false): Question {
  // RFC 8484: over HTTPS the identifier is 0, and TLS says whose answer it is.
  const id = overHttps ? 0 : ((random[0] ?? 0) << 8) | (random[1] ?? 0);
  // On the wire a name takes two bytes more than its text; a type and a class follow it.
  const questionEnd = HEADER_BYTES + name.length + 2 + 4;
  const bytes = Buffer.alloc(questionEnd + EDNS_RECORD.length);
  bytes.writeUInt16BE(id);
  QUESTION_HEADER.copy(bytes, 2);
  const textAt = HEADER_BYTES + 1;
  bytes.write(name, textAt, 'latin1');
  mixCase(bytes.subarray(textAt, textAt + name.length), random.subarray(2));
  const mixed = bytes.toString('latin1', textAt, textAt + name.length);
  // Each label's length stands where the dot before it does in the text.
  for (let from = 0; from <= mixed.length; ) {
    const dot = mixed.indexOf('.', from);
    const length = (dot < 0 ? mixed.length : dot) - from;
    assert(length >= 1 && length <= LABEL_LENGTH_MAX, 'QUESTION_LABEL', mixed);
    bytes[HEADER_BYTES + from] = length;
    from += length + 1;
  }
  bytes.writeUInt32BE((TYPE.TXT << 16) | CLASS.IN, questionEnd - 4);
  EDNS_RECORD.copy(bytes, questionEnd);
  return { id, name: mixed, bytes, questionEnd };
}

/** Never throws, whatever the bytes are. */
export function readAnswer(bytes: Buffer, asked: Question): Reading {
  if (bytes.length < asked.questionEnd || bytes.length > RESPONSE_BYTES_MAX || !answersTo(bytes, asked)) return { kind: 'not-ours' };
  const text = plainText(bytes, asked.questionEnd);
  return text === null ? readByLibrary(bytes, asked) : { kind: 'text', text };
}

/** What `readAnswer` makes of an answer to this question, in whatever shape it comes. */
export function readByLibrary(bytes: Buffer, asked: Question): Exclude<Reading, { kind: 'not-ours' }> {
  if (((bytes[2] ?? 0) & TRUNCATED) !== 0) return { kind: 'truncated' };
  const answers = bytes.readUInt16BE(6);
  if (answers > 1) return { kind: 'unusable', reason: `${answers} records` };
  let packet: Packet;
  try {
    packet = Packet.parse(bytes);
  } catch {
    return { kind: 'unusable', reason: 'malformed' };
  }
  if (packet.errors.length > 0) return { kind: 'unusable', reason: 'malformed' };
  return readRecord(packet, asked);
}

function mixCase(letters: Buffer, random: Uint8Array): void {
  for (let index = 0; index < letters.length; index++) {
    const letter = letters[index] ?? 0;
    const bit = ((random[index >> 3] ?? 0) >> (index & 7)) & 1;
    if (bit === 1 && letter >= LETTER_A && letter <= LETTER_Z) letters[index] = letter - UPPER_CASE;
  }
}

function answersTo(bytes: Buffer, { id, bytes: question, questionEnd }: Question): boolean {
  if (bytes.readUInt16BE(0) !== id || ((bytes[2] ?? 0) & QR_AND_OPCODE) !== QR) return false;
  if (bytes.readUInt16BE(4) !== 1) return false;
  // Name, type and class byte for byte: the case too, which a forger would have to guess.
  return bytes.subarray(HEADER_BYTES, questionEnd).equals(question.subarray(HEADER_BYTES, questionEnd));
}

function readRecord({ header, answers: [answer] }: Packet, asked: Question): Exclude<Reading, { kind: 'not-ours' }> {
  const { rcode } = header;
  if (rcode === RCODE.SERVFAIL) return { kind: 'nothing', reason: 'SERVFAIL' };
  if (rcode === RCODE.REFUSED) return { kind: 'nothing', reason: 'REFUSED' };
  // The beacon's names always exist: one that does not is blocked here, or was never delegated.
  if (rcode === RCODE.NXDOMAIN) return { kind: 'unusable', reason: 'NXDOMAIN' };
  if (rcode !== RCODE.NOERROR) return { kind: 'unusable', reason: `response code ${rcode}` };
  if (answer === undefined) return { kind: 'nothing', reason: 'no record' };
  if (answer.type !== TYPE.TXT || answer.class !== CLASS.IN) return { kind: 'unusable', reason: `a record of type ${Packet.typeName(answer.type)}` };
  if (answer.name.toLowerCase() !== asked.name.toLowerCase()) return { kind: 'unusable', reason: 'a record of another name' };
  const { data } = answer;
  const [text] = Array.isArray(data) ? data : [];
  if (!Array.isArray(data) || data.length !== 1 || text === undefined) return { kind: 'unusable', reason: 'not one string' };
  return { kind: 'text', text };
}
