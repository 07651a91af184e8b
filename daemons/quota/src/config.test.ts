import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { loadConfig, parseConfig } from './config.ts';

const least = `
region: r1
leaseName: shop
listen: 127.0.0.1:9001
metricsListen: "[::1]:9101"
controllerSocket: /run/continuum/gate.sock
epochFile: /var/lib/continuum/gate-epoch.json
`;

test('the least that must be said, and what follows from saying no more', async (t) => {
  t.same(parseConfig(least), {
    ok: true,
    config: {
      region: 'r1',
      leaseName: 'shop',
      listen: { host: '127.0.0.1', port: 9001 },
      metricsListen: { host: '::1', port: 9101 },
      controllerSocket: '/run/continuum/gate.sock',
      epochFile: '/var/lib/continuum/gate-epoch.json',
      askIntervalMs: 100,
      heldMax: 10_000,
      holdMsLimit: 15_000,
      firstAnswerMsMax: 1_000,
      logLevel: 'info',
    },
  });
});

test('all problems at once, each with its path, its value and a fix; unknown keys are problems', async (t) => {
  const bad = `
region: R 1
listen: localhost
metricsListen: 127.0.0.1:99999
controllerSocket: gate.sock
epochFile: 7
askIntervalMs: 1.5
heldMax: -1
logLevel: loud
heldMaximum: 3
`;
  const loaded = parseConfig(bad);
  if (loaded.ok) return t.fail('accepted');
  const byPath = Object.fromEntries(loaded.problems.map(({ path, value, fix }) => [path, `${value} | ${fix}`]));
  t.match(byPath, {
    region: /"R 1" \| .*lower-case/,
    leaseName: /\(nothing\) \| write the name of the lease/,
    listen: /"localhost" \| .*address:port/,
    metricsListen: /99999" \| .*address:port/,
    controllerSocket: /"gate.sock" \| .*absolute path/,
    epochFile: /7 \| .*absolute path/,
    askIntervalMs: /1.5 \| .*whole/,
    heldMax: /-1 \| write 0 or more/,
    logLevel: /"loud" \| .*info/,
    heldMaximum: /3 \| unknown key: remove it/,
  });
  t.equal(loaded.problems.length, 10);
});

test('what is not a mapping, not YAML, or not there is one clear problem', async (t) => {
  const file = join(runFolder('gate-config'), 'gate.yaml');
  t.match(loadConfig(file), { ok: false, problems: [{ path: '(file)', value: 'ENOENT' }] });
  for (const text of ['', '[]', '7', 'a: [', 'a: 1\na: 2']) {
    writeFileSync(file, text);
    t.match(loadConfig(file), { ok: false, problems: [{ path: '(file)' }] }, JSON.stringify(text));
  }
});

test('a socket path that Linux cannot bind is found before anything starts', async (t) => {
  const long = `/${'x'.repeat(107)}`;
  const loaded = parseConfig(least.replace('/run/continuum/gate.sock', long));
  t.match(loaded, { ok: false, problems: [{ path: 'controllerSocket', fix: /107 bytes/ }] });
});
