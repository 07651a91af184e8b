// `npm run simulate`: many seeds with a report, or one seed with its trace.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, USAGE } from './arguments.ts';
import type { CliOptions } from './arguments.ts';
import { huntAll, readBugs, searchAll } from './bug-zoo.ts';
import type { Found } from './bug-zoo.ts';
import { exploreAll } from './explore.ts';
import type { SimulationReport } from './profile.ts';
import { UPGRADE_MARKS } from './marks.ts';
import { runProfile } from './profile.ts';
import { runSeed } from './run.ts';
import { runScenario } from './scenario.ts';
import { keptOf, renderShrunk, shrink } from './shrink.ts';
import { renderHtml, renderText } from './timeline.ts';
import { readReleases, upgradeAll } from './upgrade.ts';
import type { UpgradeReport } from './upgrade.ts';

const PROGRESS_MS = 1_000;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** What fits on a screen of the end of a failed seed. */
const LAST_LINES = 60;

async function main(): Promise<number> {
  const read = readArguments(process.argv.slice(2));
  if ('problems' in read) {
    process.stderr.write(`${read.problems.join('\n')}\n`);
    return 2;
  }
  const { options } = read;
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (options.scenario !== null) {
    const decided = runScenario(readFileSync(options.scenario, 'utf8'));
    if (options.rewrite) writeFileSync(options.scenario, decided);
    else process.stdout.write(decided);
    return 0;
  }
  if (options.bugs) return options.explore === null ? zoo(options) : searchZoo(options, options.explore);
  if (options.upgrade) return upgrades(options);
  if (options.explore !== null) return search(options.explore);
  const { report, failed } = await many(options);
  const kept = options.seeds === 1 ? one(options) : null;
  if (options.report !== null) writeFileSync(options.report, `${JSON.stringify(kept === null ? report : { ...report, kept }, null, 2)}\n`);
  return failed ? 1 : 0;
}

async function many(options: CliOptions): Promise<{ readonly report: SimulationReport; readonly failed: boolean }> {
  let shownMs = 0;
  const told = new Set<number>();
  const { seed: firstSeed, seeds, hours, only, threads } = options;
  const report = await runProfile({
    firstSeed,
    seeds,
    hours,
    only,
    ...(threads === null ? {} : { threads }),
    onProgress: (done, partial) => {
      const nowMs = Date.now();
      if (nowMs - shownMs < PROGRESS_MS) return;
      shownMs = nowMs;
      const now = partial();
      process.stderr.write(`${done}/${seeds} seeds  ${summary(now)}\n`);
      // At once: a run that is broken off must not take the seed with it.
      for (const violation of now.violations.filter((one) => !told.has(one.seed))) {
        told.add(violation.seed);
        process.stderr.write(`  ${violation.invariant} in seed ${violation.seed}: ${violation.detail}\n`);
      }
    },
  });
  process.stdout.write(`${summary(report)}\n`);
  for (const { seed, invariant, atMs, detail } of report.violations) {
    process.stdout.write(`VIOLATION of ${invariant} in seed ${seed} after ${Math.round(atMs / 1_000)} s: ${detail}\n`);
    process.stdout.write(`  replay: npm run simulate -- --seed ${seed} --hours ${hours}\n`);
  }
  // A handful of seeds cannot have been everywhere; a profile must.
  const marksMissing = options.profile !== null && report.missingMarks.length > 0;
  if (marksMissing) process.stdout.write(`never happened: ${report.missingMarks.join(', ')}\n`);
  return { report, failed: report.violations.length > 0 || marksMissing };
}

