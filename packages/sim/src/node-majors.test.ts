// A seed is the same run on another version of the engine: every line of its log is alike on this Node and on Node 22.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { locate } from '../../../scripts/parts.mjs';

const SEEDS = [1, 2, 3, 4];
const HOURS = 0.3;
const OUTPUT_BYTES_MAX = 64 * 2 ** 20;
const script = fileURLToPath(new URL('./log-worker.ts', import.meta.url));

test('the same seeds give the same log on two major versions of Node', (t) => {
  const other = locate('node-22');
  const here = logOf(process.execPath);
  const there = logOf(other.command);
  const first = here.findIndex((line, index) => line !== there[index]);
  const place = `line ${first + 1}, Node ${process.versions.node}: ${here[first]}\nNode ${other.version}: ${there[first]}`;
  t.equal(first, -1, first === -1 ? `${here.length} lines are alike` : place);
  t.equal(there.length, here.length);
  t.equal(here.filter((line) => line.startsWith('log hash')).length, SEEDS.length, 'both ran every seed');
  t.not(Number(other.version.split('.')[0]), Number(process.versions.node.split('.')[0]));
  t.end();
});

function logOf(node: string): string[] {
  const args = [script, String(HOURS), ...SEEDS.map(String)];
  const output = execFileSync(node, args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX, env: { ...process.env, NODE_OPTIONS: '--no-warnings' } });
  return output.split('\n');
}
