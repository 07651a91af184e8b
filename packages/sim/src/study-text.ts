// A study for a terminal: the answer first, then the picture, then what each family of faults did.

import type { Policy } from '@continuum/core';
import { worstCase } from '@continuum/core';
import type { RunResult } from './run.ts';
import { ASSUMED } from './study.ts';
import type { StudySubject } from './study.ts';
import type { Spread, StudyReport } from './study-report.ts';

const BAR = 40;

/** What each condition of a takeover means when it is the reason that nobody took over. */
const MEANINGS: Readonly<Record<string, string>> = {
  'in-sync': 'the standby might lack an acknowledged write: it was not in the in-sync set',
  'database-usable': 'its database was not running, or not known to be',
  'replay-lag': 'how far its database was behind was not known, or too much',
  'gate-connected': 'its gate was not there to serve through',
  'hold-down': 'the last takeover was too short ago',
  mode: 'a person had to approve it',
  'epoch-not-behind': 'the witness counted from below what this region had accepted',
  'witness-answers': 'the witness did not answer it',
  'other-region-dark': 'the resolvers still saw the other region',
};

export const meaningOf = (condition: string): string => MEANINGS[condition] ?? condition;

export function verdictOf(report: StudyReport): string {
  const { violations, lost, rto, notTakenOver } = report;
  const objective = `the objective of ${seconds(report.objectiveMs)}`;
  if (violations.length > 0) return `${violations.length} of ${report.seeds} runs broke an invariant`;
  if (lost.late > 0) {
    const nobody = notTakenOver.late === 0 ? '' : `; ${notTakenOver.late} of these nobody took over`;
    return `after ${lost.late} of ${lost.count} lost regions clients waited longer than ${objective}${nobody}`;
  }
  if (lost.count === 0) return 'no region was lost in these runs while it held the lease: nothing can be said about the objective; give more seeds or hours';
  if (rto.count === 0) return `none of ${lost.count} lost regions was taken over before it was back: nothing can be said about the objective; give more seeds or hours`;
  if (notTakenOver.count === 0) return `every one of ${lost.count} lost regions was taken over within ${objective}`;
  return `after every one of ${lost.count} lost regions clients were served within ${objective}: ${rto.count} were taken over, ${notTakenOver.count} came back first`;
}

export function renderStudy(subject: StudySubject, report: StudyReport): string {
  const { policy } = subject;
  const { timings } = policy;
  return [
    `${report.name}: ${verdictOf(report)}.`,
    `${report.violations.length === 0 ? 'No invariant was broken: ' : ''}${report.failovers} failovers and ${report.switchovers} switchovers in ${report.simulatedHours} simulated hours, seeds ${report.firstSeed} to ${report.firstSeed + report.seeds - 1}.`,
    '',
    `objective ${seconds(report.objectiveMs)}, ${policy.mode}: ttl ${seconds(timings.ttlMs)}, renewal ${seconds(timings.renewMs)}, guard ${timings.guardMs} ms, promotion budget ${seconds(timings.promoteBudgetMs)}, DNS TTL ${timings.dnsTtlSeconds} s; worst case ${seconds(worstCase(timings).sumMs)}`,
    '',
    'A region dies and the other takes over: longest time without an acknowledged write, as a client sees it',
    ...spreadLines(report.rto),
    ...(report.rto.count === 0 ? [] : [`  within the objective: ${percent(report.rto.withinShare)}`]),
    ...bars(report),
    '',
    'A region dies and is back before anybody takes over, the same time',
    ...spreadLines(report.notTakenOver),
    'Any single fault that led to a takeover, the same time',
    ...spreadLines(report.rtoOfAnyFault),
    'Planned switchover, the same time',
    ...spreadLines(report.switchoverGap),
    ...(report.approvals > 0 ? [`Takeovers that a person approved: ${report.approvals}, after ${seconds(subject.operatorMs)} each`] : []),
    '',
    'The lease was free, and a region did not take it because (times)',
    ...(report.refusals.length === 0 ? ['  it always did'] : report.refusals.map(({ condition, times }) => `  ${String(times).padStart(6)}  ${condition.padEnd(18)} ${meaningOf(condition)}`)),
    '',
    `Both regions believed at once that they were active: ${report.overlap.times} times, ${seconds(report.overlap.longestMs)} at most, ${seconds(report.overlap.totalMs)} in all; no request or write got through twice.`,
    '',
    ...familyLines(report),
    ...violationLines(report),
    '',
    ...assumptions(policy).map((line) => `- ${line}`),
  ].join('\n');
}

