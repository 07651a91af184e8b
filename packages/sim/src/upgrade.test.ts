// Two versions of the core in one world: nothing breaks while one replaces the other, and a version that cannot stand beside this one
// is caught. Here a few hours of each kind; `simulate --upgrade` gives every release as many as are asked for.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { applyBug } from './bug-zoo.ts';
import { THIS_VERSION } from './core-version.ts';
import { UPGRADE_MARKS } from './marks.ts';
import { runSeed } from './run.ts';
import { parseRelease, readReleases, upgradeAll } from './upgrade.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const releases = readReleases(join(root, 'test/upgrades'));
const broken = readReleases(join(root, 'test/upgrades/broken'));
const inThisRun = { root, threads: 2, firstSeed: 1 };

test('a rolling upgrade in the middle of other faults breaks nothing, and its dangerous states have been seen', async (t) => {
  const quick = releases.filter(({ name }) => ['same', 'shorter-lease', 'counts-by-two', 'set-in-another-order'].some((one) => name.endsWith(one)));
  t.equal(quick.length, 4);
  const reports = await upgradeAll(quick, { ...inThisRun, hours: 3, alone: false });
  for (const { name, violation } of reports) t.equal(violation, null, name);
  const seen = (mark: string): number => reports.reduce((sum, { marks }) => sum + (marks[mark] ?? 0), 0);
  for (const mark of UPGRADE_MARKS) t.ok(seen(mark) > 0, mark);
});

test('a version that is right by itself and wrong beside this one is caught', async (t) => {
  t.ok(broken.length >= 4);
  // The guard's worlds are few: from the eighth on it is seen at once.
  const mixed = await upgradeAll(broken, { ...inThisRun, firstSeed: 8, hours: 20, alone: false });
  for (const { name, violation } of mixed) t.not(violation, null, name);
  t.match(mixed.map(({ violation }) => violation?.invariant), ['I1', 'L1', 'I4', /^CTM_ASSERT_(EPOCH_MONOTONE|GRANT_NEEDS_EPOCH)$/]);
  for (const { name, violation, marks } of await upgradeAll(broken, { ...inThisRun, hours: 2, alone: true })) {
    t.equal(violation, null, `${name}, alone`);
    t.ok((marks['lease-of-another-version-read'] ?? 0) > 0, 'its processes were replaced, too, by its like');
  }
});

test('each release applies to the core as it is', (t) => {
  for (const { name, changes } of [...releases, ...broken]) {
    for (const change of changes) t.not(applyBug(change, readFileSync(join(root, change.file), 'utf8')), '', name);
  }
  t.end();
});

test('a world with one version has no upgrade, and a plan with upgrades can be run again', (t) => {
  const plain = runSeed({ seed: 1, hours: 0.2 });
  t.notOk(plain.plan.some(({ faults }) => faults.some(({ name }) => name === 'rolling-upgrade')));
  t.notOk(UPGRADE_MARKS.some((mark) => mark in plain.marks));
  const overrides = { versions: [THIS_VERSION, { ...THIS_VERSION }] as const };
  const first = runSeed({ seed: 1, hours: 0.2, overrides });
  t.ok(first.plan.some(({ faults }) => faults.some(({ name }) => name === 'rolling-upgrade')));
  const again = runSeed({ seed: 1, hours: 0.2, overrides, plan: first.plan });
  t.equal(again.violation, null);
  t.ok((again.marks['lease-of-another-version-read'] ?? 0) > 0);
  t.end();
});

test('a file that is no release is an error that says what to mend', (t) => {
  const two = '# why\n# it is so\nfile packages/core/src/a.ts\n- a\n+ b\n- c\n+\nfile packages/core/src/d.ts\n- e\n+ f\n';
  t.same(parseRelease('x', two), {
    name: 'x',
    why: 'why it is so',
    changes: [
      { name: 'x', file: 'packages/core/src/a.ts', before: 'a', after: 'b' },
      { name: 'x', file: 'packages/core/src/a.ts', before: 'c', after: '' },
      { name: 'x', file: 'packages/core/src/d.ts', before: 'e', after: 'f' },
    ],
  });
  t.throws(() => parseRelease('x', 'file packages/core/a.ts\n- a\n+ b\n'), /x: there is no line that starts with "# "/);
  t.throws(() => parseRelease('x', '# why\nfile packages/sim/a.ts\n- a\n+ b\n'), /lies outside packages\/core\//);
  t.throws(() => parseRelease('x', '# why\n- a\n+ b\n'), /the line "\+ b" is not/);
  t.throws(() => parseRelease('x', '# why\nfile packages/core/a.ts\n- a\n'), /no line that starts with "\+" follows "- a"/);
  t.end();
});
