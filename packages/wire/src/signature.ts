// RFC 9421 signatures (Ed25519) with RFC 9530 content digests, on everything between a controller and the witness.
//
// A request is signed by a key of one region; a reply is signed by the witness and covers the signature of the request
// that it answers, so a recorded reply fits no other request. Each request carries a fresh nonce.
//
// Replays are stopped by the (region, seq) in the lease's own transaction, not by time: an operation must not stop
// because a region's clock was stepped. `created` is therefore only a coarse check that keeps a recording from being of
// use for ever; the default window is ten minutes to both sides, far above a stepped clock. Replies carry no time at all.

import { component, createSignature, isSignatureError, verifySignature } from 'http-message-sig';
import type { SignatureComponent, VerifiedSignature } from 'http-message-sig';
import { base64Decode, base64Encode, base64UrlEncode, keyRegion } from './keys.ts';
import type { KeyId, KeyRing, SigningKey } from './keys.ts';

export type SignedRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: Iterable<readonly [string, string]>;
  readonly body: Uint8Array<ArrayBuffer>;
};
export type SignedReply = {
  readonly status: number;
  readonly headers: Iterable<readonly [string, string]>;
  readonly body: Uint8Array<ArrayBuffer>;
};
export type SignatureHeaders = {
  readonly 'content-digest': string;
  readonly 'signature-input': string;
  readonly signature: string;
};

/**
 * missing: no signature. malformed: one that does not cover what it must, or is not the protocol. digest-mismatch: the
 * body is not the one that was signed. key-unknown: no such key, or no longer. forged: the signature does not fit.
 * stale: signed outside the window.
 */
export type SignatureProblem = 'missing' | 'malformed' | 'digest-mismatch' | 'key-unknown' | 'forged' | 'stale';
export type Verified<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: SignatureProblem; readonly detail: string };

/** Who signed a request, and the nonce under which the reply will be known. */
export type Caller = { readonly keyId: KeyId; readonly region: string; readonly nonce: string };

export const SIGNATURE_WINDOW_SECONDS = 600;
export const NO_BODY: Uint8Array<ArrayBuffer> = new Uint8Array(0);

const LABEL = 'continuum';
const REQUEST_TAG = 'continuum-request';
const REPLY_TAG = 'continuum-reply';
const PUSH_TAG = 'continuum-push';
const NONCE_BYTES = 16;
const NONCE = /^[A-Za-z0-9_-]{16,64}$/;
const REQUEST_COMPONENTS: readonly SignatureComponent[] = ['@method', '@authority', '@path', '@query', 'content-digest'];
const BOUND_TO_REQUEST: SignatureComponent = component('signature', { req: true, key: LABEL });
const REPLY_COMPONENTS: readonly SignatureComponent[] = ['@status', 'content-digest', BOUND_TO_REQUEST];
/** The library's own time check is not used: it would reject a reply or request before it could be told why. */
const NO_TIME_CHECK_SECONDS = Number.MAX_SAFE_INTEGER;

