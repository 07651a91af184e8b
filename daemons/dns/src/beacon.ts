// What the beacon answers to one question: the zone `<region>.<zone>`, in which every name `<nonce>.<lease>` exists for whoever asks.
// A name that asks properly gets this region's signed word, or an empty answer while this region does not hold the lease. No
// socket and no clock here.

import { CONTROL_LABEL, attestationToSign, encodeAttestation, readAttestationName } from '@continuum/core';
import type { AttestationQuestion } from '@continuum/core';
import { Packet } from 'dns2';
import type { Question, Resource } from 'dns2';

/** What RFC 6891 and the flag day of 2020 agree on: no fragments on any path. */
export const EDNS_BYTES = 1_232;
/** A TTL of 0: every lookup comes here. */
const TTL_SECONDS = 0;
/** Of what never changes: where the zone is served. */
const INFRASTRUCTURE_TTL_SECONDS = 300;
const NAME_OCTETS = /^[a-z0-9_.-]{1,253}$/i;
const { TYPE, CLASS, RCODE } = Packet;

/** A grant that is valid now; the beacon's own countdown of what the controller said. */
export type Held = { readonly epoch: number; readonly remainingMs: number };

export type Beacon = {
  readonly region: string;
  /** Without a dot at its end, in lower case; the beacon serves `<region>.<zone>`. */
  readonly zone: string;
  /** Where resolvers find it: the glue of its name server. */
  readonly addresses: readonly { readonly address: string; readonly family: 4 | 6 }[];
  /** `undefined`: no lease of that name here. Null: not held. */
  readonly held: (lease: string) => Held | null | undefined;
  /** Ed25519 over the text, in base64url. */
  readonly sign: (text: string) => string;
};

export type AnswerKind = 'attested' | 'control' | 'not-held' | 'infrastructure' | 'nodata' | 'nxdomain' | 'refused' | 'notimp' | 'badvers';
export type DropReason = 'malformed' | 'not-a-question' | 'name';

export type Answer =
  | { readonly kind: AnswerKind; readonly packet: Packet }
  /** Nothing is sent: an answer to what nobody would ask serves only whoever forged it. */
  | { readonly kind: 'dropped'; readonly reason: DropReason };

/** What this region may say of a lease; of the control name always something. */
export function holding(beacon: Beacon, lease: string): Held | null | undefined {
  return lease === CONTROL_LABEL ? { epoch: 0, remainingMs: 0 } : beacon.held(lease);
}

/** This region's signed word, for this question alone. */
export function attest(beacon: Beacon, asked: AttestationQuestion, held: Held): string {
  const attestation = { ...asked, ...held };
  return encodeAttestation(attestation, beacon.sign(attestationToSign(attestation)));
}

export const attestedKind = (lease: string): 'control' | 'attested' => (lease === CONTROL_LABEL ? 'control' : 'attested');

export function answerQuestion(beacon: Beacon, request: Packet): Answer {
  const { header, questions } = request;
  const [question] = questions;
  if (header.qr !== 0) return { kind: 'dropped', reason: 'not-a-question' };
  if (request.errors.length > 0 || header.qdcount !== 1 || question === undefined) return { kind: 'dropped', reason: 'malformed' };
  if (header.ancount !== 0 || header.nscount !== 0) return { kind: 'dropped', reason: 'malformed' };
  // The library joins labels with dots: a label that holds one would be echoed as another name.
  if (question.name !== '' && !NAME_OCTETS.test(question.name)) return { kind: 'dropped', reason: 'name' };
  const options = request.additionals.filter(({ type }) => type === TYPE.EDNS);
  if (options.length > 1) return { kind: 'dropped', reason: 'malformed' };
  const edns = options[0];
  if (header.opcode !== 0) return reply(request, 'notimp', RCODE.NOTIMP);
  if (edns !== undefined && edns.version !== 0) return reply(request, 'badvers', RCODE.BADVERS);
  if (question.class !== CLASS.IN || question.type === TYPE.AXFR) return reply(request, 'refused', RCODE.REFUSED);
  return inZone(beacon, request, question);
}

