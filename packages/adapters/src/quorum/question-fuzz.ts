// Throws answers at the quorum's reading of them: noise, true answers with a few bytes changed, answers that lie. Whatever is read as a
// text must be the one that was sent for this question, what is read as bytes must be what the library reads, and the judge may take
// nothing for the region's word but the region's word. Used by the tests, short and nightly.

import { isDeepStrictEqual } from 'node:util';
import { parseAttestation } from '@continuum/core';
import type { AttestationQuestion } from '@continuum/core';
import { Packet } from 'dns2';
import type { Resource } from 'dns2';
import { ZONE, publicKeys, word } from './hostile-words.ts';
import { plainText } from './plain-answer.ts';
import { createJudge } from './proof.ts';
import type { Judge } from './proof.ts';
import { RANDOM_BYTES, makeQuestion, questionForm, readAnswer, readByLibrary } from './question.ts';
import type { Question } from './question.ts';

export type FuzzReport = {
  readonly packets: number;
  readonly notOurs: number;
  readonly unusable: number;
  readonly texts: number;
  readonly plain: number;
  /** Texts that went through the judge: each that is not the region's word to the letter, and a share of those that are. */
  readonly accepted: number;
  readonly refused: number;
  readonly wrong: readonly string[];
};

/** An answer before it is damaged; `recordEnd`: where its one true record ends, 0 in an answer that lies. */
type Seed = { readonly bytes: Buffer; readonly recordEnd: number };
type Round = { readonly question: Question; readonly asked: AttestationQuestion; readonly text: string; readonly seeds: readonly Seed[] };

const [LEASE, REGION] = ['counter', 'r1'];
const EPOCH = 7;
/** Then another question is asked, and answers to the one before are late. */
const ROUND_PACKETS = 5_000;
/** Of the true texts: a signature takes longer than all the rest. */
const JUDGED_SHARE = 32;

/** `random`: in [0, 1), seeded by the caller. */
export function fuzzAnswers(packets: number, random: () => number): FuzzReport {
  const below = (limit: number): number => Math.floor(random() * limit);
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => below(256)));
  const form = questionForm(`${LEASE}.${REGION}.${ZONE}`);
  const judge = createJudge(publicKeys);
  const counts = { packets, notOurs: 0, unusable: 0, texts: 0, plain: 0, accepted: 0, refused: 0 };
  const wrong: string[] = [];
  let round = roundOf(makeQuestion(form, noise(RANDOM_BYTES)), makeQuestion(form, noise(RANDOM_BYTES)));
  for (let count = 0; count < packets; count++) {
    if (count % ROUND_PACKETS === 0) round = roundOf(makeQuestion(form, noise(RANDOM_BYTES)), round.question);
    const { question, seeds } = round;
    const noisy = below(8) === 0;
    const seed = seeds[below(seeds.length)] as Seed;
    const bytes = noisy ? noise(below(256)) : Buffer.from(seed.bytes);
    for (let left = noisy ? 0 : below(5); left > 0; left--) bytes[below(bytes.length)] = below(256);
    const sent = !noisy && below(6) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
    const reading = readAnswer(sent, question);
    if (reading.kind === 'not-ours') {
      counts.notOurs += 1;
      continue;
    }
    if (plainText(sent, question.questionEnd) !== null) counts.plain += 1;
    if (!isDeepStrictEqual(reading, readByLibrary(sent, question))) wrong.push(`the two codecs differ: ${sent.toString('hex')}`);
    if (reading.kind !== 'text') {
      counts.unusable += 1;
      continue;
    }
    counts.texts += 1;
    const misread = misreadingOf(sent, seed, round, reading.text);
    if (misread !== null) wrong.push(`${misread}: ${sent.toString('hex')}`);
    if (reading.text === round.text && below(JUDGED_SHARE) > 0) continue;
    const verdict = judged(judge, reading.text, round);
    counts[verdict === 'refused' ? 'refused' : 'accepted'] += 1;
    if (verdict === 'wrong') wrong.push(`judged wrongly: ${sent.toString('hex')}`);
  }
  return { ...counts, wrong };
}

