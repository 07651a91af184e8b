// The test profile: at least 400 simulated hours and 3,000 failovers under every fault, with every checker on. And what keeps the
// checkers honest: without the fence the same faults are caught, without the guard they are not a danger.

import { randomInt } from 'node:crypto';
import { test } from 'tap';
import { ALL_DEFENCES } from './options.ts';
import { PROFILES, runProfile } from './profile.ts';
import { runSeed } from './run.ts';

test('no invariant breaks in the test profile, and every dangerous state occurred', async (t) => {
  const report = await runProfile({ firstSeed: 1, ...PROFILES.test });
  t.same(report.violations, []);
  t.same(report.missingMarks, []);
  t.ok(report.repeated >= PROFILES.test.seeds / 20, `${report.repeated} seeds were run twice`);
  t.ok(report.simulatedHours >= 400, `${report.simulatedHours} hours`);
  t.ok(report.failovers >= 3_000, `${report.failovers} failovers`);
  t.ok(report.registerHistories > 20 * report.registerHistoriesGivenUp, `${report.registerHistories} explained, ${report.registerHistoriesGivenUp} given up`);
  t.comment(`${report.hoursPerCpuSecond} simulated hours per CPU-second, believers overlapped at most ${report.overlapMaxMs} ms`);
});

test('seeds that nobody has chosen are as clean, and each of them is the same run again', async (t) => {
  const first = randomInt(PROFILES.nightly.seeds + 1, 2 ** 31);
  const drawn = { firstSeed: first, seeds: 40, hours: 1 };
  const report = await runProfile(drawn);
  t.comment(`seeds ${first} to ${first + drawn.seeds - 1}, log ${report.logHash}: npm run simulate -- --seed ${first} --seeds ${drawn.seeds} --hours ${drawn.hours}`);
  t.same(report.violations, []);
  t.equal((await runProfile(drawn)).logHash, report.logHash);
});

test('without the guard every invariant stands, I4 towards the witness up to the drift of the clocks', async (t) => {
  const overrides = { defences: { ...ALL_DEFENCES, guard: false } };
  const report = await runProfile({ firstSeed: 1, seeds: 30, hours: 1, overrides });
  t.same(report.violations, []);
});

test('with slow clocks and without the guard requests are let through that the witness had given up, with it none', async (t) => {
  const slow = { rateErrors: [0, -0.004, -0.004], witnessLinkMs: 0.5, rtoMs: 60_000, writeMeanMs: 100, askMs: 200, resolvers: null } as const;
  const past = async (guard: boolean): Promise<number> => {
    const overrides = { ...slow, defences: { ...ALL_DEFENCES, guard } };
    const only = ['partition', 'wall-clock-step', 'controller-pause'];
    const report = await runProfile({ firstSeed: 1, seeds: 24, hours: 1, only, overrides });
    t.same(report.violations, []);
    return report.marks['served-past-the-witness'] ?? 0;
  };
  t.equal(await past(true), 0);
  t.ok((await past(false)) > 0);
});

for (const fence of ['databaseFence', 'gateFence'] as const) {
  test(`without the ${fence} the first hours are enough to see it`, async (t) => {
    const overrides = { defences: { ...ALL_DEFENCES, [fence]: false } };
    const report = await runProfile({ firstSeed: 1, seeds: 5, hours: 1, overrides });
    t.ok(report.violations.length > 0);
    t.ok(report.violations.every(({ invariant }) => invariant === 'I2'));
  });
}

test('without a unique key a write that its client sends again is there twice', async (t) => {
  const overrides = { defences: { ...ALL_DEFENCES, uniqueKey: false }, retryShare: 1 };
  const report = await runProfile({ firstSeed: 1, seeds: 5, hours: 1, overrides });
  t.ok(report.violations.length > 0);
  t.ok(report.violations.every(({ invariant, detail }) => invariant === 'I3' && detail.endsWith('is there twice')));
});

test('a seed is the whole run, in this thread as in another', async (t) => {
  const here = runSeed({ seed: 7, hours: 1 });
  const traced = runSeed({ seed: 7, hours: 1, traced: true });
  t.equal(traced.logHash, here.logHash, 'reading along changes nothing');
  const { logHash } = await runProfile({ firstSeed: 7, seeds: 1, hours: 1, threads: 1 });
  const alone = await runProfile({ firstSeed: 7, seeds: 1, hours: 1, threads: 0 });
  t.equal(logHash, alone.logHash);
  t.not(runSeed({ seed: 8, hours: 1 }).logHash, here.logHash);
});
