// Breadth first over the small scope: every order of every message and every fault that the budget pays for, up to as many states as
// asked for, each checked. The first violation comes with the shortest path to it.
//
// A state is kept as eight bytes of hash and the move that led to it from its parent; what it was is worked out again from the path.
// States of one layer lie in the order of their parents, so that the next path mostly shares all but its last moves with the one before.

import { AssertionError } from '@continuum/core';
import { FingerprintSet, fingerprint } from './explore-hash.ts';
import type { ExploredMark } from './explore-marks.ts';
import { EXPLORED_MARKS, marksOf, missingMarks } from './explore-marks.ts';
import { check, moves } from './explore-moves.ts';
import type { Move } from './explore-moves.ts';
import type { Budget, Scope } from './explore-scope.ts';
import { ScopeViolation, firstScope } from './explore-scope.ts';
import { withoutGlobals } from './forbid-globals.ts';

const EPOCH_MAX = 2;
const WARM_UP_MOVES = 300;

export type ExploreReport = {
  readonly states: number;
  readonly depth: number;
  /** Nothing is left that the budget allows. */
  readonly exhausted: boolean;
  readonly violation: { readonly detail: string; readonly path: readonly string[] } | null;
  readonly marks: Readonly<Partial<Record<ExploredMark, number>>>;
  readonly missingMarks: readonly ExploredMark[];
};

export type ExploreLimits = Budget & { readonly statesMax: number };

const NOTHING: Budget = { crashes: 0, pauses: 0, losses: 0, delays: 0, switchovers: 0, writes: 0 };
const PAIRS = [
  ['crashes', 'switchovers'],
  ['losses', 'delays'],
  ['delays', 'switchovers'],
  ['pauses', 'switchovers'],
  ['pauses', 'losses'],
  ['losses', 'switchovers'],
  ['crashes', 'losses'],
  ['crashes', 'pauses'],
  ['pauses', 'delays'],
  ['crashes', 'delays'],
] as const;

/** Each fault alone; every two of them; every two and a write between them; then all of them at once. */
export const BUDGETS: readonly Budget[] = [
  ...(['crashes', 'pauses', 'losses', 'switchovers'] as const).map((one) => ({ ...NOTHING, writes: 1, [one]: 1 })),
  { ...NOTHING, delays: 1 },
  ...PAIRS.map(([one, other]) => ({ ...NOTHING, [one]: 1, [other]: 1 })),
  ...PAIRS.map(([one, other]) => ({ ...NOTHING, writes: 1, [one]: 1, [other]: 1 })),
  { crashes: 1, pauses: 1, losses: 1, delays: 1, switchovers: 1, writes: 1 },
];

export type Searched = { readonly budget: Budget; readonly report: ExploreReport };
export type ExploreAllReport = ExploreReport & { readonly searched: readonly Searched[] };

/** Goes through the budgets until the states are used up; none gets more than a sixth of what is left. */
export function exploreAll(statesMax: number, onSearched: (searched: Searched) => void = () => undefined): ExploreAllReport {
  const searched: Searched[] = [];
  const found = new Map<ExploredMark, number>();
  let [states, depth] = [0, 0];
  for (const [at, budget] of BUDGETS.entries()) {
    const share = Math.ceil((statesMax - states) / Math.min(BUDGETS.length - at, SHARE_OF));
    if (share < 1) break;
    const report = explore({ ...budget, statesMax: share });
    searched.push({ budget, report });
    onSearched({ budget, report });
    states += report.states;
    depth = Math.max(depth, report.depth);
    for (const name of EXPLORED_MARKS) if (report.marks[name] !== undefined) found.set(name, (found.get(name) ?? 0) + report.marks[name]);
    if (report.violation !== null) break;
  }
  const exhausted = searched.length === BUDGETS.length && searched.every(({ report }) => report.exhausted);
  const violation = searched.at(-1)?.report.violation ?? null;
  return { states, depth, exhausted, violation, marks: Object.fromEntries(found), missingMarks: missingMarks(found), searched };
}

const SHARE_OF = 6;

export function explore(limits: ExploreLimits): ExploreReport {
  return withoutGlobals(() => search(limits));
}

function search({ statesMax, ...budget }: ExploreLimits): ExploreReport {
  const start = steady(budget);
  if ('scope' in start) return new Search(start.scope, statesMax).run();
  return { states: 1, depth: 0, exhausted: false, violation: start.violation, marks: {}, missingMarks: EXPLORED_MARKS };
}

