// The bug zoo: each file in test/bugs is one line of the core made wrong. The runner applies each to a copy of the core and the
// simulator, and reports after how many simulated hours it is caught. A fault that is not caught is a hole in the checkers; a
// file that no longer applies is a test that no longer tests.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export type Bug = { readonly name: string; readonly why: string; readonly file: string; readonly before: string; readonly after: string };

export type BugReport = {
  readonly name: string;
  readonly why: string;
  /** Null: not caught within the hours that were given. */
  readonly caughtAfterHours: number | null;
  readonly invariant: string | null;
  readonly seed: number | null;
};

/** Reads one file of the zoo: `# why`, `file PATH`, `- line as it is`, `+ line made wrong`. */
export function parseBug(name: string, text: string): Bug {
  const field = (prefix: string): string => {
    const line = text.split('\n').find((one) => one.startsWith(prefix));
    if (line === undefined) throw new Error(`${name}: there is no line that starts with "${prefix}"; write one`);
    return line.slice(prefix.length).trim();
  };
  return { name, why: field('# '), file: field('file '), before: field('- '), after: field('+') };
}

export function readBugs(folder: string): Bug[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt')).sort();
  return files.map((file) => parseBug(basename(file, '.txt'), readFileSync(join(folder, file), 'utf8')));
}

/** The text with the fault in it; an error when the line is not there exactly once. */
export function applyBug(bug: Bug, source: string): string {
  const parts = source.split(bug.before);
  if (parts.length !== 2) {
    throw new Error(`${bug.name}: ${bug.file} has the line "${bug.before}" ${parts.length - 1} times, not once; bring the file up to date`);
  }
  return parts.join(bug.after);
}

/** A copy of what a simulation needs, with the fault in it. */
export function plantBug(bug: Bug, root: string, target: string): void {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, 'node_modules/@continuum'), { recursive: true });
  for (const part of ['packages/core', 'packages/sim']) cpSync(join(root, part), join(target, part), { recursive: true });
  symlinkSync('../../packages/core', join(target, 'node_modules/@continuum/core'));
  cpSync(join(root, 'package.json'), join(target, 'package.json'));
  const path = join(target, bug.file);
  writeFileSync(path, applyBug(bug, readFileSync(path, 'utf8')));
}

/** Every bug of a folder, each in a copy of its own, `threads` at a time. */
export async function huntAll(
  bugs: readonly Bug[],
  options: { readonly root: string; readonly hoursMax: number; readonly threads: number; readonly onReport?: (report: BugReport) => void },
): Promise<BugReport[]> {
  const folder = mkdtempSync(join(tmpdir(), 'continuum-bugs-'));
  const reports = new Map<string, BugReport>();
  const waiting = [...bugs];
  const work = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const target = join(folder, bug.name);
      plantBug(bug, options.root, target);
      const report = await hunt(bug, target, { hoursMax: options.hoursMax, seed: 1 });
      reports.set(bug.name, report);
      options.onReport?.(report);
    }
  };
  try {
    await Promise.all(Array.from({ length: options.threads }, work));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return bugs.flatMap(({ name }) => reports.get(name) ?? []);
}

/** Runs seeds against the copy until one is violated or the hours are used up. */
export async function hunt(bug: Bug, target: string, options: { hoursMax: number; seed: number }): Promise<BugReport> {
  const script = join(target, 'packages/sim/src/hunt-worker.ts');
  const child = spawn(process.execPath, [script, String(options.seed), String(options.hoursMax)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${bug.name}: the hunt ended with code ${code}`);
  const found = JSON.parse(output) as { hours: number; invariant: string | null; seed: number | null };
  const caughtAfterHours = found.invariant === null ? null : found.hours;
  return { name: bug.name, why: bug.why, caughtAfterHours, invariant: found.invariant, seed: found.seed };
}
