// The mutation score of packages/core: a line of a decision is made wrong, and some unit test must notice. Runs under the
// pinned Node (scripts/run.mjs starts it). Long: what was tried before is remembered in .cache/mutation and not tried again
// until the line or a test that reaches it changes.
//
//   mutation.mjs [FOLDER...]   folders of packages/core/src, for example `lease failover`; without any, all

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './bootstrap/cache.mjs';

const CORE = join(PROJECT_ROOT, 'packages/core');
const STRYKER = join(PROJECT_ROOT, 'node_modules/@stryker-mutator/core/bin/stryker.js');

const folders = process.argv.slice(2);
const unknown = folders.filter((folder) => !existsSync(join(CORE, 'src', folder)));
if (unknown.length > 0) {
  process.stderr.write(`no such folder in packages/core/src: ${unknown.join(', ')}\n`);
  process.exit(2);
}
const mutate = [...folders.map((folder) => `src/${folder}/**/*.ts`), '!src/**/*.test.ts'].join();
const child = spawn(process.execPath, [STRYKER, 'run', 'stryker.config.json', ...(folders.length === 0 ? [] : ['--mutate', mutate])], {
  cwd: CORE,
  stdio: 'inherit',
  // Every mutant starts a process for each test file that reaches it: half of that time is compiling the same sources.
  env: { ...process.env, NODE_COMPILE_CACHE: join(PROJECT_ROOT, '.cache/mutation/compiled') },
});
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
