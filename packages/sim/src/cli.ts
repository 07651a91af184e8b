// `npm run simulate`: many seeds with a report, or one seed with its trace.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, USAGE } from './arguments.ts';
import type { CliOptions } from './arguments.ts';
import { huntAll, readBugs } from './bug-zoo.ts';
import { explore } from './explore.ts';
import type { SimulationReport } from './profile.ts';
import { runProfile } from './profile.ts';
import { runSeed } from './run.ts';
import { runScenario } from './scenario.ts';
import { renderShrunk, shrink } from './shrink.ts';
import { renderHtml, renderText } from './timeline.ts';

/** A planted fault that is not caught within so many hours got away. */
const BUG_HOURS_MAX = 400;
const PROGRESS_MS = 1_000;
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
    process.stdout.write(runScenario(readFileSync(options.scenario, 'utf8')));
    return 0;
  }
  if (options.explore !== null) return search(options.explore);
  if (options.bugs) return zoo(options);
  const failed = await many(options);
  if (options.seeds === 1) one(options);
  return failed ? 1 : 0;
}

async function many(options: CliOptions): Promise<boolean> {
  let shownMs = 0;
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
      process.stderr.write(`${done}/${seeds} seeds  ${summary(partial())}\n`);
    },
  });
  if (options.report !== null) writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`${summary(report)}\n`);
  for (const { seed, invariant, atMs, detail } of report.violations) {
    process.stdout.write(`VIOLATION of ${invariant} in seed ${seed} after ${Math.round(atMs / 1_000)} s: ${detail}\n`);
    process.stdout.write(`  replay: npm run simulate -- --seed ${seed} --hours ${hours}\n`);
  }
  // A handful of seeds cannot have been everywhere; a profile must.
  const marksMissing = options.profile !== null && report.missingMarks.length > 0;
  if (marksMissing) process.stdout.write(`never happened: ${report.missingMarks.join(', ')}\n`);
  return report.violations.length > 0 || marksMissing;
}

function search(statesMax: number): number {
  const { states, depth, exhausted, violation } = explore({ statesMax, crashes: 1, pauses: 1, losses: 1, switchovers: 1 });
  process.stdout.write(`${states} states, ${depth} moves deep${exhausted ? ', all there are' : ''}\n`);
  if (violation === null) return 0;
  process.stdout.write(`VIOLATION ${violation.detail}\n${violation.path.map((move, at) => `  ${at + 1}. ${move}`).join('\n')}\n`);
  return 1;
}

/** Fails when a fault gets away. */
async function zoo(options: CliOptions): Promise<number> {
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const hoursMax = Math.max(options.hours, BUG_HOURS_MAX);
  const reports = await huntAll(readBugs(join(root, 'test/bugs')), {
    root,
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

function one(options: CliOptions): void {
  const { seed, hours, only } = options;
  const shrunk = options.shrink ? shrink({ seed, hours, only }) : null;
  if (shrunk !== null) {
    process.stdout.write(renderShrunk(seed, shrunk));
    return;
  }
  const result = runSeed({ seed, hours, only, traced: true });
  const trace = result.trace ?? [];
  if (options.trace !== null) writeFileSync(options.trace, renderText(trace));
  if (options.html !== null) writeFileSync(options.html, renderHtml(`seed ${seed}`, trace));
  if (options.trace === null && options.html === null) process.stdout.write(renderText(trace, LAST_LINES));
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
