// The set-up lock: held while its holder or the holder's tool lives, taken over when both are gone.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { acquireLock } from './lock.mjs';
import { processStart } from './process-start.mjs';

const DEAD = { pid: 4_194_303, start: '1' };

t.test('a lock is released, and leaves nothing behind', async (t) => {
  const folder = t.testdir();
  const lock = await acquireLock(join(folder, 'lock'));
  t.match(JSON.parse(readFileSync(join(folder, 'lock'), 'utf8')), { pid: process.pid });
  lock.release();
  t.same(readdirSync(folder), []);
});

t.test('a live holder is waited for', async (t) => {
  const file = join(t.testdir(), 'lock');
  const first = await acquireLock(file);
  let toldOf = 0;
  const second = acquireLock(file, {
    onWait: (holder) => {
      toldOf = holder.pid;
      first.release();
    },
  });
  (await second).release();
  t.equal(toldOf, process.pid);
});

t.test('waiting is bounded, and the error names the holder', async (t) => {
  const file = join(t.testdir(), 'lock');
  const lock = await acquireLock(file);
  await t.rejects(acquireLock(file, { timeoutMs: 0 }), { message: new RegExp(`held by process ${process.pid}`) });
  lock.release();
});

t.test('the lock of a dead holder is taken over, also when its number was given to another process', async (t) => {
  const file = join(t.testdir(), 'lock');
  for (const holder of [DEAD, { pid: process.pid, start: 'earlier' }]) {
    writeFileSync(file, JSON.stringify(holder));
    const lock = await acquireLock(file, { onWait: () => t.fail('waited for a dead holder') });
    lock.release();
  }
  writeFileSync(file, '{"pid":');
  (await acquireLock(file)).release();
  t.notOk(existsSync(file));
});

t.test('a dead holder whose package manager still runs keeps the lock until that ends', async (t) => {
  const file = join(t.testdir(), 'lock');
  const tool = spawn('sleep', ['60']);
  t.teardown(() => tool.kill('SIGKILL'));
  await new Promise((resolve) => tool.once('spawn', resolve));
  const child = { pid: tool.pid as number, start: processStart(tool.pid as number) };
  writeFileSync(file, JSON.stringify({ ...DEAD, child }));
  let waited = false;
  const lock = await acquireLock(file, {
    onWait: () => {
      waited = true;
      tool.kill('SIGKILL');
    },
  });
  lock.release();
  t.ok(waited);
});

t.test('many at once: one at a time gets in, though they all find a dead lock', async (t) => {
  const file = join(t.testdir(), 'lock');
  writeFileSync(file, JSON.stringify(DEAD));
  const script = `
    const { acquireLock } = await import(${JSON.stringify(new URL('./lock.mjs', import.meta.url).href)});
    const { writeFileSync, rmSync } = await import('node:fs');
    const lock = await acquireLock(${JSON.stringify(file)});
    writeFileSync(${JSON.stringify(`${file}.inside`)}, '', { flag: 'wx' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    rmSync(${JSON.stringify(`${file}.inside`)});
    lock.release();`;
  const exits = Array.from({ length: 6 }, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'ignore', 'inherit'] });
    return new Promise((resolve) => child.once('exit', resolve));
  });
  t.same(await Promise.all(exits), Array(6).fill(0));
});
