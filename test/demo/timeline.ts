// What one run of the demo left behind: the series that were sampled while it ran, and the report that other programs read.
// Every time is in milliseconds since the start of the run. The series hold what was seen, never what was hoped for: a stretch
// that nobody observed is simply not there.

export type WriteOutcome = 'acknowledged' | 'refused' | 'unknown';

export type WriteRecord = {
  readonly id: string;
  readonly atMs: number;
  readonly endMs: number;
  readonly outcome: WriteOutcome;
  /** The region whose gateway answered; null when none did. */
  readonly region: string | null;
  /** Why it is unknown or refused, in a few words. */
  readonly reason?: string;
  /** Whether the surviving database holds it; null when it was not looked for. */
  readonly stored: boolean | null;
};

export type Span = { readonly fromMs: number; readonly toMs: number };

export type LeaseSpan = Span & { readonly holder: string | null; readonly epoch: number };
export type GateSpan = Span & { readonly region: string; readonly mode: 'open' | 'hold' | 'forward' | 'closed' | 'down' };
export type DatabaseSpan = Span & {
  readonly region: string;
  readonly role: 'primary' | 'standby' | 'starting' | 'down' | 'unknown';
};
/** `addresses` is empty when the resolver gave no usable answer. */
export type DnsSpan = Span & { readonly resolver: string; readonly addresses: readonly string[] };

/** A standby's lag in one bucket of time; figures are null when nobody knew. */
export type LagSpan = Span & {
  readonly region: string;
  readonly verdict: string;
  readonly milliseconds: number | null;
  readonly bytes: number | null;
  readonly ageMs: number | null;
};

export type Timeline = {
  readonly startedAtWallMs: number;
  readonly durationMs: number;
  readonly regions: readonly string[];
  /** Region of each gateway address that DNS may answer. */
  readonly regionOfAddress: Readonly<Record<string, string>>;
  /** `region`: or `witness`. */
  readonly kills: readonly { readonly atMs: number; readonly region: string }[];
  readonly writes: readonly WriteRecord[];
  /** Answers of the steady readers; entry i counts those that ended in [i, i + 1) x `bucketMs`. */
  readonly reads: { readonly bucketMs: number; readonly ok: readonly number[]; readonly failed: readonly number[] };
  readonly lease: readonly LeaseSpan[];
  readonly gates: readonly GateSpan[];
  readonly databaseRoles: readonly DatabaseSpan[];
  readonly dns: readonly DnsSpan[];
  readonly lag: readonly LagSpan[];
};

export type EventKind = 'failover' | 'rejoin' | 'switchover';
export type Phase = { readonly name: string; readonly startMs: number; readonly endMs: number };

export type DemoEvent = {
  readonly kind: EventKind;
  readonly epochBefore: number;
  readonly epochAfter: number;
  /** From the first cause to the first acknowledged write after it; null where that means nothing (rejoin). */
  readonly rtoMs: number | null;
  /** Longest time between two acknowledged writes. */
  readonly writeGapMs: number;
  readonly failedRequests: number;
  readonly phases: readonly Phase[];
};

export type Check = { readonly name: string; readonly passed: boolean; readonly evidence: string };

/** Something that is not an event of the lease: what happens while nothing can be granted. */
export type Scene = Span & {
  readonly name: 'witness lost' | 'witness and holder lost';
  /** In words. */
  readonly outcome: string;
  readonly checks: readonly Check[];
};

/** What `--report FILE` holds (design.md §9). Scripts read these names. */
export type DemoReport = {
  readonly ok: boolean;
  readonly objective: { readonly rtoMs: number };
  readonly regions: readonly string[];
  readonly durationMs: number;
  readonly writes: Readonly<Record<WriteOutcome | 'lost' | 'duplicated', number>>;
  readonly events: readonly DemoEvent[];
  /** Those of the scenes included. */
  readonly checks: readonly Check[];
  readonly scenes: readonly Scene[];
  readonly parts: readonly { readonly name: string; readonly version: string }[];
};

export const BUCKET_MS = 100;

export type Bucket = Readonly<Record<WriteOutcome, number>>;

/** Writes per 100 ms by outcome, counted when they ended: that is when the writer learned of it. */
export function writesPerBucket(timeline: Timeline): readonly Bucket[] {
  const count = Math.max(1, Math.ceil(timeline.durationMs / BUCKET_MS));
  const buckets = Array.from({ length: count }, () => ({ acknowledged: 0, refused: 0, unknown: 0 }));
  for (const write of timeline.writes) {
    const index = Math.min(count - 1, Math.max(0, Math.floor(write.endMs / BUCKET_MS)));
    (buckets[index] as { [outcome in WriteOutcome]: number })[write.outcome]++;
  }
  return buckets;
}

/** The longest stretch without an acknowledged write that touches the window; null when fewer than two were acknowledged. */
export function longestGap(writes: readonly WriteRecord[], fromMs: number, toMs: number): Span | null {
  const ends = writes.filter((write) => write.outcome === 'acknowledged').map((write) => write.endMs).sort((a, b) => a - b);
  let longest: Span | null = null;
  for (const [index, end] of ends.entries()) {
    const before = ends[index - 1];
    if (before === undefined || end < fromMs || before > toMs) continue;
    if (longest === null || end - before > longest.toMs - longest.fromMs) longest = { fromMs: before, toMs: end };
  }
  return longest;
}

/** When an event was under way: its phases, and for a failover the kill that caused it. Null when it has no phases. */
export function eventWindow(event: DemoEvent, timeline: Timeline): Span | null {
  if (event.phases.length === 0) return null;
  const startMs = Math.min(...event.phases.map((phase) => phase.startMs));
  const toMs = Math.max(...event.phases.map((phase) => phase.endMs));
  const kills = timeline.kills.filter((kill) => kill.atMs <= startMs).map((kill) => kill.atMs);
  const fromMs = event.kind === 'failover' && kills.length > 0 ? Math.max(...kills) : startMs;
  return { fromMs, toMs };
}

/** `312 ms`, `4.91 s`, `10 s`, `1 min 42 s`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (Math.abs(ms) < 1_000) return `${Math.round(ms)} ms`;
  if (ms % 1_000 === 0 && ms < 100_000) return `${ms / 1_000} s`;
  if (Math.abs(ms) < 100_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** Stretches of equal value from samples in the order of time; each lasts until the next sample, the last until `endMs`. */
export function spansOf<T>(
  samples: readonly { readonly atMs: number; readonly value: T }[],
  endMs: number,
  same: (left: T, right: T) => boolean = (left, right) => JSON.stringify(left) === JSON.stringify(right),
): readonly (Span & { readonly value: T })[] {
  const spans: (Span & { readonly value: T })[] = [];
  for (const [index, { atMs, value }] of samples.entries()) {
    const toMs = samples[index + 1]?.atMs ?? Math.max(atMs, endMs);
    const last = spans.at(-1);
    if (last !== undefined && same(last.value, value)) spans[spans.length - 1] = { ...last, toMs };
    else spans.push({ fromMs: atMs, toMs, value });
  }
  return spans;
}
