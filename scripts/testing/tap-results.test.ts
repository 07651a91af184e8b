// What counts as a test, as a failure and as a skip in tap's stream.

import t from 'tap';
import { createTapReader, type FileResult } from './tap-results.mjs';

async function read(text: string): Promise<FileResult[]> {
  const results: FileResult[] = [];
  const reader = createTapReader((result) => results.push(result));
  const complete = new Promise((resolve) => reader.once('complete', resolve));
  reader.end(`TAP version 14\n${text}`);
  await complete;
  return results;
}

t.test('the named blocks of a file are counted, not their assertions', async (t) => {
  const [file, ...others] = await read(`# Subtest: a.test.ts
    # Subtest: first
        ok 1 - x
        ok 2 - y
        1..2
    ok 1 - first
    # Subtest: second
        # what it measured
        ok 1 - z
        1..1
    ok 2 - second
    ok 3 - alone
    1..3
ok 1 - a.test.ts # time=12.5ms
1..1
`);
  t.match(file, { file: 'a.test.ts', passed: 3, failures: [], skipped: [], comments: ['what it measured'], durationMs: 12.5 });
  t.same(others, []);
});

t.test('a failed block is one failure, with the diagnostics of what failed in it', async (t) => {
  const [file] = await read(`# Subtest: a.test.ts
    # Subtest: first
        ok 1 - x
        not ok 2 - y is three
          ---
          diff: |
            -3
            +4
          at:
            fileName: a.test.ts
            lineNumber: 7
            columnNumber: 5
          ...
        1..2
    not ok 1 - first
    1..1
not ok 1 - a.test.ts
1..1
`);
  t.equal(file?.passed, 0);
  t.equal(file?.failures.length, 1);
  t.match(file?.failures[0], { name: 'first', diagnostics: /y is three[^]*at a\.test\.ts:7:5[^]*\+4/ });
});

t.test('a file that fails outside of its tests, or has none, is a failure', async (t) => {
  const results = await read(`# Subtest: a.test.ts
    ok 1 - fine
    1..1
not ok 1 - a.test.ts
  ---
  exitCode: 7
  ...
# Subtest: b.test.ts
    1..0 # no tests found
ok 2 - b.test.ts # SKIP no tests found
not ok 3 - c.test.ts
  ---
  exitCode: 1
  ...
1..3
`);
  t.same(
    results.map(({ file, passed, failures }) => [file, passed, failures.length]),
    [
      ['a.test.ts', 1, 1],
      ['b.test.ts', 0, 1],
      ['c.test.ts', 0, 1],
    ],
  );
  t.match(results[0]?.failures[0]?.diagnostics, /exitCode: 7/);
});

t.test('what was skipped or left to do is never a pass', async (t) => {
  const [file, whole] = await read(`# Subtest: a.test.ts
    ok 1 - runs
    ok 2 - needs a part # SKIP no envoy
    not ok 3 - later # TODO
    1..3
ok 1 - a.test.ts
ok 2 - b.test.ts # SKIP
1..2
`);
  t.match(file, { passed: 1, failures: [], skipped: ['needs a part', 'later'] });
  t.match(whole, { file: 'b.test.ts', passed: 0, skipped: ['(the whole file)'] });
});
