// Where the unpacked parts live, and who may run them. PostgreSQL refuses to run as root, so as root it runs under an
// unprivileged user, who must be able to reach the cache: a clone under a mode-700 home gets a cache elsewhere.

import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PROJECT_ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

/** Base of the cache for root when the project itself cannot be reached by the unprivileged user. */
const ROOT_FALLBACK = '/var/tmp/continuum-cache-0';

/**
 * @typedef {{ readonly uid: number, readonly gid: number, readonly name: string }} User
 */

/**
 * Who runs what must not run as root; null when this process is not root.
 * @returns {User | null}
 */
export function unprivilegedUser() {
  if (process.getuid?.() !== 0) return null;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const found = users.find(([name]) => name === wanted);
    if (found !== undefined) return { name: wanted, uid: Number(found[2]), gid: Number(found[3]) };
  }
  throw new Error('running as root, and /etc/passwd has neither "postgres" nor "nobody": PostgreSQL needs one of them');
}

/**
 * The folder of the unpacked parts. Pure look-up: nothing is created.
 * @param {{ env?: Readonly<Record<string, string | undefined>>, projectRoot?: string, user?: User | null }} [options]
 */
export function cacheFolder({ env = process.env, projectRoot = PROJECT_ROOT, user = unprivilegedUser() } = {}) {
  const chosen = env['CONTINUUM_CACHE'];
  if (chosen !== undefined && chosen !== '') {
    const folder = resolve(chosen);
    const wall = user === null ? null : unreachable(folder, user);
    if (user !== null && wall !== null) {
      throw new Error(
        `CONTINUUM_CACHE: "${folder}" cannot be entered by user "${user.name}", under whom PostgreSQL runs when you are root ` +
          `(${wall} is closed to it); choose another folder or chmod o+x "${wall}"`,
      );
    }
    return folder;
  }
  const own = join(projectRoot, '.cache', 'parts');
  return user !== null && unreachable(own, user) !== null ? join(ROOT_FALLBACK, 'parts') : own;
}

/**
 * Creates the cache so that others can read it but only its owner can write it. Throws when somebody else got there first.
 * @param {string} folder
 */
export function createCacheFolder(folder) {
  if (folder.startsWith(`${ROOT_FALLBACK}/`)) createOwned(ROOT_FALLBACK);
  mkdirSync(dirname(folder), { recursive: true, mode: 0o755 });
  createOwned(folder);
}

/**
 * The first folder on the way to `path` that `user` cannot enter, or null. Folders that do not exist yet are not walls.
 * @param {string} path
 * @param {{ readonly uid: number, readonly gid: number }} user
 */
export function unreachable(path, user) {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  for (let folder = realpathSync(existing); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return folder;
    if (dirname(folder) === folder) return null;
  }
}

/** @param {string} folder */
function createOwned(folder) {
  try {
    mkdirSync(folder, { mode: 0o755 });
    chmodSync(folder, 0o755);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
  const found = lstatSync(folder);
  const owned = process.getuid === undefined || found.uid === process.getuid();
  if (!found.isDirectory() || !owned || (found.mode & 0o022) !== 0) {
    throw new Error(
      `${folder}: must be a folder of your own that only you can write; remove it, or name another one in CONTINUUM_CACHE`,
    );
  }
}
