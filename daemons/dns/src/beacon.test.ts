// The beacon's answers, message by message, and what it does not answer.

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { attestationToSign, parseAttestation } from '@continuum/core';
import { Packet } from 'dns2';
import { test } from 'tap';
import type { Test } from 'tap';
import { answerQuestion, truncated } from './beacon.ts';
import type { Beacon, Held } from './beacon.ts';

const { TYPE, CLASS, RCODE } = Packet;
const pair = generateKeyPairSync('ed25519', { privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
const key = createPrivateKey(pair.privateKey);
const publicKey = createPublicKey(pair.publicKey);
const nonce = '0123456789abcdef0123456789abcdef';
let held: Held | null = { epoch: 7, remainingMs: 4_000 };
const beacon: Beacon = {
  region: 'r1',
  zone: 'attest.app.test',
  addresses: [
    { address: '192.0.2.1', family: 4 },
    { address: '2001:db8::1', family: 6 },
  ],
  held: (lease) => (lease === 'counter' ? held : undefined),
  sign: (text) => sign(null, Buffer.from(text), key).toString('base64url'),
};

type Change = { header?: object; type?: number; class?: number; edns?: false | { version?: number } };

function question(name: string, { header = {}, type = TYPE.TXT, class: klass = CLASS.IN, edns = {} }: Change = {}): Packet {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 99, rd: 1, ...header });
  packet.questions = [new Packet.Question({ name, type, class: klass })];
  if (edns !== false) packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: 4_096, ...edns })];
  return Packet.parse(packet.toBuffer());
}

/** As it leaves: encoded and parsed again. */
function ask(t: Test, packet: Packet): { kind: string; reply: Packet } {
  const answer = answerQuestion(beacon, packet);
  if (answer.kind === 'dropped') throw new Error(`dropped: ${answer.reason}`);
  const bytes = answer.packet.toBuffer();
  t.ok(bytes.length <= 512, `${bytes.length} bytes fit without EDNS`);
  const reply = Packet.parse(bytes);
  t.same(reply.errors, []);
  t.match(reply.header, { id: 99, qr: 1, tc: 0 });
  return { kind: answer.kind, reply };
}

const textOf = (reply: Packet): string[] => (reply.answers[0]?.data ?? []) as string[];
const dropped = (packet: Packet): string | null => {
  const answer = answerQuestion(beacon, packet);
  return answer.kind === 'dropped' ? answer.reason : null;
};

test('a proper name gets this region’s signed word, once, with a TTL of 0', async (t) => {
  const { kind, reply } = ask(t, question(`${nonce}.counter.r1.attest.app.test`));
  t.equal(kind, 'attested');
  t.match(reply.header, { aa: 1, rcode: RCODE.NOERROR });
  t.equal(reply.answers.length, 1);
  t.match(reply.answers[0], { type: TYPE.TXT, class: CLASS.IN, ttl: 0 });
  const parsed = parseAttestation(textOf(reply).join(''));
  t.match(parsed, { ok: true, attestation: { nonce, lease: 'counter', region: 'r1', epoch: 7, remainingMs: 4_000 } });
  if (!parsed.ok) return;
  t.ok(verify(null, Buffer.from(attestationToSign(parsed.attestation)), publicKey, Buffer.from(parsed.signature, 'base64url')));
  t.match(reply.additionals[0], { type: TYPE.EDNS, class: 1_232 });
});

test('the case of the question comes back; the value does not depend on it', async (t) => {
  const name = `${nonce.toUpperCase()}.CouNter.R1.aTTest.app.Test`;
  const { reply } = ask(t, question(name));
  t.equal(reply.questions[0]?.name, name);
  t.equal(reply.answers[0]?.name, name);
  t.match(parseAttestation(textOf(reply).join('')), { ok: true, attestation: { nonce } });
});

