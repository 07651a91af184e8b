// Signatures and keys. That the bytes are RFC 9421 and RFC 9530 is checked against node:crypto and the RFCs' own example,
// not against the library that made them. That the same code runs in workerd is shown by the witness's own tests.

import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import fc from 'fast-check';
import { createSignature } from 'http-message-sig';
import t from 'tap';
import { generateKeyPair, importKeyRing, importSigningKey, keyRegion } from './keys.ts';
import { NO_BODY, newNonce, signPush, signReply, signRequest, verifyPush, verifyReply, verifyRequest } from './signature.ts';
import type { SignedReply, SignedRequest, Verified } from './signature.ts';

const region = await generateKeyPair();
const witness = await generateKeyPair();
const regionKey = await importSigningKey('r1/a', region.privateKey);
const witnessKey = await importSigningKey('witness/1', witness.privateKey);
const regionRing = await importKeyRing({ 'r1/a': region.publicKey });
const witnessRing = await importKeyRing({ 'witness/1': witness.publicKey });

const NOW = { nowSeconds: 1_800_000_000, windowSeconds: 600 };
const text = (body: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(body);
const BODY = text('{"hello": "world"}');
const URL = 'https://witness.example.net/v1/leases/shop/commands';

async function signedRequest(change: Partial<SignedRequest> = {}, createdSeconds = NOW.nowSeconds): Promise<SignedRequest> {
  const plain = { method: 'POST', url: URL, headers: [], body: BODY, ...change };
  const headers = await signRequest(regionKey, plain, { nonce: newNonce(), createdSeconds });
  return { ...plain, headers: Object.entries(headers) };
}

async function signedReply(request: SignedRequest, body = BODY): Promise<SignedReply> {
  const plain = { status: 200, headers: [], body };
  return { ...plain, headers: Object.entries(await signReply(witnessKey, plain, request)) };
}

const header = (message: { headers: Iterable<readonly [string, string]> }, name: string): string =>
  new Map(message.headers).get(name) ?? '';
const problemOf = (verified: Verified<unknown>): string => (verified.ok ? 'ok' : verified.problem);

t.test('a request is signed as RFC 9421 says, over a digest as RFC 9530 says', async (t) => {
  const request = await signedRequest();
  t.equal(header(request, 'content-digest'), 'sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:', "the RFC's own example");
  const parameters = header(request, 'signature-input').replace('continuum=', '');
  const base = [
    '"@method": POST',
    '"@authority": witness.example.net',
    '"@path": /v1/leases/shop/commands',
    '"@query": ?',
    `"content-digest": ${header(request, 'content-digest')}`,
    `"@signature-params": ${parameters}`,
  ].join('\n');
  const signature = Buffer.from(header(request, 'signature').replace(/^continuum=:|:$/g, ''), 'base64');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: region.publicKey }, format: 'jwk' });
  t.ok(verify(null, Buffer.from(base), publicKey, signature));
});

t.test('a reply is signed over its status, its body and the signature of its request', async (t) => {
  const request = await signedRequest();
  const reply = await signedReply(request);
  const base = [
    '"@status": 200',
    `"content-digest": ${header(reply, 'content-digest')}`,
    `"signature";req;key="continuum": ${header(request, 'signature').replace('continuum=', '')}`,
    `"@signature-params": ${header(reply, 'signature-input').replace('continuum=', '')}`,
  ].join('\n');
  const signature = Buffer.from(header(reply, 'signature').replace(/^continuum=:|:$/g, ''), 'base64');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: witness.publicKey }, format: 'jwk' });
  t.ok(verify(null, Buffer.from(base), publicKey, signature));
});

t.test('a good request names its key, its region and its nonce; a good reply its key', async (t) => {
  const request = await signedRequest();
  t.match(await verifyRequest(regionRing, request, NOW), { ok: true, value: { keyId: 'r1/a', region: 'r1', nonce: /^.{22}$/ } });
  t.same(await verifyReply(witnessRing, await signedReply(request), request), { ok: true, value: 'witness/1' });
  const empty = await signedRequest({ method: 'GET', body: NO_BODY });
  t.match(await verifyRequest(regionRing, empty, NOW), { ok: true });
});

