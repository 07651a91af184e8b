// A key in a file that is replaced while the daemon runs.

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { readSecret, rotatingSecret } from './secrets.ts';

const folder = runFolder('dns-keys');
const file = join(folder, 'key');
const field = 'publish.servers.0.apiKeyFile';

test('a key is one line of printable characters, and stands in no message', async (t) => {
  writeFileSync(file, 'first-key\n');
  t.same(readSecret(field, file), { ok: true, value: 'first-key' });
  for (const text of ['', '\n', 'two words', 'two\nlines', 'x'.repeat(4_097), 'clef-secrète']) {
    writeFileSync(file, text);
    const read = readSecret(field, file);
    t.match(read, { ok: false, code: 'CTM_KEY_INVALID', message: new RegExp(`^${field} ${file}: use one line`) });
    t.notMatch(JSON.stringify(read), /words|secr|xxx/);
  }
  t.match(readSecret(field, join(folder, 'none')), { ok: false, code: 'CTM_CONFIG_UNREADABLE', message: /ENOENT/ });
});

test('what is written there counts at the next use; what cannot be used leaves the last one, and is told once', async (t) => {
  writeFileSync(file, 'first-key\n');
  const told: string[] = [];
  const secret = rotatingSecret({ field, file, first: 'first-key', onRotated: () => told.push('rotated'), onUnusable: (message) => told.push(message) });
  t.equal(secret(), 'first-key');
  writeFileSync(`${file}.new`, 'second-key\n');
  renameSync(`${file}.new`, file);
  t.equal(secret(), 'second-key');
  t.same(told, ['rotated']);
  writeFileSync(file, '');
  t.equal(secret(), 'second-key');
  t.equal(secret(), 'second-key');
  rmSync(file);
  t.equal(secret(), 'second-key');
  t.match(told, ['rotated', /one line/, /ENOENT/]);
  t.equal(told.length, 3);
  writeFileSync(file, 'second-key');
  t.equal(secret(), 'second-key');
  rmSync(file);
  t.equal(secret(), 'second-key');
  t.equal(told.length, 4, 'gone again is news again');
});
