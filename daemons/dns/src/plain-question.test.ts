// What the beacon's own codec reads, and that its answer is the library's. The fuzz tries the rest.

import { Packet } from 'dns2';
import { test } from 'tap';
import { plainAnswer, plainCut, plainQuestions } from './plain-question.ts';

const { TYPE, CLASS } = Packet;
const read = plainQuestions('r1', 'attest.app.test');
const nonce = '0123456789abcdef0123456789abcdef';
const name = `${nonce}.counter.r1.attest.app.test`;

function question(asked: string, { edns = true, type = TYPE.TXT as number, header = {} } = {}): Buffer {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 99, rd: 1, ...header });
  packet.questions = [new Packet.Question({ name: asked, type, class: CLASS.IN })];
  if (edns) packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: 4_096 })];
  return packet.toBuffer();
}

test('the one question is read in any case, with and without EDNS', async (t) => {
  const asked = { nonce, lease: 'counter', region: 'r1' };
  t.match(read(question(name)), { asked, edns: true });
  t.match(read(question(name, { edns: false })), { asked, edns: false });
  t.match(read(question(name.toUpperCase())), { asked });
  t.match(read(question(`${nonce}._control.r1.attest.app.test`)), { asked: { lease: '_control' } });
});

test('everything else is left to the library', async (t) => {
  const others = {
    'another zone': question(`${nonce}.counter.r2.attest.app.test`),
    'no nonce': question(name.replace('0', 'x')),
    'a label more': question(`a.${name}`),
    'no lease': question(`${nonce}.r1.attest.app.test`),
    'another type': question(name, { type: TYPE.A }),
    'an answer': question(name, { header: { qr: 1 } }),
    'another operation': question(name, { header: { opcode: 4 } }),
    'more bytes': Buffer.concat([question(name), Buffer.alloc(1)]),
    'fewer bytes': question(name).subarray(0, -1),
    'a header alone': question(name).subarray(0, 12),
  };
  for (const [what, bytes] of Object.entries(others)) t.equal(read(bytes), null, what);
});

test('the answer says what the library reads as one text with a TTL of 0, and the cut one says so', async (t) => {
  for (const edns of [true, false]) {
    const bytes = question(name, { edns });
    const plain = read(bytes);
    if (plain === null) return t.fail('not read');
    const answer = Packet.parse(plainAnswer(bytes, plain, 'a text'));
    t.same(answer.errors, []);
    t.match(answer.header, { id: 99, qr: 1, aa: 1, rd: 1, ra: 0, tc: 0, rcode: 0, ancount: 1, arcount: edns ? 1 : 0 });
    t.match(answer.answers, [{ name, type: TYPE.TXT, class: CLASS.IN, ttl: 0, data: ['a text'] }]);
    t.match(answer.additionals, edns ? [{ type: TYPE.EDNS, class: 1_232 }] : []);
    const cut = Packet.parse(plainCut(bytes, plain));
    t.match(cut, { header: { id: 99, qr: 1, tc: 1, ancount: 0, arcount: 0 }, questions: [{ name }], answers: { length: 0 } });
  }
});
