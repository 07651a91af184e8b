// What came of a study, in the figures that a user asks for: how long clients wait when a region dies, why nobody took over when
// nobody did, and what each family of faults did.

import type { RunResult } from './run.ts';
import type { Round } from './service.ts';
import type { StudySubject } from './study.ts';

const MS_PER_HOUR = 3_600_000;
const BINS = 20;
/** The promise about an objective is made for this one: a whole region is gone, and everything else works. */
const REGION_LOSS = 'region-kill';
const OPERATOR_FAMILIES: readonly string[] = ['switchover', 'forced-takeover', 'word-to-the-holder'];

export type Spread = { readonly count: number; readonly min: number; readonly median: number; readonly p90: number; readonly p99: number; readonly max: number };
export type Bin = { readonly fromMs: number; readonly toMs: number; readonly count: number };

export type FamilyReport = {
  readonly name: string;
  /** Alone: what came of it is its doing. */
  readonly alone: { readonly rounds: number; readonly failovers: number; readonly longestGapMs: Spread; readonly stalledMs: number };
  /** With others: rounds that it was in, and what came of those rounds. */
  readonly together: { readonly rounds: number; readonly failovers: number; readonly stalledMs: number };
  readonly violations: number;
};

export type StudyReport = {
  readonly name: string;
  readonly objectiveMs: number;
  readonly ok: boolean;
  readonly seeds: number;
  readonly firstSeed: number;
  readonly hoursPerSeed: number;
  readonly simulatedHours: number;
  readonly failovers: number;
  readonly switchovers: number;
  readonly violations: readonly { readonly seed: number; readonly invariant: string; readonly atMs: number; readonly detail: string }[];
  /** The region that held the lease died, as the only fault; `late`: clients waited longer than the objective, whoever served next. */
  readonly lost: { readonly count: number; readonly late: number };
  /** Time without an acknowledged write when it died and the other took over. */
  readonly rto: Spread & { readonly withinShare: number; readonly histogram: readonly Bin[] };
  /** The same when it died and nobody took over before it was back itself. */
  readonly notTakenOver: Spread & { readonly late: number };
  /** The same after any single fault that led to an automatic takeover. */
  readonly rtoOfAnyFault: Spread & { readonly withinShare: number };
  /** The same for a planned switchover with no other fault. */
  readonly switchoverGap: Spread;
  readonly refusals: readonly { readonly condition: string; readonly times: number }[];
  readonly approvals: number;
  readonly families: readonly FamilyReport[];
  readonly overlap: { readonly times: number; readonly longestMs: number; readonly totalMs: number };
  readonly stalledShare: { readonly alone: number; readonly together: number };
  readonly logHash: string;
};

export function foldStudy(subject: StudySubject, results: readonly RunResult[], hoursPerSeed: number): StudyReport {
  const { rtoMs, policy } = subject;
  const rounds = results.flatMap(({ service }) => service?.rounds ?? []);
  const alone = rounds.filter((round) => round.alone);
  const taken = alone.filter(({ failovers, faults }) => failovers > 0 && !faults.some((name) => OPERATOR_FAMILIES.includes(name)));
  const lost = alone.filter(({ holderLost, faults }) => holderLost && faults.includes(REGION_LOSS));
  const takenOver = gaps(lost.filter(({ failovers }) => failovers > 0));
  const notTakenOver = gaps(lost.filter(({ failovers }) => failovers === 0));
  const any = gaps(taken);
  const violations = results.flatMap(({ seed, violation }) => (violation === null ? [] : [{ seed, ...violation, atMs: Math.round(violation.atMs) }]));
  return {
    name: policy.name,
    objectiveMs: rtoMs,
    // Without a single takeover nothing was shown.
    ok: violations.length === 0 && takenOver.length > 0 && late(gaps(lost), rtoMs) === 0,
    seeds: results.length,
    firstSeed: results[0]?.seed ?? 0,
    hoursPerSeed,
    simulatedHours: hundredths(sum(results.map(({ simulatedMs }) => simulatedMs)) / MS_PER_HOUR),
    failovers: sum(results.map(({ failovers }) => failovers)),
    switchovers: sum(results.map(({ switchovers }) => switchovers)),
    violations,
    lost: { count: lost.length, late: late(gaps(lost), rtoMs) },
    rto: { ...spread(takenOver), withinShare: within(takenOver, rtoMs), histogram: histogram(takenOver, rtoMs) },
    notTakenOver: { ...spread(notTakenOver), late: late(notTakenOver, rtoMs) },
    rtoOfAnyFault: { ...spread(any), withinShare: within(any, rtoMs) },
    switchoverGap: spread(gaps(alone.filter(({ switchovers, failovers, faults }) => switchovers > 0 && failovers === 0 && faults.includes('switchover')))),
    refusals: refusalsOf(results),
    approvals: sum(results.map(({ service }) => service?.approvals ?? 0)),
    families: familyReports(results),
    overlap: {
      times: sum(results.map(({ service }) => service?.overlaps ?? 0)),
      longestMs: Math.round(results.reduce((longest, { overlapMaxMs }) => Math.max(longest, overlapMaxMs), 0)),
      totalMs: Math.round(sum(results.map(({ service }) => service?.overlapTotalMs ?? 0))),
    },
    stalledShare: { alone: stalledShare(alone), together: stalledShare(rounds.filter((round) => !round.alone)) },
    logHash: hashOf(results),
  };
}

