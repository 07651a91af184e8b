// The figures of a study are counted from its rounds and from nothing else; a broken invariant or one late takeover is enough to fail.

import { deriveTimings, regionId } from '@continuum/core';
import { test } from 'tap';
import type { RunResult } from './run.ts';
import { drawOptions } from './options.ts';
import { Prng } from './prng.ts';
import { runSeed } from './run.ts';
import { ServiceRecorder } from './service.ts';
import type { Round } from './service.ts';
import { foldStudy, spread } from './study-report.ts';
import { renderStudyPage } from './study-page.ts';
import { percent, renderRounds, renderStudy } from './study-text.ts';
import { studyRun } from './study.ts';
import { World } from './world.ts';

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
  return { atMs: 0, lengthMs: 60_000, alone: true, faults: ['region-kill'], failovers: 0, switchovers: 0, reacquired: 0, holderLost: true, longestGapMs: 0, stalledMs: 0, ...change };
}

function result(rounds: readonly Round[], change: Partial<RunResult> = {}): RunResult {
  return { ...template, service: { rounds, refusals: { 'in-sync': 2 }, approvals: 0, overlapTotalMs: 5, overlaps: 1, families: template.service?.families ?? [] }, ...change };
}

test('every loss of the region that held the lease counts for the objective, and nothing else', (t) => {
  const rounds = [
    round({ failovers: 1, longestGapMs: 4_000, stalledMs: 4_000 }),
    round({ failovers: 1, longestGapMs: 6_000 }),
    round({ longestGapMs: 2_000 }),
    round({ longestGapMs: 60_000, holderLost: false }),
    round({ failovers: 1, longestGapMs: 50_000, holderLost: false, faults: ['hung-database'] }),
    round({ failovers: 1, longestGapMs: 70_000, holderLost: false, faults: ['forced-takeover'] }),
    round({ failovers: 1, longestGapMs: 71_000, holderLost: false, faults: ['word-to-the-holder'] }),
    round({ switchovers: 1, longestGapMs: 300, holderLost: false, faults: ['switchover'] }),
    round({ failovers: 3, longestGapMs: 80_000, alone: false, faults: ['region-kill', 'partition'] }),
  ];
  const report = foldStudy(subject, [result(rounds)], 1);
  t.match(report.rto, { count: 2, min: 4_000, median: 4_000, max: 6_000, withinShare: 1 });
  t.match(report.rtoOfAnyFault, { count: 3, max: 50_000 });
  t.match(report.switchoverGap, { count: 1, median: 300 });
  t.match(report.notTakenOver, { count: 1, max: 2_000, late: 0 });
  t.match(report, { ok: true, lost: { count: 3, late: 0 } });
  t.match(renderStudy(subject, report), /after every one of 3 lost regions clients were served within the objective of 10\.0 s: 2 were taken over, 1 came back first/);
  const family = report.families.find(({ name }) => name === 'region-kill');
  t.match(family, { alone: { rounds: 4, failovers: 2, stalledMs: 4_000 }, together: { rounds: 1, failovers: 3 } });
  t.same(report.refusals, [{ condition: 'in-sync', times: 2 }]);
  t.match(report.overlap, { times: 1, totalMs: 5 });
  t.end();
});

test('one late takeover fails it, and so does a broken invariant', (t) => {
  const late = foldStudy(subject, [result([round({ failovers: 1, longestGapMs: RTO_MS + 1 }), round({ failovers: 1, longestGapMs: 3_000 })])], 1);
  t.match(late, { ok: false, rto: { withinShare: 0.5 } });
  t.match(late.rto.histogram.at(-1), { fromMs: RTO_MS, count: 1 });
  t.match(renderStudy(subject, late), /after 1 of 2 lost regions clients waited longer than the objective of 10\.0 s\./);
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

test('a lost region that nobody took over fails it when clients waited too long, whoever served next', (t) => {
  const rounds = [round({ failovers: 1, longestGapMs: 3_000 }), round({ longestGapMs: 90_000 }), round({ longestGapMs: 800 })];
  const report = foldStudy(subject, [result(rounds)], 1);
  t.match(report, { ok: false, lost: { count: 3, late: 1 }, rto: { count: 1, withinShare: 1 }, notTakenOver: { count: 2, max: 90_000, late: 1 } });
  const said = /after 1 of 3 lost regions clients waited longer than the objective of 10\.0 s; 1 of these nobody took over/;
  t.match(renderStudy(subject, report), said);
  t.match(renderStudyPage(subject, report), /class="verdict bad"[^]*After 1 of 3 lost regions/);
  t.end();
});

test('where no takeover is possible in time, the study says so', (t) => {
  const slow = { ...subject, policy: { ...policy, timings: { ...policy.timings, holdDownMs: 600_000 } } };
  const results = [1, 3, 5].map((seed) => runSeed(studyRun(slow, seed, 0.5)));
  const rounds = results.flatMap(({ service }) => service?.rounds ?? []).filter(({ faults }) => faults.includes('region-kill'));
  t.ok(rounds.some(({ holderLost }) => holderLost) && rounds.some(({ holderLost }) => !holderLost), 'the holder is not always who dies');
  t.ok(rounds.every(({ holderLost, longestGapMs }) => holderLost || longestGapMs < RTO_MS), 'who loses a standby waits for nobody');
  const { ok, lost, notTakenOver } = foldStudy(slow, results, 0.5);
  t.notOk(ok);
  t.ok(notTakenOver.late > 0 && notTakenOver.late === lost.late, `${notTakenOver.late} of ${lost.count} waited too long`);
  t.end();
});

test('nothing seen is not nothing wrong', (t) => {
  const report = foldStudy(subject, [result([])], 1);
  t.equal(report.ok, false);
  t.match(renderStudy(subject, report), /no region was lost .* nothing can be said about the objective/);
  const returned = foldStudy(subject, [result([round({ longestGapMs: 2_000 })])], 1);
  t.match(returned, { ok: false, lost: { count: 1, late: 0 } });
  t.match(renderStudy(subject, returned), /none of 1 lost regions was taken over before it was back: nothing can be said/);
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

test('a gap that nobody has ended yet counts as well', (t) => {
  const world = new World(drawOptions(1, new Prng(1), { rtoMs: RTO_MS, resolvers: null, names: null }));
  const recorder = new ServiceRecorder(world);
  recorder.begin(0);
  world.sim.runUntil(1);
  recorder.end(['region-kill'], true);
  world.sim.runUntil(20_000);
  recorder.stop();
  t.match(recorder.report().rounds, [{ longestGapMs: 20_000, stalledMs: 20_000 }]);
  t.end();
});

test('a family of faults for which a study has nothing to break is neither let loose nor reported', (t) => {
  const results = [1, 2, 3].map((seed) => runSeed(studyRun(subject, seed, 0.5)));
  const faults = new Set(results.flatMap(({ service }) => service?.rounds ?? []).flatMap((one) => one.faults));
  const { families } = foldStudy(subject, results, 0.5);
  for (const name of ['stopped-at-grant', 'sleep-in-darkness', 'dark-at-expiry', 'frozen-cache']) {
    t.notOk(faults.has(name) || families.some((family) => family.name === name), name);
  }
  t.ok([...faults].every((name) => families.some((family) => family.name === name)));
  t.ok(families.some(({ name }) => name === 'partition'));
  t.end();
});

test('measuring changes nothing that is decided', (t) => {
  const run = { ...studyRun(subject, 5, 0.1), measured: true };
  t.equal(runSeed(run).logHash, runSeed({ ...run, traced: true }).logHash);
  t.end();
});
