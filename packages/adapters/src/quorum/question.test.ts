// The question as bytes: what the library would write, in a case that nobody can guess.

import { Packet } from 'dns2';
import { test } from 'tap';
import { EDNS_BYTES, RANDOM_BYTES, makeQuestion, questionForm } from './question.ts';
import { createQuestions } from './questions.ts';

const REST = 'counter.r1.attest.app.test';
const random = Buffer.from(Array.from({ length: RANDOM_BYTES }, (_, index) => (index * 73 + 19) & 255));
/** The name as it stands in the bytes. */
const nameIn = (bytes: Buffer): string => Packet.parse(bytes).questions[0]?.name ?? '';

test('a question is the one that the library would write', async (t) => {
  const question = makeQuestion(questionForm(REST), random);
  const packet = new Packet();
  packet.header = new Packet.Header({ id: question.id, rd: 1 });
  packet.questions = [new Packet.Question(nameIn(question.bytes), Packet.TYPE.TXT, Packet.CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: EDNS_BYTES })];
  t.same(question.bytes, packet.toBuffer());
  t.equal(question.nonce, random.toString('hex', 0, 16));
  t.equal(question.id, random.readUInt16BE(16));
  t.equal(nameIn(question.bytes).toLowerCase(), `${question.nonce}.${REST}`);
  t.not(nameIn(question.bytes), `${question.nonce}.${REST}`);
  t.equal(question.bytes.length - question.questionEnd, 11, 'after the question comes EDNS');
  t.equal(makeQuestion(questionForm(REST), random, true).id, 0, 'over HTTPS the identifier is 0');
});

test('the case of every letter is drawn', async (t) => {
  const letters = (bits: number): string => nameIn(makeQuestion(questionForm('abc.xyz-0.test'), Buffer.alloc(RANDOM_BYTES, bits)).bytes).slice(33);
  t.equal(letters(0), 'abc.xyz-0.test');
  t.equal(letters(255), 'ABC.XYZ-0.TEST');
  t.equal(letters(0b0101_0101), 'AbC.xYz-0.TeSt');
});

test('no nonce and no identifier comes twice, however many batches', async (t) => {
  const questions = createQuestions(REST);
  const made = Array.from({ length: 200 }, (_, index) => (index % 7 === 0 ? questions.nextOverHttps() : questions.next()));
  t.equal(new Set(made.map(({ nonce }) => nonce)).size, 200);
  t.ok(new Set(made.map(({ id }) => id)).size > 160);
  t.ok(made.every(({ bytes, nonce }) => bytes.toString('latin1', 13, 45) === nonce));
  t.ok(made.every(({ id }, index) => index % 7 !== 0 || id === 0));
});

test('a name that cannot be written ends the process instead of asking for another one', async (t) => {
  for (const name of ['a..b', `${'a'.repeat(64)}.b`, '']) t.throws(() => questionForm(name), { code: 'CTM_ASSERT_QUESTION_LABEL' });
});