t.test('nothing that is covered can be changed', async (t) => {
  const request = await signedRequest();
  const changes: [string, Partial<SignedRequest>][] = [
    ['forged', { method: 'PUT' }],
    ['forged', { url: URL.replace('shop', 'shop2') }],
    ['forged', { url: `${URL}?force=1` }],
    ['forged', { url: URL.replace('witness.', 'staging.') }],
    ['digest-mismatch', { body: text('{"hello": "World"}') }],
    ['digest-mismatch', { body: NO_BODY }],
    ['missing', { headers: [] }],
  ];
  for (const [problem, change] of changes) {
    t.equal(problemOf(await verifyRequest(regionRing, { ...request, ...change }, NOW)), problem, JSON.stringify(Object.keys(change)));
  }
  const reply = await signedReply(request);
  t.equal(problemOf(await verifyReply(witnessRing, { ...reply, status: 409 }, request)), 'forged');
  t.equal(problemOf(await verifyReply(witnessRing, { ...reply, body: text('{}') }, request)), 'digest-mismatch');
  t.equal(problemOf(await verifyReply(witnessRing, reply, await signedRequest())), 'forged', 'another request');
});

t.test('no header of a signed request can be altered, whatever the alteration', async () => {
  const request = await signedRequest();
  const names = ['content-digest', 'signature-input', 'signature'];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), fc.nat(), fc.integer({ min: 33, max: 126 }), async (name, place, code) => {
      const original = header(request, name);
      const index = place % original.length;
      const altered = original.slice(0, index) + String.fromCharCode(code) + original.slice(index + 1);
      const headers = [...request.headers].map(([key, value]) => [key, key === name ? altered : value] as const);
      const verified = await verifyRequest(regionRing, { ...request, headers }, NOW);
      // The last base64 digit before the padding has bits that mean nothing: another spelling of the same signature.
      const sameMeaning = altered === original || (name === 'signature' && index === original.length - 4);
      return sameMeaning || !verified.ok;
    }),
    { numRuns: 500, seed: 20_261_121 },
  );
});

t.test('one kind of message does not pass for another', async (t) => {
  const request = await signedRequest();
  const asReply = { status: 200, body: request.body, headers: request.headers };
  t.not(problemOf(await verifyReply(regionRing, asReply, request)), 'ok');
  const reply = await signedReply(request);
  t.not(problemOf(await verifyRequest(witnessRing, { ...request, headers: reply.headers }, NOW)), 'ok');
  const digest = header(request, 'content-digest');
  const message = { kind: 'request' as const, method: 'POST', targetUri: URL, fields: [{ name: 'content-digest', value: digest }] };
  for (const [tag, problem] of [['continuum-request', 'ok'], ['continuum-reply', 'malformed'], ['web-bot-auth', 'malformed']]) {
    const { signature, signatureInput } = await createSignature(message, {
      label: 'continuum',
      components: ['@method', '@authority', '@path', '@query', 'content-digest'],
      parameters: { created: NOW.nowSeconds, nonce: newNonce(), keyid: 'r1/a', tag: tag as string },
      signer: regionKey.signer,
    });
    const headers = Object.entries({ 'content-digest': digest, signature, 'signature-input': signatureInput });
    t.equal(problemOf(await verifyRequest(regionRing, { ...request, headers }, NOW)), problem, tag as string);
  }
});

t.test('a reply to a request that has no readable signature is bound to nothing, and not believed', async (t) => {
  const bare: SignedRequest = { method: 'GET', url: URL, headers: [], body: NO_BODY };
  t.equal(problemOf(await verifyReply(witnessRing, await signedReply(bare), bare)), 'malformed');
  for (const signature of ['(((', 'é', 'continuum=:é:', '\u0080']) {
    const broken: SignedRequest = { ...bare, headers: [['signature', signature], ['signature-input', '=']] };
    t.equal(problemOf(await verifyRequest(regionRing, { ...broken, headers: [...broken.headers, ...(await signedRequest(bare)).headers] }, NOW)), 'malformed');
    t.equal(problemOf(await verifyReply(witnessRing, await signedReply(broken), broken)), 'malformed');
  }
});

