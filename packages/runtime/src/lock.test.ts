// The lock of a directory: one living process holds it, a dead one never does.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { waitFor } from '../../../test/rig/process.ts';
import { LockedError, takeLock } from './lock.ts';

const MODULE = new URL('./lock.ts', import.meta.url).href;
const HOLDER = `import { takeLock } from '${MODULE}'; takeLock(process.argv[1]); process.stdout.write('held'); setInterval(() => {}, 1000);`;
const SAYS_WHO = HOLDER.replace("'held'", 'String(process.pid)');
const RACER = `import { takeLock } from '${MODULE}';
process.stdin.once('data', () => {
  try { takeLock(process.argv[1]); process.stdout.write('held'); setInterval(() => {}, 1000); }
  catch (error) { process.stdout.write(error.code ?? String(error)); process.exit(); }
});
process.stdout.write('ready ');`;
const NOBODY = 65_534;

const run = (script: string, file: string, env = process.env) =>
  spawn(process.execPath, ['--input-type=module', '-e', script, file], { stdio: ['pipe', 'pipe', 'inherit'], env });

t.test('it is given once, and again after it was released', async (t) => {
  const file = join(t.testdir(), 'lock');
  const release = takeLock(file);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.throws(() => takeLock(file), { code: 'CTM_STATE_LOCKED', message: new RegExp(`process ${process.pid} .*stop it first, or use another directory`) });
  t.throws(() => takeLock(file), LockedError, 'an attempt that failed took nothing from the holder');
  release();
  takeLock(file)();
  t.equal(readFileSync(file, 'utf8'), '', 'it never holds anything');
});

t.test('another process holds it while it lives, also while it stands still; killed, it holds it no more', async (t) => {
  const file = join(t.testdir(), 'lock');
  const holder = run(HOLDER, file);
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  holder.kill('SIGSTOP');
  t.throws(() => takeLock(file), { name: 'LockedError', message: new RegExp(`process ${holder.pid} `) });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.ok(existsSync(file), 'its file is still there');
  takeLock(file)();
});

t.test('a killed process that nobody has reaped holds nothing', async (t) => {
  const file = join(t.testdir(), 'lock');
  // The shell never waits for its child, which stays a zombie.
  const holder = `"${process.execPath}" --input-type=module -e "$0" "$1" & exec sleep 60`;
  const parent = spawn('sh', ['-c', holder, SAYS_WHO, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  t.throws(() => takeLock(file), LockedError);
  process.kill(pid, 'SIGKILL');
  await waitFor('it to be a zombie', () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')));
  takeLock(file)();
});

t.test('a lock that cannot be taken for another reason is nobody\'s to take', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lock');
  writeFileSync(file, '{"pid":1}');
  t.throws(() => takeLock(file), { message: /lock cannot be locked \(file is not a database\).*remove the file when no controller runs here/ });
  t.throws(() => takeLock(join(folder, 'missing', 'lock')), { message: /missing\/lock cannot be locked/ });
});

t.test('a user who may not read the lock does not get it', { skip: process.getuid?.() !== 0 && 'only root can become somebody else' }, async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lock');
  const release = takeLock(file);
  t.teardown(release);
  chmodSync(folder, 0o777);
  const script = `const { takeLock } = await import('${MODULE}'); process.setuid(${NOBODY});
try { takeLock(process.argv[1]); process.stdout.write('held'); } catch (error) { process.stdout.write(error.message); }`;
  // Without what the test runner would write at its end, in folders of its own user.
  const other = run(script, file, {});
  t.match(String((await once(other.stdout, 'data'))[0]), /cannot be locked/);
});

t.test('of several that ask at once, exactly one gets it, also when its last holder was killed', async (t) => {
  const file = join(t.testdir(), 'lock');
  const before = run(HOLDER, file);
  await once(before.stdout, 'data');
  const racers = Array.from({ length: 6 }, () => run(RACER, file));
  t.teardown(() => racers.forEach((racer) => racer.kill('SIGKILL')));
  await Promise.all(racers.map((racer) => once(racer.stdout, 'data')));
  before.kill('SIGKILL');
  await once(before, 'exit');
  const answers = Promise.all(racers.map(async (racer) => String((await once(racer.stdout, 'data'))[0])));
  for (const racer of racers) racer.stdin.write('go');
  const held = (await answers).filter((answer) => answer === 'held');
  t.same((await answers).filter((answer) => answer !== 'held'), Array(5).fill('CTM_STATE_LOCKED'));
  t.equal(held.length, 1);
});
