// One clock for everything on this machine: the controllers' evidence and the clients' measurements share its zero.

/** CLOCK_MONOTONIC in milliseconds. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
