// What the witness adapter needs to know, checked once with every problem in one report.

import {
  InvalidFieldsError,
  KeyError,
  fieldProblems,
  importKeyRing,
  importSigningKey,
  keyProblem,
  keyRegion,
  leaseName,
  regionName,
} from '@continuum/wire';
import type { KeyId, KeyRing, PrivateKey, PublicKey, SigningKey } from '@continuum/wire';
import { isPrivateUrl } from '@continuum/wire/config-file';
import type { Failure } from '@continuum/ports';
import { z } from 'zod';

export type WitnessRegisterOptions = {
  /** Origin of the witness. `https`, except on a loopback address. */
  readonly url: string;
  readonly lease: string;
  readonly region: string;
  /** `<region>/<label>`, as the witness knows the public half. */
  readonly keyId: KeyId;
  readonly privateKey: PrivateKey;
  /** The witness's own public keys, by key id: nothing else is believed. Two while one replaces the other. */
  readonly witnessPublicKeys: Readonly<Record<KeyId, PublicKey>>;
  /** 0..1, for the jitter of reconnects. */
  readonly random?: () => number;
  /** How often a watch proves that its connection lives; it is given up after twice that. */
  readonly heartbeatMs?: number;
  /** Why a watch broke or a push was not believed. For logs and metrics only. */
  readonly onWatchProblem?: (failure: Failure) => void;
};

export type Checked = {
  readonly origin: string;
  readonly lease: string;
  readonly key: SigningKey;
  readonly witnessKeys: KeyRing;
};

const schema = z.object({
  url: z.string().max(300).refine(isUsableUrl, {
    error: 'use the origin of the witness, https://..., without a path (http:// only on a loopback address)',
  }),
  lease: leaseName,
  region: regionName,
  heartbeatMs: z.number().int().min(50).max(60_000).optional(),
});

export async function checkOptions(options: WitnessRegisterOptions): Promise<Checked> {
  const { url, lease, region, heartbeatMs } = options;
  const plain = { url, lease, region, heartbeatMs };
  const parsed = schema.safeParse(plain);
  const problems = parsed.success ? [] : fieldProblems(parsed.error.issues, plain);
  const badKeyId = fixOf(() => keyRegion(options.keyId));
  if (badKeyId !== null) throw new InvalidFieldsError('CTM_REGISTER_OPTIONS_INVALID', [...problems, { path: 'keyId', value: options.keyId, fix: badKeyId }]);
  const key = await importSigningKey(options.keyId, options.privateKey).catch(keyProblem(problems, 'privateKey'));
  const witnessKeys = await importKeyRing(options.witnessPublicKeys).catch(keyProblem(problems, 'witnessPublicKeys'));
  if (key !== null && keyRegion(key.keyId) !== region) {
    problems.push({ path: 'keyId', value: key.keyId, fix: `use a key of region ${region}: ${region}/<label>` });
  }
  if (witnessKeys?.size === 0) problems.push({ path: 'witnessPublicKeys', value: '{}', fix: 'pin at least one key of the witness' });
  if (key === null || witnessKeys === null || problems.length > 0) throw new InvalidFieldsError('CTM_REGISTER_OPTIONS_INVALID', problems);
  return { origin: new URL(url).origin, lease, key, witnessKeys };
}

function isUsableUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') return false;
  return /^https?:$/.test(url.protocol) && isPrivateUrl(url);
}

function fixOf(check: () => unknown): string | null {
  try {
    check();
    return null;
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return error.message;
  }
}
