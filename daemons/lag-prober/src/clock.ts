// The prober's clock. What the machine slept must count in every age, but asking the kernel for it reads a file, and a prober
// of a thousand clusters asks for the time many thousand times a second: the sleep is looked for every so often.

import { monoMs } from '@continuum/core/types';
import type { MonoMs } from '@continuum/core/types';

export type ClockSources = {
  /** Stands still while the machine sleeps. */
  readonly cheapMs: () => number;
  /** Counts what the machine slept; of another zero. */
  readonly exactMs: () => number;
};

/** A sleep shows in the ages after the machine has been awake for so long. */
const CHECK_MS = 50;
/** Less may be the time between the two readings. */
const SLEEP_MS_LEAST = 30;

/** Never goes back. */
export function createProberClock({ cheapMs, exactMs }: ClockSources): () => MonoMs {
  // The cheap one second, as in the runtime's clock: time that passes between the two readings then never looks like sleep.
  const readAheadMs = (): number => {
    const countedMs = exactMs();
    return countedMs - cheapMs();
  };
  let checkedMs = cheapMs();
  let aheadMs = readAheadMs();
  return () => {
    const atMs = cheapMs();
    if (atMs - checkedMs >= CHECK_MS) {
      checkedMs = atMs;
      const foundMs = readAheadMs();
      if (foundMs - aheadMs >= SLEEP_MS_LEAST) aheadMs = foundMs;
    }
    return monoMs(atMs + aheadMs);
  };
}
