// `continuum simulate`: what a specification is worth before anybody depends on it. Its timings, mode and margins go through the real
// decisions under simulated faults; the answer says how long clients wait when a region dies, and whether anything breaks.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { foldStudy, renderRounds, renderStudy, renderStudyPage, renderText, runSeed, runStudy, studyRun, verdictOf } from '@continuum/sim';
import type { StudyReport, StudySubject } from '@continuum/sim';
import { formatProblems, parseConfig } from '@continuum/wire/spec';

export type SimulateValues = {
  readonly config?: string | undefined;
  readonly seeds: string;
  readonly hours: string;
  readonly seed?: string | undefined;
  readonly threads?: string | undefined;
  readonly report?: string | undefined;
  readonly trace?: string | undefined;
  readonly 'operator-after': string;
  readonly output: string;
};

/** 0: regions were lost and taken over, the objective was kept after each loss, and nothing broke. 1: not so. 2: wrong use, or a specification with problems. */
export type SimulateExit = 0 | 1 | 2;

export type SimulateIo = {
  readonly say: (text: string) => void;
  /** Problems and progress. */
  readonly tell: (text: string) => void;
};

type Asked = { readonly seeds: number; readonly hours: number; readonly firstSeed: number; readonly threads: number; readonly operatorMs: number };

const PROGRESS_MS = 1_000;
const HOURS_MAX = 1_000;
const SEEDS_MAX = 1_000_000;
const THREADS_MAX = 256;
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m)$/;
const UNIT_MS = { ms: 1, s: 1_000, m: 60_000 } as const;
const OPERATOR_MS_MAX = 3_600_000;

export async function simulate(values: SimulateValues, { say, tell }: SimulateIo): Promise<SimulateExit> {
  const problems: string[] = [];
  const asked = readAsked(values, problems);
  const subject = readSubject(values, asked.operatorMs, problems);
  if (values.trace !== undefined && values.seed === undefined) problems.push(`--trace ${values.trace}: a trace is of one run; add --seed S`);
  if (values.output !== 'text' && values.output !== 'json') problems.push(`--output ${values.output}: use text or json`);
  if (problems.length > 0 || subject === null) {
    tell(problems.join('\n'));
    return 2;
  }
  return values.seed === undefined ? many(subject, asked, values, { say, tell }) : one(subject, asked, values, { say, tell });
}

async function many(subject: StudySubject, asked: Asked, values: SimulateValues, { say, tell }: SimulateIo): Promise<SimulateExit> {
  const startedMs = Date.now();
  let shownMs = startedMs;
  const results = await runStudy({
    ...subject,
    ...asked,
    onProgress: (done) => {
      const nowMs = Date.now();
      if (nowMs - shownMs < PROGRESS_MS) return;
      shownMs = nowMs;
      const restMs = ((nowMs - startedMs) / done.length) * (asked.seeds - done.length);
      const failovers = done.reduce((sum, result) => sum + result.failovers, 0);
      const broken = done.filter(({ violation }) => violation !== null).length;
      tell(`${done.length} of ${asked.seeds} seeds, ${failovers} failovers, ${broken} violations, about ${Math.ceil(restMs / 1_000)} s left`);
    },
  });
  const report = foldStudy(subject, results, asked.hours);
  say(values.output === 'json' ? JSON.stringify(report, null, 2) : renderStudy(subject, report));
  if (values.output === 'text') for (const line of replays(report, values, asked.hours)) say(line);
  if (values.report !== undefined && !writeReport(values.report, subject, report, tell)) return 2;
  return report.ok ? 0 : 1;
}

/** One seed again: the same run as among the others, told round by round. */
function one(subject: StudySubject, asked: Asked, values: SimulateValues, { say, tell }: SimulateIo): SimulateExit {
  const result = runSeed({ ...studyRun(subject, asked.firstSeed, asked.hours), traced: values.trace !== undefined });
  const report = foldStudy(subject, [result], asked.hours);
  say(values.output === 'json' ? JSON.stringify({ ...report, rounds: result.service?.rounds ?? [] }, null, 2) : `${renderRounds(result)}\n${report.name}: ${verdictOf(report)}`);
  if (values.trace !== undefined && !write(values.trace, renderText(result.trace ?? []), '--trace', tell)) return 2;
  if (values.report !== undefined && !writeReport(values.report, subject, report, tell)) return 2;
  return report.ok ? 0 : 1;
}

function replays({ violations }: StudyReport, { config }: SimulateValues, hours: number): string[] {
  return violations.map(({ seed }) => `  replay: continuum simulate --config ${config} --seed ${seed} --hours ${hours} --trace seed-${seed}.txt`);
}

/** Two files beside each other: one for programs, one for people. */
function writeReport(file: string, subject: StudySubject, report: StudyReport, tell: (text: string) => void): boolean {
  const base = file.replace(/\.(json|html)$/, '');
  const written = write(`${base}.json`, `${JSON.stringify(report, null, 2)}\n`, '--report', tell);
  return written && write(`${base}.html`, renderStudyPage(subject, report), '--report', tell);
}

function write(file: string, text: string, option: string, tell: (text: string) => void): boolean {
  try {
    writeFileSync(file, text);
    return true;
  } catch (error) {
    tell(`${option} ${file}: ${(error as Error).message}`);
    return false;
  }
}

function readSubject({ config }: SimulateValues, operatorMs: number, problems: string[]): StudySubject | null {
  if (config === undefined) {
    problems.push('simulate needs --config FILE: the specification that is to be tried');
    return null;
  }
  try {
    const parsed = parseConfig(readFileSync(config, 'utf8'));
    if (parsed.ok) return { rtoMs: parsed.config.spec.objective.rto, policy: parsed.policy, operatorMs };
    problems.push(formatProblems(config, parsed.problems));
  } catch (error) {
    problems.push(`--config ${config}: ${(error as Error).message}`);
  }
  return null;
}

function readAsked(values: SimulateValues, problems: string[]): Asked {
  const amount = (option: string, text: string, [low, high]: readonly [number, number], whole: boolean): number => {
    const value = Number(text);
    if (text.trim() !== '' && value >= low && value <= high && (!whole || Number.isSafeInteger(value))) return value;
    problems.push(`--${option} ${text}: use a ${whole ? 'whole ' : ''}number from ${low} to ${high}`);
    return low;
  };
  const match = DURATION.exec(values['operator-after']);
  const operatorMs = match === null ? Number.NaN : Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (!(operatorMs <= OPERATOR_MS_MAX)) problems.push(`--operator-after ${values['operator-after']}: use a duration such as 30s or 5m, at most 60m`);
  return {
    seeds: amount('seeds', values.seeds, [1, SEEDS_MAX], true),
    hours: amount('hours', values.hours, [0.01, HOURS_MAX], false),
    firstSeed: values.seed === undefined ? 1 : amount('seed', values.seed, [0, Number.MAX_SAFE_INTEGER], true),
    threads: values.threads === undefined ? availableParallelism() : amount('threads', values.threads, [1, THREADS_MAX], true),
    operatorMs,
  };
}
