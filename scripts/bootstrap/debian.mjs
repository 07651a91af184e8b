// Debian and Ubuntu packages without root and without touching the system. `apt-get install` would start services (a
// PowerDNS on port 53, a PostgreSQL on 5432) on somebody's laptop, so the packages are only downloaded, with an apt state
// of our own, and unpacked into a folder. What the machine has already (its C library, say) is used from there.
//
// A part from another release of Debian brings all that it needs, and its programs are started under that release's own
// loader, whatever the machine runs. Only the kernel is shared.

import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { ToolError, runTool } from './run-tool.mjs';

/** Unpacking another C library beside the system's loader ends in crashes: these always come from the system. */
const NEVER_UNPACKED = /^(libc6|libc-bin|libc-l10n|locales|libgcc-s1|base-files|dpkg|apt)_/;

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Beside a program that was unpacked from another release: the program itself, under its own name. */
const UNWRAPPED = 'own-loader';

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
  /** Another release than the machine's: nothing of the machine's counts as installed. */
  #release;

  /**
   * @param {string} folder
   * @param {(pid: number | undefined) => void} onSpawn
   * @param {{ name: string, archive: string } | null} [release]
   */
  constructor(folder, onSpawn, release = null) {
    this.#folder = folder;
    this.#onSpawn = onSpawn;
    this.#release = release;
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
    const wanted = (/** @type {string} */ file) => file.endsWith('.deb') && (this.#release !== null || !NEVER_UNPACKED.test(file));
    const files = readdirSync(archives).filter(wanted);
    mkdirSync(target, { recursive: true });
    for (const file of files) {
      await runTool('dpkg-deb', ['--extract', join(archives, file), target], { onSpawn: this.#onSpawn });
    }
  }

  /** Where the archive of Debian is, as this machine is told to find its own release. */
  async debianArchive() {
    await this.update();
    const output = await this.#apt('apt-get', ['indextargets', '--format', '$(ORIGIN) $(LABEL) $(REPO_URI)', 'Created-By: Packages']);
    const archive = /^Debian Debian (\S+)$/m.exec(output)?.[1];
    if (archive !== undefined) return archive;
    throw new ToolError(`none of this machine's package archives is Debian's${this.#problems()}`, '');
  }

  async #update() {
    for (const folder of ['state/lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(this.#folder, folder), { recursive: true });
    }
    if (this.#release !== null) {
      const options = existsSync(DEBIAN_KEYRING) ? `[signed-by=${DEBIAN_KEYRING}] ` : '';
      writeFileSync(join(this.#folder, 'sources.list'), `deb ${options}${this.#release.archive} ${this.#release.name} main\n`);
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
    const where = this.#release === null ? "this machine's package archives have" : `Debian ${this.#release.name} has`;
    throw new ToolError(`${where} no ${names}${this.#problems()}`, '');
  }

  #problems() {
    return this.#updateProblem === '' ? '' : `\n  ${this.#updateProblem}`;
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
      ...(this.#release === null ? {} : this.#onlyRelease(this.#release.name)),
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const env = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    return runTool(command, [...options, '--quiet', ...args], { env, onSpawn: this.#onSpawn });
  }

  /**
   * Proxies and the like stay as the machine has them; what it has installed, prefers or pins does not count.
   * @param {string} name
   */
  #onlyRelease(name) {
    return {
      'Dir::State::status': '/dev/null',
      'Dir::Etc::sourcelist': join(this.#folder, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': '/dev/null',
      'APT::Default-Release': name,
    };
  }
}

/**
 * Puts a script in the place of each program, which starts it under the loader and with the libraries of its own release.
 * The folder may be moved and copied: the script finds everything from where it stands itself.
 * @param {string} root
 * @param {readonly string[]} programs from `root`
 */
export function useOwnLoader(root, programs) {
  const libraries = libraryFolders(root);
  const files = libraries.flatMap((folder) => readdirSync(join(root, folder)).map((file) => join(folder, file)));
  const loader = files.find((file) => /^ld-linux.*\.so\.\d+$/.test(basename(file)));
  if (loader === undefined) throw new ToolError(`what was unpacked has no loader (ld-linux*.so.*) in ${libraries.join(', ') || 'any folder'}`, '');
  for (const program of programs) {
    const folder = join(root, program, '..');
    const up = program.split('/').slice(1).map(() => '..').join('/');
    const path = (/** @type {string} */ file) => `"$here/${up}/${file}"`;
    const moved = join(program, '..', UNWRAPPED, basename(program));
    mkdirSync(join(folder, UNWRAPPED), { recursive: true });
    renameSync(join(root, program), join(root, moved));
    const libraryPath = libraries.map((library) => `$here/${up}/${library}`).join(':');
    const script = `#!/bin/sh\n# Under the loader of its own release of Debian, which may be newer than the machine's.\nhere=\${0%/*}\nexec ${path(loader)} --library-path "${libraryPath}" ${path(moved)} "$@"\n`;
    writeFileSync(join(root, program), script);
    chmodSync(join(root, program), 0o755);
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
