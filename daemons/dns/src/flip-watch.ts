// Times how fast DNS follows the lease: from the moment this region is granted it until its own name server names it alone. Nothing
// acts on it; it is the figure that DNS's share of the objective is judged by.

import { setTimeout as delay } from 'node:timers/promises';
import { parseIpAddress } from '@continuum/core';
import { whyUnanswered } from '@continuum/adapters/powerdns/answers';
import type { Authority } from '@continuum/adapters/powerdns/answers';
import type { Flip } from './publish-spec.ts';

export type FlipWatch = {
  readonly authority: Authority;
  /** The name that is asked for, and this region's own addresses; null while there is nothing to time. */
  readonly asked: () => Flip | null;
  /** Epoch under which this region holds the lease, 0 when it does not, null while nobody says. */
  readonly heldEpoch: () => number | null;
  readonly nowMs: () => number;
  /** Seconds; null when the lease went before DNS came. */
  readonly onFlip: (seconds: number | null) => void;
};

const LOOK_MS = 100;
const ASK_MS_MAX = 500;

/** Until the signal ends. A grant whose beginning was not seen is not timed. */
export async function watchFlips({ authority, asked, heldEpoch, nowMs, onFlip }: FlipWatch, signal: AbortSignal): Promise<void> {
  let before: number | null = null;
  let sinceMs: number | null = null;
  while (!signal.aborted) {
    const flip = asked();
    const epoch = flip === null ? null : heldEpoch();
    if (flip === null) sinceMs = null;
    if (sinceMs !== null && epoch === 0) {
      onFlip(null);
      sinceMs = null;
    }
    if (before === 0 && epoch !== null && epoch > 0) sinceMs = nowMs();
    before = epoch;
    if (sinceMs !== null && flip !== null && (await isNamedAlone(authority, flip))) {
      onFlip((nowMs() - sinceMs) / 1_000);
      sinceMs = null;
    }
    await delay(LOOK_MS, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

async function isNamedAlone(authority: Authority, { name, addresses }: Flip): Promise<boolean> {
  const type = addresses.some((one) => parseIpAddress(one)?.family === 4) ? 'A' : 'AAAA';
  return (await whyUnanswered(authority, { name, type, ttlSeconds: 0, records: [] }, addresses, ASK_MS_MAX)) === null;
}
