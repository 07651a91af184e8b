// What an exploration must have come across to prove anything: a search that never saw a takeover has shown nothing about takeovers.

import type { Scope } from './explore-scope.ts';
import { NAMES } from './explore-scope.ts';

export const EXPLORED_MARKS = [
  'takeover',
  'switchover',
  'same-region-again',
  'late-answer',
  'late-grant-answered',
  'late-promotion',
  'crash-between-fence-and-promote',
  'paused-holder-resumed-past-validity',
  'in-sync-narrowed',
  'write-not-acknowledged',
  'operation-failed',
  'switchover-given-up-or-returned',
] as const;

export type ExploredMark = (typeof EXPLORED_MARKS)[number];

export function marksOf(before: Scope, label: string, after: Scope, found: Map<ExploredMark, number>): void {
  const mark = (name: ExploredMark): void => void found.set(name, (found.get(name) ?? 0) + 1);
  if (after.record.epoch > before.record.epoch && before.record.epoch > 0) {
    const planned = after.record.handover !== null;
    const same = before.granted.at(-1)?.region === after.record.holder;
    mark(planned ? 'switchover' : same ? 'same-region-again' : 'takeover');
  }
  if (label.endsWith('arrives late') && label.startsWith('reply')) mark('late-answer');
  if (label.startsWith('acquire') && label.endsWith('arrives late') && after.record.epoch > before.record.epoch) mark('late-grant-answered');
  if (label.startsWith('promote') && label.endsWith('late')) mark('late-promotion');
  if (label.endsWith('fails')) mark('operation-failed');
  if (after.record.inSync.length < before.record.inSync.length && after.record.epoch === before.record.epoch) mark('in-sync-narrowed');
  if (label.startsWith('a write') && after.acknowledged.length === before.acknowledged.length) mark('write-not-acknowledged');
  for (const index of [0, 1] as const) {
    const { state, paused } = before.regions[index];
    const { phase, grant } = state;
    const ends = label === `controller of ${NAMES[index]} restarts` || label === `database of ${NAMES[index]} dies`;
    if (ends && phase.kind === 'promoting' && before.record.epoch > 1) mark('crash-between-fence-and-promote');
    const resumes = paused && label === `controller of ${NAMES[index]} continues`;
    if (resumes && grant !== null && grant.validUntilMs <= before.nowMs) mark('paused-holder-resumed-past-validity');
    const gone = after.regions[index].state.phase;
    if (phase.kind !== 'handing-over') continue;
    if (phase.step === 'returning' ? gone.kind !== 'handing-over' : gone.kind === 'active') mark('switchover-given-up-or-returned');
  }
}

export function missingMarks(found: ReadonlyMap<ExploredMark, number>): ExploredMark[] {
  return EXPLORED_MARKS.filter((name) => !found.has(name));
}
