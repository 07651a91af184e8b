// Where a part is found, in which order, and what is said when it is not. The programs are stand-ins that print a
// version; the real parts are tried by every test that starts one.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { MANIFEST, PARTS, bundleName, locate, locateAll, missingText, resolvePart, type Part, type PartName } from './parts.mjs';

/** The system's own programs must not decide what these tests see. */
const BARE = { CONTINUUM_PARTS_IGNORE_SYSTEM: '1' };

function part(name: PartName): Part {
  const found = PARTS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no part ${name}`);
  return found;
}

function program(path: string, output: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho '${output}'\n`);
  chmodSync(path, 0o755);
  return path;
}

function postgresFolder(folder: string, version: string): string {
  program(join(folder, 'postgres'), `postgres (PostgreSQL) ${version} (Debian ${version}-1)`);
  for (const tool of part('postgres').siblings ?? []) program(join(folder, tool), '');
  return folder;
}

t.test("a binary of the user's own comes first", async (t) => {
  const folder = postgresFolder(join(t.testdir(), 'bin'), '17.2');
  const located = resolvePart(part('postgres'), { CONTINUUM_POSTGRES_BIN_DIR: folder }, t.testdirName);
  t.match(located, { source: 'variable', version: '17.2', dir: folder, command: join(folder, 'postgres') });
});

t.test("a binary of the user's own that cannot be used is an error that names variable, value and fix", async (t) => {
  const folder = t.testdir({ plain: { postgres: 'not executable' } });
  const tried = (env: Record<string, string>, name: PartName) => () => resolvePart(part(name), { ...BARE, ...env }, folder);

  t.throws(tried({ CONTINUUM_POSTGRES_BIN_DIR: join(folder, 'none') }, 'postgres'), {
    code: 'CTM_PART_OVERRIDE',
    message: /^CONTINUUM_POSTGRES_BIN_DIR=".*none": cannot run .*postgres, .*initdb.*set it to a folder with these programs, or unset it$/,
  });
  t.throws(tried({ CONTINUUM_POSTGRES_BIN_DIR: join(folder, 'plain') }, 'postgres'), { code: 'CTM_PART_OVERRIDE' });
  const old = postgresFolder(join(folder, 'old'), '14.9');
  t.throws(tried({ CONTINUUM_POSTGRES_BIN_DIR: old }, 'postgres'), {
    code: 'CTM_PART_RANGE',
    message: /^CONTINUUM_POSTGRES_BIN_DIR: .*postgres 14\.9, accepted is >=15; name another one, or unset it$/,
  });
  const mute = program(join(folder, 'mute', 'envoy'), 'hello');
  t.throws(tried({ CONTINUUM_ENVOY: mute }, 'envoy'), {
    code: 'CTM_PART_BROKEN',
    message: /^CONTINUUM_ENVOY=".*": envoy: .* did not print its version: hello$/,
  });
  const bare = program(join(folder, 'sbin', 'pdns_server'), 'PowerDNS Authoritative Server 4.9.1 (C)');
  t.throws(tried({ CONTINUUM_PDNS_SERVER: bare }, 'pdns_server'), {
    code: 'CTM_PART_OVERRIDE',
    message: /no libgsqlite3backend\.so beside it; set CONTINUUM_PDNS_MODULE_DIR/,
  });
});

t.test('root is told when the user of PostgreSQL cannot reach what was named', async (t) => {
  const home = t.testdir();
  const folder = postgresFolder(join(home, 'bin'), '17.2');
  chmodSync(home, 0o700);
  const tried = () => resolvePart(part('postgres'), { CONTINUUM_POSTGRES_BIN_DIR: folder }, home);
  if (process.getuid?.() === 0) t.throws(tried, { code: 'CTM_PART_OVERRIDE', message: /cannot enter .*; chmod o\+x it/ });
  else t.match(tried(), { version: '17.2' });
});

