// The resolvers as voters. Each is asked on its own, by its own transports, within its own deadline, with a nonce that no name had
// before: for the target's word, and for the control name of the asking region, without which silence would prove nothing. What comes
// back is checked here (nonce, lease, region, signature); what it means is decided in core.

import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { CONTROL_LABEL, attestationName, attestationToSign, findingOf, parseAttestation, voteOf } from '@continuum/core';
import type { AttestationQuestion, CastVote, Finding, RegionId, Voter } from '@continuum/core';
import type { QuorumPort } from '@continuum/ports';
import { keyRegion, publicKeyBytes } from '@continuum/wire';
import type { PublicKey } from '@continuum/wire';
import type { Agent } from 'undici';
import { askHttps, askPlain, httpsAgent } from './exchange.ts';
import type { Endpoint, Settled } from './exchange.ts';
import { makeQuestion } from './question.ts';

export type VoterOptions = Voter &
  Endpoint & {
    /** DNS over HTTPS at the same resolver, tried when plain DNS has brought nothing by half of the deadline. */
    readonly https?: { readonly url: string; readonly ca?: string };
  };

export type QuorumOptions = {
  readonly zone: string;
  readonly lease: string;
  readonly region: RegionId;
  readonly voters: readonly VoterOptions[];
  /** The regions' public keys by key id, `<region>/<label>`. */
  readonly publicKeys: Readonly<Record<string, PublicKey>>;
};

export type Quorum = QuorumPort & { readonly close: () => Promise<void> };

type Verify = (region: string, text: string, signature: string) => boolean;
type VoterParts = { readonly voter: VoterOptions; readonly agent: Agent | null };

const NONCE_BYTES = 16;
/** The control name is the region's own: a region that finds nothing at itself has no second place to look from. */
const OWN_SILENCE: Finding = { kind: 'nothing', reason: 'a region cannot control its own silence' };
/** The identifier and one bit for each letter of the longest name. */
const RANDOM_BYTES = 2 + 32;

/** Throws `KeyError` for a key that is none. */
export async function createQuorum(options: QuorumOptions): Promise<Quorum> {
  const proves = createVerify(options.publicKeys);
  const parts: VoterParts[] = options.voters.map((voter) => ({
    voter,
    agent: voter.https === undefined ? null : httpsAgent(voter.https.ca),
  }));
  return {
    round: async (target, timeoutMs, signal) => {
      const deadlineMs = performance.now() + timeoutMs;
      const { lease, region } = options;
      return Promise.all(
        parts.map(async (part): Promise<CastVote> => {
          const { name, vendor } = part.voter;
          const voter = { name, vendor };
          if (signal.aborted) return { voter, vote: { kind: 'abstain', reason: 'aborted' } };
          const [about, control] = await Promise.all([
            find(part, { lease, region: target }, options.zone, proves, deadlineMs),
            target === region ? OWN_SILENCE : find(part, { lease: CONTROL_LABEL, region }, options.zone, proves, deadlineMs),
          ]);
          return { voter, vote: voteOf(about, control) };
        }),
      );
    },
    close: async () => {
      await Promise.all(parts.map(({ agent }) => agent?.destroy()));
    },
  };
}

/** One resolver's finding by both of its transports. Two words that differ are no word. */
async function find(
  { voter, agent }: VoterParts,
  asked: Omit<AttestationQuestion, 'nonce'>,
  zone: string,
  proves: Verify,
  deadlineMs: number,
): Promise<Finding> {
  const { https } = voter;
  const ask = async (transport: (question: ReturnType<typeof makeQuestion>) => Promise<Settled>, overHttps: boolean): Promise<Finding> => {
    const random = randomBytes(NONCE_BYTES + RANDOM_BYTES);
    const question: AttestationQuestion = { ...asked, nonce: random.toString('hex', 0, NONCE_BYTES) };
    const answer = await transport(makeQuestion(attestationName(question, zone), random.subarray(NONCE_BYTES), overHttps));
    return answer.kind === 'text' ? judge(answer.text, question, proves) : answer;
  };
  const plain = ask((question) => askPlain(question, voter, deadlineMs), false);
  if (https === undefined || agent === null) return plain;
  const early = await Promise.race([plain, halfWay(deadlineMs)]);
  if (early !== null && early.kind !== 'nothing') return early;
  const second = ask((question) => askHttps(question, https.url, agent, deadlineMs), true);
  return Promise.race([unlessNothing(plain), unlessNothing(second), both(plain, second)]);
}

/** What a text proves about the question: its own region's word, for this nonce, signed with that region's key. */
function judge(text: string, asked: AttestationQuestion, proves: Verify): Finding {
  const parsed = parseAttestation(text);
  if (!parsed.ok) return { kind: 'unusable', reason: `not an attestation (${parsed.problem})` };
  const { attestation, signature } = parsed;
  const finding = findingOf(attestation, asked);
  if (finding.kind === 'unusable') return finding;
  return proves(asked.region, attestationToSign(attestation), signature) ? finding : { kind: 'unusable', reason: 'wrong signature' };
}

/** By this thread: the way to another one and back takes longer than a signature. */
function createVerify(publicKeys: QuorumOptions['publicKeys']): Verify {
  const ring = Object.entries(publicKeys).map(([keyId, key]) => {
    const x = Buffer.from(publicKeyBytes(keyId, key)).toString('base64url');
    return { region: keyRegion(keyId), key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
  });
  return (region, text, signature) => {
    const bytes = Buffer.from(signature, 'base64url');
    return ring.some((one) => one.region === region && verify(null, Buffer.from(text), one.key, bytes));
  };
}

function halfWay(deadlineMs: number): Promise<null> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(null), Math.max(0, (deadlineMs - performance.now()) / 2));
  });
}

/** Settles only with something: a transport that found nothing leaves the word to the other one. */
function unlessNothing(finding: Promise<Finding>): Promise<Finding> {
  return new Promise((resolve) => {
    void finding.then((found) => {
      if (found.kind !== 'nothing') resolve(found);
    });
  });
}

async function both(plain: Promise<Finding>, second: Promise<Finding>): Promise<Finding> {
  const [one, other] = await Promise.all([plain, second]);
  if (one.kind === 'attested' && other.kind === 'attested' && one.epoch !== other.epoch) {
    return { kind: 'unusable', reason: `two words: epochs ${one.epoch} and ${other.epoch}` };
  }
  return one.kind === 'nothing' ? other : one;
}
