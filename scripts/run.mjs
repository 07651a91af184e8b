// The door to everything: `node scripts/run.mjs TASK [arguments]`, on any Node >= 20, from a bare clone. Sets up what is
// missing (packages, real parts), then runs the task under the pinned Node. Plain JavaScript without dependencies,
// because nothing else is there yet when it starts.

import { join } from 'node:path';
import { PROJECT_ROOT } from './bootstrap/cache.mjs';
import { ensureParts } from './bootstrap/install-parts.mjs';
import { ensureNodeModules, pinnedNode } from './bootstrap/node-modules.mjs';
import { createProgress } from './bootstrap/progress.mjs';
import { runTask } from './bootstrap/run-task.mjs';
import { PARTS, PartError, locateAll } from './parts.mjs';

/**
 * `parts`: which real parts must be there before the task runs. What is only for the night is tried, and its absence told.
 * @typedef {{ readonly entry: readonly string[] | null, readonly parts: 'nightly' | 'all' | 'product' | 'none', readonly purpose: string }} Task
 */

/** @type {Readonly<Record<string, Task>>} */
const TASKS = {
  demo: { entry: ['test/demo/main.ts'], parts: 'product', purpose: 'two regions, one killed, with proof that nothing was lost' },
  test: { entry: ['scripts/test.mjs'], parts: 'all', purpose: 'types, lint and every test; file names run only these' },
  'test:nightly': { entry: ['scripts/test.mjs', '--nightly'], parts: 'nightly', purpose: 'the same and what takes longer' },
  'test:mutation': { entry: ['scripts/mutation.mjs'], parts: 'none', purpose: 'lines of packages/core made wrong: does a test notice?' },
  bench: { entry: ['bench/main.ts'], parts: 'product', purpose: 'measures; see bench/' },
  simulate: { entry: ['packages/sim/src/cli.ts'], parts: 'none', purpose: 'the decisions under simulated faults; a seed replays' },
  setup: { entry: null, parts: 'all', purpose: 'only sets up, and lists the real parts' },
  check: { entry: ['scripts/test.mjs', '--check'], parts: 'none', purpose: 'types and lint only' },
  continuum: { entry: ['daemons/controller/src/cli.ts'], parts: 'none', purpose: "the operator's command line" },
};

const USAGE_ERROR = 2;

async function main() {
  const [name = '', ...args] = process.argv.slice(2);
  const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (task === undefined) {
    const list = Object.entries(TASKS).map(([key, { purpose }]) => `  ${key.padEnd(14)}${purpose}`);
    process.stderr.write(`node scripts/run.mjs TASK [arguments]${name === '' ? '' : `: no task "${name}"`}\n${list.join('\n')}\n`);
    return USAGE_ERROR;
  }
  const progress = createProgress();
  // What is set up must be readable for the user that PostgreSQL runs under; what the task writes is the user's affair.
  const usersMask = process.umask(0o022);
  await ensureNodeModules({ progress });
  if (task.parts !== 'none') await setUpParts(task, name, progress);
  process.umask(usersMask);
  if (task.entry === null) {
    printParts();
    return 0;
  }
  const [script = '', ...fixed] = task.entry;
  return runTask(pinnedNode(), [join(PROJECT_ROOT, script), ...fixed, ...args], process.cwd());
}

/**
 * @param {Task} task
 * @param {string} name
 * @param {import('./bootstrap/progress.mjs').Progress} progress
 */
async function setUpParts(task, name, progress) {
  const daily = PARTS.filter((part) => part.nightlyOnly !== true);
  const parts = daily.filter((part) => task.parts !== 'product' || part.testOnly !== true);
  try {
    await ensureParts({ progress, parts });
  } catch (error) {
    // On a laptop the tests that need no missing part are still worth running; CI must not pass without them.
    const tolerated = name.startsWith('test') && process.env['CI'] !== 'true' && error instanceof PartError;
    if (!tolerated || error.code !== 'CTM_PART_MISSING') throw error;
    process.stderr.write(`${error.message}\nTests that need them will fail.\n`);
  }
  if (task.parts !== 'nightly') return;
  try {
    await ensureParts({ progress, parts: PARTS.filter((part) => part.nightlyOnly === true) });
  } catch (error) {
    // They come from an archive that changes any day: the tests that need them say so, the others run.
    if (!(error instanceof PartError) || error.code !== 'CTM_PART_MISSING') throw error;
    process.stderr.write(`${error.message}\nThe nightly tests that need them will fail.\n`);
  }
}

function printParts() {
  const nightly = new Set(PARTS.filter((part) => part.nightlyOnly === true).map(({ name }) => name));
  const lines = locateAll().map(({ name, located }) => {
    const missing = nightly.has(name) ? 'missing      npm run test:nightly sets it up' : 'missing';
    const where = located === null ? missing : `${located.version.padEnd(12)} ${located.source.padEnd(9)} ${located.command}`;
    return `${name.padEnd(14)} ${where}\n`;
  });
  process.stdout.write(lines.join(''));
}

process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
  if (error.code !== 'EPIPE') throw error; // whoever reads us (`| head`) has seen enough
});

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    process.stderr.write(`\n${error instanceof Error ? (process.env['DEBUG'] ? error.stack : error.message) : String(error)}\n`);
    process.exitCode = 1;
  },
);
