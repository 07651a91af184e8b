// One region's gateway: how much traffic it sends to which region's application.

import type { Epoch, RegionId } from '@continuum/core';
import type { Result } from './result.ts';

export type Weights = { readonly epoch: Epoch; readonly weights: Readonly<Record<RegionId, number>> };

export interface TrafficPort {
  /** What is in force; null when nothing was ever written. Failure: `CTM_TRAFFIC_STATE_CORRUPT`. */
  observe(): Promise<Result<Weights | null>>;
  /**
   * Sets the weights for the traffic that the gate does not steer. Refused with `CTM_EPOCH_STALE` below the epoch in force and
   * `CTM_WEIGHTS_INVALID` when they sum to 0 or name an unknown region. Atomic: a crash leaves the old or the new ones.
   */
  setWeights(request: Weights, signal: AbortSignal): Promise<Result<null>>;
  /** Requests that this gateway has forwarded to the local application and that are not answered yet. */
  inFlight(signal: AbortSignal): Promise<Result<number>>;
}
