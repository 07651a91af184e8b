// The runner between the user's terminal and a task: exit codes, one signal per Ctrl-C, and nothing left behind.

import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { waitFor } from '../../test/rig/process.ts';
import { processStart } from './process-start.mjs';

/** Starts the runner on a task with this source. `said` grows with what the task prints. */
function run(folder: string, source: string): { child: ChildProcess; said: () => string; exited: Promise<string> } {
  const task = join(folder, 'task.mjs');
  writeFileSync(task, source);
  const script = `
    const { runTask } = await import(${JSON.stringify(new URL('./run-task.mjs', import.meta.url).href)});
    process.exitCode = await runTask(process.execPath, [${JSON.stringify(task)}, 'one', 'two words'], ${JSON.stringify(folder)});`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const exited = new Promise<string>((resolve) => child.once('close', (code, signal) => resolve(signal ?? `code ${code}`)));
  return { child, said: () => output, exited };
}

const pidIn = (text: string) => Number(/pid (\d+)/.exec(text)?.[1]);
const isGone = (pid: number) => processStart(pid) === null;

/** Counts the signals that it gets and ends half a second after the first one. */
const COUNTS = `
  let count = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {
    count++;
    if (count === 1) setTimeout(() => { console.log(signal, count); process.exit(7); }, 300);
  });
  setInterval(() => undefined, 1000);
  console.log('ready pid', process.pid);`;

t.test('arguments, exit code and end by a signal are passed through', async (t) => {
  const folder = t.testdir();
  const first = run(folder, 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 3;');
  t.equal(await first.exited, 'code 3');
  t.equal(first.said().trim(), '["one","two words"]');
  t.equal(await run(folder, "process.kill(process.pid, 'SIGKILL'); setInterval(() => undefined, 1000);").exited, 'code 137');
});

t.test('the task is asked once, however often the same Ctrl-C arrives, and its clean-up is waited for', async (t) => {
  const { child, said, exited } = run(t.testdir(), COUNTS);
  await waitFor('the task', () => said().includes('ready'));
  child.kill('SIGINT');
  child.kill('SIGTERM');
  t.equal(await exited, 'code 7');
  t.match(said(), /SIG(INT|TERM) 1\n/);
});

t.test('a second Ctrl-C ends a task that does not end, and what it started', async (t) => {
  const { child, said, exited } = run(
    t.testdir(),
    `import { spawn } from 'node:child_process';
     process.on('SIGINT', () => console.log('asked'));
     console.log('ready pid', spawn('sleep', ['60']).pid);`,
  );
  const below = pidIn(await waitFor('the task', () => said().includes('ready') && said()));
  child.kill('SIGINT');
  await waitFor('the task to be asked', () => said().includes('asked'));
  const again = setInterval(() => child.kill('SIGINT'), 100);
  t.equal(await exited, 'code 137');
  clearInterval(again);
  await waitFor('what it started to be gone', () => isGone(below));
});

t.test('a task that was killed leaves nothing behind', async (t) => {
  const { said, exited } = run(
    t.testdir(),
    `import { spawn } from 'node:child_process';
     console.log('ready pid', spawn('sleep', ['60']).pid);
     setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50);`,
  );
  t.equal(await exited, 'code 137');
  await waitFor('what it started to be gone', () => isGone(pidIn(said())));
});

t.test('when the runner itself is killed the task is asked to end', async (t) => {
  const folder = t.testdir();
  const { child, said } = run(folder, COUNTS.replace('console.log(signal, count)', "fs.writeFileSync('asked', signal)").replace(/^/, "import fs from 'node:fs';"));
  const task = pidIn(await waitFor('the task', () => said().includes('ready') && said()));
  child.kill('SIGKILL');
  await waitFor('the task to end', () => isGone(task));
  t.equal(readFileSync(join(folder, 'asked'), 'utf8'), 'SIGTERM');
});
