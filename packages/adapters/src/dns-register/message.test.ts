// The codec of the register: golden bytes, and everything malformed refused without harm.

import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'tap';
import { decodeMessage, decodeText, encodeName, encodeTextQuestion, encodeTextUpdate, MessageError } from './message.ts';
import { signRequest, verifyReply } from './tsig.ts';

const KEY = { name: 'r1-lease.', secret: new Uint8Array(32).fill(7) };
const WALL = 1_800_000_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** As in a zone file: the length, then the text. */
const text = (value: string): string => Buffer.from([value.length, ...Buffer.from(value)]).toString('hex');

const HEAD = { question: '1234' + '0000' + '0001' + '0000' + '0000' + '0000', update: '1234' + '2800' + '0001' + '0001' + '0002' + '0000' };
const NAME = '01' + '61' + '03' + '726567' + '00'; // a.reg.
const ZONE = '03' + '726567' + '00'; // reg.

test('a question, byte for byte', async (t) => {
  t.equal(hex(encodeTextQuestion(0x1234, 'A.reg.')), HEAD.question + NAME + '0010' + '0001');
});

test('an update under a prerequisite on the whole value, byte for byte', async (t) => {
  const update = encodeTextUpdate({ id: 0x1234, zone: 'reg.', name: 'a.reg.', expected: 'old', next: 'new!', ttlSeconds: 0 });
  const parts = [
    HEAD.update,
    ZONE + '0006' + '0001',
    NAME + '0010' + '0001' + '00000000' + '0004' + text('old'), // exists with this value
    NAME + '0010' + '00ff' + '00000000' + '0000', // delete the record set
    NAME + '0010' + '0001' + '00000000' + '0005' + text('new!'), // add
  ];
  t.equal(hex(update), parts.join(''));
});

test('an update under the prerequisite that there is nothing, byte for byte', async (t) => {
  const update = encodeTextUpdate({ id: 0x1234, zone: 'reg.', name: 'a.reg.', expected: null, next: 'x', ttlSeconds: 5 });
  const parts = [HEAD.update, ZONE + '0006' + '0001', NAME + '0010' + '00fe' + '00000000' + '0000', NAME + '0010' + '00ff' + '00000000' + '0000', NAME + '0010' + '0001' + '00000005' + '0002' + text('x')];
  t.equal(hex(update), parts.join(''));
});

test('a signed question, byte for byte, with the signature made by hand', async (t) => {
  const question = encodeTextQuestion(0x1234, 'a.reg.');
  const keyName = '08' + Buffer.from('r1-lease').toString('hex') + '00';
  const algorithm = '0b' + Buffer.from('hmac-sha256').toString('hex') + '00';
  const time = '00006b49d200' + '012c'; // 1 800 000 000 in 48 bits, fudge 300
  const covered = Buffer.from(hex(question) + keyName + '00ff' + '00000000' + algorithm + time + '0000' + '0000', 'hex');
  const mac = createHmac('sha256', KEY.secret).update(covered).digest('hex');
  const data = algorithm + time + '0020' + mac + '1234' + '0000' + '0000';
  const record = keyName + '00fa' + '00ff' + '00000000' + (data.length / 2).toString(16).padStart(4, '0') + data;
  const counted = HEAD.question.slice(0, -4) + '0001';
  const signed = signRequest(question, KEY, WALL);
  t.equal(hex(signed.bytes), counted + NAME + '0010' + '0001' + record);
  t.equal(hex(signed.mac), mac);
});

test('long texts are cut into strings of 255 bytes and come back whole', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.'), minLength: 0, maxLength: 3_000 }), (value) => {
      const update = decodeMessage(encodeTextUpdate({ id: 1, zone: 'reg.', name: 'a.reg.', expected: null, next: value, ttlSeconds: 0 }));
      return decodeText(update.authorities[1]?.data ?? new Uint8Array(0)) === value;
    }),
  );
  t.throws(() => encodeTextUpdate({ id: 1, zone: 'reg.', name: 'a.reg.', expected: null, next: 'é', ttlSeconds: 0 }), RangeError);
});

