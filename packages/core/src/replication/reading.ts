// One measured figure with everything that is needed to trust it. A figure that is not known has no value: nothing in
// here turns "unknown" into 0, because that 0 is what gets an empty standby promoted.

export type Unit = 'bytes' | 'milliseconds' | 'commits';

/** Who said it. `both-ends`: the primary's position against the standby's own. `primary`: what the standby last told it. */
export type Source = 'both-ends' | 'primary' | 'exporter' | 'none';

/**
 * `proven`: follows from positions that were read. `bounded`: the truth is at most this. `weak`: somebody else's arithmetic, or
 * an extrapolation; never enough for a promotion.
 */
export type Confidence = 'proven' | 'bounded' | 'weak' | 'none';

export type Reading = {
  /** Null when unknown. */
  readonly value: number | null;
  readonly unit: Unit;
  /** Age of the older half of the evidence; null when there never was any. */
  readonly ageMs: number | null;
  readonly source: Source;
  readonly confidence: Confidence;
  /** Why the value is unknown; null when it is known. */
  readonly reason: string | null;
};

export function unknownReading(unit: Unit, reason: string, ageMs: number | null): Reading {
  return { value: null, unit, ageMs, source: 'none', confidence: 'none', reason };
}

export function reading(unit: Unit, value: number, of: Pick<Reading, 'ageMs' | 'source' | 'confidence'>): Reading {
  return { value, unit, ageMs: of.ageMs, source: of.source, confidence: of.confidence, reason: null };
}
