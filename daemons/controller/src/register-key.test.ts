// The key of a register whose file is replaced, half written and gone: no restart, and nothing of it in the log.

import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { createMetrics } from './metrics.ts';
import { registerKey } from './register-key.ts';

const folder = runFolder('register-key');
const file = join(folder, 'tsig');
const secret = (): string => randomBytes(32).toString('base64');

test('another key counts at the next use; a file that cannot be used leaves the key before, in the log and in the metrics', async (t) => {
  const [first, second] = [secret(), secret()];
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const metrics = createMetrics('counter', 'r1');
  const unusable = async (): Promise<string | undefined> => /^continuum_register_key_unusable\{.*\} (\d)$/m.exec(await metrics.render())?.[1];
  const events = (): string[] => lines.map((line) => (JSON.parse(line) as { event: string }).event);
  writeFileSync(file, `${first}\n`);
  const current = registerKey({ file, log, onUnusable: metrics.registerKeyUnusable });
  t.equal(current(), first);
  t.equal(await unusable(), '0');
  writeFileSync(file, second.slice(0, 7));
  for (let count = 0; count < 3; count++) t.equal(current(), first);
  t.equal(await unusable(), '1');
  rmSync(file);
  t.equal(current(), first);
  writeFileSync(file, second);
  t.equal(current(), second);
  t.equal(await unusable(), '0');
  t.same(events(), ['register-key-unusable', 'register-key-unusable', 'register-key-rotated']);
  t.match(lines[0], /local.dnsRegister.keyFile .*: use base64 of at least 16 bytes/);
  for (const one of [first, second]) t.notMatch(lines.join(''), one.slice(0, 7));
});

test('without a key there is no start', (t) => {
  const open = (): unknown => registerKey({ file, log: pino({ enabled: false }), onUnusable: () => undefined });
  writeFileSync(file, 'short');
  t.throws(open, /local.dnsRegister.keyFile .*: use base64/);
  rmSync(file);
  t.throws(open, /ENOENT/);
  t.end();
});