t.test('an empty variable counts as unset', async (t) => {
  t.equal(resolvePart(part('envoy'), { ...BARE, CONTINUUM_ENVOY: '' }, t.testdir()), null);
});

t.test("the cache is used before the system, with its libraries in front", async (t) => {
  const cache = t.testdir();
  const root = join(cache, bundleName(part('pdns_recursor')));
  program(join(root, 'usr/sbin/pdns_recursor'), 'never run: the manifest knows');
  writeFileSync(join(root, MANIFEST), JSON.stringify({ versions: { pdns_recursor: '4.8.8' }, libraryFolders: ['usr/lib/here'] }));
  const system = program(join(cache, 'system', 'pdns_recursor'), 'PowerDNS Recursor 5.1.2 (C)');

  const located = resolvePart(part('pdns_recursor'), { PATH: dirname(system) }, cache);
  t.match(located, { source: 'cache', version: '4.8.8', command: join(root, 'usr/sbin/pdns_recursor') });
  t.equal(located?.env['LD_LIBRARY_PATH']?.split(':')[0], join(root, 'usr/lib/here'));
});

t.test('a folder in the cache that is not whole, or holds a version no longer accepted, is passed over', async (t) => {
  const cache = t.testdir();
  const root = join(cache, bundleName(part('pdns_recursor')));
  program(join(root, 'usr/sbin/pdns_recursor'), 'PowerDNS Recursor 4.8.8 (C)');
  t.equal(resolvePart(part('pdns_recursor'), BARE, cache), null, 'no manifest');
  writeFileSync(join(root, MANIFEST), '{"versions":');
  t.equal(resolvePart(part('pdns_recursor'), BARE, cache), null, 'half a manifest');
  writeFileSync(join(root, MANIFEST), JSON.stringify({ versions: { pdns_recursor: '4.1.0' }, libraryFolders: [] }));
  t.equal(resolvePart(part('pdns_recursor'), BARE, cache), null, 'old version');
});

t.test('of the system, the newest usable program in the range is taken', async (t) => {
  const folder = t.testdir();
  const one = (name: string, version: string) => program(join(folder, name, 'pdns_recursor'), `PowerDNS Recursor ${version} (C)`);
  const path = [one('a', '4.9.0'), one('b', '4.10.1'), one('c', '4.7.0'), one('d', '9.0.0')].map((file) => dirname(file));
  const recursor = { ...part('pdns_recursor'), systemFolders: [] };
  t.match(resolvePart(recursor, { PATH: path.join(':') }, folder), { source: 'system', version: '4.10.1' });
  t.equal(resolvePart(recursor, { PATH: path.join(':'), ...BARE }, folder), null, 'unless the system is to be ignored');
});

t.test('a program of the system without its companions is passed over', async (t) => {
  const folder = t.testdir();
  program(join(folder, 'postgres'), 'postgres (PostgreSQL) 99.0');
  t.equal(resolvePart({ ...part('postgres'), systemFolders: [] }, { PATH: folder }, folder), null);
});

t.test('what is said about a missing part: what for, which version, where from, which variable', async (t) => {
  for (const one of PARTS) {
    const text = missingText(one);
    for (const word of [one.name, one.purpose, one.range, one.variable.name]) t.ok(text.includes(word), `${one.name}: ${word}`);
  }
  t.throws(() => locate('nginx' as PartName), { code: 'CTM_PART_UNKNOWN', message: /no part "nginx"; known: postgres, / });
});

t.test('on a machine that was set up every part is found and tells its version', async (t) => {
  const daily = PARTS.filter((one) => one.nightlyOnly !== true).map(({ name }) => name);
  for (const { name, located } of locateAll().filter((one) => daily.includes(one.name))) t.match(located, { name, version: /^(\d+\.\d+|unversioned)/, command: /^\// }, name);
  t.equal(locate('postgres'), locate('postgres'), 'looked up once');
  t.type(locate('pdns_server').moduleDir, 'string');
});