/** An answer to another question, or a text that is not what an undamaged record says. */
function misreadingOf(sent: Buffer, { bytes, recordEnd }: Seed, { question, text: exact }: Round, text: string): string | null {
  const same = (other: Buffer, from: number, to: number): boolean => sent.subarray(from, to).equals(other.subarray(from, to));
  if (!same(question.bytes, 0, 2) || !same(question.bytes, 12, question.questionEnd)) return 'an answer to another question';
  if (Buffer.from(text).length > 255) return 'longer than a string can be';
  const whole = recordEnd > 0 && sent.length >= recordEnd && same(bytes, question.questionEnd, recordEnd);
  return whole && text !== exact ? 'not the text that was sent' : null;
}

function judged(judge: Judge, text: string, { asked, text: exact }: Round): 'accepted' | 'refused' | 'wrong' {
  const finding = judge(text, asked);
  if (finding.kind !== 'attested') return text === exact ? 'wrong' : 'refused';
  return finding.epoch === EPOCH && isDeepStrictEqual(signedParts(text), signedParts(exact)) ? 'accepted' : 'wrong';
}

/** The last letter of a signature holds four bits that no decoder reads: two texts may be one word. */
function signedParts(text: string): object {
  const parsed = parseAttestation(text);
  return parsed.ok ? [parsed.attestation, Buffer.from(parsed.signature, 'base64url').toString('hex')] : [text];
}

/** All answers to `question` that a round throws, and late ones to the question `before` it. */
function roundOf(question: Question, before: Question): Round {
  const [name, nameBefore] = [nameOf(question), nameOf(before)];
  const text = word(name);
  const late = answerBytes(before, [word(nameBefore)]);
  const underThisId = Buffer.from(late);
  question.bytes.copy(underThisId, 0, 0, 2);
  const texts = {
    'of the question before': word(nameBefore),
    'signed by the other region': word(name, { by: 'r2' }),
    'of the other region': word(name, { region: 'r2', by: 'r2' }),
    'of another lease': word(name, { lease: 'stock' }),
    'with the epoch changed after it was signed': text.replace(` ${EPOCH} `, ` ${EPOCH + 1} `),
    'with its validity drawn out': text.replace(' 1000 ', ' 9000 '),
  };
  const lies = [late, underThisId, answerBytes(question, [text, texts['signed by the other region']]), ...Object.values(texts).map((lie) => compressed(question, lie, false))];
  // As the library writes it, and as a recursor does: a pointer to the question's name, with and without EDNS.
  const genuine = [answerBytes(question, [text]), compressed(question, text, false), compressed(question, text, true)];
  return {
    question,
    text,
    asked: { nonce: question.nonce, lease: LEASE, region: REGION },
    seeds: [
      // Three times each: about as many as the lies.
      ...[...genuine, ...genuine, ...genuine].map((bytes) => ({ bytes, recordEnd: bytes.indexOf(text) + text.length })),
      ...lies.map((bytes) => ({ bytes, recordEnd: 0 })),
    ],
  };
}

const nameOf = ({ nonce, restName }: Question): string => `${nonce}.${restName}`;

function answerBytes(question: Question, texts: readonly string[]): Buffer {
  const reply = new Packet();
  reply.header = new Packet.Header({ id: question.id, qr: 1, rd: 1, ra: 1 });
  reply.questions = Packet.parse(question.bytes).questions;
  reply.answers = texts.map((text) => ({ name: reply.questions[0]?.name, type: Packet.TYPE.TXT, class: Packet.CLASS.IN, ttl: 0, data: [text] }) as unknown as Resource);
  return reply.toBuffer();
}

/** RFC 1035 by hand: what no codec of this project wrote. */
function compressed(question: Question, text: string, edns: boolean): Buffer {
  const header = Buffer.from([question.id >> 8, question.id & 255, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, edns ? 1 : 0]);
  const record = Buffer.from([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, text.length + 1, text.length]);
  const optional = edns ? [Buffer.from([0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0])] : [];
  return Buffer.concat([header, question.bytes.subarray(12, question.questionEnd), record, Buffer.from(text, 'latin1'), ...optional]);
}