/** What a server with the key would answer. */
function answerTo(mac: Uint8Array, change: { key?: typeof KEY; wall?: number } = {}): Uint8Array {
  // A request's signature covers nothing before it; a reply's covers the request's. Signed here with the same pieces.
  const { key = KEY, wall = WALL } = change;
  const body = Buffer.from(hex(encodeTextQuestion(0x1234, 'a.reg.')), 'hex');
  body[2] = 0x84;
  const unsigned = signRequest(body, key, wall);
  const tail = unsigned.bytes.subarray(body.length);
  const variables = Buffer.concat([encodeName(key.name), Buffer.from('00ff00000000', 'hex'), encodeName('hmac-sha256.'), Buffer.from('0000', 'hex'), Buffer.from(wall.toString(16).padStart(8, '0'), 'hex'), Buffer.from('012c00000000', 'hex')]);
  const digest = createHmac('sha256', key.secret).update(Buffer.from([0, mac.length])).update(mac).update(body).update(variables).digest();
  const signed = Buffer.concat([body, tail]);
  signed.set([0, 1], 10);
  signed.set(digest, signed.length - 6 - 32);
  return signed;
}

test('an answer counts only when it is signed under the same key over the question that was asked', async (t) => {
  const { mac } = signRequest(encodeTextQuestion(0x1234, 'a.reg.'), KEY, WALL);
  const good = answerTo(mac);
  t.match(verifyReply(good, KEY, mac, WALL), { ok: true, message: { response: true, authoritative: true, id: 0x1234 } });
  t.match(verifyReply(good, KEY, mac.map((byte) => byte ^ 1), WALL), { ok: false, problem: /does not fit/ }, 'to another question');
  t.match(verifyReply(good, { ...KEY, secret: new Uint8Array(32) }, mac, WALL), { ok: false, problem: /does not fit/ });
  t.match(verifyReply(good, { ...KEY, name: 'r2-lease.' }, mac, WALL), { ok: false, problem: /another key/ });
  t.match(verifyReply(good, KEY, mac, WALL + 301), { ok: false, problem: /301 s away/ });
  t.match(verifyReply(encodeTextQuestion(0x1234, 'a.reg.'), KEY, mac, WALL), { ok: false, reason: 'unsigned' });
  for (let index = 0; index < good.length; index++) {
    const flipped = good.slice();
    flipped[index] = (flipped[index] ?? 0) ^ 0x01;
    const verified = verifyReply(flipped, KEY, mac, WALL);
    // Header id: the signature covers the original id, which the exchange compares. A flip of case or of the record's own class
    // and ttl leaves the signature as it is.
    if (verified.ok && index > 1) t.ok(index > 22, `byte ${index} of ${good.length} changed and accepted`);
  }
});

test('names that loop, run over, or hide a dot are refused', async (t) => {
  const header = '12348000' + '0001' + '0000' + '0000' + '0000';
  const bad = {
    'a pointer at itself': 'c00c' + '00100001',
    'a pointer ahead': 'c020' + '00100001',
    'a label that is cut short': '3f61',
    'a label of an unknown kind': '8161' + '00' + '00100001',
    'a dot inside a label': '03612e62' + '00' + '00100001',
    'bytes after the end': '016100' + '00100001' + 'ff',
  };
  for (const [name, body] of Object.entries(bad)) t.throws(() => decodeMessage(Buffer.from(header + body, 'hex')), MessageError, name);
  t.throws(() => decodeMessage(Buffer.from('1234800001010000000000', 'hex')), MessageError);
  t.throws(() => decodeMessage(Buffer.from('12348000' + 'ffff' + '0000' + '0000' + '0000', 'hex')), MessageError, 'counts that no message can hold');
});

test('no bytes do harm', async (t) => {
  const { mac } = signRequest(encodeTextQuestion(0x1234, 'a.reg.'), KEY, WALL);
  const good = answerTo(mac);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (noise, edits) => {
      const edited = Uint8Array.from(good);
      for (const [index, value] of edits) edited[index] = value;
      verifyReply(noise, KEY, mac, WALL);
      verifyReply(edited, KEY, mac, WALL);
      return true;
    }),
    { numRuns: 20_000 },
  );
  t.pass('no crash');
});
