// packages/core has no I/O, clock, randomness, promise or logger. The proof is that its tsconfig or the linter refuses
// each of them, shown here on a copy of the core with one impure file added.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runFolder } from '../rig/process.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The test runner loads itself into every Node that a test starts, which these tools do not bear: `env` takes it out. */
const NODE = ['env', ['-u', 'NODE_OPTIONS', process.execPath]] as const;

/** The linter is silent on some of these, the compiler on others: what is required is that one of them refuses. */
const IMPURE = {
  'the wall clock': { code: 'export const at = Date.now();', named: "'Date'" },
  'the wall clock in an object': { code: 'export const at = new Date();', named: "'Date'" },
  'the monotonic clock': { code: 'export const at = performance.now();', named: "'performance'" },
  randomness: { code: 'export const chance = Math.random();', named: "'Math.random'" },
  'randomness by another road': { code: 'export const { random } = Math;', named: "'Math.random'" },
  'randomness from crypto': { code: 'export const id = crypto.randomUUID();', named: "'crypto'" },
  'a timer': { code: 'export const timer = setTimeout(() => 1, 5);', named: "'setTimeout'" },
  'the network': { code: "export const reply = fetch('http://r1.example');", named: "'fetch'" },
  'the process': { code: 'export const pid = process.pid;', named: "'process'" },
  'a log line': { code: "console.log('here');\nexport {};", named: "'console'" },
  'a module of Node': { code: "import { readFileSync } from 'node:fs';\nexport const text = readFileSync;", named: "'node:fs'" },
  'a module of Node by its old name': { code: "import { readFileSync } from 'fs';\nexport const text = readFileSync;", named: "'fs'" },
  'a module of Node at run time': { code: "export const os = () => import('node:os');", named: "'node:os'" },
  'a package': { code: "import { z } from 'zod';\nexport const schema = z.string();", named: "'zod'" },
  'an async function': { code: 'export async function wait(): Promise<void> {}', named: 'async' },
  'a promise': { code: 'export const never = new Promise<void>(() => undefined);', named: "'Promise'" },
  'a way around all of it': { code: "export const clock = globalThis['Date'];", named: "'globalThis'" },
} as const;

/** A copy of the core and of the two configurations that guard it; outside the project, whose .gitignore the linter heeds. */
function copyOfCore(): string {
  const folder = runFolder('core-purity');
  for (const file of ['.oxlintrc.json', 'tsconfig.base.json', 'package.json', 'packages/core']) {
    mkdirSync(join(folder, 'packages'), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

function judge(folder: string, tool: 'tsc' | 'oxlint'): { passed: boolean; output: string } {
  const [script, ...args] =
    tool === 'tsc'
      ? ['typescript/bin/tsc', '--pretty', 'false', '-p', 'packages/core']
      : ['oxlint/bin/oxlint', '--deny-warnings', '--format=unix', 'packages/core'];
  const [env, node] = NODE;
  const run = spawnSync(env, [...node, join(ROOT, 'node_modules', script), ...args], { cwd: folder, encoding: 'utf8' });
  return { passed: run.status === 0, output: `${run.stdout}${run.stderr}` };
}

t.test('the core as it is passes both, and each impurity added to it is refused by name', async (t) => {
  const folder = copyOfCore();
  for (const tool of ['tsc', 'oxlint'] as const) {
    const { passed, output } = judge(folder, tool);
    t.ok(passed, `${tool} on the core as it is`, { output });
  }
  const file = join('packages', 'core', 'src', 'impure.ts');
  for (const [what, { code, named }] of Object.entries(IMPURE)) {
    writeFileSync(join(folder, file), `${code}\n`);
    const verdicts = [judge(folder, 'oxlint'), judge(folder, 'tsc')];
    const refusals = verdicts.flatMap(({ output }) => output.split('\n')).filter((line) => line.startsWith(file) && line.includes(named));
    t.ok(verdicts.some(({ passed }) => !passed) && refusals.length > 0, `${what}: ${refusals[0] ?? 'not refused'}`, { verdicts });
  }
});

t.test('the core names no type of Node or of the browser', async (t) => {
  const [env, node] = NODE;
  const args = [...node, join(ROOT, 'node_modules/typescript/bin/tsc'), '--showConfig', '-p', 'packages/core'];
  const config = execFileSync(env, args, { cwd: ROOT, encoding: 'utf8' });
  t.match(JSON.parse(config).compilerOptions, { lib: ['es2024'], types: [] });
});
