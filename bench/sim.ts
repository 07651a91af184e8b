// The simulator's own figures: how much simulated time a second of one core buys with every checker on, and how soon planted faults
// are caught.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exploreAll } from '../packages/sim/src/explore.ts';
import { huntAll, readBugs } from '../packages/sim/src/bug-zoo.ts';
import type { BugReport } from '../packages/sim/src/bug-zoo.ts';
import { PROFILES, runProfile } from '../packages/sim/src/profile.ts';
import type { SimulationReport } from '../packages/sim/src/profile.ts';
import type { BenchReport } from './report.ts';
import { machine, median, row } from './report.ts';

/** A fault that is not caught in so many simulated hours got away. */
const BUG_HOURS_MAX = 400;

export type SimBenchOptions = {
  /** Runs of the test profile, each with seeds of its own. */
  readonly runs: number;
  /** States of the exhaustive search. */
  readonly states: number;
  readonly threads: number;
  readonly say: (line: string) => void;
};

export async function benchSim(options: SimBenchOptions): Promise<BenchReport> {
  const { runs, states, threads, say } = options;
  const reports: SimulationReport[] = [];
  const seconds: number[] = [];
  for (let run = 0; run < runs; run++) {
    const startedMs = performance.now();
    const report = await runProfile({ firstSeed: 1 + run * PROFILES.test.seeds, ...PROFILES.test, threads });
    seconds.push((performance.now() - startedMs) / 1_000);
    reports.push(report);
    say(`test profile ${run + 1} of ${runs}: ${report.simulatedHours} h, ${report.hoursPerCpuSecond} h per CPU-second`);
  }
  const started = process.cpuUsage();
  const searched = exploreAll(states);
  const { user, system } = process.cpuUsage(started);
  const statesPerSecond = searched.states / ((user + system) / 1e6);
  say(`${searched.states} states searched, up to ${searched.depth} moves deep, ${Math.round(statesPerSecond)} a CPU-second`);
  const bugs = await zoo(threads, say);
  const caught = bugs.flatMap(({ caughtAfterHours }) => caughtAfterHours ?? []);
  const of = (pick: (report: SimulationReport) => number): number[] => reports.map(pick);
  const rows = [
    row('simulated hours per CPU-second, every checker on', 'h/s', of((one) => one.hoursPerCpuSecond), median, '>= 5'),
    row('simulated hours of the test profile', 'h', of((one) => one.simulatedHours), median, '>= 400'),
    row('failovers of the test profile', 'failovers', of((one) => one.failovers), median, '>= 3000'),
    row('time of the test profile', 's', seconds, median, '<= 120'),
    row('violations', 'violations', of((one) => one.violations.length), (values) => Math.max(...values), '<= 0'),
    row('dangerous states that never occurred', 'marks', of((one) => one.missingMarks.length), (values) => Math.max(...values), '<= 0'),
    row('seeds run twice with equal logs, of all', '%', of((one) => (100 * equal(one)) / one.seeds), median, '>= 5'),
    row('two regions believing at once, longest', 'ms', of((one) => one.overlapMaxMs), median, null),
    row('states of the small scope, each checked', 'states', [searched.violation === null ? searched.states : 0], median, '>= 1000000'),
    row('states of the small scope per CPU-second', 'states/s', [statesPerSecond], median, null),
    row('moves of the longest path in it', 'moves', [searched.depth], median, null),
    row('dangerous states that the search never met', 'marks', [searched.missingMarks.length], median, '<= 0'),
    row('planted faults caught', 'faults', [caught.length], median, `>= ${bugs.length}`),
    row('simulated hours until a planted fault is caught', 'h', caught, median, '<= 100'),
  ];
  const notes = bugs.map(({ name, caughtAfterHours, invariant }) =>
    caughtAfterHours === null ? `${name}: not caught in ${BUG_HOURS_MAX} h` : `${name}: ${caughtAfterHours.toFixed(2)} h, ${invariant}`,
  );
  return { bench: 'sim', machine: machine(), rows, notes };
}

function equal(report: SimulationReport): number {
  return report.repeated - report.violations.filter(({ invariant }) => invariant === 'DETERMINISM').length;
}

function zoo(threads: number, say: (line: string) => void): Promise<BugReport[]> {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const onReport = ({ name, caughtAfterHours }: BugReport): void => say(`${name}: ${caughtAfterHours?.toFixed(2) ?? 'not caught'} h`);
  return huntAll(readBugs(join(root, 'test/bugs')), { root, hoursMax: BUG_HOURS_MAX, threads, onReport });
}
