// Finds programs where distributions put them, which differs by release and machine (`/usr/lib/postgresql/*/bin`).

import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

/**
 * A program that can be run here, or a library that can be read.
 * @param {string} file
 */
export function isUsable(file) {
  try {
    if (!statSync(file).isFile()) return false;
    accessSync(file, basename(file).includes('.so') ? constants.R_OK : constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The existing folders that a path with `*` in it names, sorted.
 * @param {string} pattern
 * @returns {string[]}
 */
export function expand(pattern) {
  let folders = ['/'];
  for (const segment of pattern.split('/').filter((part) => part !== '')) {
    folders = folders.flatMap((folder) =>
      segment.includes('*') ? matching(folder, segment) : existsSync(join(folder, segment)) ? [join(folder, segment)] : [],
    );
  }
  return folders;
}

/**
 * @param {string} folder
 * @param {string} segment
 */
function matching(folder, segment) {
  const [before = '', after = ''] = segment.split('*');
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => entry.name);
  return names
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .sort()
    .map((name) => join(folder, name));
}
