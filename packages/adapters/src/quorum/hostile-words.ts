// What the hostile resolvers of the tests say: two regions' words, signed by them or not, and true or not. Part of the tests.

import { createPrivateKey, sign } from 'node:crypto';
import { CONTROL_LABEL, attestationToSign, encodeAttestation, readAttestationName } from '@continuum/core';
import { generateKeyPair } from '@continuum/wire';
import { answerTo } from './hostile-resolver.ts';
import type { Asked } from './hostile-resolver.ts';

export const ZONE = 'attest.app.test';
const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };
export const publicKeys = { 'r1/1': keys.r1.publicKey, 'r2/1': keys.r2.publicKey };

export type Word = { nonce?: string; lease?: string; region?: string; epoch?: number; remainingMs?: number; by?: 'r1' | 'r2' };

/** The signed text that a beacon would give for a name, or one that differs from it. */
export function word(name: string, change: Word = {}): string {
  const asked = readAttestationName(name, ZONE);
  if (asked === null) throw new Error(name);
  const { by, ...rest } = change;
  const attestation = { ...asked, epoch: asked.lease === CONTROL_LABEL ? 0 : 7, remainingMs: 1_000, ...rest };
  const key = createPrivateKey(keys[by ?? (asked.region as 'r1' | 'r2')].privateKey);
  return encodeAttestation(attestation, sign(null, Buffer.from(attestationToSign(attestation)), key).toString('base64url'));
}

export const isControl = ({ name }: Asked): boolean => name.toLowerCase().includes(`.${CONTROL_LABEL}.`);
export const good = (asked: Asked): Buffer => answerTo(asked, [[word(asked.name)]]);
