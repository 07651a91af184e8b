// The tools of the set-up: what they said is in the error, and they end together with the set-up.

import { spawn } from 'node:child_process';
import t from 'tap';
import { waitFor } from '../../test/rig/process.ts';
import { processStart } from './process-start.mjs';
import { runTool } from './run-tool.mjs';

t.test('what a tool printed is returned, and is in the error when it failed', async (t) => {
  t.equal(await runTool('sh', ['-c', 'echo out; echo err >&2']), 'out\nerr\n');
  await t.rejects(runTool('sh', ['-c', 'echo "no such package" >&2; exit 7']), { name: 'ToolError', message: /ended with 7:\n {2}no such package$/ });
  await t.rejects(runTool('continuum-no-such-tool', []), { name: 'ToolError', message: /^cannot run continuum-no-such-tool/ });
});

t.test('an interrupted set-up takes its tool with it, and between tools ends like any program', async (t) => {
  const script = `
    const { runTool } = await import(${JSON.stringify(new URL('./run-tool.mjs', import.meta.url).href)});
    await runTool('true', []);
    if (process.argv[1] === 'between') setInterval(() => undefined, 1000);
    else runTool('sleep', ['60'], { onSpawn: (pid) => console.log('pid', pid) });
    console.log('ready');`;
  for (const [when, expected] of [['during', 'code 143'], ['between', 'SIGTERM']] as const) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script, when], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    const exited = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? `code ${code}`)));
    await waitFor('the set-up', () => said.includes('ready'));
    child.kill('SIGTERM');
    t.equal(await exited, expected, when);
    const tool = /pid (\d+)/.exec(said)?.[1];
    if (when === 'during') await waitFor('the tool to end', () => tool !== undefined && processStart(Number(tool)) === null);
  }
});
