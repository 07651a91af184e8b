// From the objective that a user states to every timing of the system, and the sum that says whether it can be kept.

/** `automatic`: takes over by itself. `semi-automatic`: proposes and waits for approval. `manual`: only when told. */
export type Mode = 'automatic' | 'semi-automatic' | 'manual';

/** All durations in milliseconds but the DNS TTL, which DNS counts in seconds. */
export type Timings = {
  /** How long a grant lasts at the witness, from receipt. */
  readonly ttlMs: number;
  /** How often the holder renews. */
  readonly renewMs: number;
  /** What the holder takes off its own validity: clock drift over a ttl, and the time to fence. */
  readonly guardMs: number;
  /** Longest time one command to the witness may take. */
  readonly commandMs: number;
  /** From a grant to a verified primary; past it the region gives up. */
  readonly promoteBudgetMs: number;
  /** Longest time the gate keeps a request waiting. */
  readonly holdMsMax: number;
  /** Longest wait for the requests in flight before the database is demoted. */
  readonly drainMs: number;
  /** How long a standby is missed before it leaves the in-sync set. */
  readonly standbyLossMs: number;
  /** How long a standby must stream before it comes back. */
  readonly standbyStableMs: number;
  /** No second automatic failover within this time of the first. */
  readonly holdDownMs: number;
  /** Older than this, an observation is unknown. */
  readonly observationMaxAgeMs: number;
  readonly dnsTtlSeconds: number;
};

export type TimingsProblem = { readonly field: string; readonly value: number; readonly problem: string };

export type WorstCase = {
  readonly terms: readonly { readonly name: string; readonly ms: number }[];
  readonly sumMs: number;
};

/** Relative rate error allowed between two machines' monotonic clocks (10,000 ppm; crystals stay under 200). */
export const CLOCK_RATE_ERROR = 0.01;
/** From validity's end to the last request let through: the gate compares at every request, so only its reply's way. */
export const FENCE_MS = 50;
/** Shortest objective whose timings still leave room for a round trip to a witness on another continent. */
export const RTO_MS_MIN = 2_000;
export const RTO_MS_MAX = 3_600_000;

/** The timings for an objective: ttl = rto / 2, renewals at ttl / 3, DNS TTL at most rto / 6. */
export function deriveTimings(rtoMs: number, overrides: Partial<Timings> = {}): Timings {
  const ttlMs = overrides.ttlMs ?? Math.floor(rtoMs / 2);
  return {
    ttlMs,
    renewMs: Math.floor(ttlMs / 3),
    guardMs: Math.ceil(ttlMs * CLOCK_RATE_ERROR) + FENCE_MS,
    commandMs: Math.max(250, Math.floor(ttlMs / 6)),
    promoteBudgetMs: Math.floor(rtoMs / 4),
    holdMsMax: Math.max(5_000, ttlMs),
    drainMs: 2_000,
    standbyLossMs: Math.floor(ttlMs / 3),
    standbyStableMs: Math.min(1_000, Math.floor(ttlMs / 3)),
    holdDownMs: ttlMs,
    observationMaxAgeMs: Math.max(1_000, Math.floor(ttlMs / 2)),
    dnsTtlSeconds: Math.floor(rtoMs / 6_000),
    ...overrides,
  };
}

/** The slowest failover that these timings allow, term by term. */
export function worstCase(timings: Timings): WorstCase {
  const terms = [
    { name: 'lease ttl', ms: timings.ttlMs },
    { name: 'clock drift over the ttl', ms: Math.ceil(timings.ttlMs * CLOCK_RATE_ERROR) },
    { name: 'promotion budget', ms: timings.promoteBudgetMs },
    { name: 'DNS TTL', ms: timings.dnsTtlSeconds * 1_000 },
  ];
  return { terms, sumMs: terms.reduce((sum, term) => sum + term.ms, 0) };
}

/** Every relation that the timings must keep; empty when they can be trusted. */
export function checkTimings(timings: Timings, rtoMs: number): TimingsProblem[] {
  const problems: TimingsProblem[] = [];
  const need = (ok: boolean, field: keyof Timings, problem: string): void => {
    if (!ok) problems.push({ field, value: timings[field], problem });
  };
  const guardMin = Math.ceil(timings.ttlMs * CLOCK_RATE_ERROR) + FENCE_MS;
  need(timings.ttlMs >= 300, 'ttlMs', 'must be at least 300 ms');
  need(timings.guardMs >= guardMin, 'guardMs', `must be at least ttl x drift + time to fence = ${guardMin} ms`);
  need(
    2 * timings.renewMs <= timings.ttlMs - timings.guardMs,
    'renewMs',
    `two renewals must fit into the validity of ${timings.ttlMs - timings.guardMs} ms`,
  );
  need(timings.renewMs >= 50, 'renewMs', 'must be at least 50 ms');
  need(timings.commandMs <= timings.renewMs, 'commandMs', `must not exceed the renewal interval of ${timings.renewMs} ms`);
  need(timings.dnsTtlSeconds >= 0 && Number.isInteger(timings.dnsTtlSeconds), 'dnsTtlSeconds', 'must be whole seconds');
  const worst = worstCase(timings);
  if (worst.sumMs > rtoMs) {
    const sum = worst.terms.map((term) => `${term.name} ${term.ms} ms`).join(' + ');
    problems.push({
      field: 'objective.rto',
      value: rtoMs,
      problem: `the worst case is ${sum} = ${worst.sumMs} ms, above the objective of ${rtoMs} ms`,
    });
  }
  return problems;
}
