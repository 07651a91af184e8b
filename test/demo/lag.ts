// The standbys' lag as the lag probers told it to the controllers: the newest word on each region, and what a picture over
// time makes of it. What nobody knew stays unknown.

import type { Status } from '../../daemons/controller/src/status.ts';
import type { Check, LagSpan } from './timeline.ts';

export type LagNow = {
  readonly region: string;
  /** `promotable`, or the reason why not, or why nobody knows. */
  readonly verdict: string;
  /** Not replayed; null when unknown. */
  readonly milliseconds: number | null;
  readonly bytes: number | null;
  /** Age of the figures' evidence; null when there never was any. */
  readonly ageMs: number | null;
};

/** One per region that a prober calls a standby, out of each controller's status (null: it does not answer). */
export function lagNow(statuses: readonly (Status | null)[]): readonly LagNow[] {
  const told = statuses.flatMap((status) => {
    const reported = status?.replication.reported ?? null;
    return reported === null || !reported.fresh ? [] : reported.standbys.map((standby) => ({ standby, sees: reported.primary !== null }));
  });
  const regions = [...new Set(told.map(({ standby }) => standby.name))].sort();
  return regions.flatMap((region) => {
    const words = told.filter(({ standby }) => standby.name === region);
    // Two probers may see differently: who knows a figure is ahead, then who sees a primary at all.
    const rank = ({ standby, sees }: (typeof words)[number]): number => (standby.lag.bytes.value === null ? 0 : 2) + Number(sees);
    const [best] = words.sort((a, b) => rank(b) - rank(a));
    if (best === undefined) return [];
    const { verdict, lag } = best.standby;
    const { bytes, milliseconds } = lag;
    return [{ region, verdict: verdict.kind === 'promotable' ? verdict.kind : verdict.reason, milliseconds: milliseconds.value, bytes: bytes.value, ageMs: milliseconds.ageMs ?? bytes.ageMs }];
  });
}

export type LagSample = { readonly atMs: number; readonly lag: readonly LagNow[] };

/** Per region and bucket the worst that was said in it: a figure is the highest, and unknown is worse than any. */
export function lagSpans(samples: readonly LagSample[], bucketMs: number): readonly LagSpan[] {
  const buckets = new Map<string, LagSpan>();
  for (const { atMs, lag } of samples) {
    const fromMs = Math.floor(atMs / bucketMs) * bucketMs;
    for (const one of lag) {
      const key = `${one.region} ${fromMs}`;
      const next: LagSpan = { fromMs, toMs: fromMs + bucketMs, ...one };
      const before = buckets.get(key);
      buckets.set(key, before === undefined ? next : worse(before, next));
    }
  }
  return [...buckets.values()].sort((a, b) => a.fromMs - b.fromMs);
}

function worse(a: LagSpan, b: LagSpan): LagSpan {
  const [left, right] = [a.milliseconds ?? Infinity, b.milliseconds ?? Infinity];
  return right > left ? b : a;
}

/** Nothing may be shown of a region that is dead: not 0, and not what it was. */
export function checkDeadLag(samples: readonly LagSample[], dead: readonly { readonly region: string; readonly fromMs: number; readonly toMs: number }[], noticedMs: number): Check[] {
  // A site without probers shows no figure of anybody.
  if (samples.every(({ lag }) => lag.length === 0)) return [];
  return [...new Set(dead.map((one) => one.region))].map((region) => {
    const late = samples.flatMap(({ atMs, lag }) => {
      const isDead = dead.some((one) => one.region === region && atMs > one.fromMs + noticedMs && atMs < one.toMs);
      return isDead ? lag.filter((one) => one.region === region) : [];
    });
    const wrong = late.filter((one) => one.bytes !== null || one.milliseconds !== null || one.verdict === 'promotable');
    const reasons = [...new Set(late.map((one) => one.verdict))].join(', ');
    const evidence =
      wrong.length > 0
        ? `${wrong.length} of ${late.length} samples show ${wrong[0]?.bytes ?? 'no'} bytes, ${wrong[0]?.verdict ?? ''}`
        : `unknown or refused in all ${late.length} samples (${reasons || 'no prober spoke of it: nothing was tried'})`;
    return { name: `lag of dead ${region} is never a number`, passed: wrong.length === 0 && late.length > 0, evidence };
  });
}
