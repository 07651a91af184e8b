// Where each real part of the table (part-table.mjs) is found on this machine. Looking up is synchronous
// and downloads nothing: `npm run setup` (bootstrap/install-parts.mjs) fills the cache that is read here.
//
// Order per part: the user's own binary (environment variable), the project's cache, the system's, in that order. A binary
// of the user's own that cannot be used is an error, never passed over in silence.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { cacheFolder, unprivilegedUser, unreachable } from './bootstrap/cache.mjs';
import { expand, isUsable } from './bootstrap/files.mjs';
import { nameSource } from './bootstrap/source-name.mjs';
import { compareVersions, numbers, satisfies } from './bootstrap/version-range.mjs';
import { PARTS } from './part-table.mjs';

export { PARTS, unprivilegedUser };

/** Written into each unpacked folder before it gets its final name. */
export const MANIFEST = 'continuum-part.json';

const PROBE_TIMEOUT_MS = 20_000;

/**
 * @typedef {import('./parts.d.mts').Part} Part
 * @typedef {import('./parts.d.mts').PartName} PartName
 * @typedef {import('./parts.d.mts').Located} Located
 * @typedef {import('./parts.d.mts').Environment} Environment
 * @typedef {{ versions: Record<string, string>, libraryFolders: string[] }} Manifest
 */

/** A part that cannot be used; the message says what is wrong and how to supply it. */
export class PartError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'PartError';
    this.code = code;
  }
}

/** @type {Map<string, Located>} */
const found = new Map();

/**
 * Where a part is and how to run it. Throws a PartError when it is missing or the user's own cannot be used.
 * @param {PartName} name
 * @returns {Located}
 */
export function locate(name) {
  const known = found.get(name);
  if (known !== undefined) return known;
  const part = PARTS.find((one) => one.name === name);
  if (part === undefined) {
    throw new PartError('CTM_PART_UNKNOWN', `no part "${name}"; known: ${PARTS.map((one) => one.name).join(', ')}`);
  }
  const located = resolvePart(part);
  if (located === null) throw new PartError('CTM_PART_MISSING', `${missingText(part)}\nRun: npm run ${part.nightlyOnly === true ? 'test:nightly' : 'setup'}`);
  found.set(name, located);
  return located;
}

/** Every part of the table; `located` is null for a missing one. */
export function locateAll() {
  return PARTS.map((part) => ({ name: part.name, purpose: part.purpose, located: resolvePart(part) }));
}

/**
 * @param {Part} part
 * @param {Environment} [env]
 * @param {string} [cache]
 * @returns {Located | null}
 */
export function resolvePart(part, env = process.env, cache = cacheFolder({ env })) {
  return fromVariable(part, env) ?? fromCache(part, cache) ?? fromSystem(part, env);
}

/**
 * How to supply a part by hand.
 * @param {Part} part
 */
export function missingText(part) {
  const { variable } = part;
  const what = variable.holds === 'folder' ? `the folder that holds ${part.command}` : `the path of ${part.command}`;
  return (
    `${part.name}: ${part.purpose}; version ${part.range} not found.\n` +
    `  It comes from the ${nameSource(part).text}. Install it so that ${part.command} is on the PATH, or set ${variable.name} to ${what}.`
  );
}

/**
 * The folder in the cache that a part is unpacked to. It changes with what is unpacked and with the release of the
 * system, whose libraries the part uses: an upgraded machine unpacks anew.
 * @param {Part} part
 */
export function bundleName(part) {
  const { label, content } = nameSource(part);
  const key = JSON.stringify([content, process.platform, process.arch, systemRelease()]);
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 8);
  return `${part.source.kind}-${label}-${hash}`;
}

/**
 * Finds and tries a part in a folder that was just unpacked; throws when it does not run or has the wrong version.
 * @param {Part} part
 * @param {string} root
 * @param {readonly string[]} libraryFolders relative to `root`
 * @returns {Located}
 */
