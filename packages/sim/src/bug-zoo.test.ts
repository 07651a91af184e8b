// The planted faults still fit the code, and those that are seen at once are caught here; the whole zoo is `simulate --bugs`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { applyBug, huntAll, parseBug, readBugs } from './bug-zoo.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bugs = readBugs(join(root, 'test/bugs'));
/** Each is caught within the first hours; the last of them because its worlds are pinned. */
const QUICK = ['guard-dropped', 'gate-accepts-old-epoch', 'relaxed-before-leaving', 'persist-forgotten', 'weights-to-itself', 'dead-holder-is-never-replaced', 'restored-register-ignored', 'renew-after-expiry', 'error-before-first-probe'];

test('there are at least thirty planted faults, and each applies to the code as it is', (t) => {
  t.ok(bugs.length >= 30, `${bugs.length} faults`);
  for (const bug of bugs) t.not(applyBug(bug, readFileSync(join(root, bug.file), 'utf8')), '', bug.name);
  t.end();
});

test('a planted fault is caught within hours', async (t) => {
  const quick = bugs.filter(({ name }) => QUICK.some((one) => name.endsWith(one)));
  t.equal(quick.length, QUICK.length);
  for (const report of await huntAll(quick, { root, hoursMax: 10, threads: 2 })) {
    t.not(report.caughtAfterHours, null, `${report.name}: ${report.caughtAfterHours} h, ${report.invariant}`);
  }
});

test('a planted fault that no longer fits is an error, not a pass', (t) => {
  const bug = parseBug('x', '# why\nfile a.ts\n- one line\n+ another\n');
  t.same(bug, { name: 'x', why: 'why', file: 'a.ts', before: 'one line', after: 'another', pinned: {} });
  t.equal(applyBug(bug, 'before\none line\nafter'), 'before\nanother\nafter');
  t.throws(() => applyBug(bug, 'nothing like it'), /0 times/);
  t.throws(() => applyBug(bug, 'one line one line'), /2 times/);
  t.same(parseBug('x', '# why\nfile a.ts\nworld {"resolvers":null}\n- one\n+ two\n').pinned, { resolvers: null });
  t.throws(() => parseBug('x', '# why\nfile a.ts\nworld {5.1}\n- one\n+ two\n'), /x: the line "world {5.1}" has no JSON/);
  t.throws(() => parseBug('y', '# why\n'), /starts with "file "/);
  t.end();
});
