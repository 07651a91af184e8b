// What a region says of itself through DNS: "I hold this lease, under this epoch, for so long". One TXT string, made for one
// question: it repeats the question's nonce, so no cache and no recording can answer for the region. Sans-IO: text in, values
// out. The signature is made and checked elsewhere (it needs the platform's cryptography); what is signed is decided here.
//
//   c1 <nonce> <lease> <region> <epoch> <remainingMs> <signature>
//
// asked for as TXT at `<nonce>.<lease>.<region>.<zone>`. The control name has `_control` for its lease, which no lease can be
// called: it proves that a resolver reaches that region's beacon now, and says nothing about any lease.

import type { Finding } from './quorum.ts';

export const CONTROL_LABEL = '_control';
/** One character-string of a TXT record holds no more. */
export const ATTESTATION_LENGTH_MAX = 255;

/** 128 bits in lower-case hex: DNS keeps no case, and resolvers that vary it must not change the value. */
const NONCE = /^[0-9a-f]{32}$/;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?$/;
const EPOCH = /^(?:0|[1-9][0-9]{0,15})$/;
const REMAINING = /^(?:0|[1-9][0-9]{0,8})$/;
/** The 64 bytes of an Ed25519 signature in base64url. */
const SIGNATURE = /^[A-Za-z0-9_-]{86}$/;
const VERSION = 'c1';
/** All of them at once, each in a group: the processor that reads one word in 300 ms has forgotten a reader of seven steps. */
const WHOLE = new RegExp(`^${VERSION} ${[NONCE, `(?:${CONTROL_LABEL}|${inner(NAME)})`, NAME, EPOCH, REMAINING, SIGNATURE].map((one) => `(${inner(one)})`).join(' ')}$`);
/** Keeps this signature from ever being one over something else: the same key signs requests to the witness. */
const DOMAIN = 'continuum attestation\n';

export type Attestation = {
  readonly nonce: string;
  /** A lease, or `CONTROL_LABEL`. */
  readonly lease: string;
  readonly region: string;
  readonly epoch: number;
  /** Of the region's validity when it answered. */
  readonly remainingMs: number;
};

export type AttestationProblem = 'too-long' | 'not-ascii' | 'field-count' | 'version' | 'nonce' | 'lease' | 'region' | 'epoch' | 'remaining' | 'signature';

export type ParsedAttestation =
  | { readonly ok: true; readonly attestation: Attestation; readonly signature: string }
  | { readonly ok: false; readonly problem: AttestationProblem };

/** What the signature is over. */
export function attestationToSign(attestation: Attestation): string {
  return `${DOMAIN}${body(attestation)}`;
}

export function encodeAttestation(attestation: Attestation, signature: string): string {
  return `${body(attestation)} ${signature}`;
}

/** Strict: exactly what `encodeAttestation` writes, or the first field that is not so. The signature is not checked here. */
export function parseAttestation(text: string): ParsedAttestation {
  const fields = WHOLE.exec(text);
  if (fields === null) return { ok: false, problem: firstProblem(text) };
  const [, nonce, lease, region, epoch, remaining, signature] = fields as unknown as [string, string, string, string, string, string, string];
  if (!Number.isSafeInteger(Number(epoch))) return { ok: false, problem: 'epoch' };
  return { ok: true, attestation: { nonce, lease, region, epoch: Number(epoch), remainingMs: Number(remaining) }, signature };
}

/** Of a text that is not as it must be. */
function firstProblem(text: string): AttestationProblem {
  if (text.length > ATTESTATION_LENGTH_MAX) return 'too-long';
  if (!/^[\x20-\x7e]*$/.test(text)) return 'not-ascii';
  const fields = text.split(' ');
  if (fields.length !== 7) return 'field-count';
  const [version, nonce, lease, region, epoch, remaining] = fields as [string, string, string, string, string, string];
  if (version !== VERSION) return 'version';
  if (!NONCE.test(nonce)) return 'nonce';
  if (lease !== CONTROL_LABEL && !NAME.test(lease)) return 'lease';
  if (!NAME.test(region)) return 'region';
  if (!EPOCH.test(epoch)) return 'epoch';
  return REMAINING.test(remaining) ? 'signature' : 'remaining';
}

export type AttestationQuestion = { readonly nonce: string; readonly lease: string; readonly region: string };

/**
 * What a word proves about the question: the asked region's own, for this nonce and no other, while its validity lasts. Its signature
 * is checked beside this; without it the finding proves nothing.
 */
export function findingOf(attestation: Attestation, asked: AttestationQuestion): Finding {
  const { nonce, lease, region, epoch, remainingMs } = attestation;
  if (nonce !== asked.nonce) return { kind: 'unusable', reason: 'an attestation for another nonce' };
  if (lease !== asked.lease || region !== asked.region) return { kind: 'unusable', reason: 'an attestation of something else' };
  if (lease !== CONTROL_LABEL && remainingMs === 0) return { kind: 'nothing', reason: 'its validity is over' };
  return { kind: 'attested', epoch };
}

/** The name to ask for, in lower case and without a dot at its end. */
export function attestationName({ nonce, lease, region }: AttestationQuestion, zone: string): string {
  return `${nonce}.${lease}.${region}.${zone}`;
}

/** The question that a name asks; null for a name that asks nothing of a beacon. Any case. */
export function readAttestationName(name: string, zone: string): AttestationQuestion | null {
  const lower = name.toLowerCase();
  if (!lower.endsWith(`.${zone}`)) return null;
  const labels = lower.slice(0, -zone.length - 1).split('.');
  if (labels.length !== 3) return null;
  const [nonce, lease, region] = labels as [string, string, string];
  if (!NONCE.test(nonce) || !NAME.test(region) || (lease !== CONTROL_LABEL && !NAME.test(lease))) return null;
  return { nonce, lease, region };
}

/** A pattern without its anchors. */
function inner(pattern: RegExp | string): string {
  return typeof pattern === 'string' ? pattern : pattern.source.slice(1, -1);
}

function body({ nonce, lease, region, epoch, remainingMs }: Attestation): string {
  return `${VERSION} ${nonce} ${lease} ${region} ${epoch} ${Math.max(0, Math.min(999_999_999, Math.floor(remainingMs)))}`;
}
