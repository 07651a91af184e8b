// From what three resolvers say to one outcome. The quorum never grants anything: `attested` lets a holder hold on, `dark` is one
// condition of a takeover among others, and everything that is not certainly one of the two is `abstain`.
//
// A resolver is a witness of reachability, not of ownership: all of them ask the same beacons. What it contributes is where it
// stands, so votes of one vendor are one vote however many there are. The rule: an outcome needs two votes that agree, from two
// vendors. The register's vendor is no exception (1.1.1.1 and a Worker share one): a grant by that vendor's register and the vote of
// that vendor's resolver rest on one vendor, and do not count without another one's vote. A list of voters must leave two vendors
// when the register's own is away, because that is when the quorum is needed.
//
// A stricter rule was weighed and is not followed: that one other vendor beside the register's own is not enough either. With a
// register at cloudflare it makes the vote of 1.1.1.1 worth nothing: every outcome then needs google *and* quad9, and with one of
// these two dead or blocking the name nobody can hold and nobody can take over. "Two of three" would be two of two at all times,
// for a wrong outcome that already needs two vendors to err alike, and that no more than delays or allows what the register decides.
//
// Rounds are never mixed: what a resolver said a moment ago cannot agree with what another one says now.

import type { RegionId } from '../types.ts';

export type Voter = {
  /** What it is reported under, for example `8.8.8.8`. */
  readonly name: string;
  /** Who runs it, for example `google`. */
  readonly vendor: string;
};

/** What one question through one resolver came to, its signature already checked. */
export type Finding =
  | { readonly kind: 'attested'; readonly epoch: number }
  /** The resolver found nothing there: no answer in time, SERVFAIL, REFUSED, an empty answer. */
  | { readonly kind: 'nothing'; readonly reason: string }
  /** Something answered that must not count: bad signature, another nonce, two records, a name that is said not to exist. */
  | { readonly kind: 'unusable'; readonly reason: string };

export type Vote =
  | { readonly kind: 'attested'; readonly epoch: number }
  /** This resolver reaches the asking region's own beacon, and finds nothing at the target's. */
  | { readonly kind: 'silent'; readonly reason: string }
  | { readonly kind: 'abstain'; readonly reason: string };

export type CastVote = { readonly voter: Voter; readonly vote: Vote };

export type QuorumOutcome =
  | { readonly kind: 'attested'; readonly region: RegionId; readonly epoch: number }
  | { readonly kind: 'dark' }
  | { readonly kind: 'abstain'; readonly reasons: readonly { readonly voter: string; readonly reason: string }[] };

export const VOTES_NEEDED = 2;
export const VENDORS_NEEDED = 2;

/**
 * One resolver's vote from its two answers. Without its control answer a resolver that finds nothing has seen nothing; `controlOf` is
 * asked for then alone, because to check that answer's signature is a good part of what a round costs.
 */
export function voteOf(target: Finding, controlOf: () => Finding): Vote {
  if (target.kind === 'attested') return target;
  if (target.kind === 'unusable') return { kind: 'abstain', reason: target.reason };
  const control = controlOf();
  if (control.kind === 'attested') return { kind: 'silent', reason: target.reason };
  return { kind: 'abstain', reason: `control name: ${control.reason}` };
}

/** The outcome of one round about `target`. Two sides that could both win cancel each other. */
export function tally(target: RegionId, votes: readonly CastVote[]): QuorumOutcome {
  const epochs = [...new Set(votes.flatMap(({ vote }) => (vote.kind === 'attested' ? [vote.epoch] : [])))];
  const outcomes: QuorumOutcome[] = epochs
    .filter((epoch) => carries(votes.filter(({ vote }) => vote.kind === 'attested' && vote.epoch === epoch)))
    .map((epoch) => ({ kind: 'attested', region: target, epoch }));
  if (carries(votes.filter(({ vote }) => vote.kind === 'silent'))) outcomes.push({ kind: 'dark' });
  const [outcome] = outcomes;
  if (outcome !== undefined && outcomes.length === 1) return outcome;
  return { kind: 'abstain', reasons: votes.map(({ voter, vote }) => ({ voter: voter.name, reason: describe(vote) })) };
}

/** What is wrong with a list of voters; null when nothing is. `registerVendor`: who runs the register, null when nobody of them. */
export function votersProblem(voters: readonly Voter[], registerVendor: string | null): string | null {
  const names = new Set(voters.map(({ name }) => name));
  if (names.size !== voters.length) return 'name each resolver once';
  const others = new Set(voters.map(({ vendor }) => vendor).filter((vendor) => vendor !== registerVendor));
  if (others.size >= VENDORS_NEEDED) return null;
  const without = registerVendor === null ? '' : ` besides ${registerVendor}, which runs the witness`;
  return `use resolvers of at least ${VENDORS_NEEDED} vendors${without}: an outcome needs two that agree`;
}

function carries(votes: readonly CastVote[]): boolean {
  const names = new Set(votes.map(({ voter }) => voter.name));
  const vendors = new Set(votes.map(({ voter }) => voter.vendor));
  return names.size >= VOTES_NEEDED && vendors.size >= VENDORS_NEEDED;
}

function describe(vote: Vote): string {
  return vote.kind === 'attested' ? `attests epoch ${vote.epoch}` : vote.kind === 'silent' ? `silent (${vote.reason})` : vote.reason;
}
