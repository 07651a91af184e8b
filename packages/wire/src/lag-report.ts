// What a lag prober tells the controller beside it: one report per line over a unix socket, nothing back. Only what the
// controller uses is read. A report that contradicts itself is refused whole: a number that is not known must not come in as one.

import type { LagReport, ReportedStandby } from '@continuum/core/replication/reported';
import type { RefusalReason, UnknownReason } from '@continuum/core/replication/verdict';
import { z } from 'zod';

/** One report, with a thousand times what a pair needs. */
export const LAG_REPORT_LENGTH_MAX = 65_536;
const STANDBYS_MAX = 16;
const INTERVAL_MS_MAX = 600_000;

const text = z.string('use a text').max(1_000, 'use at most 1000 characters');
const word = z.string('use a text').min(1, 'do not leave it empty').max(63, 'use at most 63 characters');
const amount = z.number('use a number').min(0, 'use 0 or more');

const REFUSALS: Readonly<Record<RefusalReason, true>> = {
  'foreign-cluster': true,
  'another-primary': true,
  'timeline-ahead': true,
  'replay-paused': true,
  'slot-lost': true,
  'not-streaming': true,
  'receiver-stalled': true,
  'replay-stalled': true,
  'loss-over-limit': true,
  'replay-lag-over-limit': true,
};
const UNKNOWNS: Readonly<Record<UnknownReason, true>> = {
  'never-measured': true,
  'standby-silent': true,
  'primary-never-seen': true,
  'primary-silent': true,
  'two-primaries': true,
  'timeline-unknown': true,
  'timeline-behind': true,
  'history-unproven': true,
  'lag-unknown': true,
  'weak-evidence-only': true,
};
const oneOf = <T extends string>(words: Readonly<Record<T, true>>) => z.enum(Object.keys(words) as [T, ...T[]], `use one of ${Object.keys(words).join(', ')}`);

const verdict = z.discriminatedUnion(
  'kind',
  [
    z.object({ kind: z.literal('promotable') }),
    z.object({ kind: z.literal('notPromotable'), reason: oneOf(REFUSALS), detail: text }),
    z.object({ kind: z.literal('unknown'), reason: oneOf(UNKNOWNS), detail: text }),
  ],
  'use promotable, notPromotable or unknown',
);

const readingIn = <U extends 'bytes' | 'milliseconds' | 'commits'>(unit: U) =>
  z
    .object({
      value: amount.nullable(),
      unit: z.literal(unit, `use ${unit}`),
      ageMs: amount.nullable(),
      source: z.enum(['both-ends', 'primary', 'exporter', 'none'], 'use both-ends, primary, exporter or none'),
      confidence: z.enum(['proven', 'bounded', 'weak', 'none'], 'use proven, bounded, weak or none'),
      reason: text.nullable(),
    })
    .refine((one) => (one.value === null) === (one.confidence === 'none'), { path: ['value'], message: 'use null for what is not known, and only for that' })
    .refine((one) => one.value === null || one.ageMs !== null, { path: ['ageMs'], message: 'say how old a value is' });

const standby = z.object({
  name: word,
  verdict,
  verdictForMs: amount.nullable(),
  syncState: word.nullable(),
  lag: z.object({ bytes: readingIn('bytes'), milliseconds: readingIn('milliseconds') }),
  loss: z.object({ bytes: readingIn('bytes'), milliseconds: readingIn('milliseconds'), commits: readingIn('commits') }),
});

const head = z.object({ cluster: word });

const lagReport = z.object({
  cluster: word,
  intervalMs: z.number('use a number').min(1, 'use 1 or more').max(INTERVAL_MS_MAX, `use at most ${INTERVAL_MS_MAX}`),
  primary: z.object({ name: word, ageMs: amount }).nullable(),
  standbys: z.array(standby).max(STANDBYS_MAX, `name at most ${STANDBYS_MAX}`),
});

export type ReadReport =
  /** Null: about another cluster; a prober may watch several. */
  | { readonly ok: true; readonly report: LagReport | null }
  /** Every field that is wrong, and how it would be right. */
  | { readonly ok: false; readonly problem: string };

/** Reads one line. `cluster` and `regions` are the controller's own. */
export function readLagReport(line: string, { cluster, regions }: { readonly cluster: string; readonly regions: readonly string[] }): ReadReport {
  const value = parseJson(line);
  if (value === undefined) return { ok: false, problem: '(line): not JSON' };
  const named = head.safeParse(value);
  if (named.success && named.data.cluster !== cluster) return { ok: true, report: null };
  const parsed = lagReport.safeParse(value);
  if (!parsed.success) return { ok: false, problem: parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || '(line)'}: ${issue.message}`).join('; ') };
  const report: LagReport = parsed.data;
  const strange = strangers(report, regions);
  return strange === null ? { ok: true, report } : { ok: false, problem: strange };
}

function strangers({ standbys, primary }: LagReport, regions: readonly string[]): string | null {
  const fix = `name the prober's ends as the specification names its regions: ${regions.join(', ')}`;
  const at = standbys.findIndex((one: ReportedStandby) => !regions.includes(one.name));
  if (at >= 0) return `standbys.${at}.name: ${JSON.stringify(standbys[at]?.name)}; ${fix}`;
  if (new Set(standbys.map((one) => one.name)).size !== standbys.length) return 'standbys: name each once';
  return primary === null || regions.includes(primary.name) ? null : `primary.name: ${JSON.stringify(primary.name)}; ${fix}`;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
