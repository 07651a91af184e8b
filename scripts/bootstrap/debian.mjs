// Debian and Ubuntu packages without root and without touching the system. `apt-get install` would start services (a
// PowerDNS on port 53, a PostgreSQL on 5432) on somebody's laptop, so the packages are only downloaded, with an apt state
// of our own, and unpacked into a folder. What the machine has already (its C library, say) is used from there.

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ToolError, runTool } from './run-tool.mjs';

/** Unpacking another C library beside the system's loader ends in crashes: these always come from the system. */
const NEVER_UNPACKED = /^(libc6|libc-bin|libc-l10n|locales|libgcc-s1|base-files|dpkg|apt)_/;

/** True when this machine's archives can be read: Debian, Ubuntu and their kin. */
export function hasApt() {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const onPath = /** @param {string} tool */ (tool) => folders.some((folder) => existsSync(join(folder, tool)));
  return existsSync('/var/lib/dpkg/status') && onPath('apt-get') && onPath('dpkg-deb');
}

/** An apt state of our own. `update` runs once, on first use. */
export class Apt {
  /** @type {Promise<void> | undefined} */
  #updated;
  /** Warnings of `apt-get update`: shown when a package is not found afterwards. */
  #updateProblem = '';
  /** @type {(pid: number | undefined) => void} */
  #onSpawn;
  /** @type {string} */
  #folder;

  /**
   * @param {string} folder
   * @param {(pid: number | undefined) => void} onSpawn
   */
  constructor(folder, onSpawn) {
    this.#folder = folder;
    this.#onSpawn = onSpawn;
  }

  get updated() {
    return this.#updated !== undefined;
  }

  /** @returns {Promise<void>} */
  update() {
    this.#updated ??= this.#update();
    return this.#updated;
  }

  /**
   * Downloads the first alternative that the archives have, with what it needs, and unpacks it all into `target`.
   * @param {readonly (readonly string[])[]} alternatives
   * @param {string} target
   * @param {{ again: boolean }} options `again`: also packages that the machine has installed
   */
  async unpack(alternatives, target, { again }) {
    await this.update();
    const packages = await this.#available(alternatives);
    const archives = join(this.#folder, 'cache', 'archives');
    rmSync(archives, { recursive: true, force: true });
    mkdirSync(join(archives, 'partial'), { recursive: true });
    const flags = ['--download-only', '--no-install-recommends', '--allow-change-held-packages', ...(again ? ['--reinstall'] : [])];
    await this.#apt('apt-get', ['--yes', ...flags, 'install', ...packages]);
    const files = readdirSync(archives).filter((file) => file.endsWith('.deb') && !NEVER_UNPACKED.test(file));
    mkdirSync(target, { recursive: true });
    for (const file of files) {
      await runTool('dpkg-deb', ['--extract', join(archives, file), target], { onSpawn: this.#onSpawn });
    }
  }

  async #update() {
    for (const folder of ['state/lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(this.#folder, folder), { recursive: true });
    }
    try {
      this.#updateProblem = warnings(await this.#apt('apt-get', ['update']));
    } catch (error) {
      // One unreachable extra archive must not stop us while the main one has what we need.
      if (!(error instanceof ToolError)) throw error;
      this.#updateProblem = error.message;
    }
  }

  /** @param {readonly (readonly string[])[]} alternatives */
  async #available(alternatives) {
    for (const packages of alternatives) {
      try {
        await this.#apt('apt-cache', ['show', '--no-all-versions', ...packages]);
        return packages;
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
      }
    }
    const names = alternatives.map((packages) => packages.join(' + ')).join(', or ');
    throw new ToolError(
      `this machine's package archives have no ${names}${this.#updateProblem === '' ? '' : `\n  ${this.#updateProblem}`}`,
      '',
    );
  }

  /**
   * @param {string} command
   * @param {readonly string[]} args
   */
  #apt(command, args) {
    const settings = {
      'Dir::State': join(this.#folder, 'state'),
      'Dir::State::status': '/var/lib/dpkg/status',
      'Dir::Cache': join(this.#folder, 'cache'),
      'Debug::NoLocking': '1',
      'APT::Keep-Downloaded-Packages': 'true',
      'Acquire::Languages': 'none',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
      'Acquire::Retries': '3',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const env = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    return runTool(command, [...options, '--quiet', ...args], { env, onSpawn: this.#onSpawn });
  }
}

/**
 * The folders with shared libraries in an unpacked root, relative to it.
 * @param {string} root
 */
export function libraryFolders(root) {
  const candidates = ['lib', 'usr/lib'].flatMap((base) => [base, ...subfolders(root, base)]);
  return candidates.filter((folder) => {
    const path = join(root, folder);
    return existsSync(path) && readdirSync(path).some((file) => /\.so(\.|$)/.test(file));
  });
}

/**
 * @param {string} root
 * @param {string} base
 */
function subfolders(root, base) {
  const path = join(root, base);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => name.includes('-linux-gnu'))
    .map((name) => join(base, name));
}

/** @param {string} output */
function warnings(output) {
  return output
    .split('\n')
    .filter((line) => /^[WE]:/.test(line))
    .join('\n  ');
}
