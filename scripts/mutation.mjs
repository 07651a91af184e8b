// The mutation score of packages/core: a line of a decision is made wrong, and some unit test must notice. Runs under the
// pinned Node (scripts/run.mjs starts it). Long: what was tried before is remembered in .cache/mutation and not tried again
// until the line or a test of the room that noticed it changes.
//
//   mutation.mjs [PART...]   folders or files of packages/core/src, for example `lease dns/lua.ts`, and `root` for the files
//                            beside the folders; without any, all
//
// Stryker's tap runner starts a process for each mutant and each test file that reaches it, and nearly all of its time is
// starting. So the tests of a room are one file here, and the room that was mutated is asked first.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './bootstrap/cache.mjs';

const CORE = join(PROJECT_ROOT, 'packages/core');
const SOURCE = join(CORE, 'src');
const STRYKER = join(PROJECT_ROOT, 'node_modules/@stryker-mutator/core/bin/stryker.js');
const CACHE = join(PROJECT_ROOT, '.cache/mutation');
/** Inside the package, because Stryker copies the package and the tests import its copy. */
const ENTRIES = '.cache/mutation';
const FIRST_FAILURE = 'first-failure.ts';
const ROOT_ROOM = 'root';
const SHORT_BYTES = 5_000;
/** A test is named after a file, or after a part of one: `drive-database.test.ts` after `drive.ts`. */
const NAMED_AFTER = [/\.test\.ts$/, /-[a-z]+\.test\.ts$/];
/**
 * Whether anything failed is all that is asked: no smallest counterexample is looked for, and the process ends with the
 * first line that says so. The runner would end it too, but only hears of a failure when its whole test is done. What is
 * within a test is not told: the runner counts whole tests.
 */
const UNTIL_THE_FIRST_FAILURE = `import fc from 'fast-check';

fc.configureGlobal({ endOnFailure: true });
const write = process.stdout.write.bind(process.stdout);
let rest = '';
let told = '';
let failure: string | null = null;
process.stdout.write = (chunk: string) => {
  const lines = failure === null ? (rest + chunk).split('\\n') : [];
  rest = lines.pop() ?? '';
  for (const line of lines) {
    if (/^ *not ok /.test(line)) {
      failure = line.trim();
      process.exit(1);
    }
    if (!line.startsWith(' ')) told += line + '\\n';
  }
  return true;
};
// At once and last: whatever the runner has not taken by then is lost. A file that could not even be loaded is one that failed.
process.on('exit', (code) => write(code === 0 ? told : 'not ok - ' + (failure ?? 'ended with ' + code) + '\\n'));
`;

/** @param {string} room */
const folderOf = (room) => (room === ROOT_ROOM ? '.' : room);

/** @returns {readonly string[]} */
function roomNames() {
  const entries = readdirSync(SOURCE, { withFileTypes: true });
  return [...entries.filter((entry) => entry.isDirectory()).map(({ name }) => name), ROOT_ROOM];
}

