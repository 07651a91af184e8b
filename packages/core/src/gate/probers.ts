// Which probes may wait at the gate, as far as their senders tell it. A name server that was just started names every region until its
// first probes have ended: one that waited for the next change of the lease would keep it so for over a second. So whoever was not
// answered here lately is answered at once, and so is one probe for each that was given up (the process that sent it was stopped).
//
// A sender is an address. Name servers behind one address count as one, and with several gates before a region each knows what it has
// answered itself: both only make a probe wait, or not wait, that would better have done the other. One that is answered at once hears
// of the next change a second later at most.

import type { MonoMs } from '../types.ts';

/** What a gate remembers of a sender. */
export type Prober = {
  readonly answeredMonoMs: MonoMs | null;
  /** So many of its next probes are answered at once. */
  readonly owed: number;
};

export const NEW_PROBER: Prober = { answeredMonoMs: null, owed: 0 };
/** Senders that a gate remembers; of more the one forgotten is the one that was heard of least lately. */
export const PROBERS_MAX = 256;
/** Without an answer for so long a name server has forgotten what it knew, or was started anew since. */
const FORGOTTEN_MS = 30_000;
/** Name servers behind one address that are restarted at once. */
const OWED_MAX = 8;

/** A probe comes. */
export function admitProbe({ answeredMonoMs, owed }: Prober, nowMonoMs: MonoMs): { readonly mayWait: boolean; readonly prober: Prober } {
  const lately = answeredMonoMs !== null && nowMonoMs < answeredMonoMs + FORGOTTEN_MS;
  return { mayWait: lately && owed === 0, prober: { answeredMonoMs, owed: Math.max(0, owed - 1) } };
}

export function probeAnswered(prober: Prober, nowMonoMs: MonoMs): Prober {
  return { ...prober, answeredMonoMs: nowMonoMs };
}

/** It left while it waited. */
export function probeGivenUp(prober: Prober): Prober {
  return { ...prober, owed: Math.min(OWED_MAX, prober.owed + 1) };
}
