// The evidence over several files: bounded, still one chain, and its end is known although nothing follows it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { monoMs, wallMs } from '@continuum/core';
import type { Now } from '@continuum/core';
import { openAudit, readEnd } from './audit.ts';
import type { Audit } from './audit.ts';
import { closedSegments, compareEnd, readAudit } from './audit-chain.ts';

const BOUNDS = { segmentBytesMax: 2_000, segmentsMax: 3 };
/** A line of these tests. */
const LINE_BYTES_MAX = 400;
const at = (ms: number): Now => ({ monoMs: monoMs(ms), wallMs: wallMs(1_700_000_000_000 + ms) });
const open = (file: string): Audit => openAudit(file, 'r1', at(0), BOUNDS);

/** So many entries by one run after the other, each of seven. */
function write(file: string, count: number): void {
  let audit = open(file);
  for (let number = 1; number <= count; number++) {
    if (number % 7 === 0) audit = open(file);
    audit.append(at(number), 'granted', { number });
  }
}

const numbersIn = (file: string): unknown[] => readAudit(file).entries.flatMap(({ detail }) => detail['number'] ?? []);
const upTo = (last: number, from = 1): number[] => Array.from({ length: last - from + 1 }, (_, index) => from + index);
const events = (file: string, kind: string) => readAudit(file).entries.filter(({ event }) => event === kind);

t.test('a chain over several files is one chain, over restarts too', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 20);
  t.ok(closedSegments(file).length > 1);
  t.equal(readAudit(file).broken, null);
  t.same(numbersIn(file), upTo(20));
  t.same(readAudit(file).entries.map(({ seq }) => seq), upTo(20));
});

t.test('it has a bound: the oldest file goes, named by an entry, and what is left is still a chain', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'audit.jsonl');
  write(file, 200);
  const bytes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  t.ok(bytes.length <= BOUNDS.segmentsMax + 2);
  t.ok(bytes.reduce((sum, one) => sum + one) <= (BOUNDS.segmentsMax + 1) * (BOUNDS.segmentBytesMax + LINE_BYTES_MAX));
  t.equal(readAudit(file).broken, null);
  const numbers = numbersIn(file) as number[];
  t.same(numbers, upTo(200, numbers[0]));
  t.match(events(file, 'audit-segment-dropped').at(-1)?.detail, { file: /^audit-\d+\.jsonl$/, lastHash: readAudit(file).entries[0]?.previous });
});

