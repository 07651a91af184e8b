// `npm run simulate` as a process: what it prints and writes about one seed, and how it ends.

import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import type { Found } from './bug-zoo.ts';
import { plantBug, readBugs, replayPlanted } from './bug-zoo.ts';
import { renderHtml, renderText } from './timeline.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const SEEDS = 8;

type Ended = { readonly exit: number | null; readonly said: string; readonly told: string };

function simulate(args: readonly string[], at = root): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(at, 'packages/sim/src/cli.ts'), ...args], { encoding: 'utf8' });
  return { exit: status, said: stdout, told: stderr };
}

test('one seed with its whole trace, as text and as a page, and its report', (t) => {
  const [trace, html, report] = ['trace.txt', 'trace.html', 'report.json'].map((name) => join(t.testdir(), name)) as [string, string, string];
  const { exit, said } = simulate(['--seed', '2', '--hours', '0.05', '--threads', '1', '--trace', trace, '--html', html, '--report', report]);
  t.equal(exit, 0, said);
  t.match(said, /h simulated, .* 0 violations/);
  const lines = readFileSync(trace, 'utf8').trimEnd().split('\n');
  t.match(lines[0], /^00:00:00\.\d{3} {2}\S+ {2,}\S/);
  const page = readFileSync(html, 'utf8');
  t.match(page, /<title>seed 2<\/title>/);
  t.equal(page.match(/<tr><th>\d/g)?.length, lines.length, 'a row for every line');
  t.match(JSON.parse(readFileSync(report, 'utf8')), { seeds: 1, violations: [], kept: undefined });
  t.match(simulate(['--seed', '2', '--hours', '0.05', '--threads', '1', '--shrink']), { exit: 0, said: /seed 2 breaks nothing: there is nothing to shrink/ });
  t.end();
});

test('wrong use ends with 2 and says why', (t) => {
  t.match(simulate(['--seeds', 'few']), { exit: 2, said: /^$/, told: /--seeds is "few"; give a whole number/ });
  t.match(simulate(['--help']), { exit: 0, said: /^Usage: simulate/ });
  t.end();
});

test('a seed that fails ends with 1, and what --shrink prints of it can be kept in test/seeds', async (t) => {
  const bug = readBugs(join(root, 'test/bugs')).find(({ name }) => name.endsWith('relaxed-before-leaving'));
  if (bug === undefined) throw new Error('there is no such fault');
  const folder = t.testdir();
  const copy = join(folder, 'copy');
  plantBug(bug, root, copy);
  const [trace, report] = [join(folder, 'trace.txt'), join(folder, 'report.json')];
  const args = ['--hours', '0.1', '--threads', '1', '--shrink', '--trace', trace, '--report', report];
  let said = '';
  for (let seed = 1; seed <= SEEDS && said === ''; seed++) {
    const ended = simulate(['--seed', String(seed), ...args], copy);
    if (ended.exit === 1) said = ended.said;
  }
  t.match(said, /VIOLATION of CTM_ASSERT_RELAX[^]*faults lead to/);
  const kept = JSON.parse(said.slice(said.lastIndexOf('\n{\n'))) as Found;
  t.same(kept, (JSON.parse(readFileSync(report, 'utf8')) as { kept: Found }).kept);
  const model = JSON.parse(readFileSync(join(root, 'test/seeds', readdirSync(join(root, 'test/seeds'))[0] ?? ''), 'utf8')) as Found;
  t.same(Object.keys(kept), Object.keys(model), 'as the files of test/seeds are');
  const last = readFileSync(trace, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  t.ok(last !== '' && said.includes(last), 'the trace is that of the few faults');
  const again = await replayPlanted([{ ...kept, plantedAs: bug.name }], [bug], root);
  t.equal(again.get(kept.found), kept.invariant);
});

test('a scenario is printed, and with --rewrite written into its file', (t) => {
  const file = join(t.testdir(), 'scenario.txt');
  const script = '# two regions come up\nstart\nrun 2s\n';
  writeFileSync(file, script);
  const printed = simulate(['--scenario', file]);
  t.equal(readFileSync(file, 'utf8'), script);
  t.match(printed, { exit: 0, said: /run 2s\n[^]* +\d+\.\d{3} witness +epoch 1 -> r1/ });
  t.match(simulate(['--scenario', file, '--rewrite']), { exit: 0, said: /^$/ });
  t.equal(readFileSync(file, 'utf8'), printed.said);
  t.end();
});

test('a page has every line, each party its column, and text stays text', (t) => {
  const trace = Array.from({ length: 3_000 }, (_, index) => ({ atMs: index * 1_000, who: index % 2 === 0 ? 'r1' : 'witness', what: `step <${index}>` }));
  const page = renderHtml('seed <1>', trace);
  t.equal(page.match(/<tr><th>\d/g)?.length, 3_000);
  t.match(page, /<h1>seed &lt;1&gt;<\/h1>[^]*<th>time<\/th><th>r1<\/th><th>witness<\/th>[^]*<th>00:49:59\.000<\/th><td><\/td><td class="">step &lt;2999&gt;/);
  t.equal(renderText(trace, 1), '00:49:59.000  witness         step <2999>\n');
  t.end();
});