export function verifyUnpacked(part, root, libraryFolders) {
  const candidate = unpackedCandidate(part, root, libraryFolders);
  if (candidate === null) throw new PartError('CTM_PART_BROKEN', `${part.name}: ${part.command} is not in ${root}`);
  const version = probeVersion(part, candidate);
  if (!satisfies(version, part.range)) {
    const error = outOfRange(part, candidate.command, version);
    if (part.nightlyOnly === true) error.message += `; ${nameSource(part).text} has moved on: look at what changed, then widen the range in scripts/part-table.mjs`;
    throw error;
  }
  return { ...candidate, name: part.name, version, source: 'cache' };
}

/**
 * @param {Part} part
 * @param {Environment} env
 * @returns {Located | null}
 */
function fromVariable(part, env) {
  const value = env[part.variable.name];
  if (value === undefined || value === '') return null;
  const path = resolve(value);
  const folder = part.variable.holds === 'folder' ? path : dirname(path);
  const command = part.variable.holds === 'folder' ? join(path, part.command) : path;
  const missing = [command, ...(part.siblings ?? []).map((tool) => join(folder, tool))].filter((file) => !isUsable(file));
  if (missing.length > 0) {
    throw new PartError(
      'CTM_PART_OVERRIDE',
      `${part.variable.name}="${value}": cannot run ${missing.join(', ')}; ` +
        `set it to ${part.variable.holds === 'folder' ? 'a folder with these programs' : `the path of ${part.command}`}, or unset it`,
    );
  }
  const wall = closedTo(part, command);
  if (wall !== null) {
    throw new PartError(
      'CTM_PART_OVERRIDE',
      `${part.variable.name}="${value}": user "${unprivilegedUser()?.name}", under whom ${part.name} runs when you are root, ` +
        `cannot enter ${wall}; chmod o+x it, or name a folder elsewhere`,
    );
  }
  const moduleDir = findModules(part, command, env);
  if (moduleDir === null) {
    throw new PartError(
      'CTM_PART_OVERRIDE',
      `${part.variable.name}="${value}": no ${part.modules?.file} beside it; set ${part.modules?.variable} to the folder that holds it`,
    );
  }
  const candidate = { command, dir: folder, env: {}, ...(moduleDir === undefined ? {} : { moduleDir }) };
  const version = probeVersion(part, candidate, part.variable.name);
  if (!satisfies(version, part.range)) throw outOfRange(part, command, version, part.variable.name);
  return { ...candidate, name: part.name, version, source: 'variable' };
}

/**
 * @param {Part} part
 * @param {string} cache
 * @returns {Located | null}
 */
function fromCache(part, cache) {
  const root = join(cache, bundleName(part));
  const manifest = readManifest(join(root, MANIFEST));
  const version = manifest?.versions[part.name];
  if (manifest === null || version === undefined || !satisfies(version, part.range)) return null;
  const candidate = unpackedCandidate(part, root, manifest.libraryFolders);
  return candidate === null ? null : { ...candidate, name: part.name, version, source: 'cache' };
}

/**
 * The newest usable binary of the system within the range.
 * @param {Part} part
 * @param {Environment} env
 * @returns {Located | null}
 */
function fromSystem(part, env) {
  if (env['CONTINUUM_PARTS_IGNORE_SYSTEM'] === '1') return null;
  const onPath = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  const folders = new Set([...onPath, ...part.systemFolders.flatMap((pattern) => expand(pattern))]);
  /** @type {Located[]} */
  const usable = [];
  for (const dir of folders) {
    const command = join(dir, part.command);
    if (![command, ...(part.siblings ?? []).map((tool) => join(dir, tool))].every(isUsable)) continue;
    if (closedTo(part, command) !== null) continue;
    const moduleDir = findModules(part, command, env);
    if (moduleDir === null) continue;
    const candidate = { command, dir, env: {}, ...(moduleDir === undefined ? {} : { moduleDir }) };
    const version = tryProbe(part, candidate);
    if (version === null || !satisfies(version, part.range)) continue;
    usable.push({ ...candidate, name: part.name, version, source: 'system' });
  }
  usable.sort((a, b) => compareVersions(numbers(b.version), numbers(a.version)));
  return usable[0] ?? null;
}

/**
 * @param {Part} part
 * @param {string} root
 * @param {readonly string[]} libraryFolders
 * @returns {Omit<Located, 'name' | 'version' | 'source'> | null}
 */
