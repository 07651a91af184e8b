// Durable state: what is read back is what was written last, or an error that says what is wrong with which file.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readStateFile, StateFileError, writeStateFile } from './state-file.ts';

const VALUE = { instance: '7b1c9f6e-2f53-4b0e-9a6a-3c4c7f0a0b11', epoch: 41 };
const MODULE = new URL('./state-file.ts', import.meta.url).href;

const problemOf = (file: string): StateFileError => {
  try {
    readStateFile(file);
  } catch (error) {
    if (error instanceof StateFileError) return error;
    throw error;
  }
  throw new Error(`${file} was believed`);
};

t.test('what was written is read back, and a file that was never written is nothing', async (t) => {
  const file = join(t.testdir(), 'state.json');
  t.equal(readStateFile(file), null);
  writeStateFile(file, VALUE);
  writeStateFile(file, { ...VALUE, epoch: 42 });
  t.same(readStateFile(file), { ...VALUE, epoch: 42 });
  t.equal(statSync(file).mode & 0o777, 0o600);
});

t.test('no beginning of a file is taken for the whole file', async (t) => {
  const file = join(t.testdir(), 'state.json');
  writeStateFile(file, VALUE);
  const whole = readFileSync(file, 'utf8');
  for (let length = 0; length < whole.length - 1; length++) {
    writeFileSync(file, whole.slice(0, length));
    const problem = problemOf(file);
    if (problem.code !== 'CTM_STATE_FILE_CORRUPT' || !problem.message.startsWith(`${file}: `)) t.fail(`${length} bytes: ${problem.message}`);
  }
  t.match(problemOf(file).message, /move the file away while the other region holds the lease/, 'and it says what to do');
});

t.test('no changed byte goes unnoticed', async (t) => {
  const file = join(t.testdir(), 'state.json');
  writeStateFile(file, VALUE);
  const whole = readFileSync(file);
  for (let at = 0; at < whole.length - 1; at++) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    writeFileSync(file, changed);
    problemOf(file);
  }
  writeFileSync(file, whole.toString().replace('\\"epoch\\":41', '\\"epoch\\":40'));
  t.match(problemOf(file).message, /its checksum does not match/);
});

t.test('other content says that it is not ours', async (t) => {
  const file = join(t.testdir(), 'state.json');
  for (const content of ['null', '7', '"text"', '[]', '{}', JSON.stringify(VALUE), JSON.stringify({ sha256: 'x', body: 7 })]) {
    writeFileSync(file, content);
    t.match(problemOf(file).message, /not a state file of this program/, content);
  }
});

t.test('a file that cannot be read is not taken for one that is missing', async (t) => {
  const file = join(t.testdir(), 'state.json');
  mkdirSync(file);
  t.match(problemOf(file).message, /cannot be read \(EISDIR\)/);
});

t.test('a crash between write and rename leaves the old state, and the next write goes through', async (t) => {
  const file = join(t.testdir(), 'state.json');
  writeStateFile(file, VALUE);
  for (const left of ['', '{"sha256":"', readFileSync(file, 'utf8').replace('41', '99')]) {
    writeFileSync(`${file}.next`, left);
    t.same(readStateFile(file), VALUE);
  }
  writeStateFile(file, { ...VALUE, epoch: 42 });
  t.same(readStateFile(file), { ...VALUE, epoch: 42 });
  t.notOk(existsSync(`${file}.next`));
});

t.test('a disk that refuses leaves the old state, and the caller knows', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'state.json');
  writeStateFile(file, VALUE);
  mkdirSync(`${file}.next`);
  t.throws(() => writeStateFile(file, { ...VALUE, epoch: 42 }), { code: 'EISDIR' });
  t.same(readStateFile(file), VALUE);
});

t.test('a disk that takes only a part leaves the old state', async (t) => {
  const file = join(t.testdir(), 'state.json');
  writeStateFile(file, VALUE);
  const script = `import { writeStateFile } from '${MODULE}'; writeStateFile(process.argv[1], 'x'.repeat(5000));`;
  // One block: the first write call takes 1024 bytes and says so, only the next one fails.
  const limited = spawnSync('sh', ['-c', 'ulimit -c 0; ulimit -f 1; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script, file]);
  t.not(limited.status, 0);
  t.same(readStateFile(file), VALUE);
});
