// Throws packets at the beacon: noise, and true questions with a few bytes changed. It must not crash, and whatever it answers must
// be an answer: to the same identifier, in its own zone, signed for the nonce that was asked. What the beacon's own codec reads it must
// answer as the library does. The same packets at a running beacon's socket. Used by the tests, short and nightly.

import { generateKeyPairSync, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isDeepStrictEqual } from 'node:util';
import { attestationToSign, parseAttestation } from '@continuum/core';
import { Packet } from 'dns2';
import { answerQuestion, attest, holding, truncated } from './beacon.ts';
import type { Beacon } from './beacon.ts';
import { plainAnswer, plainCut, plainQuestions } from './plain-question.ts';

export type FuzzReport = { readonly packets: number; readonly unparsed: number; readonly dropped: number; readonly answered: number; readonly attested: number; readonly plain: number; readonly wrong: readonly string[] };

export type SocketReport = { readonly packets: number; readonly answered: number; readonly good: number; readonly wrong: readonly string[] };

const ANSWER_BYTES_MAX = 1_232;
const SIGNATURES_MAX = 10_000;
const NONCE = '0123456789abcdef0123456789abcdef';
/** Sent without waiting; fewer than a socket's buffer holds, so that none is lost before the beacon sees it. */
const BATCH = 50;
const GOOD_ANSWER_TIMEOUT_MS = 5_000;

/** `random`: in [0, 1), seeded by the caller, so that a finding can be played again. */
export function fuzzBeacon(packets: number, random: () => number): FuzzReport {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const signed = once(new Map());
  const beacon: Beacon = {
    region: 'r1',
    zone: 'attest.app.test',
    addresses: [{ address: '192.0.2.1', family: 4 }],
    held: (lease) => (lease === 'counter' ? { epoch: 7, remainingMs: 1_000 } : undefined),
    sign: (text) => signed(text, () => sign(null, Buffer.from(text), privateKey).toString('base64url')),
  };
  const readPlain = plainQuestions(beacon.region, beacon.zone);
  const seeds = goodQuestions();
  const counts = { packets, unparsed: 0, dropped: 0, answered: 0, attested: 0, plain: 0 };
  const wrong: string[] = [];
  for (let count = 0; count < packets; count++) {
    const bytes = damaged(seeds, random);
    let request: Packet;
    try {
      request = Packet.parse(bytes);
    } catch {
      counts.unparsed += 1;
      if (readPlain(bytes) !== null) wrong.push(`read by one codec alone: ${bytes.toString('hex')}`);
      continue;
    }
    const answer = answerQuestion(beacon, request);
    const plain = readPlain(bytes);
    const held = plain === null ? null : holding(beacon, plain.asked.lease);
    if (plain !== null && held !== null && held !== undefined) {
      counts.plain += 1;
      const own = [plainAnswer(bytes, plain, attest(beacon, plain.asked, held)), plainCut(bytes, plain)];
      const library = answer.kind === 'dropped' ? [] : [answer.packet.toBuffer(), truncated(answer.packet).toBuffer()];
      if (!isDeepStrictEqual(own.map(meaning), library.map(meaning))) wrong.push(`the two codecs differ: ${bytes.toString('hex')}`);
    }
    if (answer.kind === 'dropped') {
      counts.dropped += 1;
      continue;
    }
    counts.answered += 1;
    if (answer.kind === 'attested') counts.attested += 1;
    const attests = answer.kind === 'attested' || answer.kind === 'control';
    const problem = problemOf(bytes, answer.packet.toBuffer(), publicKey, attests);
    if (problem !== null) wrong.push(`${problem}: ${bytes.toString('hex')}`);
  }
  return { ...counts, wrong };
}

/**
 * The same packets over UDP at a beacon of region r1 that attests `counter`. After each batch it must still answer a good question;
 * throws when it does not.
 */
