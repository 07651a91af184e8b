// Many seeds, folded into one report that does not depend on how many threads ran them; one seed in twenty is run twice to prove it.

import { MARKS, Marks } from './marks.ts';
import { runAll } from './pool.ts';
import type { RunOptions, RunResult } from './run.ts';

const MS_PER_HOUR = 3_600_000;
/** Every so many seeds one is run a second time. */
const REPEAT_EVERY = 20;
const VIOLATIONS_MAX = 100;

export type ProfileName = 'test' | 'merge' | 'nightly';

/** Seeds and simulated hours each: about 430 h and 9,000 failovers; 12,000 h and 280,000; 43,000 h and more than 10^6, the merge's seeds among them. */
export const PROFILES: Readonly<Record<ProfileName, { readonly seeds: number; readonly hours: number }>> = {
  test: { seeds: 390, hours: 1 },
  merge: { seeds: 2_000, hours: 6 },
  nightly: { seeds: 7_200, hours: 6 },
};

export type ProfileOptions = {
  readonly firstSeed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly only?: readonly string[] | null;
  readonly overrides?: RunOptions['overrides'];
  /** 0: in this thread. */
  readonly threads?: number;
  /** After every seed; the report so far costs something, and is made when it is wanted. */
  readonly onProgress?: (done: number, report: () => SimulationReport) => void;
};

/** What `--report FILE` writes (design.md §9); the later fields are ours. */
export type SimulationReport = {
  seeds: number;
  simulatedHours: number;
  cpuSeconds: number;
  hoursPerCpuSecond: number;
  failovers: number;
  switchovers: number;
  violations: { seed: number; invariant: string; atMs: number; detail: string }[];
  marks: Record<string, number>;
  missingMarks: string[];
  overlapMaxMs: number;
  logHash: string;
  events: number;
  writes: Record<string, number>;
  /** Histories of the register that were explained by some order. */
  registerHistories: number;
  /** Histories whose search was given up: nothing is known of them. */
  registerHistoriesGivenUp: number;
  recoveryMs: { median: number; p99: number; max: number };
  /** Seeds that were run a second time; one that came out differently is a violation. */
  repeated: number;
};

export async function runProfile(options: ProfileOptions): Promise<SimulationReport> {
  const started = process.cpuUsage();
  const results = new Map<number, RunResult>();
  const repeats: Repeat[] = [];
  const jobs = jobList(options);
  await runAll(
    jobs.map((job) => job.options),
    (index, result) => {
      if (jobs[index]?.repeat === true) repeats.push({ seed: result.seed, hash: result.logHash, atMs: result.simulatedMs });
      else results.set(result.seed, result);
      options.onProgress?.(results.size, () => fold(options, results, repeats, started));
    },
    options.threads,
  );
  return fold(options, results, repeats, started);
}

type Job = { readonly options: RunOptions; readonly repeat: boolean };
type Repeat = { readonly seed: number; readonly hash: string; readonly atMs: number };

function jobList(options: ProfileOptions): Job[] {
  const { hours, only = null, overrides = {} } = options;
  return Array.from({ length: options.seeds }, (_, index) => index).flatMap((index) => {
    const job = { options: { seed: options.firstSeed + index, hours, only, overrides }, repeat: false };
    return index % REPEAT_EVERY === 0 ? [job, { ...job, repeat: true }] : [job];
  });
}

function fold(
  options: ProfileOptions,
  results: ReadonlyMap<number, RunResult>,
  repeats: readonly Repeat[],
  started: NodeJS.CpuUsage,
): SimulationReport {
  const usage = process.cpuUsage(started);
  const cpuSeconds = (usage.user + usage.system) / 1e6;
  const marks = new Marks();
  const report = emptyReport();
  const recoveries: number[] = [];
  let [hash, simulatedMs] = [0x811c9dc5, 0];
  for (let index = 0; index < options.seeds; index++) {
    const result = results.get(options.firstSeed + index);
    if (result === undefined) continue;
    hash = Math.imul(hash ^ Number.parseInt(result.logHash, 16), 0x01000193);
    simulatedMs += result.simulatedMs;
    marks.merge(result.marks);
    addResult(report, result);
    recoveries.push(...result.recoveries);
  }
  for (const { seed, hash: second, atMs } of repeats) {
    const first = results.get(seed);
    if (first === undefined || first.logHash === second) continue;
    report.violations.push({ seed, invariant: 'DETERMINISM', atMs, detail: `log hash ${first.logHash}, then ${second}` });
  }
  const simulatedHours = simulatedMs / MS_PER_HOUR;
  return {
    ...report,
    seeds: results.size,
    simulatedHours: round(simulatedHours),
    cpuSeconds: round(cpuSeconds),
    hoursPerCpuSecond: round(simulatedHours / Math.max(cpuSeconds, 0.001)),
    marks: marks.toRecord(),
    missingMarks: marks.missing(),
    logHash: (hash >>> 0).toString(16).padStart(8, '0'),
    recoveryMs: quantiles(recoveries),
    repeated: repeats.length,
  };
}

function addResult(report: SimulationReport, result: RunResult): void {
  report.failovers += result.failovers;
  report.switchovers += result.switchovers;
  report.events += result.events;
  report.overlapMaxMs = Math.max(report.overlapMaxMs, Math.round(result.overlapMaxMs));
  for (const [outcome, count] of Object.entries(result.writes)) report.writes[outcome] = (report.writes[outcome] ?? 0) + count;
  report.registerHistories += result.registerHistories;
  report.registerHistoriesGivenUp += result.marks['register-history-given-up'] ?? 0;
  const { violation } = result;
  if (violation === null || report.violations.length >= VIOLATIONS_MAX) return;
  report.violations.push({ seed: result.seed, ...violation, atMs: Math.round(violation.atMs) });
}

function emptyReport(): SimulationReport {
  return {
    seeds: 0,
    simulatedHours: 0,
    cpuSeconds: 0,
    hoursPerCpuSecond: 0,
    failovers: 0,
    switchovers: 0,
    violations: [],
    marks: {},
    missingMarks: [...MARKS],
    overlapMaxMs: 0,
    logHash: '',
    events: 0,
    writes: {},
    registerHistories: 0,
    registerHistoriesGivenUp: 0,
    recoveryMs: { median: 0, p99: 0, max: 0 },
    repeated: 0,
  };
}

function quantiles(values: readonly number[]): SimulationReport['recoveryMs'] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return { median: at(0.5), p99: at(0.99), max: at(1) };
}

const round = (value: number): number => Math.round(value * 100) / 100;
