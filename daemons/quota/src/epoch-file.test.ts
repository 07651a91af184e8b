import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { readEpoch, writeEpoch } from './epoch-file.ts';

const folder = runFolder('epoch-file');

test('what was written is read; nothing written is 0', async (t) => {
  const file = join(folder, 'epoch.json');
  t.same(readEpoch(file), { ok: true, epoch: 0 });
  for (const value of [1, 7, 7_000_000]) {
    writeEpoch(file, epoch(value));
    t.same(readEpoch(file), { ok: true, epoch: value });
  }
});

test('a damaged file is never taken for 0', async (t) => {
  const file = join(folder, 'damaged.json');
  writeEpoch(file, epoch(12));
  const whole = readFileSync(file, 'utf8');
  const damaged = ['', whole.slice(0, 5), '{"epoch":-1}', '{"epoch":"12"}', '{"epoch":1.5}', '{}', 'null', '\0'.repeat(13)];
  for (const text of damaged) {
    writeFileSync(file, text);
    t.match(readEpoch(file), { ok: false, code: 'CTM_GATE_EPOCH_FILE', message: /epochFile .*damaged.json is damaged/ });
  }
});

test('a half-written successor does not count', async (t) => {
  const file = join(folder, 'half.json');
  writeEpoch(file, epoch(3));
  writeFileSync(`${file}.next`, '{"ep');
  t.same(readEpoch(file), { ok: true, epoch: 3 });
  writeEpoch(file, epoch(4));
  t.same(readEpoch(file), { ok: true, epoch: 4 });
});

test('a disk that refuses is told, and the old value stays', async (t) => {
  const file = join(folder, 'refused.json');
  writeEpoch(file, epoch(3));
  mkdirSync(`${file}.next`);
  chmodSync(`${file}.next`, 0o500);
  t.throws(() => writeEpoch(file, epoch(4)));
  t.same(readEpoch(file), { ok: true, epoch: 3 });
  t.match(readEpoch(folder), { ok: false, message: /cannot be read \(EISDIR\)/ });
});