class Search {
  readonly #statesMax: number;
  readonly #seen: FingerprintSet;
  readonly #parents: Int32Array;
  readonly #via: Uint8Array;
  readonly #found = new Map<ExploredMark, number>();
  /** The path that was worked out last: states and their numbers, from the first on. */
  #trail: { readonly state: number; readonly scope: Scope }[];
  #states = 1;

  constructor(first: Scope, statesMax: number) {
    this.#statesMax = statesMax;
    this.#seen = new FingerprintSet(statesMax);
    this.#seen.add(fingerprint(first));
    this.#parents = new Int32Array(statesMax + 1);
    this.#via = new Uint8Array(statesMax + 1);
    this.#trail = [{ state: 0, scope: first }];
  }

  run(): ExploreReport {
    let [from, to, depth] = [0, 1, 0];
    for (; from < to; depth++) {
      for (let state = from; state < to; state++) {
        const ended = this.#expand(state);
        if (ended !== null) return this.#report(depth + 1, false, ended === 'full' ? null : ended);
      }
      [from, to] = [to, this.#states];
    }
    return this.#report(depth, true, null);
  }

  #expand(state: number): ExploreReport['violation'] | 'full' {
    const scope = this.#scopeOf(state);
    if (scope.record.epoch > EPOCH_MAX) return null;
    const next = moves(scope);
    for (let index = 0; index < next.length; index++) {
      const move = next[index] as Move;
      const taken = take(scope, move);
      if ('detail' in taken) return { detail: taken.detail, path: [...this.#labels(state), move.label] };
      marksOf(scope, move.label, taken.scope, this.#found);
      if (!this.#seen.add(fingerprint(taken.scope))) continue;
      this.#parents[this.#states] = state;
      this.#via[this.#states] = index;
      this.#states++;
      if (this.#states > this.#statesMax) return 'full';
    }
    return null;
  }

  /** Works the state out again, from the last one that its path shares with the path before it. */
  #scopeOf(state: number): Scope {
    const path = this.#path(state);
    let shared = 0;
    while (shared < path.length && this.#trail[shared]?.state === path[shared]) shared++;
    this.#trail.length = Math.max(1, shared);
    for (const one of path.slice(this.#trail.length)) {
      const { scope } = this.#trail.at(-1) as { scope: Scope };
      const move = moves(scope)[this.#via[one] as number] as Move;
      this.#trail.push({ state: one, scope: move.run() });
    }
    return (this.#trail.at(-1) as { scope: Scope }).scope;
  }

  #path(state: number): number[] {
    const path = [state];
    for (let at = state; at !== 0; at = this.#parents[at] as number) path.push(this.#parents[at] as number);
    return path.reverse();
  }

  #labels(state: number): string[] {
    let { scope } = this.#trail[0] as { scope: Scope };
    const steps = this.#path(state).slice(1).map((one) => {
      const move = moves(scope)[this.#via[one] as number] as Move;
      scope = move.run();
      return move.label;
    });
    return ['one region active, the other in sync', ...steps];
  }

  #report(depth: number, exhausted: boolean, violation: ExploreReport['violation']): ExploreReport {
    const marks = Object.fromEntries(this.#found);
    return { states: Math.min(this.#states, this.#statesMax), depth, exhausted, violation, marks, missingMarks: missingMarks(this.#found) };
  }
}

function take(before: Scope, move: Move): { readonly scope: Scope } | { readonly detail: string } {
  try {
    const scope = move.run();
    check(before, scope);
    return { scope };
  } catch (error) {
    if (error instanceof ScopeViolation || error instanceof AssertionError) return { detail: error.message };
    throw error;
  }
}

type Steady = { readonly scope: Scope } | { readonly violation: NonNullable<ExploreReport['violation']> };

/** The first day, without faults, until the first region is active and the second in sync. */
function steady(budget: Budget): Steady {
  let scope = firstScope(NOTHING);
  const path: string[] = ['the first day'];
  for (let count = 0; count < WARM_UP_MOVES; count++) {
    const [first, second] = scope.regions;
    const whole = first.state.phase.kind === 'active' && second.state.phase.kind === 'standby' && scope.record.inSync.length === 2;
    if (whole && scope.messages.length === 0) return { scope: { ...scope, budget } };
    const move = moves(scope)[0] as Move;
    const taken = take(scope, move);
    path.push(move.label);
    if ('detail' in taken) return { violation: { detail: taken.detail, path } };
    scope = taken.scope;
  }
  return { violation: { detail: 'L1: without any fault the two regions do not come to rest', path } };
}
