// Makes node_modules hold exactly what package-lock.json names, with the pinned Node in it.
//
// No package's install script runs: of those in the lockfile only that of `node` does anything that is needed, and npm
// versions differ in which scripts they run. That one is called here, by name, after the rest is in place.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { PROJECT_ROOT } from './cache.mjs';
import { acquireLock } from './lock.mjs';
import { runTool } from './run-tool.mjs';

const PINNED_NODE = 'node_modules/node/bin/node';
const STAMP = 'node_modules/.continuum-stamp';

/**
 * @typedef {{ version?: string, resolved?: string, integrity?: string, optional?: boolean, link?: boolean, os?: string[], cpu?: string[], libc?: string[] }} LockEntry
 * @typedef {Record<string, LockEntry>} LockEntries
 * @typedef {import('./progress.mjs').Progress} Progress
 */

/** @param {string} [root] */
export function pinnedNode(root = PROJECT_ROOT) {
  return join(root, PINNED_NODE);
}

/**
 * @param {{ progress: Progress, root?: string }} options
 */
export async function ensureNodeModules({ progress, root = PROJECT_ROOT }) {
  const wanted = stampFor(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  if (isStamped(root, wanted)) return;
  mkdirSync(join(root, '.cache'), { recursive: true });
  const lock = await acquireLock(join(root, '.cache', 'node-modules.lock'), {
    onWait: (holder) => progress.step(`waiting for another set-up (process ${holder.pid})`),
  });
  try {
    if (isStamped(root, wanted)) return;
    const entries = lockEntries(join(root, 'package-lock.json'));
    linkWorkspaces(entries, root);
    if (mismatches(entries, root).length > 0) await install(entries, { root, progress, onSpawn: lock.setChild });
    await ensurePinnedNode(entries, { root, progress, onSpawn: lock.setChild });
    writeFileSync(join(root, STAMP), wanted);
  } finally {
    progress.end();
    lock.release();
  }
}

/**
 * Packages of the lockfile that this machine needs and node_modules does not have, by npm's own record of what it did
 * (written last, so an interrupted install has none).
 * @param {LockEntries} entries
 * @param {string} root
 */
export function mismatches(entries, root) {
  const record = join(root, 'node_modules', '.package-lock.json');
  const installed = existsSync(record) ? lockEntries(record) : {};
  return Object.entries(entries)
    .filter(([path, entry]) => path.includes('node_modules/') && entry.link !== true && !(entry.optional === true && !fits(entry)))
    .filter(([path, { version, integrity }]) => {
      const actual = installed[path];
      return actual === undefined || actual.version !== version || actual.integrity !== integrity;
    })
    .map(([path]) => path);
}

/**
 * A package of our own that was added needs a link and no new install.
 * @param {LockEntries} entries
 * @param {string} root
 */
export function linkWorkspaces(entries, root) {
  if (!existsSync(join(root, 'node_modules'))) return;
  for (const [path, entry] of Object.entries(entries)) {
    const link = join(root, path);
    if (entry.link !== true || entry.resolved === undefined || existsSync(link)) continue;
    rmSync(link, { force: true });
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(root, entry.resolved)), link);
  }
}

/**
 * @param {LockEntries} entries
 * @param {{ root: string, progress: Progress, onSpawn: (pid: number | undefined) => void }} context
 */
async function install(entries, context) {
  const { root, progress } = context;
  progress.step('installing the packages of package-lock.json');
  await npmCi(context, process.env['PATH'] ?? '');
  // npm leaves out optional packages whose `engines` exclude the Node that runs npm; the linter's binary is one.
  if (mismatches(entries, root).length === 0) return;
  await ensurePinnedNode(entries, context);
  const aside = join(root, '.cache', 'node', 'node');
  mkdirSync(dirname(aside), { recursive: true });
  copyFileSync(pinnedNode(root), aside);
  progress.step('installing them again under the pinned Node');
  await npmCi(context, `${dirname(aside)}${delimiter}${process.env['PATH'] ?? ''}`);
  rmSync(dirname(aside), { recursive: true });
  const left = mismatches(entries, root);
  if (left.length > 0) throw new Error(`npm ci left out ${left.slice(0, 5).join(', ')}; remove node_modules and try again`);
}

/**
 * @param {{ root: string, onSpawn: (pid: number | undefined) => void }} context
 * @param {string} path
 */
async function npmCi({ root, onSpawn }, path) {
  await runTool('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, env: { PATH: path }, onSpawn });
}

/**
 * @param {LockEntries} entries
 * @param {{ root: string, progress: Progress, onSpawn: (pid: number | undefined) => void }} context
 */
async function ensurePinnedNode(entries, { root, progress, onSpawn }) {
  const wanted = `v${entries['node_modules/node']?.version}`;
  if (versionOf(pinnedNode(root)) !== wanted) {
    progress.step(`fetching Node ${wanted}`);
    await runTool(process.execPath, ['installArchSpecificPackage.js'], { cwd: join(root, 'node_modules', 'node'), onSpawn });
  }
  // npm makes no link to a program that was not there yet when it linked.
  const link = join(root, 'node_modules', '.bin', 'node');
  if (!existsSync(link)) {
    rmSync(link, { force: true });
    symlinkSync('../node/bin/node', link);
  }
  const actual = versionOf(pinnedNode(root));
  if (actual !== wanted) {
    throw new Error(`${PINNED_NODE}: wanted ${wanted}, got ${actual ?? 'nothing that runs'}; remove node_modules and try again`);
  }
}

/** @param {string} node */
function versionOf(node) {
  const run = spawnSync(node, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return run.status === 0 ? run.stdout.trim() : null;
}

/** @param {string} lockfile its text */
function stampFor(lockfile) {
  return createHash('sha256').update(`${process.platform} ${process.arch}\n${lockfile}`).digest('hex');
}

/**
 * @param {string} root
 * @param {string} wanted
 */
function isStamped(root, wanted) {
  const stamp = join(root, STAMP);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && existsSync(pinnedNode(root));
}

/**
 * @param {string} file
 * @returns {LockEntries}
 */
function lockEntries(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/**
 * Whether npm would install an optional package on this machine.
 * @param {LockEntry} entry
 */
function fits({ os, cpu, libc }) {
  if (os === undefined && cpu === undefined) return false; // optional for another reason: its absence breaks nothing
  return allows(os, process.platform) && allows(cpu, process.arch) && allows(libc, libcFamily());
}

/**
 * @param {string[] | undefined} list as in package.json: names, or names with `!` that are excluded
 * @param {string} value
 */
function allows(list, value) {
  if (list === undefined || list.includes(value)) return true;
  return list.every((name) => name.startsWith('!')) && !list.includes(`!${value}`);
}

function libcFamily() {
  return existsSync('/etc/alpine-release') ? 'musl' : 'glibc';
}