t.test('the window is wide and has an end on both sides', async (t) => {
  for (const [offSeconds, problem] of [[-600, 'ok'], [600, 'ok'], [-60, 'ok'], [60, 'ok'], [-601, 'stale'], [601, 'stale']] as const) {
    const request = await signedRequest({}, NOW.nowSeconds + offSeconds);
    t.equal(problemOf(await verifyRequest(regionRing, request, NOW)), problem, `${offSeconds} s`);
  }
});

t.test('two keys of a region count side by side, a third does not exist', async (t) => {
  const next = await generateKeyPair();
  const ring = await importKeyRing({ 'r1/a': region.publicKey, 'r1/b': next.publicKey });
  const plain = { method: 'GET', url: URL, headers: [], body: NO_BODY };
  for (const [keyId, pair, problem] of [['r1/b', next, 'ok'], ['r1/c', next, 'key-unknown'], ['r1/a', next, 'forged']] as const) {
    const key = await importSigningKey(keyId, pair.privateKey);
    const headers = await signRequest(key, plain, { nonce: newNonce(), createdSeconds: NOW.nowSeconds });
    t.equal(problemOf(await verifyRequest(ring, { ...plain, headers: Object.entries(headers) }, NOW)), problem, keyId);
  }
});

t.test('a push is believed under the key that it names, word for word', async (t) => {
  const push = await signPush(witnessKey, '{"event":"granted"}');
  t.same(await verifyPush(witnessRing, push), { ok: true, value: '{"event":"granted"}' });
  t.equal(problemOf(await verifyPush(witnessRing, { ...push, push: '{"event":"expired"}' })), 'forged');
  t.equal(problemOf(await verifyPush(witnessRing, { ...push, keyId: 'witness/2' })), 'key-unknown');
  t.equal(problemOf(await verifyPush(witnessRing, { ...push, signature: '%' })), 'malformed');
  t.equal(problemOf(await verifyPush(witnessRing, { ...push, signature: '' })), 'forged');
});

t.test('nonces do not repeat', async (t) => {
  t.equal(new Set(Array.from({ length: 1_000 }, newNonce)).size, 1_000);
});

t.test('keys come as OpenSSL, Node and JWK write them', async (t) => {
  const pair = generateKeyPairSync('ed25519');
  const pem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const jwk = pair.privateKey.export({ format: 'jwk' }) as { kty: string; crv: string; x: string; d: string };
  for (const privateKey of [pem, jwk, JSON.stringify(jwk)]) {
    const key = await importSigningKey('r1/a', privateKey);
    const push = await signPush(key, 'x');
    for (const publicKey of [jwk.x, { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, JSON.stringify(jwk)]) {
      t.match(await verifyPush(await importKeyRing({ 'r1/a': publicKey }), push), { ok: true });
    }
  }
});

t.test('what is no key is refused without being quoted', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const privateKeys = ['', 'x', '{}', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', '-----BEGIN SECRET-----',
    rsa.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()];
  for (const privateKey of privateKeys) {
    await t.rejects(importSigningKey('r1/a', privateKey), { code: 'CTM_KEY_INVALID', message: /^private key r1\/a: use an Ed25519 key/ });
  }
  for (const publicKey of ['', 'AAAA', '*', '{}', { kty: 'RSA' }]) {
    await t.rejects(importKeyRing({ 'r1/a': publicKey }), { code: 'CTM_KEY_INVALID', message: /^public key r1\/a: use the 32 bytes/ });
  }
  for (const keyId of ['r1', '/a', 'R1/a', 'r1/', 'r1/a/b', `r1/${'a'.repeat(33)}`]) {
    t.throws(() => keyRegion(keyId), { code: 'CTM_KEY_INVALID', message: /use <region>\/<label>/ });
  }
  t.equal(keyRegion('eu-west/2026-11'), 'eu-west');
});
