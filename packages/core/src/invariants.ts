// The invariants as predicates: what is promised is written once. The lease, the gate and every decision assert with them, and the
// simulator checks with them what its models accepted.

import type { RegionId } from './types.ts';

/** I2, I6: a store or a resource never goes below the highest epoch that it has accepted. */
export function mayEnterEpoch(highestAccepted: number, offered: number): boolean {
  return Number.isInteger(offered) && offered >= highestAccepted;
}

/** I4: `atMs` and `validUntilMs` are on the same clock, and validity has an end, not a grace. */
export function isWithinValidity(atMs: number, validUntilMs: number): boolean {
  return atMs < validUntilMs;
}

/** I8: who may be granted the lease when its holder is gone. */
export function mayTakeOver(candidate: {
  readonly region: RegionId;
  readonly inSync: readonly RegionId[];
  /** Nobody ever held the lease: there is nothing to lose. */
  readonly first: boolean;
  /** An operator forced it, with a reason and the estimated loss. */
  readonly forced: boolean;
}): boolean {
  return candidate.first || candidate.forced || candidate.inSync.includes(candidate.region);
}

/** I9: somebody gets the traffic, nobody who is fenced does. `active`: the region that was granted the epoch of these weights. */
export function areWeightsSound(weights: Readonly<Record<string, number>>, active: string | null): boolean {
  const given = Object.entries(weights).filter(([, weight]) => weight > 0);
  return given.length > 0 && Object.values(weights).every((weight) => weight >= 0) && given.every(([region]) => region === active);
}

/** I5: an answer names somebody, and not only regions that are known to be fenced. */
export function isAnswerSound(regions: readonly string[], fenced: readonly string[]): boolean {
  return regions.some((region) => !fenced.includes(region));
}
