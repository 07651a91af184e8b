// From a seed that fails after hours to the few faults that matter: takes away rounds, then single faults, as long as the same
// invariant still breaks, and prints what is left as a scenario that a person can follow.

import type { Found } from './bug-zoo.ts';
import type { PlannedRound } from './nemesis/index.ts';
import type { RunOptions, RunResult } from './run.ts';
import { runSeed } from './run.ts';
import { renderText } from './timeline.ts';

const TRIES_MAX = 2_000;
const LAST_LINES = 80;

export type Shrunk = {
  readonly plan: readonly PlannedRound[];
  readonly result: RunResult;
  readonly tries: number;
  /** The plan alone leads to the violation again. */
  readonly repeats: boolean;
};

/** Null when the seed does not fail. */
export function shrink(options: RunOptions): Shrunk | null {
  const first = runSeed({ ...options, plan: options.plan ?? null });
  if (first.violation === null) return null;
  const { invariant } = first.violation;
  let tries = 0;
  const fails = (plan: readonly PlannedRound[]): boolean => {
    if (tries >= TRIES_MAX) return false;
    tries++;
    return runSeed({ ...options, plan }).violation?.invariant === invariant;
  };
  let plan: readonly PlannedRound[] = first.plan;
  // A plan starts each fault where it was seen: mostly the same run; if not, the seed itself is all there is.
  if (!fails(plan)) return { plan, result: runSeed({ ...options, traced: true }), tries, repeats: false };
  plan = fewer(plan, fails);
  plan = plan.map((_round, index) => index).reduce<readonly PlannedRound[]>((current, index) => {
    const round = current[index] as PlannedRound;
    const withFaults = (faults: PlannedRound['faults']): PlannedRound[] =>
      current.map((one, at) => (at === index ? { ...one, faults } : one));
    const kept = fewer(round.faults, (faults) => fails(withFaults(faults)));
    return withFaults(kept);
  }, plan);
  return { plan, result: runSeed({ ...options, plan, traced: true }), tries, repeats: true };
}

/** Delta debugging: leaves out halves, quarters, ..., single items while it still fails. */
export function fewer<T>(items: readonly T[], fails: (items: readonly T[]) => boolean): readonly T[] {
  let current = items;
  for (let size = Math.ceil(current.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < current.length; ) {
      const without = [...current.slice(0, start), ...current.slice(start + size)];
      if (fails(without)) current = without;
      else start += size;
    }
  }
  return current;
}

/** As a file of test/seeds holds it, but for what a person must say; null when the plan alone does not lead to it again. */
export function keptOf(seed: number, { plan, result, repeats }: Shrunk): Found | null {
  const { violation } = result;
  if (!repeats || violation === null) return null;
  return { found: violation.detail, plantedAs: 'NAME of the file of test/bugs', invariant: violation.invariant, seed, plan };
}

export function renderShrunk(seed: number, shrunk: Shrunk): string {
  const { plan, result, tries } = shrunk;
  const faults = plan.flatMap((round, index) =>
    round.faults.map(({ offsetMs, name }) => `  round ${index + 1}, +${Math.round(offsetMs)} ms: ${name}`),
  );
  const { violation, trace } = result;
  const kept = keptOf(seed, shrunk);
  const lines = trace === null ? '' : renderText(trace, LAST_LINES);
  const keep =
    kept === null
      ? 'The faults alone, at the moments at which they were seen, do not lead to it again: this plan is none for test/seeds.'
      : `To keep it in test/seeds: say in "found" what was wrong, and in "plantedAs" which fault of test/bugs it is.\n${JSON.stringify(kept, null, 1)}`;
  return `seed ${seed} after ${tries} tries: ${faults.length} faults lead to ${violation?.detail ?? 'nothing'}\n${faults.join('\n')}\n\n${lines}\n${keep}\n`;
}