test('the control name is answered whoever holds the lease; the lease is not', async (t) => {
  held = null;
  t.teardown(() => (held = { epoch: 7, remainingMs: 4_000 }));
  const control = ask(t, question(`${nonce}._control.r1.attest.app.test`));
  t.equal(control.kind, 'control');
  t.match(parseAttestation(textOf(control.reply).join('')), { ok: true, attestation: { lease: '_control', epoch: 0 } });
  const { kind, reply } = ask(t, question(`${nonce}.counter.r1.attest.app.test`));
  t.equal(kind, 'not-held');
  t.match(reply, { header: { rcode: RCODE.NOERROR, aa: 1 }, answers: { length: 0 } });
  t.match(reply.authorities[0], { type: TYPE.SOA, ttl: 0, minimum: 0, name: 'r1.attest.app.test' });
});

test('a resolver that delegates, and one that asks label by label, find what they need', async (t) => {
  const apex = 'r1.attest.app.test';
  t.match(ask(t, question(apex, { type: TYPE.SOA })).reply.answers, [{ type: TYPE.SOA, primary: `ns.${apex}` }]);
  const ns = ask(t, question(apex, { type: TYPE.NS })).reply;
  t.match(ns.answers, [{ type: TYPE.NS, ns: `ns.${apex}` }]);
  t.match(ns.additionals, [{ type: TYPE.A, address: '192.0.2.1' }, { type: TYPE.AAAA }, { type: TYPE.EDNS }]);
  t.match(ask(t, question(`ns.${apex}`, { type: TYPE.A })).reply.answers, [{ address: '192.0.2.1' }]);
  for (const name of [`counter.${apex}`, `_control.${apex}`, apex, `ns.${apex}`]) {
    t.match(ask(t, question(name, { type: TYPE.TXT })).reply, { header: { rcode: RCODE.NOERROR }, answers: { length: 0 } }, name);
  }
  t.match(ask(t, question(`${nonce}.counter.${apex}`, { type: TYPE.A })).kind, 'nodata');
  for (const name of [`nothing.${apex}`, `${nonce}.other.${apex}`, `short.counter.${apex}`, `x.${nonce}.counter.${apex}`]) {
    t.equal(ask(t, question(name)).reply.header.rcode, RCODE.NXDOMAIN, name);
  }
});

test('what is not of its zone, class, opcode or EDNS version is refused by its proper code', async (t) => {
  for (const name of ['app.test', 'xr1.attest.app.test', `${nonce}.counter.r2.attest.app.test`, '']) {
    t.equal(ask(t, question(name)).reply.header.rcode, RCODE.REFUSED, name);
  }
  const name = `${nonce}.counter.r1.attest.app.test`;
  t.equal(ask(t, question(name, { class: CLASS.CH })).kind, 'refused');
  t.equal(ask(t, question(name, { type: TYPE.AXFR })).kind, 'refused');
  t.equal(ask(t, question(name, { header: { opcode: 5 } })).reply.header.rcode, RCODE.NOTIMP);
  t.equal(ask(t, question(name, { edns: { version: 1 } })).reply.header.rcode, RCODE.BADVERS);
  t.same(ask(t, question(name, { edns: false })).reply.additionals, [], 'no EDNS to whom did not speak it');
});

test('answers, two questions, records in a question and odd names are dropped', async (t) => {
  const name = `${nonce}.counter.r1.attest.app.test`;
  t.equal(dropped(question(name, { header: { qr: 1 } })), 'not-a-question');
  const two = question(name);
  two.questions.push(...question(name).questions);
  t.equal(dropped(Packet.parse(two.toBuffer())), 'malformed');
  const record = question(name);
  record.answers.push(new Packet.Resource({ name, type: TYPE.A, class: CLASS.IN, ttl: 1, address: '192.0.2.1' }));
  t.equal(dropped(Packet.parse(record.toBuffer())), 'malformed');
  t.equal(dropped(question('a b.r1.attest.app.test')), 'name');
  const twice = question(name);
  twice.additionals.push(Packet.Resource.EDNS([]));
  t.equal(dropped(Packet.parse(twice.toBuffer())), 'malformed');
});

test('what is cut keeps its question and says so', async (t) => {
  const answer = answerQuestion(beacon, question(`${nonce}.counter.r1.attest.app.test`));
  if (answer.kind === 'dropped') throw new Error(answer.reason);
  const reply = Packet.parse(truncated(answer.packet).toBuffer());
  t.match(reply, { header: { tc: 1, qr: 1, id: 99 }, answers: { length: 0 }, questions: { length: 1 } });
});