export function newNonce(): string {
  return base64UrlEncode(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
}

/** The headers that sign `request`. `createdSeconds` is this machine's wall clock, `nonce` is from `newNonce`. */
export async function signRequest(
  key: SigningKey,
  request: SignedRequest,
  freshness: { readonly nonce: string; readonly createdSeconds: number },
): Promise<SignatureHeaders> {
  const digest = await contentDigest(request.body);
  const fields = createSignature(requestMessage(request, digest), {
    label: LABEL,
    components: REQUEST_COMPONENTS,
    parameters: {
      created: Math.floor(freshness.createdSeconds),
      nonce: freshness.nonce,
      keyid: key.keyId,
      alg: key.signer.algorithm,
      tag: REQUEST_TAG,
    },
    signer: key.signer,
  });
  return headers(digest, await fields);
}

/** Who sent `request`, when its signature holds under a key of `ring` and was made within the window. */
export async function verifyRequest(
  ring: KeyRing,
  request: SignedRequest,
  clock: { readonly nowSeconds: number; readonly windowSeconds: number },
): Promise<Verified<Caller>> {
  const digest = await checkDigest(request);
  if (!digest.ok) return digest;
  const checked = await verify(ring, requestMessage(request), {
    components: REQUEST_COMPONENTS,
    parameters: ['created', 'nonce', 'keyid'],
    tag: REQUEST_TAG,
  });
  if (!checked.ok) return checked;
  const { created = 0, nonce = '', keyid = '' } = checked.value.parameters;
  const offBySeconds = Math.abs(clock.nowSeconds - created);
  if (offBySeconds > clock.windowSeconds) {
    const detail = `created ${created} is ${Math.round(offBySeconds)} s off the witness's clock, allowed ${clock.windowSeconds}`;
    return { ok: false, problem: 'stale', detail };
  }
  if (!NONCE.test(nonce)) return { ok: false, problem: 'malformed', detail: 'nonce: use 16 to 64 characters of base64url' };
  return { ok: true, value: { keyId: keyid, region: keyRegion(keyid), nonce } };
}

/**
 * The headers that sign a reply to `request`. A request whose signature cannot even be read is answered with a reply that
 * is bound to nothing; no controller believes such a reply, a human with a tool may.
 */
export async function signReply(key: SigningKey, reply: SignedReply, request: SignedRequest): Promise<SignatureHeaders> {
  const digest = await contentDigest(reply.body);
  const { request: asked, ...alone } = { ...replyMessage(reply, request), fields: [...fieldList(reply.headers), digestField(digest)] };
  const parameters = { keyid: key.keyId, alg: key.signer.algorithm, tag: REPLY_TAG };
  const sign = (message: Message, components: readonly SignatureComponent[]) =>
    createSignature(message, { label: LABEL, components, parameters, signer: key.signer });
  try {
    return headers(digest, await sign({ ...alone, request: asked }, REPLY_COMPONENTS));
  } catch (error) {
    if (!isSignatureError(error)) throw error;
    return headers(digest, await sign(alone, ['@status', 'content-digest']));
  }
}

/** Whether `reply` is the witness's own answer to exactly this `request` (with the headers it was sent with). */
export async function verifyReply(ring: KeyRing, reply: SignedReply, request: SignedRequest): Promise<Verified<KeyId>> {
  const digest = await checkDigest(reply);
  if (!digest.ok) return digest;
  const checked = await verify(ring, replyMessage(reply, request), {
    components: REPLY_COMPONENTS,
    parameters: ['keyid'],
    tag: REPLY_TAG,
  });
  return checked.ok ? { ok: true, value: checked.value.parameters.keyid ?? '' } : checked;
}

/** Signs the text of one pushed event. The text names the stream it belongs to. */
export async function signPush(key: SigningKey, push: string): Promise<{ keyId: KeyId; signature: string; push: string }> {
  const signature = await key.signer.sign(pushBase(key.keyId, push));
  return { keyId: key.keyId, signature: base64Encode(signature), push };
}

export async function verifyPush(
  ring: KeyRing,
  envelope: { readonly keyId: KeyId; readonly signature: string; readonly push: string },
): Promise<Verified<string>> {
  const verifier = ring.get(envelope.keyId);
  if (verifier === undefined) return { ok: false, problem: 'key-unknown', detail: `no key ${envelope.keyId}` };
  let signature: Uint8Array;
  try {
    signature = base64Decode(envelope.signature);
  } catch {
    return { ok: false, problem: 'malformed', detail: 'signature: not base64' };
  }
  const fits = await verifier.verify(pushBase(envelope.keyId, envelope.push), signature);
  return fits ? { ok: true, value: envelope.push } : { ok: false, problem: 'forged', detail: 'the signature does not fit' };
}

function pushBase(keyId: KeyId, push: string): Uint8Array {
  return new TextEncoder().encode(`${PUSH_TAG}\n${keyId}\n${push}`);
}

type Expected = {
  readonly components: readonly SignatureComponent[];
  readonly parameters: readonly string[];
  readonly tag: string;
};
type Message = Parameters<typeof verifySignature>[0];

async function verify(ring: KeyRing, message: Message, expected: Expected): Promise<Verified<VerifiedSignature>> {
  let asked = '(none)';
  try {
    const value = await verifySignature(message, {
      label: LABEL,
      policy: {
        algorithms: ['ed25519'],
        requiredComponents: expected.components,
        requiredParameters: [...expected.parameters, 'tag'],
        clockSkew: NO_TIME_CHECK_SECONDS,
      },
      resolveVerifier: (candidate) => {
        asked = candidate.parameters.keyid ?? '(none)';
        const verifier = ring.get(asked);
        if (verifier === undefined) throw new Error('unknown key');
        return verifier;
      },
    });
    if (value.parameters.tag !== expected.tag) return { ok: false, problem: 'malformed', detail: `tag: use ${expected.tag}` };
    return { ok: true, value };
  } catch (error) {
    if (!isSignatureError(error)) throw error;
    if (error.code === 'MissingField') return { ok: false, problem: 'missing', detail: error.message };
    if (error.code === 'VerificationFailed') return { ok: false, problem: 'forged', detail: 'the signature does not fit' };
    if (error.code === 'ResolverFailed') return { ok: false, problem: 'key-unknown', detail: `no key ${asked.slice(0, 80)}` };
    return { ok: false, problem: 'malformed', detail: error.message.slice(0, 300) };
  }
}

async function checkDigest(message: SignedRequest | SignedReply): Promise<Verified<null>> {
  const stated = [...message.headers].find(([name]) => name.toLowerCase() === 'content-digest')?.[1];
  if (stated === undefined) return { ok: false, problem: 'missing', detail: 'no Content-Digest' };
  const actual = await contentDigest(message.body);
  if (stated === actual) return { ok: true, value: null };
  return { ok: false, problem: 'digest-mismatch', detail: `Content-Digest is ${stated.slice(0, 100)}, the body has ${actual}` };
}

async function contentDigest(body: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha-256=:${base64Encode(new Uint8Array(await crypto.subtle.digest('SHA-256', body)))}:`;
}

type Field = { readonly name: string; readonly value: string };

function requestMessage(request: SignedRequest, digest?: string) {
  const fields = [...fieldList(request.headers), ...(digest === undefined ? [] : [digestField(digest)])];
  return { kind: 'request' as const, method: request.method, targetUri: request.url, fields };
}

function replyMessage(reply: SignedReply, request: SignedRequest) {
  const fields = fieldList(reply.headers);
  return { kind: 'response' as const, status: reply.status, fields, request: requestMessage(request) };
}

/** Only the fields that signatures cover; the others may hold anything, and do not have to be ASCII. */
function fieldList(all: Iterable<readonly [string, string]>): Field[] {
  const covered = new Set(['content-digest', 'signature', 'signature-input']);
  return [...all].map(([name, value]) => ({ name: name.toLowerCase(), value })).filter(({ name }) => covered.has(name));
}

function digestField(digest: string): Field {
  return { name: 'content-digest', value: digest };
}

function headers(digest: string, fields: { signature: string; signatureInput: string }): SignatureHeaders {
  return { 'content-digest': digest, 'signature-input': fields.signatureInput, signature: fields.signature };
}
