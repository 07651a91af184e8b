// A daemon's log may not stop the daemon. Real descriptors, in a process of their own: a pipe that nobody reads, one whose reader has
// gone, a device that is always full, a file.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'tap';

/** Writes `count` lines of 1 kB and says on standard error that it got so far; then once more for every line that it is sent. */
const SCRIPT = `
import { logLines } from ${JSON.stringify(new URL('./log-lines.ts', import.meta.url).href)};
const log = logLines();
const line = (n) => log.write(JSON.stringify({ n, pad: 'x'.repeat(1000) }) + '\\n');
const count = Number(process.argv[1]);
for (let n = 1; n <= count; n++) line(n);
process.stderr.write('written');
process.stdin.on('data', () => {
  line('later');
  process.stderr.write('again');
}).on('end', () => process.exit(0));
`;

function child(count: number, stdout: 'pipe' | number): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, String(count)], { stdio: ['pipe', stdout, 'pipe'] });
}

const said = async (process: ChildProcess): Promise<string> => String((await once(process.stderr as NodeJS.ReadableStream, 'data'))[0]);

type Line = { n?: number | string; lost?: number };
const parse = (log: string): Line[] => log.trim().split('\n').map((line) => JSON.parse(line) as Line);

test('a reader that is behind: the daemon goes on, what has no room is counted, and the log says so when it is read again', async (t) => {
  const daemon = child(5_000, 'pipe');
  t.equal(await said(daemon), 'written', 'nobody has read a line');
  const whole = text(daemon.stdout as NodeJS.ReadableStream);
  const arrived = new Promise<void>((resolve) => {
    let seen = 0;
    // All that was kept has come: a megabyte and what the pipe holds.
    daemon.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.length;
      if (seen > 1_000_000) resolve();
    });
  });
  await arrived;
  daemon.stdin?.write('\n');
  t.equal(await said(daemon), 'again');
  daemon.stdin?.end();
  await once(daemon, 'exit');
  const lines = parse(await whole);
  const kept = lines.filter(({ n }) => typeof n === 'number');
  t.same(kept.map(({ n }) => n), kept.map((_, index) => index + 1), 'the first ones, whole and in order');
  t.equal(lines.at(-2)?.lost, 5_000 - kept.length);
  t.equal(lines.at(-1)?.n, 'later');
});

test('a reader that is gone', async (t) => {
  const daemon = child(0, 'pipe');
  await said(daemon);
  daemon.stdout?.destroy();
  for (let round = 0; round < 3; round++) {
    daemon.stdin?.write('\n');
    t.equal(await said(daemon), 'again');
  }
  daemon.stdin?.end();
  t.same(await once(daemon, 'exit'), [0, null]);
});

test('a disk that is full', async (t) => {
  const full = openSync('/dev/full', 'w');
  const daemon = child(3, full);
  closeSync(full);
  t.equal(await said(daemon), 'written');
  daemon.stdin?.end();
  t.same(await once(daemon, 'exit'), [0, null]);
});

test('a file has every line at once', async (t) => {
  const path = join(t.testdir(), 'log');
  const file = openSync(path, 'a');
  const daemon = child(3, file);
  closeSync(file);
  await said(daemon);
  t.same(parse(readFileSync(path, 'utf8')).map(({ n }) => n), [1, 2, 3]);
  daemon.stdin?.end();
  await once(daemon, 'exit');
});
