// Rolling upgrades between this version of the core and others. Each file in test/upgrades is a difference that two releases may have:
// it is applied to a copy of the core, and worlds run in which processes change from one to the other and back. Each file in
// test/upgrades/broken is a version that is right by itself and not beside this one: worlds in which it is not caught prove nothing.

import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { applyBug, inCopies, runScript } from './bug-zoo.ts';
import type { Change, ZooOptions } from './bug-zoo.ts';

export type Release = { readonly name: string; readonly why: string; readonly changes: readonly Change[] };

export type UpgradeReport = {
  readonly name: string;
  readonly hours: number;
  readonly failovers: number;
  readonly switchovers: number;
  readonly marks: Readonly<Record<string, number>>;
  readonly violation: { readonly seed: number; readonly invariant: string; readonly detail: string; readonly trace: string } | null;
};

export type UpgradeOptions = ZooOptions<UpgradeReport> & {
  readonly firstSeed: number;
  readonly hours: number;
  /** Beside a second copy of itself instead of this core: whether it is right by itself. */
  readonly alone: boolean;
};

const WORKER = fileURLToPath(new URL('upgrade-worker.ts', import.meta.url));
const CORE = 'packages/core/';

/** `# why`, `file PATH`, and as often as needed `- line as it is`, `+ line of the other version`; nothing is changed by `# why` alone. */
export function parseRelease(name: string, text: string): Release {
  const why: string[] = [];
  const changes: Change[] = [];
  let file: string | null = null;
  let before: string | null = null;
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const rest = line.slice(1).trim();
    if (line.startsWith('# ')) why.push(rest);
    else if (line.startsWith('file ')) file = line.slice('file '.length).trim();
    else if (line.startsWith('- ')) before = rest;
    else if (line.startsWith('+') && file !== null && before !== null) {
      if (!file.startsWith(CORE)) throw new Error(`${name}: "file ${file}" lies outside ${CORE}, and only the core has two versions`);
      changes.push({ name, file, before, after: rest });
      before = null;
    } else throw new Error(`${name}: the line "${line}" is not "# why", "file PATH", "- line", or "+ line" after both`);
  }
  if (why.length === 0) throw new Error(`${name}: there is no line that starts with "# "; say why a release could differ so`);
  if (before !== null) throw new Error(`${name}: no line that starts with "+" follows "- ${before}"`);
  return { name, why: why.join(' '), changes };
}

export function readReleases(folder: string): Release[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt')).sort();
  return files.map((file) => parseRelease(basename(file, '.txt'), readFileSync(join(folder, file), 'utf8')));
}

/** Every release of a folder, each as a copy of the core of its own, `threads` at a time, until an invariant breaks or the hours are used up. */
export function upgradeAll(releases: readonly Release[], options: UpgradeOptions): Promise<UpgradeReport[]> {
  const { firstSeed, hours, alone } = options;
  return inCopies(releases, options, copyCore, async ({ name }, target) => {
    const index = pathToFileURL(join(target, CORE, 'src/index.ts')).href;
    const found = (await runScript(name, WORKER, [index, firstSeed, hours, String(alone)])) as Omit<UpgradeReport, 'name'>;
    return { name, ...found };
  });
}

function copyCore({ changes }: Release, root: string, target: string): void {
  rmSync(target, { recursive: true, force: true });
  cpSync(join(root, CORE), join(target, CORE), { recursive: true });
  for (const change of changes) {
    const path = join(target, change.file);
    writeFileSync(path, applyBug(change, readFileSync(path, 'utf8')));
  }
}
