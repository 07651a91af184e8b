// Who has probed here, for what the core makes of it. Bounded: strangers probe, too.

import type { MonoMs, Prober } from '@continuum/core';
import { NEW_PROBER, PROBERS_MAX, admitProbe, probeAnswered, probeGivenUp } from '@continuum/core';

export type ProberMemory = {
  /** A probe comes; returns whether it may wait. */
  readonly admit: (source: string, nowMonoMs: MonoMs) => boolean;
  readonly answered: (source: string, nowMonoMs: MonoMs) => void;
  readonly gaveUp: (source: string) => void;
};

export function createProberMemory(): ProberMemory {
  /** Whoever was heard of least lately comes first. */
  const probers = new Map<string, Prober>();

  const known = (source: string): Prober => probers.get(source) ?? NEW_PROBER;
  const remember = (source: string, prober: Prober): void => {
    probers.delete(source);
    probers.set(source, prober);
    const [eldest] = probers.keys();
    if (probers.size > PROBERS_MAX && eldest !== undefined) probers.delete(eldest);
  };

  return {
    admit: (source, nowMonoMs) => {
      const { mayWait, prober } = admitProbe(known(source), nowMonoMs);
      remember(source, prober);
      return mayWait;
    },
    answered: (source, nowMonoMs) => remember(source, probeAnswered(known(source), nowMonoMs)),
    gaveUp: (source) => remember(source, probeGivenUp(known(source))),
  };
}
