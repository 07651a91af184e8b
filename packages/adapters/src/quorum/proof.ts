// What an answer of a resolver proves: that it is the asked region's own word, for the nonce of the question, signed with that region's key.

import { createPublicKey, verify } from 'node:crypto';
import { attestationToSign, findingOf, parseAttestation } from '@continuum/core';
import type { AttestationQuestion, Finding } from '@continuum/core';
import { keyRegion, publicKeyBytes } from '@continuum/wire';
import type { PublicKey } from '@continuum/wire';

export type Judge = (text: string, asked: AttestationQuestion) => Finding;

/** `publicKeys` by key id, `<region>/<label>`. Throws `KeyError` for a key that is none. */
export function createJudge(publicKeys: Readonly<Record<string, PublicKey>>): Judge {
  const ring = Object.entries(publicKeys).map(([keyId, key]) => {
    const x = Buffer.from(publicKeyBytes(keyId, key)).toString('base64url');
    return { region: keyRegion(keyId), key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
  });
  return (text, asked) => {
    const parsed = parseAttestation(text);
    if (!parsed.ok) return { kind: 'unusable', reason: `not an attestation (${parsed.problem})` };
    const { attestation, signature } = parsed;
    const finding = findingOf(attestation, asked);
    if (finding.kind === 'unusable') return finding;
    const signed = Buffer.from(attestationToSign(attestation));
    const bytes = Buffer.from(signature, 'base64url');
    // By this thread: the way to another one and back takes longer than a signature.
    const proven = ring.some(({ region, key }) => region === asked.region && verify(null, signed, key, bytes));
    return proven ? finding : { kind: 'unusable', reason: 'wrong signature' };
  };
}