function refusalsOf(results: readonly RunResult[]): StudyReport['refusals'] {
  const times = new Map<string, number>();
  for (const { service } of results) {
    for (const [condition, count] of Object.entries(service?.refusals ?? {})) times.set(condition, (times.get(condition) ?? 0) + count);
  }
  return [...times].map(([condition, count]) => ({ condition, times: count })).sort((a, b) => b.times - a.times);
}

function familyReports(results: readonly RunResult[]): FamilyReport[] {
  const names = new Set(results.flatMap(({ service }) => service?.families ?? []));
  return [...names].map((name) => {
    const rounds = results.flatMap(({ service }) => service?.rounds ?? []).filter(({ faults }) => faults.includes(name));
    const [alone, together] = [rounds.filter((round) => round.alone), rounds.filter((round) => !round.alone)];
    const broken = results.filter(({ violation, plan }) => violation !== null && (plan.at(-1)?.faults.some((fault) => fault.name === name) ?? false));
    return {
      name,
      alone: { rounds: alone.length, failovers: sum(alone.map((one) => one.failovers)), longestGapMs: spread(gaps(alone)), stalledMs: stalled(alone) },
      together: { rounds: together.length, failovers: sum(together.map((one) => one.failovers)), stalledMs: stalled(together) },
      violations: broken.length,
    };
  });
}

/** Nearest rank; all 0 when there is nothing. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { count: sorted.length, min: at(0), median: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

/** From 0 to the objective in equal steps, and as many more as it takes. */
function histogram(values: readonly number[], objectiveMs: number): Bin[] {
  const stepMs = objectiveMs / BINS;
  const count = Math.max(BINS, Math.ceil(Math.max(0, ...values) / stepMs));
  return Array.from({ length: count }, (_, index) => {
    const [fromMs, toMs] = [index * stepMs, (index + 1) * stepMs];
    return { fromMs, toMs, count: values.filter((value) => value >= fromMs && value < toMs).length };
  });
}

function hashOf(results: readonly RunResult[]): string {
  const hash = results.reduce((before, { logHash }) => Math.imul(before ^ Number.parseInt(logHash, 16), 0x01000193), 0x811c9dc5);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

const gaps = (rounds: readonly Round[]): number[] => rounds.map(({ longestGapMs }) => longestGapMs);
const stalled = (rounds: readonly Round[]): number => Math.round(sum(rounds.map(({ stalledMs }) => stalledMs)));
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const hundredths = (value: number): number => Math.round(value * 100) / 100;

const late = (values: readonly number[], limitMs: number): number => values.filter((value) => value > limitMs).length;

function within(values: readonly number[], limitMs: number): number {
  return values.length === 0 ? 1 : 1 - late(values, limitMs) / values.length;
}

function stalledShare(rounds: readonly Round[]): number {
  const totalMs = sum(rounds.map(({ lengthMs }) => lengthMs));
  return totalMs === 0 ? 0 : stalled(rounds) / totalMs;
}
