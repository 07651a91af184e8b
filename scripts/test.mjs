// Everything that must be green: types, lint, the coverage of the decisions, every test. Runs under the pinned Node
// (scripts/run.mjs starts it). The last line is always `N passed, N failed`; types, lint and coverage count as one each.
//
//   test.mjs [--check | --nightly] [FILE...]

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { PROJECT_ROOT } from './bootstrap/cache.mjs';
import { createTapReader } from './testing/tap-results.mjs';

/** Tests start real databases and gateways: more at once only makes them slower on two cores. */
const JOBS = 2;
const FILE_TIMEOUT_S = 480;
const NIGHTLY_FILE_TIMEOUT_S = 3_600;

const ROOMS = ['packages', 'workers', 'daemons', 'bench', 'scripts', 'test'];
const IGNORED_FOLDERS = new Set(['node_modules', '.cache', '.tap', '.wrangler', 'bugs']);

/** @typedef {{ passed: number, failed: number, skipped: string[] }} Totals */

async function main() {
  /** @type {Totals} */
  const totals = { passed: 0, failed: 0, skipped: [] };
  process.once('exit', () => printTotals(totals));
  const args = process.argv.slice(2);
  const flags = new Set(args.filter((arg) => arg.startsWith('--')));
  const unknown = [...flags].filter((flag) => flag !== '--check' && flag !== '--nightly');
  if (unknown.length > 0) throw new Error(`unknown option ${unknown.join(', ')}; known: --check, --nightly, and names of test files`);
  const named = args.filter((arg) => !arg.startsWith('--')).map((arg) => resolve(arg));
  const missing = named.filter((file) => !existsSync(file));
  if (missing.length > 0) throw new Error(`no such test file: ${missing.join(', ')}`);

  if (named.length === 0) {
    await Promise.all([check('types', typecheck, totals), check('lint', lint, totals)]);
  }
  if (!flags.has('--check')) {
    if (named.length === 0) await check('coverage of packages/core', coverage, totals);
    const files = named.length > 0 ? named : testFiles(flags.has('--nightly'));
    await runTests(files, flags.has('--nightly') ? NIGHTLY_FILE_TIMEOUT_S : FILE_TIMEOUT_S, totals);
  }
}

/** @param {Totals} totals */
function printTotals(totals) {
  for (const name of totals.skipped) print(`skipped: ${name}`);
  if (process.env['CI'] === 'true') totals.failed += totals.skipped.length;
  if (totals.passed + totals.failed === 0) totals.failed = 1;
  if (totals.failed > 0 && (process.exitCode === undefined || process.exitCode === 0)) process.exitCode = 1;
  print(`${totals.passed} passed, ${totals.failed} failed`);
}

/**
 * @param {string} name
 * @param {() => Promise<string[]>} run gives the problems that it found
 * @param {Totals} totals
 */
async function check(name, run, totals) {
  const startedMs = performance.now();
  const problems = await run();
  const took = seconds(performance.now() - startedMs);
  if (problems.length === 0) totals.passed++;
  else totals.failed++;
  print(problems.length === 0 ? `ok    ${name} (${took})` : `FAIL  ${name} (${took})\n${indent(problems.join('\n'))}`);
}

