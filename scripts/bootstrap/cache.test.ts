// Where the cache goes when PostgreSQL must run under another user than the one who set it up.

import { chmodSync, mkdirSync, realpathSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cacheFolder, createCacheFolder, unprivilegedUser, unreachable } from './cache.mjs';

/** Owns nothing here, so the permission bits of "others" decide. */
const STRANGER = { uid: 65_534, gid: 65_534, name: 'nobody' };

t.test('a folder below one that is closed to others is unreachable, and the closed one is named', async (t) => {
  const home = join(realpathSync(t.testdir()), 'home');
  mkdirSync(join(home, 'project'), { recursive: true });
  chmodSync(home, 0o711);
  t.not(unreachable(join(home, 'project', 'not', 'there', 'yet'), STRANGER), home);
  chmodSync(home, 0o700);
  t.equal(unreachable(join(home, 'project', 'not', 'there', 'yet'), STRANGER), home);
});

t.test('root in a closed project gets a cache elsewhere, anybody else the one in the project', async (t) => {
  const projectRoot = t.testdir();
  chmodSync(projectRoot, 0o700);
  t.equal(cacheFolder({ env: {}, projectRoot, user: STRANGER }), '/var/tmp/continuum-cache-0/parts');
  t.equal(cacheFolder({ env: {}, projectRoot, user: null }), join(projectRoot, '.cache', 'parts'));
});

t.test('a chosen cache that the unprivileged user cannot enter is an error with the fix', async (t) => {
  const closed = realpathSync(t.testdir());
  chmodSync(closed, 0o700);
  const env = { CONTINUUM_CACHE: join(closed, 'cache') };
  t.throws(() => cacheFolder({ env, user: STRANGER }), { message: /^CONTINUUM_CACHE: .*cannot be entered by user "nobody".*chmod o\+x/ });
  t.equal(cacheFolder({ env, user: null }), join(closed, 'cache'));
});

t.test('a cache that others could have prepared or can write is refused', async (t) => {
  const folder = t.testdir();
  createCacheFolder(join(folder, 'a', 'b'));
  t.equal(statSync(join(folder, 'a', 'b')).mode & 0o777, 0o755);
  mkdirSync(join(folder, 'open'));
  chmodSync(join(folder, 'open'), 0o777);
  t.throws(() => createCacheFolder(join(folder, 'open')), { message: /must be a folder of your own/ });
  symlinkSync('/tmp', join(folder, 'link'));
  t.throws(() => createCacheFolder(join(folder, 'link')), { message: /must be a folder of your own/ });
});

t.test('only root needs an unprivileged user', async (t) => {
  const user = unprivilegedUser();
  if (process.getuid?.() === 0) t.match(user, { uid: Number, gid: Number, name: /^(postgres|nobody)$/ });
  else t.equal(user, null);
});
