// Throws answers at the quorum's reading of them: noise, true answers with a few bytes changed, answers to other questions. Whatever
// is read as a text must be the one that was sent for this question, and what is read as bytes must be what the library reads. Used by
// the tests, short and nightly.

import { isDeepStrictEqual } from 'node:util';
import { Packet } from 'dns2';
import type { Resource } from 'dns2';
import { plainText } from './plain-answer.ts';
import { RANDOM_BYTES, makeQuestion, questionForm, readAnswer, readByLibrary } from './question.ts';
import type { Question } from './question.ts';

export type FuzzReport = { readonly packets: number; readonly notOurs: number; readonly unusable: number; readonly texts: number; readonly plain: number; readonly wrong: readonly string[] };

const TEXT = 'c1 0123456789abcdef0123456789abcdef counter r1 7 4000 signature';

/** `random`: in [0, 1), seeded by the caller. */
export function fuzzAnswers(packets: number, random: () => number): FuzzReport {
  const below = (limit: number): number => Math.floor(random() * limit);
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => below(256)));
  const question = makeQuestion(questionForm('counter.r1.attest.app.test'), noise(RANDOM_BYTES));
  // As the library writes it, and as a recursor does: a pointer to the question's name, with and without EDNS.
  const seeds = [answerBytes(question), compressed(question, false), compressed(question, true)];
  const counts = { packets, notOurs: 0, unusable: 0, texts: 0, plain: 0 };
  const wrong: string[] = [];
  for (let count = 0; count < packets; count++) {
    const noisy = below(8) === 0;
    const genuine = seeds[below(seeds.length)] ?? Buffer.alloc(0);
    const bytes = noisy ? noise(below(256)) : Buffer.from(genuine);
    for (let left = noisy ? 0 : below(5); left > 0; left--) bytes[below(bytes.length)] = below(256);
    const sent = !noisy && below(6) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
    const reading = readAnswer(sent, question);
    if (reading.kind === 'not-ours') counts.notOurs += 1;
    else if (reading.kind !== 'text') counts.unusable += 1;
    else {
      counts.texts += 1;
      const textAt = genuine.indexOf(TEXT);
      const intact = sent.subarray(0, 2).equals(question.bytes.subarray(0, 2)) && sent.subarray(12, question.questionEnd).equals(question.bytes.subarray(12, question.questionEnd));
      const whole = sent.length >= textAt + TEXT.length && Buffer.from(reading.text).length <= 255;
      if (!intact || !whole) wrong.push(sent.toString('hex'));
    }
    if (reading.kind === 'not-ours') continue;
    if (plainText(sent, question.questionEnd) !== null) counts.plain += 1;
    if (!isDeepStrictEqual(reading, readByLibrary(sent, question))) wrong.push(`the two codecs differ: ${sent.toString('hex')}`);
  }
  return { ...counts, wrong };
}

function answerBytes(question: Question): Buffer {
  const reply = new Packet();
  reply.header = new Packet.Header({ id: question.id, qr: 1, rd: 1, ra: 1 });
  reply.questions = Packet.parse(question.bytes).questions;
  reply.answers = [{ name: reply.questions[0]?.name, type: Packet.TYPE.TXT, class: Packet.CLASS.IN, ttl: 0, data: [TEXT] } as unknown as Resource];
  return reply.toBuffer();
}

/** RFC 1035 by hand: what no codec of this project wrote. */
function compressed(question: Question, edns: boolean): Buffer {
  const header = Buffer.from([question.id >> 8, question.id & 255, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, edns ? 1 : 0]);
  const record = Buffer.from([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, TEXT.length + 1, TEXT.length]);
  const optional = edns ? [Buffer.from([0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0])] : [];
  return Buffer.concat([header, question.bytes.subarray(12, question.questionEnd), record, Buffer.from(TEXT, 'latin1'), ...optional]);
}
