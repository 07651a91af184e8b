// The evidence: one line per event, each bound to the one before. Whoever changes the past is found out.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { monoMs, wallMs } from '@continuum/core';
import type { Now } from '@continuum/core';
import { openAudit } from './audit.ts';
import { readAudit } from './audit-chain.ts';

const at = (ms: number): Now => ({ monoMs: monoMs(ms), wallMs: wallMs(1_700_000_000_000 + ms) });

/** Four entries, and their lines. */
function written(folder: string): { file: string; lines: string[] } {
  const file = join(folder, 'audit.jsonl');
  const audit = openAudit(file, 'r1', at(0));
  for (const epoch of [1, 2, 3, 4]) audit.append(at(epoch), 'granted', { epoch });
  return { file, lines: readFileSync(file, 'utf8').trimEnd().split('\n') };
}

t.test('entries come back in their order, and the chain goes on over restarts', async (t) => {
  const { file } = written(t.testdir());
  const again = openAudit(file, 'r1', at(10));
  again.append(at(11), 'released', { epoch: 4 });
  const { entries, broken } = readAudit(file);
  t.equal(broken, null);
  t.same(entries.map(({ seq, event, detail, region }) => [seq, event, detail['epoch'], region]), [
    [1, 'granted', 1, 'r1'],
    [2, 'granted', 2, 'r1'],
    [3, 'granted', 3, 'r1'],
    [4, 'granted', 4, 'r1'],
    [5, 'released', 4, 'r1'],
  ]);
  t.equal(entries[4]?.at, '2023-11-14T22:13:20.011Z');
  t.equal(statSync(file).mode & 0o777, 0o600);
});

t.test('a file that was never written is an empty chain', async (t) => {
  t.same(readAudit(join(t.testdir(), 'audit.jsonl')), { entries: [], broken: null });
});

t.test('every kind of tampering breaks the chain where it was done', async (t) => {
  const { file, lines } = written(t.testdir());
  const [one = '', two = '', three = '', four = ''] = lines;
  const tampered: Record<string, [string[], number]> = {
    'a detail was changed': [[one, two.replace('"epoch":2', '"epoch":9'), three, four], 1],
    'a time was changed': [[one, two.replace('"monoMs":2', '"monoMs":7'), three, four], 1],
    'a hash was changed': [[one, two, three.replace(/"hash":"./, '"hash":"z'), four], 2],
    'an entry was removed': [[one, three, four], 1],
    'the first entry was removed': [[two, three, four], 0],
    'two entries changed places': [[one, three, two, four], 1],
    'an entry was repeated': [[one, two, two, three], 2],
    'an entry was put in that is bound to nothing': [[one, two, '{"seq":3}', three, four], 2],
    'a line is not an entry': [[one, two, 'null', three, four], 2],
    'a line is not JSON': [[one, 'granted', three, four], 1],
  };
  for (const [what, [text, believed]] of Object.entries(tampered)) {
    writeFileSync(file, `${text.join('\n')}\n`);
    const { entries, broken } = readAudit(file);
    t.match(broken, new RegExp(`^line ${believed + 1} `), what);
    t.equal(entries.length, believed, `${what}: what stands before it is still believed`);
  }
});

t.test('a last line that a crash cut off is a break, wherever it was cut', async (t) => {
  const { file, lines } = written(t.testdir());
  const last = lines.at(-1) ?? '';
  const before = `${lines.slice(0, -1).join('\n')}\n`;
  for (let length = 1; length <= last.length; length++) {
    writeFileSync(file, before + last.slice(0, length));
    const { entries, broken } = readAudit(file);
    const whole = length === last.length ? 4 : 3;
    if (broken === null || entries.length !== whole) t.fail(`cut after ${length} characters`);
  }
});

t.test('a broken chain is kept beside, and the new one begins by naming it', async (t) => {
  const folder = t.testdir();
  const { file, lines } = written(folder);
  const torn = `${lines.slice(0, 2).join('\n')}\n${lines[2]?.slice(0, 40)}`;
  writeFileSync(file, torn);
  openAudit(file, 'r1', at(99)).append(at(100), 'started', {});
  const { entries, broken } = readAudit(file);
  t.equal(broken, null);
  const [first, second] = entries;
  t.match(first, { seq: 5, event: 'audit-chain-broken', detail: { lastHash: JSON.parse(lines[1] ?? '').hash } });
  t.match(second, { seq: 6, event: 'started' });
  t.equal(readFileSync(String(first?.detail['keptAt']), 'utf8'), torn, 'nothing of it is lost');
  t.same(readdirSync(folder).length, 3, 'the chain, its end, and what was broken');
});

t.test('evidence that cannot be written is counted, and blocks nothing', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'audit.jsonl');
  const audit = openAudit(file, 'r1', at(0));
  mkdirSync(file);
  t.match(audit.append(at(1), 'granted', { epoch: 1 }), { seq: 1 });
  t.equal(audit.lost(), 1);
  rmdirSync(file);
  audit.append(at(2), 'granted', { epoch: 2 });
  t.equal(audit.lost(), 1);
  const { entries, broken } = readAudit(file);
  t.equal(broken, null, 'what follows is bound to the last line that is there');
  t.same(entries.map(({ seq }) => seq), [2], 'and the gap shows in the numbers');
});

t.test('evidence that cannot be read is counted too, and a controller starts all the same', async (t) => {
  const file = join(t.testdir({ 'audit.jsonl': {} }), 'audit.jsonl');
  t.match(openAudit(file, 'r1', at(5)).append(at(6), 'started', {}), { seq: 2 });
  const { entries, broken } = readAudit(file);
  t.equal(broken, null);
  t.match(entries, [{ event: 'audit-chain-broken', detail: { problem: 'it cannot be read (EISDIR)' } }, { event: 'started' }]);
});

t.test('of a line that the disk took in part nothing is left', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  // The largest file that this process may write: the kernel takes what fits and refuses the rest, as a full disk does.
  const script = `import { openAudit } from '${new URL('./audit.ts', import.meta.url).href}';
process.on('SIGXFSZ', () => {});
const audit = openAudit(process.argv[1], 'r1', { monoMs: 1, wallMs: 1 });
for (let count = 0; count < 20; count++) audit.append({ monoMs: count, wallMs: count }, 'granted', { epoch: count });
console.log(audit.lost());`;
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -f 2; exec "$0" --input-type=module -e "$1" "$2"', process.execPath, script, file], { encoding: 'utf8', env: {} });
  const { entries, broken } = readAudit(file);
  t.equal(broken, null);
  t.ok(entries.length > 0 && entries.length < 20);
  t.equal(Number(stdout), 20 - entries.length);
});
