// Breadth first over the small scope: every order of every message, loss, failure, crash and pause up to as many states as asked
// for, each checked. The first violation comes with the shortest path to it.

import { AssertionError } from '@continuum/core';
import type { Budget, Scope } from './explore-scope.ts';
import { ScopeViolation, canonical, check, firstScope, moves } from './explore-scope.ts';

const EPOCH_MAX = 2;
const WARM_UP_STEPS = 200;

export type ExploreReport = {
  readonly states: number;
  readonly depth: number;
  /** Nothing is left that could happen. */
  readonly exhausted: boolean;
  readonly violation: { readonly detail: string; readonly path: readonly string[] } | null;
};

export type ExploreLimits = Budget & { readonly statesMax: number };

export function explore(limits: ExploreLimits): ExploreReport {
  const first = steady(limits);
  const seen = new Set<number>([fingerprint(first)]);
  const parents: number[] = [-1];
  const labels: string[] = ['one region active, the other in sync'];
  let frontier: { scope: Scope; index: number }[] = [{ scope: first, index: 0 }];
  let depth = 0;
  const path = (index: number): string[] => {
    const steps: string[] = [];
    for (let at = index; at >= 0; at = parents[at] ?? -1) steps.push(labels[at] ?? '');
    return steps.reverse();
  };
  while (frontier.length > 0) {
    const next: typeof frontier = [];
    for (const { scope, index } of frontier) {
      const outcome = expand(scope);
      if ('detail' in outcome) {
        return { states: seen.size, depth, exhausted: false, violation: { detail: outcome.detail, path: [...path(index), outcome.label] } };
      }
      for (const move of outcome.moves) {
        const print = fingerprint(move.scope);
        if (seen.has(print)) continue;
        if (seen.size >= limits.statesMax) return { states: seen.size, depth, exhausted: false, violation: null };
        seen.add(print);
        parents.push(index);
        labels.push(move.label);
        if (move.scope.record.epoch <= EPOCH_MAX) next.push({ scope: move.scope, index: parents.length - 1 });
      }
    }
    frontier = next;
    depth++;
  }
  return { states: seen.size, depth, exhausted: true, violation: null };
}

type Expanded = { readonly moves: ReturnType<typeof moves> } | { readonly detail: string; readonly label: string };

function expand(scope: Scope): Expanded {
  let label = 'a move that breaks an assertion';
  try {
    const next = moves(scope);
    for (const move of next) {
      label = move.label;
      check(move.scope);
    }
    return { moves: next };
  } catch (error) {
    if (error instanceof ScopeViolation || error instanceof AssertionError) return { detail: error.message, label };
    throw error;
  }
}

/** The first day, without faults, until the first region is active and the second in sync. */
function steady(limits: ExploreLimits): Scope {
  let scope = firstScope({ crashes: 0, pauses: 0, switchovers: 0, losses: 0 });
  for (let count = 0; count < WARM_UP_STEPS; count++) {
    const happy = moves(scope).filter(({ label }) => label.endsWith('arrives') || label.endsWith('succeeds'));
    scope = (happy[0] ?? moves(scope)[0])?.scope ?? scope;
    const [first] = scope.regions;
    if (first.state.phase.kind === 'active' && scope.record.inSync.length === 2 && scope.messages.length === 0) {
      const { crashes, pauses, switchovers, losses } = limits;
      return { ...scope, crashes, pauses, switchovers, losses };
    }
  }
  throw new Error('the small scope does not come to rest without faults');
}

/** 52 bits of two independent hashes: at 10^6 states the chance that any two collide is about one in ten thousand. */
function fingerprint(scope: Scope): number {
  const text = canonical(scope);
  let [left, right] = [0x811c9dc5, 0x9e3779b9];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    left = Math.imul(left ^ code, 0x01000193);
    right = Math.imul(right ^ code, 0x85ebca6b) ^ (right >>> 13);
  }
  return (left >>> 0) * 2 ** 20 + ((right >>> 0) & 0xfffff);
}