function inZone(beacon: Beacon, request: Packet, question: Question): Answer {
  const apex = `${beacon.region}.${beacon.zone}`;
  const name = question.name.toLowerCase();
  if (name !== apex && !name.endsWith(`.${apex}`)) return reply(request, 'refused', RCODE.REFUSED);
  if (name === apex) return infrastructure(beacon, request, question, apex);
  const nameServer = `ns.${apex}`;
  if (name === nameServer) return addresses(beacon, request, question, apex);
  const asked = readAttestationName(name, beacon.zone);
  if (asked !== null) {
    const held = holding(beacon, asked.lease);
    if (held === undefined) return negative(request, apex, 'nxdomain', RCODE.NXDOMAIN);
    if (question.type !== TYPE.TXT) return negative(request, apex, 'nodata', RCODE.NOERROR);
    if (held === null) return negative(request, apex, 'not-held', RCODE.NOERROR);
    return reply(request, attestedKind(asked.lease), RCODE.NOERROR, {
      answers: [{ name: question.name, type: TYPE.TXT, class: CLASS.IN, ttl: TTL_SECONDS, data: [attest(beacon, asked, held)] }],
    });
  }
  // A resolver that asks label by label first asks for `<lease>.<region>.<zone>`, which must not be said to be missing.
  const lease = name.slice(0, -apex.length - 1);
  const exists = lease === CONTROL_LABEL || (!lease.includes('.') && beacon.held(lease) !== undefined);
  return exists ? negative(request, apex, 'nodata', RCODE.NOERROR) : negative(request, apex, 'nxdomain', RCODE.NXDOMAIN);
}

function infrastructure(beacon: Beacon, request: Packet, question: Question, apex: string): Answer {
  const owner = question.name;
  if (question.type === TYPE.SOA) return reply(request, 'infrastructure', RCODE.NOERROR, { answers: [soa(apex, owner, INFRASTRUCTURE_TTL_SECONDS)] });
  if (question.type !== TYPE.NS) return negative(request, apex, 'nodata', RCODE.NOERROR);
  const nameServer = `ns.${apex}`;
  return reply(request, 'infrastructure', RCODE.NOERROR, {
    answers: [{ name: owner, type: TYPE.NS, class: CLASS.IN, ttl: INFRASTRUCTURE_TTL_SECONDS, ns: nameServer }],
    additionals: beacon.addresses.map((one) => glue(nameServer, one)),
  });
}

function addresses(beacon: Beacon, request: Packet, question: Question, apex: string): Answer {
  const family = question.type === TYPE.A ? 4 : question.type === TYPE.AAAA ? 6 : null;
  const answers = beacon.addresses.filter((one) => one.family === family).map((one) => glue(question.name, one));
  return answers.length > 0 ? reply(request, 'infrastructure', RCODE.NOERROR, { answers }) : negative(request, apex, 'nodata', RCODE.NOERROR);
}

/** An SOA makes an empty answer one that a resolver believes; its minimum of 0 keeps it from being remembered. */
function negative(request: Packet, apex: string, kind: AnswerKind, rcode: number): Answer {
  return reply(request, kind, rcode, { authorities: [soa(apex, apex, TTL_SECONDS)] });
}

type Sections = { readonly answers?: readonly Partial<Resource>[]; readonly authorities?: readonly Partial<Resource>[]; readonly additionals?: readonly Partial<Resource>[] };

function reply(request: Packet, kind: AnswerKind, rcode: number, sections: Sections = {}): Answer {
  const packet = new Packet();
  const { id, opcode, rd } = request.header;
  const authoritative = kind === 'refused' || kind === 'notimp' || kind === 'badvers' ? 0 : 1;
  packet.header = new Packet.Header({ id, opcode, rd, qr: 1, aa: authoritative, rcode });
  packet.questions = request.questions.slice(0, 1);
  packet.answers = (sections.answers ?? []) as Resource[];
  packet.authorities = (sections.authorities ?? []) as Resource[];
  packet.additionals = [...((sections.additionals ?? []) as Resource[])];
  if (request.additionals.some(({ type }) => type === TYPE.EDNS)) packet.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: EDNS_BYTES }));
  return { kind, packet };
}

/** The same answer cut to its question, so that whoever really asked comes back over TCP. */
export function truncated({ header, questions }: Packet): Packet {
  const packet = new Packet();
  packet.header = new Packet.Header({ ...header, tc: 1 });
  packet.questions = questions;
  return packet;
}

function soa(apex: string, name: string, ttl: number): Partial<Resource> {
  const times = { serial: 1, refresh: 3_600, retry: 600, expiration: 86_400, minimum: 0 };
  return { name, type: TYPE.SOA, class: CLASS.IN, ttl, primary: `ns.${apex}`, admin: `hostmaster.${apex}`, ...times };
}

function glue(name: string, { address, family }: Beacon['addresses'][number]): Partial<Resource> {
  return { name, type: family === 4 ? TYPE.A : TYPE.AAAA, class: CLASS.IN, ttl: INFRASTRUCTURE_TTL_SECONDS, address };
}