function search(statesMax: number): number {
  const started = process.cpuUsage();
  const { states, depth, exhausted, violation, marks, missingMarks } = exploreAll(statesMax, ({ budget, report }) => {
    const allowed = Object.entries(budget).filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`).join(', ');
    process.stdout.write(`${String(report.states).padStart(9)} states, ${String(report.depth).padStart(3)} moves deep, ${report.exhausted ? 'all there are' : 'cut off'.padEnd(13)}: ${allowed}\n`);
  });
  const { user, system } = process.cpuUsage(started);
  const cpuSeconds = (user + system) / 1e6;
  process.stdout.write(`${states} states, up to ${depth} moves deep${exhausted ? ', all there are' : ''}; ${cpuSeconds.toFixed(1)} CPU-seconds, ${Math.round(states / cpuSeconds)} states a second\n`);
  for (const [name, count] of Object.entries(marks)) process.stdout.write(`  ${name.padEnd(38)} ${count}\n`);
  if (violation !== null) process.stdout.write(`VIOLATION ${violation.detail}\n${violation.path.map((move, at) => `  ${at}. ${move}`).join('\n')}\n`);
  if (missingMarks.length > 0) process.stdout.write(`never happened: ${missingMarks.join(', ')}\n`);
  return violation !== null || missingMarks.length > 0 ? 1 : 0;
}

/** Fails when a fault gets away. */
async function zoo(options: CliOptions): Promise<number> {
  const hoursMax = options.hours;
  const reports = await huntAll(readBugs(join(ROOT, 'test/bugs')), {
    root: ROOT,
    hoursMax,
    threads: Math.max(1, options.threads ?? availableParallelism()),
    onReport: ({ name, caughtAfterHours, invariant }) => {
      const verdict = caughtAfterHours === null ? `NOT CAUGHT in ${hoursMax} h` : `${caughtAfterHours.toFixed(2)} h  ${invariant}`;
      process.stdout.write(`${name.padEnd(36)} ${verdict}\n`);
    },
  });
  const hours = reports.flatMap(({ caughtAfterHours }) => caughtAfterHours ?? []).sort((a, b) => a - b);
  const medianHours = hours[Math.floor(hours.length / 2)] ?? 0;
  process.stdout.write(`${hours.length} of ${reports.length} caught, median ${medianHours.toFixed(2)} h\n`);
  if (options.report !== null) writeFileSync(options.report, `${JSON.stringify({ bugs: reports, medianHours }, null, 2)}\n`);
  return hours.length === reports.length ? 0 : 1;
}

/** Fails when a release breaks something beside this core, when a broken one does not, or when a dangerous state was never reached. */
async function upgrades({ seed: firstSeed, hours, threads, report: file }: CliOptions): Promise<number> {
  const folder = join(ROOT, 'test/upgrades');
  const shared = { root: ROOT, threads: Math.max(1, threads ?? availableParallelism()), firstSeed, hours };
  const tell = (report: UpgradeReport): void => {
    const { name, violation } = report;
    const verdict = violation === null ? 'nothing broke' : `${violation.detail} (seed ${violation.seed})`;
    process.stdout.write(`${name.padEnd(36)} ${report.hours.toFixed(2)} h, ${report.failovers} failovers, ${report.switchovers} switchovers: ${verdict}\n`);
  };
  const reports = await upgradeAll(readReleases(folder), {
    ...shared,
    alone: false,
    onReport: (report) => {
      tell(report);
      if (report.violation !== null) process.stdout.write(report.violation.trace);
    },
  });
  process.stdout.write('wrong on purpose, each must break:\n');
  const broken = await upgradeAll(readReleases(join(folder, 'broken')), { ...shared, alone: false, onReport: tell });
  const missing = UPGRADE_MARKS.filter((mark) => !reports.some(({ marks }) => (marks[mark] ?? 0) > 0));
  if (missing.length > 0) process.stdout.write(`never happened: ${missing.join(', ')}\n`);
  if (file !== null) writeFileSync(file, `${JSON.stringify({ releases: reports, broken }, null, 2)}\n`);
  const stood = reports.every(({ violation }) => violation === null) && broken.every(({ violation }) => violation !== null);
  return stood && missing.length === 0 ? 0 : 1;
}

/** Which of the planted faults the search of the small scope finds: most, not all, lie within it. */
async function searchZoo(options: CliOptions, statesMax: number): Promise<number> {
  const reports = await searchAll(readBugs(join(ROOT, 'test/bugs')), {
    root: ROOT,
    statesMax,
    threads: Math.max(1, options.threads ?? availableParallelism()),
    onReport: ({ name, states, moves, violation }) => {
      process.stdout.write(`${name.padEnd(36)} ${violation === null ? `not found in ${states} states` : `${moves} moves, ${states} states: ${violation}`}\n`);
    },
  });
  process.stdout.write(`${reports.filter(({ violation }) => violation !== null).length} of ${reports.length} found\n`);
  if (options.report !== null) writeFileSync(options.report, `${JSON.stringify({ bugs: reports }, null, 2)}\n`);
  return 0;
}

/** The trace of one seed, or of the few faults of it that matter; returns what is worth keeping of these. */
function one(options: CliOptions): Found | null {
  const { seed, hours, only } = options;
  const shrunk = options.shrink ? shrink({ seed, hours, only }) : null;
  if (options.shrink && shrunk === null) process.stdout.write(`seed ${seed} breaks nothing: there is nothing to shrink\n`);
  const { trace } = shrunk?.result ?? runSeed({ seed, hours, only, traced: true });
  if (trace === null) return null;
  if (options.trace !== null) writeFileSync(options.trace, renderText(trace));
  if (options.html !== null) writeFileSync(options.html, renderHtml(`seed ${seed}`, trace));
  if (shrunk !== null) process.stdout.write(renderShrunk(seed, shrunk));
  else if (options.trace === null && options.html === null) process.stdout.write(renderText(trace, LAST_LINES));
  return shrunk === null ? null : keptOf(seed, shrunk);
}

function summary(report: SimulationReport): string {
  const { simulatedHours, hoursPerCpuSecond, failovers, switchovers, violations, overlapMaxMs, logHash } = report;
  return [
    `${simulatedHours} h simulated`,
    `${hoursPerCpuSecond} h per CPU-second`,
    `${failovers} failovers`,
    `${switchovers} switchovers`,
    `${violations.length} violations`,
    `believers overlapped at most ${overlapMaxMs} ms`,
    `log ${logHash}`,
  ].join(', ');
}

process.exitCode = await main();
