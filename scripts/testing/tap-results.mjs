// Turns tap's stream into what the last line of a test run states. A test is a named block at the top of a test file (or
// an assertion that stands there alone); a file that fails though all its tests passed (a crash, a time-out, no test at
// all) counts as one failed test. A skipped test is never counted as passed.

import { Parser } from 'tap-parser';

/**
 * @typedef {import('tap-parser').Result} Result
 * @typedef {{ readonly name: string, readonly diagnostics: string }} Failure
 * @typedef {{ passed: number, failures: Failure[], skipped: string[], comments: string[] }} Counts
 * @typedef {{ readonly file: string, readonly passed: number, readonly failures: readonly Failure[], readonly skipped: readonly string[], readonly comments: readonly string[], readonly durationMs: number }} FileResult
 */

/** What tap says of a file that ended without a test, which it takes for a skip. */
const NOTHING_RAN = 'no tests found';

/** How tap started a file: of no use to whoever reads why it failed. */
const HIDDEN = new Set(['source', 'compare', 'tapCaught', 'test', 'stdio', 'cwd', 'externalID', 'command', 'args', 'jobId']);

/** Comments that no test made. */
const FROM_TAP = /^(Subtest: |time=|no tests|\{ )/;

const SHOWN_CHARACTERS = 2_000;

/**
 * A writable that calls `onFile` once for each test file, when it has ended.
 * @param {(result: FileResult) => void} onFile
 */
export function createTapReader(onFile) {
  const parser = new Parser();
  parser.on('child', (/** @type {Parser} */ file) => readFile(file));
  parser.on('assert', (/** @type {Result} */ result) => {
    // A file with tests was a child, and its result is read with it; without any it is only this line.
    const known = open.get(result.name);
    open.delete(result.name);
    onFile(summarise(result, known ?? { passed: 0, failures: [], skipped: [], comments: [] }));
  });

  /** @type {Map<string, Counts>} */
  const open = new Map();

  /** @param {Parser} file */
  function readFile(file) {
    /** @type {Counts} */
    const counts = { passed: 0, failures: [], skipped: [], comments: [] };
    /** @type {Failure[]} */
    let inner = [];
    open.set(file.name, counts);
    file.on('child', (/** @type {Parser} */ test) => {
      collectFailures(test, [], (failure) => inner.push(failure));
      test.on('comment', (/** @type {string} */ text) => {
        const comment = text.replace(/^#\s*/, '').trim();
        if (!FROM_TAP.test(comment)) counts.comments.push(comment);
      });
    });
    file.on('assert', (/** @type {Result} */ result) => {
      if (result.skip !== false || result.todo !== false) counts.skipped.push(result.name);
      else if (result.ok) counts.passed++;
      else counts.failures.push({ name: result.name, diagnostics: inner.map(describe).join('\n') || diagnosticsOf(result) });
      inner = [];
    });
  }
  return parser;
}

/**
 * @param {Result} result of the file as a whole
 * @param {Counts} counts
 * @returns {FileResult}
 */
function summarise(result, counts) {
  const { passed, skipped, comments } = counts;
  const failures = [...counts.failures];
  const empty = passed + skipped.length + failures.length === 0 && (result.skip === false || result.skip === NOTHING_RAN);
  if (result.skip !== false && !empty) skipped.push('(the whole file)');
  else if ((!result.ok && failures.length === 0) || empty) {
    const what = result.ok ? 'no test in this file ran' : 'the file failed outside of its tests';
    failures.push({ name: `(${what})`, diagnostics: diagnosticsOf(result) });
  }
  return { file: result.name, passed, failures, skipped, comments, durationMs: result.time ?? 0 };
}

/**
 * @param {Parser} test
 * @param {readonly string[]} path
 * @param {(failure: Failure) => void} found
 */
function collectFailures(test, path, found) {
  let below = 0;
  test.on('child', (/** @type {Parser} */ child) =>
    collectFailures(child, [...path, child.name], (failure) => {
      below++;
      found(failure);
    }),
  );
  test.on('assert', (/** @type {Result} */ result) => {
    if (result.ok || result.skip !== false || result.todo !== false) return;
    // A block that failed because of what is in it adds nothing to that.
    if (below === 0) found({ name: [...path, result.name].join(' > '), diagnostics: diagnosticsOf(result) });
    below = 0;
  });
}

/** @param {Failure} failure */
function describe({ name, diagnostics }) {
  return `${name}\n${diagnostics.replace(/^/gm, '  ')}`;
}

/** @param {Result} result */
function diagnosticsOf(result) {
  if (result.diag === null || typeof result.diag !== 'object') return '';
  const { at, stack, ...rest } = result.diag;
  const place = at === undefined ? '' : `at ${at.fileName}:${at.lineNumber}:${at.columnNumber}\n`;
  const shown = Object.entries(rest).filter(([key, value]) => !HIDDEN.has(key) && value !== null);
  const values = shown.map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const trace = typeof stack === 'string' && place === '' ? stack : '';
  return `${place}${values.join('\n')}${trace === '' ? '' : `\n${trace}`}`.trim().slice(0, SHOWN_CHARACTERS);
}