function unpackedCandidate(part, root, libraryFolders) {
  for (const dir of part.source.folders.flatMap((pattern) => expand(join(root, pattern)))) {
    const command = join(dir, part.command);
    if (!isUsable(command)) continue;
    const libraries = libraryFolders.map((folder) => join(root, folder));
    const inherited = process.env['LD_LIBRARY_PATH'];
    if (inherited !== undefined && inherited !== '') libraries.push(inherited);
    const env = libraryFolders.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(delimiter) };
    const moduleDir = findModules(part, command, {});
    if (moduleDir === null) continue;
    return { command, dir, env, ...(moduleDir === undefined ? {} : { moduleDir }) };
  }
  return null;
}

/**
 * What keeps the user that a part runs under from its program, or null.
 * @param {Part} part
 * @param {string} command
 */
function closedTo(part, command) {
  const user = part.neverAsRoot === true ? unprivilegedUser() : null;
  return user === null ? null : unreachable(command, user);
}

/**
 * The folder of a part's loadable modules: undefined when the part has none, null when they were not found.
 * @param {Part} part
 * @param {string} command
 * @param {Environment} env
 */
function findModules(part, command, env) {
  if (part.modules === undefined) return undefined;
  const { file, variable } = part.modules;
  const chosen = env[variable];
  const prefix = dirname(dirname(command));
  const patterns = ['lib/*/pdns', 'lib/pdns', 'lib64/pdns'].map((pattern) => join(prefix, pattern));
  const folders = chosen === undefined || chosen === '' ? patterns.flatMap((pattern) => expand(pattern)) : [resolve(chosen)];
  return folders.find((folder) => existsSync(join(folder, file))) ?? null;
}

/**
 * @param {Part} part
 * @param {{ readonly command: string, readonly env: Readonly<Record<string, string>> }} candidate
 */
function tryProbe(part, candidate) {
  try {
    return probeVersion(part, candidate);
  } catch (error) {
    if (error instanceof PartError) return null;
    throw error;
  }
}

/**
 * Runs the part and reads its version, which also shows that its libraries load.
 * @param {Part} part
 * @param {{ readonly command: string, readonly env: Readonly<Record<string, string>> }} candidate
 * @param {string} [variable] the environment variable that named it, for the message
 * @returns {string}
 */
function probeVersion(part, candidate, variable) {
  const preload = part.probe.kind === 'preload';
  const [command, args] = preload ? ['date', ['+%Y']] : [candidate.command, ['--version']];
  const extra = preload ? { LD_PRELOAD: candidate.command, FAKETIME: '@2001-02-03 04:05:06' } : {};
  const run = spawnSync(command, args, {
    env: { ...process.env, ...candidate.env, ...extra },
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
  });
  const output = `${run.stdout ?? ''}${run.stderr ?? ''}`;
  const version = part.probe.kind === 'preload' ? (output.trim() === '2001' ? 'unversioned' : undefined) : part.probe.pattern.exec(output)?.[1];
  if (version !== undefined) return version;
  const reason = run.error?.message ?? (output.trim().split('\n').slice(-3).join(' / ') || `exit code ${run.status}`);
  const from = variable === undefined ? '' : `${variable}="${candidate.command}": `;
  throw new PartError(
    'CTM_PART_BROKEN',
    `${from}${part.name}: ${candidate.command} did not ${preload ? 'fake the time' : 'print its version'}: ${reason}`,
  );
}

/**
 * @param {Part} part
 * @param {string} command
 * @param {string} version
 * @param {string} [variable]
 */
function outOfRange(part, command, version, variable) {
  const from = variable === undefined ? '' : `${variable}: `;
  const fix = variable === undefined ? '' : '; name another one, or unset it';
  return new PartError('CTM_PART_RANGE', `${from}${command} is ${part.name} ${version}, accepted is ${part.range}${fix}`);
}

/**
 * @param {string} file
 * @returns {Manifest | null}
 */
function readManifest(file) {
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function systemRelease() {
  try {
    return /^VERSION_ID=.*$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[0] ?? '';
  } catch {
    return '';
  }
}
