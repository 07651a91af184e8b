// The bug zoo: each file in test/bugs is one line of the core made wrong. The runner applies each to a copy of the core and the
// simulator, and reports after how many simulated hours it is caught. A fault that is not caught is a hole in the checkers; a
// file that no longer applies is a test that no longer tests.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { PlannedRound } from './nemesis/index.ts';
import type { WorldOptions } from './options.ts';

export type Bug = {
  readonly name: string;
  readonly why: string;
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** What every world of its hunt has; the rest is drawn. */
  readonly pinned: Partial<WorldOptions>;
};

/** One line of one file, made another. */
export type Change = Pick<Bug, 'name' | 'file' | 'before' | 'after'>;

export type BugReport = {
  readonly name: string;
  readonly why: string;
  /** Null: not caught within the hours that were given. */
  readonly caughtAfterHours: number | null;
  readonly invariant: string | null;
  readonly seed: number | null;
};

/**
 * Reads one file of the zoo: `# why`, `file PATH`, `- line as it is`, `+ line made wrong`, and where the fault shows only in few of the
 * worlds that are drawn, `world {...}` with the options that all of them shall have.
 */
export function parseBug(name: string, text: string): Bug {
  const find = (prefix: string): string | undefined => text.split('\n').find((one) => one.startsWith(prefix));
  const field = (prefix: string): string => {
    const line = find(prefix);
    if (line === undefined) throw new Error(`${name}: there is no line that starts with "${prefix}"; write one`);
    return line.slice(prefix.length).trim();
  };
  return { name, why: field('# '), file: field('file '), before: field('- '), after: field('+'), pinned: pinnedBy(name, find('world ')) };
}

function pinnedBy(name: string, line: string | undefined): Partial<WorldOptions> {
  if (line === undefined) return {};
  try {
    return JSON.parse(line.slice('world '.length)) as Partial<WorldOptions>;
  } catch (error) {
    throw new Error(`${name}: the line "${line}" has no JSON after "world"; write the options of a world, such as world {"resolvers":null}`, { cause: error });
  }
}

export function readBugs(folder: string): Bug[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt')).sort();
  return files.map((file) => parseBug(basename(file, '.txt'), readFileSync(join(folder, file), 'utf8')));
}

/** The text with the fault in it; an error when the line is not there exactly once. */
export function applyBug(bug: Change, source: string): string {
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

/** What the search of the small scope makes of a fault; `moves` is null when it does not see it. */
export type SearchReport = { readonly name: string; readonly states: number; readonly violation: string | null; readonly moves: number | null };

export type ZooOptions<T> = { readonly root: string; readonly threads: number; readonly onReport?: (report: T) => void };

/** Every bug of a folder, each in a copy of its own, `threads` at a time: after how many simulated hours is it caught? */
export function huntAll(bugs: readonly Bug[], options: ZooOptions<BugReport> & { readonly hoursMax: number }): Promise<BugReport[]> {
  return inCopies(bugs, options, plantBug, (bug, target) => hunt(bug, target, { hoursMax: options.hoursMax, seed: 1 }));
}

/** The same for the search: at what depth, within so many states? */
export function searchAll(bugs: readonly Bug[], options: ZooOptions<SearchReport> & { readonly statesMax: number }): Promise<SearchReport[]> {
  return inCopies(bugs, options, plantBug, async (bug, target) => {
    const found = (await runWorker(bug, target, 'explore-worker.ts', [options.statesMax])) as Omit<SearchReport, 'name'>;
    return { name: bug.name, ...found };
  });
}

/** Works on each in a folder of its own, which `plant` fills and which is gone afterwards. */
export async function inCopies<B extends { readonly name: string }, T>(
  bugs: readonly B[],
  { root, threads, onReport }: ZooOptions<T>,
  plant: (bug: B, root: string, target: string) => void,
  work: (bug: B, target: string) => Promise<T>,
): Promise<T[]> {
  const folder = mkdtempSync(join(tmpdir(), 'continuum-bugs-'));
  const reports = new Map<string, T>();
  const waiting = [...bugs];
  const next = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const target = join(folder, bug.name);
      plant(bug, root, target);
      const report = await work(bug, target);
      reports.set(bug.name, report);
      onReport?.(report);
    }
  };
  try {
    await Promise.all(Array.from({ length: threads }, next));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return bugs.flatMap(({ name }) => reports.get(name) ?? []);
}

/** Runs seeds against the copy until one is violated or the hours are used up. */
export async function hunt(bug: Bug, target: string, options: { hoursMax: number; seed: number }): Promise<BugReport> {
  type Found = { hours: number; invariant: string | null; seed: number | null };
  const found = (await runWorker(bug, target, 'hunt-worker.ts', [options.seed, options.hoursMax, JSON.stringify(bug.pinned)])) as Found;
  const caughtAfterHours = found.invariant === null ? null : found.hours;
  return { name: bug.name, why: bug.why, caughtAfterHours, invariant: found.invariant, seed: found.seed };
}

/** A seed with its few faults, kept in test/seeds: what was found once and mended. */
export type Found = {
  readonly found: string;
  readonly plantedAs: string;
  readonly invariant: string;
  readonly seed: number;
  readonly plan: readonly PlannedRound[];
};

/** Replays each of the kept seeds with its own fault planted: the invariant that breaks, or null where the seed has gone stale. */
export async function replayPlanted(found: readonly Found[], bugs: readonly Bug[], root: string): Promise<Map<string, string | null>> {
  const reports = await inCopies(bugs.filter(({ name }) => found.some(({ plantedAs }) => plantedAs === name)), { root, threads: 2 }, plantBug, async (bug, target) => {
    const kept = found.filter(({ plantedAs }) => plantedAs === bug.name);
    return { broken: (await runWorker(bug, target, 'replay-worker.ts', [JSON.stringify(kept)])) as [string, string | null][] };
  });
  return new Map(reports.flatMap(({ broken }) => broken));
}

function runWorker(bug: Bug, target: string, script: string, args: readonly (number | string)[]): Promise<unknown> {
  return runScript(bug.name, join(target, 'packages/sim/src', script), args);
}

/** One line of JSON from a script. */
export async function runScript(name: string, path: string, args: readonly (number | string)[]): Promise<unknown> {
  const child = spawn(process.execPath, [path, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${name}: ${basename(path)} ended with code ${code}`);
  return JSON.parse(output);
}