t.test('the oldest file stays where the entry that names it cannot be written', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  // From some moment on the kernel takes not a byte more, as a full disk does; renames still work.
  const script = `import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { openAudit } from '${new URL('./audit.ts', import.meta.url).href}';
process.on('SIGXFSZ', () => {});
const [file, bounds] = [process.argv[1], JSON.parse(process.argv[2])];
const closed = () => readdirSync(dirname(file)).filter((name) => /^audit-/.test(name));
const at = { monoMs: 1, wallMs: 1 };
const audit = openAudit(file, 'r1', at, bounds);
while (closed().length < bounds.segmentsMax || statSync(file).size < bounds.segmentBytesMax) audit.append(at, 'granted', {});
spawnSync('prlimit', ['--fsize=0', '--pid', String(process.pid)]);
audit.append(at, 'granted', {});
console.log(JSON.stringify([audit.lost(), closed().length]));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script, file, JSON.stringify(BOUNDS)], { encoding: 'utf8', env: { PATH: process.env['PATH'] } });
  t.same(JSON.parse(stdout), [2, BOUNDS.segmentsMax + 1], 'neither of two entries could be written, and no file is gone');
});

t.test('what is changed or taken away in a closed file breaks the chain', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 20);
  const closed = closedSegments(file).map(({ path }) => path);
  const [first = '', second = ''] = closed;
  const texts = closed.map((path) => readFileSync(path, 'utf8'));
  const broken = (work: () => void): string | null => {
    work();
    const found = readAudit(file).broken;
    closed.forEach((path, index) => writeFileSync(path, texts[index] ?? ''));
    return found;
  };
  t.match(broken(() => writeFileSync(second, texts[1]?.replace('"number":', '"number":1') ?? '')), /^audit-\d+\.jsonl: line 1 /);
  t.match(broken(() => rmSync(second)), /line 1 .* does not follow/);
  t.match(broken(() => rmSync(first)), /^line 1 .* does not follow/);
  t.match(broken(() => writeFileSync(second, texts[1]?.slice(0, -1) ?? '')), /^audit-\d+\.jsonl: the last line has no end/);
  t.equal(broken(() => undefined), null);
});

t.test('a start reads the open file and one line of the one before it', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 20);
  const [first] = closedSegments(file);
  rmSync(first?.path ?? '');
  mkdirSync(first?.path ?? '');
  open(file).append(at(21), 'granted', { number: 21 });
  const entries = openEntries(file);
  t.match(entries.at(-1), { seq: 21, event: 'granted' });
  t.same(entries.filter(({ event }) => event !== 'granted'), []);
  t.same(open(file).earlier.map(({ seq }) => seq), entries.map(({ seq }) => seq), 'and tells what is in there');
});

const openEntries = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));

t.test('a closed file whose end is damaged or gone is named once, and the chain goes on', async (t) => {
  const damages: Record<string, [(path: string, text: string) => void, RegExp]> = {
    cut: [(path, text) => writeFileSync(path, text.slice(0, -10)), /^the end of audit-\d+\.jsonl is not whole$/],
    changed: [(path, text) => writeFileSync(path, text.replace(/"number":(\d+)(?![\s\S]*"number")/, '"number":0')), /^the end of audit-\d+\.jsonl is not whole$/],
    gone: [(path) => rmSync(path), /^line 1 \(entry \d+\) does not follow/],
  };
  for (const [what, [damage, problem]] of Object.entries(damages)) {
    const file = join(t.testdir(), 'audit.jsonl');
    write(file, 20);
    const last = closedSegments(file).at(-1);
    damage(last?.path ?? '', readFileSync(last?.path ?? '', 'utf8'));
    rmSync(file.replace('.jsonl', '.end'));
    for (const number of [21, 22, 23]) open(file).append(at(number), 'granted', { number });
    const [first, ...rest] = openEntries(file);
    t.match(first, { event: 'audit-chain-broken', detail: { problem } }, what);
    if (what !== 'gone') t.ok(first.seq > (last?.seq ?? 0), `${what}: no number is used twice`);
    t.same(rest.map(({ detail }) => detail.number), [21, 22, 23], what);
  }
});

t.test('a break is one break: what follows it is proved with what stands before it', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 20);
  for (let number = 21; openEntries(file).length !== 3; number++) open(file).append(at(number), 'granted', { number });
  writeFileSync(file, readFileSync(file, 'utf8').slice(0, -10));
  for (const number of [21, 22]) open(file).append(at(number), 'granted', { number });
  t.match(readAudit(file), { broken: null });
  t.same(openEntries(file).map(({ event }) => event), ['audit-chain-broken', 'granted', 'granted'], 'and is not found again at every start');
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [lines[1], lines[0], ...lines.slice(1)].join('\n'));
  t.match(readAudit(file).broken, /^line 1 /, 'and nobody hides another one behind such an entry');
  writeFileSync(file, [lines[0], lines[1], lines[0], ...lines.slice(2)].join('\n'));
  t.match(readAudit(file).broken, /^line 3 /);
});

t.test('a crash between closing a file and beginning the next is nothing', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 5);
  renameSync(file, join(file, '..', 'audit-5.jsonl'));
  const end = file.replace('.jsonl', '.end');
  const behind = readFileSync(end, 'utf8');
  open(file).append(at(6), 'granted', { number: 6 });
  writeFileSync(end, behind);
  open(file);
  t.equal(readAudit(file).broken, null);
  t.same(events(file, 'audit-entries-missing'), []);
  t.same(numbersIn(file), upTo(6));
});

t.test('a file from before there was a bound is closed and not read', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  const unbounded = openAudit(file, 'r1', at(0), { segmentBytesMax: 1e9, segmentsMax: 1 });
  for (const number of upTo(40)) unbounded.append(at(number), 'granted', { number });
  rmSync(join(file, '..', 'audit.end'));
  const audit = open(file);
  t.same(audit.earlier.map(({ seq }) => seq), [40]);
  audit.append(at(41), 'granted', { number: 41 });
  t.ok(statSync(file).size < LINE_BYTES_MAX);
  t.equal(readAudit(file).broken, null);
  t.same(numbersIn(file), upTo(41));
});

t.test('lines that are cut off its end are missed, and the numbers are not used again', async (t) => {
  const cut: Record<string, (file: string, lines: readonly string[]) => void> = {
    'the last line': (file, lines) => writeFileSync(file, `${lines.slice(0, -1).join('\n')}\n`),
    'all but the first': (file, [first]) => writeFileSync(file, `${first}\n`),
    'the whole file': (file) => rmSync(file),
    'the last line, for another one': (file, lines) => {
      writeFileSync(file, `${lines.slice(0, -1).join('\n')}\n`);
      const end = readFileSync(file.replace('.jsonl', '.end'));
      rmSync(file.replace('.jsonl', '.end'));
      open(file).append(at(5), 'granted', { number: 999 });
      writeFileSync(file.replace('.jsonl', '.end'), end);
    },
  };
  for (const [what, work] of Object.entries(cut)) {
    const file = join(t.testdir(), 'audit.jsonl');
    write(file, 5);
    work(file, readFileSync(file, 'utf8').trimEnd().split('\n'));
    const { entries, broken } = readAudit(file);
    t.equal(broken, null, `${what}: nothing in the log itself shows it`);
    t.match(compareEnd(readEnd(file) ?? { seq: 0, hash: 'no end' }, entries), /^entry 5 (was written, and the log ends with entry [014]|is not the one)/, what);
    open(file).append(at(6), 'started', {});
    t.match(events(file, 'audit-entries-missing'), [{ seq: 6, detail: { problem: /^entry 5 / } }], `${what}: and the next start says so`);
    t.equal(readAudit(file).entries.at(-1)?.seq, 7);
  }
});

t.test('an end that is a step behind, as after a crash, or that cannot be read, accuses nobody', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  write(file, 4);
  const end = join(file, '..', 'audit.end');
  const behind = readFileSync(end, 'utf8');
  open(file).append(at(5), 'granted', { number: 5 });
  for (const text of [behind, '', '{"seq":9', 'null', '{"seq":"9","hash":1}']) {
    writeFileSync(end, text);
    open(file);
  }
  rmSync(end);
  mkdirSync(end);
  open(file).append(at(6), 'granted', { number: 6 });
  t.same(numbersIn(file), upTo(6));
  t.same(events(file, 'audit-entries-missing'), []);
});

t.test('a place that cannot even be looked at costs evidence, and nothing else', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl');
  const audit = open(file);
  symlinkSync(file, file);
  t.match(audit.append(at(1), 'granted', {}), { event: 'granted' });
  t.equal(audit.lost(), 1);
});
