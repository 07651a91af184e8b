// Replication for people: every figure with its age, source and how sure it is. What is not known is the word, never a number.

import type { Reading } from '@continuum/core/replication/reading';
import type { Verdict } from '@continuum/core/replication/verdict';
import type { ReplicationStatus } from './status.ts';

export function verdictText(verdict: Verdict): string {
  return verdict.kind === 'promotable' ? 'promotable' : `${verdict.kind === 'unknown' ? 'unknown' : 'not promotable'} (${verdict.reason}: ${verdict.detail})`;
}

export function figureText({ value, unit, ageMs, source, confidence, reason }: Reading): string {
  const short = unit === 'milliseconds' ? 'ms' : unit;
  const age = ageMs === null ? '' : `, ${Math.round(ageMs)} ms old`;
  return value === null ? `unknown ${short} (${reason ?? 'not measured'}${age})` : `${Math.round(value)} ${short} (${confidence}, ${source}${age})`;
}

/** Rows of `continuum status`. */
export function replicationRows({ members, reported, forcedLoss }: ReplicationStatus): [string, string][] {
  const own = members.map(({ region, verdict, forMs, ageMs }): [string, string] => {
    return [`standby ${region}`, `${verdictText(verdict)}${forMs === null ? '' : ` for ${seconds(forMs)}`}, by own looks, the last ${ageMs} ms ago`];
  });
  const told = (reported?.standbys ?? []).flatMap(({ name, verdict, lag, loss }): [string, string][] => [
    [`lag of ${name}`, `${figureText(lag.milliseconds)}, ${figureText(lag.bytes)}`],
    [`loss of ${name}`, `${figureText(loss.milliseconds)}, ${figureText(loss.commits)}`],
    [`prober on ${name}`, verdictText(verdict)],
  ]);
  const heard = reported === null ? 'never heard' : `heard ${seconds(reported.ageMs)} ago${reported.fresh ? '' : ': its word does not count any more'}`;
  return [...own, ...told, ['lag prober', heard], ...(forcedLoss === null ? [] : [['if forced here', forcedLoss] satisfies [string, string]])];
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