export function assumptions({ timings, fallback }: Policy): string[] {
  const range = ([low, high]: readonly [number, number]): string => `${low} to ${high} ms`;
  return [
    `Not measured on your machines, but drawn: a promotion takes ${range(ASSUMED.promoteMs)} (at most a third of its budget of ${timings.promoteBudgetMs} ms), a start ${range(ASSUMED.startMs)}, a stop ${range(ASSUMED.stopMs)}; to the witness ${range(ASSUMED.witnessLinkMs)} one way, between the regions ${range(ASSUMED.regionLinkMs)}.`,
    'Half of the runs have one fault at a time: the figures above are theirs. The others have many at once; in both every invariant was checked whenever what it is about could have changed.',
    ...(fallback === undefined ? [] : ['dns.attestation was left out: in these runs the holder fences itself when the witness is out of reach for longer than its validity.']),
    'The decisions are the real ones; databases, network, clients, witness and clocks are models.',
  ];
}

/** One seed, round by round. */
export function renderRounds(result: RunResult): string {
  const lines = (result.service?.rounds ?? []).map((round) => {
    const { failovers, switchovers, reacquired, holderLost, longestGapMs, stalledMs } = round;
    const came = [
      failovers > 0 ? `${failovers} failover${failovers > 1 ? 's' : ''}` : '',
      switchovers > 0 ? `${switchovers} switchover${switchovers > 1 ? 's' : ''}` : '',
      holderLost && failovers === 0 ? 'the holder was lost, and nobody took over' : '',
      reacquired > 0 ? `taken again by the same region ${reacquired} times` : '',
      stalledMs > 0 ? `longest stall ${seconds(longestGapMs)}` : 'no stall',
    ];
    return `${seconds(round.atMs).padStart(9)}  ${round.faults.join(', ')}\n           ${came.filter((one) => one !== '').join('; ')}`;
  });
  const { violation } = result;
  return [...lines, violation === null ? 'no invariant was broken' : `VIOLATION after ${seconds(violation.atMs)}: ${violation.detail}`].join('\n');
}

function spreadLines({ count, min, median, p90, p99, max }: Spread): string[] {
  if (count === 0) return ['  none'];
  return [`  ${count} times: min ${seconds(min)}, median ${seconds(median)}, p90 ${seconds(p90)}, p99 ${seconds(p99)}, max ${seconds(max)}`];
}

function bars({ rto, objectiveMs }: StudyReport): string[] {
  const most = Math.max(1, ...rto.histogram.map(({ count }) => count));
  const first = rto.histogram.findIndex(({ count }) => count > 0);
  if (first < 0) return [];
  return rto.histogram.slice(first).flatMap(({ fromMs, toMs, count }) => {
    const late = fromMs >= objectiveMs ? '  late' : '';
    if (count === 0 && toMs > rto.max) return [];
    return [`  ${seconds(fromMs).padStart(8)} ${'#'.repeat(Math.ceil((BAR * count) / most)).padEnd(BAR)} ${count}${late}`];
  });
}

function familyLines({ families }: StudyReport): string[] {
  const head = 'family                    alone  failovers  median stall  longest   | with others  failovers  stalled';
  const rows = families.map(({ name, alone, together }) => {
    const { median, max } = alone.longestGapMs;
    const left = `${name.padEnd(24)} ${String(alone.rounds).padStart(6)} ${String(alone.failovers).padStart(10)} ${(alone.rounds === 0 ? '-' : seconds(median)).padStart(13)} ${(alone.rounds === 0 ? '-' : seconds(max)).padStart(8)}`;
    return `${left}   | ${String(together.rounds).padStart(11)} ${String(together.failovers).padStart(10)} ${seconds(together.stalledMs).padStart(8)}`;
  });
  return ['What each family of faults did (rounds; longest time without an acknowledged write in a round)', head, ...rows];
}

function violationLines({ violations }: StudyReport): string[] {
  return violations.map(({ seed, invariant, atMs, detail }) => `VIOLATION of ${invariant} in seed ${seed} after ${seconds(atMs)}: ${detail}`);
}

export function seconds(ms: number): string {
  const digits = ms < 10_000 ? 2 : ms < 100_000 ? 1 : 0;
  return `${(ms / 1_000).toFixed(digits)} s`;
}

export function percent(share: number): string {
  // What is not all is not rounded up to all.
  const hundredths = share < 1 ? Math.min(99.99, Math.round(share * 10_000) / 100) : 100;
  return `${hundredths} %`;
}
