// The question as bytes: what the library would write, in a case that nobody can guess.

import { Packet } from 'dns2';
import { test } from 'tap';
import { EDNS_BYTES, makeQuestion } from './question.ts';

const NAME = '0123456789abcdef0123456789abcdef.counter.r1.attest.app.test';

test('a question is the one that the library would write', async (t) => {
  const random = Uint8Array.from({ length: 34 }, (_, index) => (index * 73 + 19) & 255);
  const question = makeQuestion(NAME, random);
  const packet = new Packet();
  packet.header = new Packet.Header({ id: (19 << 8) | 92, rd: 1 });
  packet.questions = [new Packet.Question(question.name, Packet.TYPE.TXT, Packet.CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: EDNS_BYTES })];
  t.same(question.bytes, packet.toBuffer());
  t.equal(question.name.toLowerCase(), NAME);
  t.not(question.name, NAME);
  t.equal(question.bytes.length - question.questionEnd, 11, 'after the question comes EDNS');
  t.equal(makeQuestion(NAME, random, true).id, 0, 'over HTTPS the identifier is 0');
});

test('a name that cannot be written ends the process instead of asking for another one', async (t) => {
  for (const name of ['a..b', `${'a'.repeat(64)}.b`, '']) t.throws(() => makeQuestion(name, new Uint8Array(34)), { code: 'CTM_ASSERT_QUESTION_LABEL' });
});
