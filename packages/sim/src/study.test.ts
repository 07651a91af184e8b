// The figures of a study are counted from its rounds and from nothing else; a broken invariant or one late takeover is enough to fail.

import { deriveTimings, regionId } from '@continuum/core';
import { test } from 'tap';
import type { RunResult } from './run.ts';
import { runSeed } from './run.ts';
import type { Round } from './service.ts';
import { foldStudy, spread } from './study-report.ts';
import { renderStudyPage } from './study-page.ts';
import { percent, renderRounds, renderStudy } from './study-text.ts';
import { studyRun } from './study.ts';

const RTO_MS = 10_000;
const policy = {
  name: 'shop <b>',
  region: regionId('r1'),
  regions: [regionId('r1'), regionId('r2')],
  databases: {},
  mode: 'automatic' as const,
  timings: deriveTimings(RTO_MS),
  hash: 'h',
};
const subject = { rtoMs: RTO_MS, policy, operatorMs: 60_000 };
const template = runSeed({ ...studyRun(subject, 1, 0.01), hours: 0.01 });

function round(change: Partial<Round>): Round {
  return { atMs: 0, lengthMs: 60_000, alone: true, faults: ['region-kill'], failovers: 0, switchovers: 0, reacquired: 0, longestGapMs: 0, stalledMs: 0, ...change };
}

function result(rounds: readonly Round[], change: Partial<RunResult> = {}): RunResult {
  return { ...template, service: { rounds, refusals: { 'in-sync': 2 }, approvals: 0, overlapTotalMs: 5, overlaps: 1 }, ...change };
}

test('only a lost region that was taken over counts for the objective', (t) => {
  const rounds = [
    round({ failovers: 1, longestGapMs: 4_000, stalledMs: 4_000 }),
    round({ failovers: 1, longestGapMs: 6_000 }),
    round({ longestGapMs: 90_000 }),
    round({ failovers: 1, longestGapMs: 50_000, faults: ['hung-database'] }),
    round({ failovers: 1, longestGapMs: 70_000, faults: ['forced-takeover'] }),
    round({ switchovers: 1, longestGapMs: 300, faults: ['switchover'] }),
    round({ failovers: 3, longestGapMs: 80_000, alone: false, faults: ['region-kill', 'partition'] }),
  ];
  const report = foldStudy(subject, [result(rounds)], 1);
  t.match(report.rto, { count: 2, min: 4_000, median: 4_000, max: 6_000, withinShare: 1 });
  t.match(report.rtoOfAnyFault, { count: 3, max: 50_000 });
  t.match(report.switchoverGap, { count: 1, median: 300 });
  t.equal(report.ok, true);
  const family = report.families.find(({ name }) => name === 'region-kill');
  t.match(family, { alone: { rounds: 3, failovers: 2, stalledMs: 4_000 }, together: { rounds: 1, failovers: 3 } });
  t.same(report.refusals, [{ condition: 'in-sync', times: 2 }]);
  t.match(report.overlap, { times: 1, totalMs: 5 });
  t.end();
});

test('one late takeover fails it, and so does a broken invariant', (t) => {
  const late = foldStudy(subject, [result([round({ failovers: 1, longestGapMs: RTO_MS + 1 }), round({ failovers: 1, longestGapMs: 3_000 })])], 1);
  t.match(late, { ok: false, rto: { withinShare: 0.5 } });
  t.match(late.rto.histogram.at(-1), { fromMs: RTO_MS, count: 1 });
  const violation = { invariant: 'I3', atMs: 1_234, detail: 'a write is <gone>' };
  const plan = [{ lengthMs: 1, faults: [{ offsetMs: 0, name: 'clog', seed: 1 }] }];
  const broken = foldStudy(subject, [result([], { seed: 9, violation, plan })], 1);
  t.match(broken, { ok: false, violations: [{ seed: 9, invariant: 'I3' }] });
  t.equal(broken.families.find(({ name }) => name === 'clog')?.violations, 1);
  t.match(renderStudy(subject, broken), /1 of 1 runs broke an invariant[^]*VIOLATION of I3 in seed 9/);
  t.match(renderStudyPage(subject, broken), /class="verdict bad"[^]*a write is &lt;gone&gt;/);
  t.notMatch(renderStudyPage(subject, broken), /shop <b>/);
  t.end();
});

test('nothing seen is not nothing wrong', (t) => {
  const report = foldStudy(subject, [result([])], 1);
  t.match(renderStudy(subject, report), /nothing can be said about the objective/);
  t.match(spread([]), { count: 0, max: 0 });
  t.equal(percent(0.99999), '99.99 %');
  t.end();
});

test('an odd seed has one fault in each round, an even one many', (t) => {
  const rounds = (seed: number): readonly Round[] => runSeed(studyRun(subject, seed, 0.3)).service?.rounds ?? [];
  t.ok(rounds(1).length > 3 && rounds(1).every(({ alone, faults }) => alone && faults.length === 1));
  t.ok(rounds(2).length > 0 && rounds(2).every(({ alone }) => !alone));
  t.ok(rounds(2).some(({ faults }) => faults.length > 1));
  t.match(renderRounds(runSeed(studyRun(subject, 1, 0.1))), /no invariant was broken/);
  t.end();
});

test('measuring changes nothing that is decided', (t) => {
  const run = { ...studyRun(subject, 5, 0.1), measured: true };
  t.equal(runSeed(run).logHash, runSeed({ ...run, traced: true }).logHash);
  t.end();
});
