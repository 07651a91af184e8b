// The lock of a state directory: one living process holds it, a dead one never does.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { LockedError, takeLock } from './lock.ts';

const MODULE = new URL('./lock.ts', import.meta.url).href;
const HOLDER = `import { takeLock } from '${MODULE}'; takeLock(process.argv[1]); process.stdout.write('held'); setInterval(() => {}, 1000);`;
const RACER = `import { takeLock } from '${MODULE}';
process.stdin.once('data', () => {
  try { takeLock(process.argv[1]); process.stdout.write('held'); setInterval(() => {}, 1000); }
  catch (error) { process.stdout.write(error.code ?? String(error)); process.exit(); }
});
process.stdout.write('ready ');`;

const run = (script: string, file: string) => spawn(process.execPath, ['--input-type=module', '-e', script, file], { stdio: ['pipe', 'pipe', 'inherit'] });
const startTime = (pid: number): string => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
};

t.test('it is given once, and again after it was released', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lock');
  const release = takeLock(file);
  t.throws(() => takeLock(file), { code: 'CTM_STATE_LOCKED', message: new RegExp(`process ${process.pid} .*stop it first, or use another directory`) });
  release();
  t.same(readdirSync(folder), [], 'nothing is left');
  takeLock(file)();
});

t.test('another process holds it while it lives; killed, it holds it no more', async (t) => {
  const file = join(t.testdir(), 'lock');
  const holder = run(HOLDER, file);
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  t.throws(() => takeLock(file), { name: 'LockedError', message: new RegExp(`process ${holder.pid} `) });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.ok(existsSync(file), 'its file is still there');
  takeLock(file)();
});

t.test('a killed process that nobody has reaped holds nothing', async (t) => {
  const file = join(t.testdir(), 'lock');
  // The shell never waits for its child, which stays a zombie.
  const parent = spawn('sh', ['-c', 'sh -c "echo \\$\\$; exec sleep 60" & exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  writeFileSync(file, JSON.stringify({ pid, started: startTime(pid) }));
  t.throws(() => takeLock(file), LockedError);
  process.kill(pid, 'SIGKILL');
  for (let tries = 0; tries < 500 && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')); tries++) await delay(10);
  t.match(readFileSync(`/proc/${pid}/stat`, 'latin1'), /\) Z /);
  takeLock(file)();
});

t.test('a lock whose pid is another process now, or nobody, or no lock at all, is stale', async (t) => {
  const file = join(t.testdir(), 'lock');
  const stale = [{ pid: process.pid, started: '1' }, { pid: 4_194_303, started: '1' }, { pid: 4_194_303, started: null }, { pid: 'x' }, null, 7];
  for (const content of [...stale.map((one) => JSON.stringify(one)), '', '{"pid":']) {
    writeFileSync(file, content);
    const release = takeLock(file);
    t.match(JSON.parse(readFileSync(file, 'utf8')), { pid: process.pid, started: startTime(process.pid) }, content);
    release();
  }
});

t.test('of several that ask at once, exactly one gets it', async (t) => {
  const file = join(t.testdir(), 'lock');
  const racers = Array.from({ length: 6 }, () => run(RACER, file));
  t.teardown(() => racers.forEach((racer) => racer.kill('SIGKILL')));
  await Promise.all(racers.map((racer) => once(racer.stdout, 'data')));
  const answers = Promise.all(racers.map(async (racer) => String((await once(racer.stdout, 'data'))[0])));
  for (const racer of racers) racer.stdin.write('go');
  const held = (await answers).filter((answer) => answer === 'held');
  t.same((await answers).filter((answer) => answer !== 'held'), Array(5).fill('CTM_STATE_LOCKED'));
  t.equal(held.length, 1);
});
