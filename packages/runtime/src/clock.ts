// The two clocks of this machine, read together. The monotonic one stands still while the machine is suspended, and whoever counts a
// lease down by it would hold on too long; the wall clock shows the sleep only until somebody sets it. So what the machine slept,
// which Linux counts in its time since boot, is added to the monotonic clock: a grant runs out in a sleep as it does awake. (A virtual
// machine that its host stops counts that in neither; there the core still compares the wall clock.)

import { uptime } from 'node:os';
import type { Now } from '@continuum/core/types';
import { monoMs, wallMs } from '@continuum/core/types';

export type Clock = { readonly now: () => Now };

export type ClockReadings = {
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  /** Since boot, sleeps included, cut to `BOOT_STEP_MS`. Null where no such clock is known. */
  readonly bootMs: (() => number) | null;
};

/** The kernel shows the time since boot in hundredths of a second. */
const BOOT_STEP_MS = 10;
/** Less may be the rounding of two readings. */
const SLEEP_MS_LEAST = 30;
const FIRST_READINGS = 3;

/** The clocks are read within so long, or once more: a process that lost the processor in between would look as if it had slept. */
const TOGETHER_MS = 3;
const READINGS_MAX = 4;

/** Never goes back. What the machine slept since this clock was made counts, to at most `BOOT_STEP_MS` too much. */
export function createClock({ monotonicMs, wallMs: wall, bootMs }: ClockReadings): Clock {
  // The monotonic clock last: time that passes between the readings then never looks like sleep.
  const readOnce = (): Reading & { readonly tookMs: number } => {
    const beganMs = monotonicMs();
    const wallNowMs = wall();
    const bootedMs = bootMs?.() ?? 0;
    const atMs = monotonicMs();
    return { wallNowMs, aheadMs: bootedMs - atMs, atMs, tookMs: atMs - beganMs };
  };
  const read = (): Reading => {
    let reading = readOnce();
    for (let count = 1; count < READINGS_MAX && reading.tookMs > TOGETHER_MS; count++) reading = readOnce();
    return reading;
  };
  const firstAheadMs = Math.max(...Array.from({ length: FIRST_READINGS }, () => read().aheadMs));
  let sleptMs = 0;
  return {
    now: () => {
      const { wallNowMs, aheadMs, atMs } = read();
      const foundMs = bootMs === null ? 0 : aheadMs - firstAheadMs;
      if (foundMs - sleptMs >= SLEEP_MS_LEAST) sleptMs = foundMs + BOOT_STEP_MS;
      return { monoMs: monoMs(atMs + sleptMs), wallMs: wallMs(wallNowMs) };
    },
  };
}

type Reading = {
  readonly wallNowMs: number;
  readonly atMs: number;
  /** How much further the time since boot is. */
  readonly aheadMs: number;
};

export const systemClock: Clock = createClock({
  monotonicMs: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
  wallMs: Date.now,
  // Elsewhere it follows the wall clock, or the monotonic clock counts sleeps by itself.
  bootMs: process.platform === 'linux' ? () => uptime() * 1_000 : null,
});
