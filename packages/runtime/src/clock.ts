// The two clocks of this machine, read together.

import type { Now } from '@continuum/core';
import { monoMs, wallMs } from '@continuum/core';

export type Clock = { readonly now: () => Now };

/** CLOCK_MONOTONIC (counts while a process is stopped, not while the machine is suspended) and the wall clock. */
export const systemClock: Clock = {
  now: () => ({ monoMs: monoMs(Number(process.hrtime.bigint() / 1_000n) / 1_000), wallMs: wallMs(Date.now()) }),
};