/** Each tsconfig on its own: they differ in what exists (no Node in packages/core, no DOM in the Worker). */
async function typecheck() {
  const projects = ROOMS.flatMap((room) => filesBelow(room, (name) => /^tsconfig(\..+)?\.json$/.test(name)));
  projects.push(...readdirSync(PROJECT_ROOT).filter((name) => /^tsconfig\.(?!base)\w+\.json$/.test(name)));
  /** @type {Set<string>} */
  const problems = new Set();
  const queue = [...projects];
  const worker = async () => {
    for (let project = queue.shift(); project !== undefined; project = queue.shift()) {
      const { code, output } = await runTool('typescript/bin/tsc', ['--pretty', 'false', '-p', join(PROJECT_ROOT, project)]);
      if (code === 0) continue;
      // The same source file belongs to several projects: each of its problems is shown once.
      for (const problem of output.trim().split(/\n(?=\S)/)) problems.add(problem);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
  return [...problems].sort();
}

async function lint() {
  const { code, output } = await runTool('oxlint/bin/oxlint', ['--deny-warnings', '--format=unix', ...ROOMS]);
  return code === 0 ? [] : [output.trim()];
}

/** Every branch of the decisions, reached by their own unit tests and not only by the simulator. */
async function coverage() {
  const files = filesBelow('packages/core', (name) => name.endsWith('.test.ts'));
  const options = ['--no-disable-coverage', '--coverage-report=text', '--reporter=silent', `--jobs=${JOBS}`];
  const { code, output } = await runTool('tap/dist/esm/run.mjs', ['run', ...options, ...files]);
  return code === 0 ? [] : [output.trim()];
}

/**
 * @param {readonly string[]} files
 * @param {number} timeoutS for each file
 * @param {Totals} totals
 */
async function runTests(files, timeoutS, totals) {
  const running = new Set(files.map((file) => relative(PROJECT_ROOT, file)));
  const live = createLiveLine(() => `${files.length - running.size}/${files.length} files, ${totals.passed} passed, ${totals.failed} failed`);
  const reader = createTapReader((result) => {
    running.delete(result.file);
    totals.passed += result.passed;
    totals.failed += result.failures.length;
    totals.skipped.push(...result.skipped.map((name) => `${result.file}: ${name}`));
    const state = result.failures.length === 0 ? 'ok  ' : 'FAIL';
    live.clear();
    print(`${state}  ${result.file} (${result.passed + result.failures.length} tests, ${seconds(result.durationMs)})`);
    for (const comment of result.comments) print(indent(comment));
    for (const failure of result.failures) print(indent(`x ${failure.name}\n${indent(failure.diagnostics)}`));
  });
  const tap = join(PROJECT_ROOT, 'node_modules/tap/dist/esm/run.mjs');
  const options = ['--reporter=tap', '--no-color', `--jobs=${JOBS}`, `--timeout=${timeoutS}`];
  const child = spawn(process.execPath, [tap, 'run', ...options, ...running], {
    cwd: PROJECT_ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWith(child);
  child.stdout.pipe(reader);
  const [code] = await Promise.all([
    new Promise((settle) => child.once('close', (status, signal) => settle(signal ?? status))),
    new Promise((settle) => reader.once('complete', settle)),
  ]);
  live.clear();
  if (running.size > 0 || (code !== 0 && totals.failed === 0 && totals.skipped.length === 0)) {
    totals.failed++;
    print(`FAIL  the test runner ended with ${code}; without a result: ${[...running].join(', ') || 'nothing'}`);
  }
}

/** @param {() => string} text */
function createLiveLine(text) {
  if (process.stdout.isTTY !== true) return { clear: () => undefined };
  const startedMs = performance.now();
  const timer = setInterval(() => process.stdout.write(`\r\x1b[K${text()}, ${seconds(performance.now() - startedMs)}`), 500);
  timer.unref();
  return { clear: () => process.stdout.write('\r\x1b[K') };
}

/**
 * The test run ends together with us, whoever ends first.
 * @param {import('node:child_process').ChildProcess} child
 */
function endWith(child) {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => {
      child.kill(signal);
      process.exitCode = 130;
    });
  }
}

/**
 * A tool from node_modules, under this Node.
 * @param {string} tool
 * @param {readonly string[]} args
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function runTool(tool, args) {
  return new Promise((settle, reject) => {
    const command = [join(PROJECT_ROOT, 'node_modules', tool), ...args];
    const child = spawn(process.execPath, command, { cwd: PROJECT_ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.once('error', reject);
    child.once('close', (code) => settle({ code, output }));
  });
}

/** @param {boolean} nightly */
function testFiles(nightly) {
  const pattern = nightly ? /\.(test|nightly)\.ts$/ : /\.test\.ts$/;
  const files = ROOMS.flatMap((room) => filesBelow(room, (name) => pattern.test(name)));
  if (files.length === 0) throw new Error('no test files found');
  // The slow ones first, so that the two jobs end at about the same time.
  const slowFirst = (/** @type {string} */ file) => (file.startsWith('test/') ? 0 : 1);
  return files.sort((a, b) => slowFirst(a) - slowFirst(b) || a.localeCompare(b)).map((file) => join(PROJECT_ROOT, file));
}

/**
 * Paths from the project's root.
 * @param {string} folder
 * @param {(name: string) => boolean} wanted
 * @returns {string[]}
 */
function filesBelow(folder, wanted) {
  if (!existsSync(join(PROJECT_ROOT, folder))) return [];
  return readdirSync(join(PROJECT_ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return IGNORED_FOLDERS.has(entry.name) ? [] : filesBelow(path, wanted);
    return wanted(entry.name) ? [path] : [];
  });
}

/** @param {number} durationMs */
function seconds(durationMs) {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

/** @param {string} text */
function indent(text) {
  return text.replace(/^(?=.)/gm, '      ');
}

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}

main().catch((error) => {
  print(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