export async function fuzzBeaconSocket(at: { readonly address: string; readonly port: number }, publicKey: KeyObject, packets: number, random: () => number): Promise<SocketReport> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.connect(at.port, at.address, resolve));
  const [seeds, wrong] = [goodQuestions(), [] as string[]];
  const counts = { packets: 0, answered: 0, good: 0 };
  let sent = new Map<number, Buffer>();
  let heardGood: (bytes: Buffer) => void = () => undefined;
  let goodId = -1;
  socket.on('message', (bytes) => {
    if (bytes.length >= 2 && bytes.readUInt16BE(0) === goodId) return heardGood(bytes);
    counts.answered += 1;
    const asked = bytes.length < 2 ? undefined : sent.get(bytes.readUInt16BE(0));
    const problem = asked === undefined ? 'an answer to nothing' : problemOf(asked, bytes, publicKey, false);
    if (problem !== null) wrong.push(`${problem}: ${asked?.toString('hex')} -> ${bytes.toString('hex')}`);
  });
  try {
    while (counts.packets < packets) {
      sent = new Map();
      const batch = Array.from({ length: Math.min(BATCH, packets - counts.packets) }, () => damaged(seeds, random));
      for (const bytes of batch) if (bytes.length >= 2) sent.set(bytes.readUInt16BE(0), bytes);
      const good = questionBytes(`${NONCE}.counter.r1.attest.app.test`);
      for (goodId = 0; sent.has(goodId); goodId++);
      good.writeUInt16BE(goodId);
      const answered = new Promise<Buffer>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no answer to a good question after ${counts.packets + batch.length} packets`)), GOOD_ANSWER_TIMEOUT_MS);
        heardGood = (bytes) => {
          clearTimeout(late);
          resolve(bytes);
        };
      });
      for (const bytes of [...batch, good]) socket.send(bytes);
      const problem = problemOf(good, await answered, publicKey, true);
      if (problem === null) counts.good += 1;
      else wrong.push(`the good question: ${problem}`);
      counts.packets += batch.length;
    }
  } finally {
    socket.close();
  }
  return { ...counts, wrong };
}

/** Everything that the library reads in an answer. */
function meaning(bytes: Buffer): object {
  const { header, questions, answers, authorities, additionals, errors } = Packet.parse(bytes);
  return JSON.parse(JSON.stringify({ header, questions, answers, authorities, additionals, errors })) as object;
}

/** The signature is the slowest part, and the same text comes again and again. */
function once(kept: Map<string, string>): (text: string, make: () => string) => string {
  return (text, make) => {
    if (kept.size > SIGNATURES_MAX) kept.clear();
    const found = kept.get(text) ?? make();
    kept.set(text, found);
    return found;
  };
}

/** `attests`: it must hold an attestation; in an answer that holds one anyway it is looked at too. */
function problemOf(asked: Buffer, bytes: Buffer, publicKey: KeyObject, attests: boolean): string | null {
  const reply = Packet.parse(bytes);
  if (reply.errors.length > 0) return 'malformed answer';
  if (bytes.length > ANSWER_BYTES_MAX) return `${bytes.length} bytes`;
  if (bytes.readUInt16BE(0) !== asked.readUInt16BE(0)) return 'another identifier';
  if (reply.header.qr !== 1 || reply.questions.length !== 1) return 'not an answer';
  const [answer] = reply.answers;
  if (!attests && answer?.type !== Packet.TYPE.TXT) return null;
  const text = (answer?.data as string[] | undefined)?.[0] ?? '';
  const parsed = parseAttestation(text);
  if (!parsed.ok) return `attestation ${parsed.problem}`;
  const name = reply.questions[0]?.name.toLowerCase() ?? '';
  if (!name.startsWith(`${parsed.attestation.nonce}.${parsed.attestation.lease}.r1.`)) return 'an attestation of another name';
  const signature = Buffer.from(parsed.signature, 'base64url');
  // One in sixteen: a signature takes longer than the rest.
  if (signature[0] !== undefined && signature[0] < 16 && !verify(null, Buffer.from(attestationToSign(parsed.attestation)), publicKey, signature)) return 'wrong signature';
  return null;
}

function goodQuestions(): Buffer[] {
  const seeds = [`${NONCE}.counter.r1.attest.app.test`, 'r1.attest.app.test', 'counter.r1.attest.app.test'].map((name) => questionBytes(name));
  return [...seeds, questionBytes('0123456789ABCdef0123456789abcdef.Counter.r1.aTTest.app.test', false)];
}

function questionBytes(name: string, edns = true): Buffer {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 4_711, rd: 1 });
  packet.questions = [new Packet.Question(name, Packet.TYPE.TXT, Packet.CLASS.IN)];
  if (edns) packet.additionals = [Packet.Resource.EDNS([])];
  return packet.toBuffer();
}

/** Noise one time in eight; else a question with up to four bytes changed, cut short or drawn out. */
function damaged(seeds: readonly Buffer[], random: () => number): Buffer {
  const below = (limit: number): number => Math.floor(random() * limit);
  if (below(8) === 0) return Buffer.from(Array.from({ length: below(128) }, () => below(256)));
  const bytes = Buffer.from(seeds[below(seeds.length)] ?? Buffer.alloc(0));
  for (let left = below(5); left > 0; left--) bytes[below(bytes.length)] = below(256);
  const cut = below(6);
  if (cut === 0) return bytes.subarray(0, below(bytes.length));
  return cut === 1 ? Buffer.concat([bytes, Buffer.from(Array.from({ length: below(64) }, () => below(256)))]) : bytes;
}
