// When an existing node_modules is taken as it is, and when it is not.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mismatches } from './node-modules.mjs';

const LOCKED = {
  '': { version: '1.0.0' },
  'packages/core': { version: '0.1.0' },
  'node_modules/@continuum/core': { link: true },
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

t.test('another version, another content, a missing binary of this machine or a missing workspace is a mismatch', async (t) => {
  const folder = t.testdir();
  const changed = (path: string, entry: object) => mismatches(LOCKED, project(folder, { ...LOCKED, [path]: entry }));
  const without = (path: keyof typeof LOCKED) => {
    const { [path]: _left, ...rest } = LOCKED;
    return mismatches(LOCKED, project(folder, rest));
  };
  t.same(changed('node_modules/zod', { version: '4.6.6', integrity: 'sha512-a' }), ['node_modules/zod']);
  t.same(changed('node_modules/zod', { version: '4.6.7', integrity: 'sha512-x' }), ['node_modules/zod']);
  t.same(without('node_modules/binding-here'), ['node_modules/binding-here']);
  t.same(without('node_modules/@continuum/core'), ['node_modules/@continuum/core']);
});

t.test('an install that was interrupted has no record by npm, so everything is missing', async (t) => {
  t.equal(mismatches(LOCKED, project(t.testdir(), null)).length, 3);
});
