// The resolvers as a quorum: does the world see a region hold its lease? It is asked when the register does not answer.

import type { CastVote, RegionId } from '@continuum/core';

export interface QuorumPort {
  /**
   * One round: asks every voter once, each with its own deadline and a fresh nonce, and returns one vote per configured voter,
   * in order. What cannot be told in time is an abstention with its reason. Never throws.
   */
  round(target: RegionId, timeoutMs: number, signal: AbortSignal): Promise<readonly CastVote[]>;
}