/** @param {string} folder */
const filesUnder = (folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .toSorted();

/** What the tests of every room share: when it changes, what they noticed must be asked again. */
function sharedHash() {
  const hash = createHash('sha256');
  for (const file of filesUnder(join(CORE, 'testing'))) hash.update(readFileSync(join(CORE, 'testing', file)));
  return hash.digest('hex');
}

/**
 * One file that imports every test of a room. Stryker asks again when this file changes, so it names each test's content.
 * @param {string} room
 * @param {string} shared
 */
function writeEntry(room, shared) {
  const folder = join(SOURCE, folderOf(room));
  const tests = (room === ROOT_ROOM ? readdirSync(folder).toSorted() : filesUnder(folder)).filter((file) => file.endsWith('.test.ts'));
  // What is named after the code that it tests is quick and exact; rules about the whole room are asked last.
  const beside = (/** @type {string} */ file) => NAMED_AFTER.some((ending) => ending.test(file) && existsSync(join(folder, file.replace(ending, '.ts'))));
  const lines = [...tests.filter(beside), ...tests.filter((file) => !beside(file))].map((file) => {
    const hash = createHash('sha256').update(readFileSync(join(folder, file))).digest('hex');
    return `import '${join('../../src', folderOf(room), file)}'; // ${hash}`;
  });
  writeFileSync(join(CORE, entryOf(room)), [`import './${FIRST_FAILURE}'; // ${shared}`, ...lines, ''].join('\n'));
}

/** @param {string} room */
const entryOf = (room) => `${ENTRIES}/${room}.mjs`;

/** @typedef {{ readonly room: string, readonly files: readonly string[] }} Subject  `files`: below src */

/**
 * @param {string} part
 * @returns {readonly Subject[]} what is made wrong in one go: a file, or all of a room that are short, because a go has its price
 */
function subjectsOf(part) {
  if (part.endsWith('.ts')) return [{ room: part.includes('/') ? (part.split('/', 1)[0] ?? '') : ROOT_ROOM, files: [part] }];
  const folder = folderOf(part);
  const found = part === ROOT_ROOM ? readdirSync(SOURCE) : filesUnder(join(SOURCE, folder));
  const files = found.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).map((file) => join(folder, file));
  const isShort = (/** @type {string} */ file) => statSync(join(SOURCE, file)).size < SHORT_BYTES;
  const groups = [...files.filter((file) => !isShort(file)).map((file) => [file]), files.filter(isShort)];
  return groups.filter((group) => group.length > 0).map((group) => ({ room: part, files: group }));
}

/**
 * @param {Subject} subject
 * @param {readonly string[]} rooms
 * @param {boolean} isLast
 * @returns {Promise<number>} Stryker's exit code
 */
function mutate({ room, files }, rooms, isLast) {
  const base = JSON.parse(readFileSync(join(CORE, 'stryker.config.json'), 'utf8'));
  const testFiles = [room, ...rooms.filter((other) => other !== room)].map(entryOf);
  const bundle = [process.execPath, join(PROJECT_ROOT, 'scripts/bundle-tests.mjs'), files.map((file) => file.replace(/\.ts$/, '')).join(), ...testFiles];
  const given = {
    buildCommand: bundle.map((word) => word.replaceAll(' ', '\\ ')).join(' '),
    mutate: files.map((file) => `src/${file}`),
    tap: { ...base.tap, testFiles },
    // Each table is of all that is known by then, and so is each score: the last one is the one that counts.
    reporters: base.reporters.filter((/** @type {string} */ name) => isLast || name !== 'clear-text'),
    thresholds: isLast ? base.thresholds : { ...base.thresholds, break: null },
  };
  const config = join(CACHE, 'config.json');
  writeFileSync(config, JSON.stringify({ ...base, ...given }));
  const child = spawn(process.execPath, [STRYKER, 'run', config], {
    cwd: CORE,
    stdio: 'inherit',
    // How long a room may take is for Stryker to say: tap's own 30 s would look like a test that failed. What a failed test
    // would have to say is not read.
    env: { ...process.env, NODE_COMPILE_CACHE: join(CACHE, 'compiled'), TAP_TIMEOUT: '0', TAP_DIAG: '0' },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

const rooms = roomNames();
const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !rooms.includes(part) && !(part.endsWith('.ts') && existsSync(join(SOURCE, part))));
if (unknown.length > 0) {
  process.stderr.write(`not in packages/core/src: ${unknown.join(', ')}; there are ${rooms.join(', ')} and what is in them\n`);
  process.exit(2);
}
mkdirSync(CACHE, { recursive: true });
rmSync(join(CORE, ENTRIES), { recursive: true, force: true });
mkdirSync(join(CORE, ENTRIES), { recursive: true });
writeFileSync(join(CORE, ENTRIES, FIRST_FAILURE), UNTIL_THE_FIRST_FAILURE);
const shared = sharedHash();
for (const room of rooms) writeEntry(room, shared);
// File by file: the tests beside it are asked first, and what was found stays known when the rest is broken off.
const subjects = (asked.length === 0 ? rooms : asked).flatMap(subjectsOf);
for (const [index, subject] of subjects.entries()) {
  const code = await mutate(subject, rooms, index === subjects.length - 1);
  if (code !== 0) process.exitCode = code;
}
