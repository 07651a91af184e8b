// What may stand in the file of a key.

import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { readPrivateKey, readSecret } from './secret-file.ts';

const folder = runFolder('key-files');
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

test("this region's own key is Ed25519 in PEM, and stands in no message", (t) => {
  const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(file, pem(privateKey));
  const read = readPrivateKey(field, file);
  t.ok(read.ok && read.value.equals(privateKey));
  writeFileSync(file, pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));
  t.match(readPrivateKey(field, file), { ok: false, code: 'CTM_KEY_INVALID', message: /of type ec; use an Ed25519 key/ });
  writeFileSync(file, pem(privateKey).slice(0, 60));
  const half = readPrivateKey(field, file);
  t.match(half, { ok: false, code: 'CTM_KEY_INVALID', message: /use an Ed25519 key as PKCS #8 PEM/ });
  t.notMatch(JSON.stringify(half), /PRIVATE KEY/);
  t.match(readPrivateKey(field, join(folder, 'none')), { ok: false, code: 'CTM_CONFIG_UNREADABLE', message: /ENOENT/ });
  t.end();
});
