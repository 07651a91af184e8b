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
/** Of the nonce, in hex: a label of its own, after its length. */
const NONCE_BYTES = 16;
const NONCE_LENGTH = 2 * NONCE_BYTES;
const NONCE_AT = HEADER_BYTES + 1;
/** What a question takes: nonce, identifier, and one bit for each letter of the longest name. */
export const RANDOM_BYTES = NONCE_BYTES + 2 + 32;
const CASE_AT = NONCE_BYTES + 2;
const LETTER_A = 97;
const LETTER_Z = 122;
/** From a letter to the same in upper case. */
const UPPER_CASE = 32;

export type Question = {
  readonly id: number;
  readonly nonce: string;
  /** What follows the nonce in the name, in lower case. */
  readonly restName: string;
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

/** The name in lower case and without a dot at its end; the nonce is its first label. Each question made of it has one of its own. */
export type QuestionForm = { readonly bytes: Buffer; readonly letters: readonly number[]; readonly restName: string; readonly questionEnd: number };

/** All that is the same in every question for `<nonce>.<restName>`, written once. */
export function questionForm(restName: string): QuestionForm {
  const labels = restName.split('.');
  // A name takes two bytes more than its text (a length, and the root); a type and a class follow it.
  const questionEnd = NONCE_AT + NONCE_LENGTH + 1 + restName.length + 1 + 4;
  const bytes = Buffer.alloc(questionEnd + EDNS_RECORD.length);
  QUESTION_HEADER.copy(bytes, 2);
  bytes[NONCE_AT - 1] = NONCE_LENGTH;
  const letters: number[] = [];
  let at = NONCE_AT + NONCE_LENGTH;
  for (const label of labels) {
    assert(label.length >= 1 && label.length <= LABEL_LENGTH_MAX, 'QUESTION_LABEL', restName);
    bytes[at++] = label.length;
    bytes.write(label, at, 'latin1');
    for (const end = at + label.length; at < end; at++) {
      const letter = bytes[at] ?? 0;
      if (letter >= LETTER_A && letter <= LETTER_Z) letters.push(at);
    }
  }
  bytes.writeUInt32BE((TYPE.TXT << 16) | CLASS.IN, questionEnd - 4);
  EDNS_RECORD.copy(bytes, questionEnd);
  return { bytes, letters, restName, questionEnd };
}

/** `random`: `RANDOM_BYTES` that nobody can guess: nonce, identifier, the case of each letter (0x20). */
export function makeQuestion(form: QuestionForm, random: Buffer, overHttps = false): Question {
  const { letters, restName, questionEnd } = form;
  const nonce = random.toString('hex', 0, NONCE_BYTES);
  const bytes = Buffer.from(form.bytes);
  // RFC 8484: over HTTPS the identifier is 0, and TLS says whose answer it is.
  const id = overHttps ? 0 : random.readUInt16BE(NONCE_BYTES);
  bytes.writeUInt16BE(id);
  bytes.write(nonce, NONCE_AT, 'latin1');
  for (let index = 0; index < letters.length; index++) {
    const letterAt = letters[index] ?? 0;
    const bit = ((random[CASE_AT + (index >> 3)] ?? 0) >> (index & 7)) & 1;
    bytes[letterAt] = (bytes[letterAt] ?? 0) - bit * UPPER_CASE;
  }
  return { id, nonce, restName, bytes, questionEnd };
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

function answersTo(bytes: Buffer, { id, bytes: question, questionEnd }: Question): boolean {
  if (bytes.readUInt16BE(0) !== id || ((bytes[2] ?? 0) & QR_AND_OPCODE) !== QR) return false;
  if (bytes.readUInt16BE(4) !== 1) return false;
  // Name, type and class byte for byte: the case too, which a forger would have to guess.
  return bytes.compare(question, HEADER_BYTES, questionEnd, HEADER_BYTES, questionEnd) === 0;
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
  if (answer.name.toLowerCase() !== `${asked.nonce}.${asked.restName}`) return { kind: 'unusable', reason: 'a record of another name' };
  const { data } = answer;
  const [text] = Array.isArray(data) ? data : [];
  if (!Array.isArray(data) || data.length !== 1 || text === undefined) return { kind: 'unusable', reason: 'not one string' };
  return { kind: 'text', text };
}
