// When an existing node_modules is taken as it is, and when it is not.

import { globSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { linkWorkspaces, mismatches } from './node-modules.mjs';

const LOCKED = {
  '': { version: '1.0.0' },
  'packages/core': { version: '0.1.0' },
  'node_modules/@continuum/core': { resolved: 'packages/core', link: true },
  'node_modules/zod': { version: '4.6.7', integrity: 'sha512-a' },
  'node_modules/binding-here': { version: '1.0.0', integrity: 'sha512-b', optional: true, os: [process.platform], cpu: [process.arch] },
  'node_modules/binding-there': { version: '1.0.0', optional: true, os: ['aix'], cpu: ['ppc64'] },
  'node_modules/nice-to-have': { version: '1.0.0', optional: true },
};

/** A project whose node_modules npm says to hold `installed`. */
function project(folder: string, installed: Record<string, object> | null): string {
  rmSync(join(folder, 'node_modules'), { recursive: true, force: true });
  mkdirSync(join(folder, 'node_modules'));
  if (installed !== null) {
    writeFileSync(join(folder, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: installed }));
  }
  return folder;
}

t.test('what this machine needs is there: nothing to install', async (t) => {
  const { 'node_modules/binding-there': _there, 'node_modules/nice-to-have': _nice, ...installed } = LOCKED;
  t.same(mismatches(LOCKED, project(t.testdir(), installed)), []);
});

t.test('another version, another content, or a missing binary of this machine is a mismatch', async (t) => {
  const folder = t.testdir();
  const changed = (path: string, entry: object) => mismatches(LOCKED, project(folder, { ...LOCKED, [path]: entry }));
  const without = (path: keyof typeof LOCKED) => {
    const { [path]: _left, ...rest } = LOCKED;
    return mismatches(LOCKED, project(folder, rest));
  };
  t.same(changed('node_modules/zod', { version: '4.6.6', integrity: 'sha512-a' }), ['node_modules/zod']);
  t.same(changed('node_modules/zod', { version: '4.6.7', integrity: 'sha512-x' }), ['node_modules/zod']);
  t.same(without('node_modules/binding-here'), ['node_modules/binding-here']);
});

t.test('an install that was interrupted has no record by npm, so everything is missing', async (t) => {
  t.equal(mismatches(LOCKED, project(t.testdir(), null)).length, 2);
});

t.test('a package of our own that was added is linked without a new install', async (t) => {
  const folder = project(t.testdir(), {});
  linkWorkspaces(LOCKED, folder);
  linkWorkspaces(LOCKED, folder);
  t.equal(readlinkSync(join(folder, 'node_modules/@continuum/core')), '../../packages/core');
});

t.test('the lockfile knows every package of our own and what it needs, else npm ci refuses it', async (t) => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const json = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));
  const { packages } = json('package-lock.json');
  const folders = ['', ...globSync(json('package.json').workspaces.map((pattern: string) => `${pattern}/package.json`), { cwd: root })];
  for (const folder of folders.map((file) => file.replace(/\/package\.json$/, ''))) {
    const { name, version, dependencies, devDependencies, optionalDependencies } = json(join(folder, 'package.json'));
    t.match(packages[folder], { name, version }, folder);
    t.same(packages[folder]?.dependencies, dependencies, `dependencies of ${name}`);
    t.same(packages[folder]?.devDependencies, devDependencies, `devDependencies of ${name}`);
    t.same(packages[folder]?.optionalDependencies, optionalDependencies, `optionalDependencies of ${name}`);
    if (folder !== '') t.match(packages[`node_modules/${name}`], { resolved: folder, link: true }, `link to ${name}`);
  }
});
