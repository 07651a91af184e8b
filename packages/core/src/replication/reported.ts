// What a lag prober told this controller. It sees both ends, the controller only one; but it is another process, so its word
// counts in one direction only: a fresh objection keeps a standby out of the in-sync set and a planned switchover from
// starting. No report, an old one and a good one are all the same to a decision.
//
// An unplanned takeover is not refused on it: the standby of a primary that just died looks "not streaming" before it looks
// "primary silent". Its figures are what an operator is told before forcing one.

import type { MonoMs } from '../types.ts';
import { unknownReading } from './reading.ts';
import type { Reading } from './reading.ts';
import { lossText } from './report.ts';
import type { StandbyReport } from './report.ts';
import type { RefusalReason } from './verdict.ts';

export type ReportedStandby = Pick<StandbyReport, 'name' | 'verdict' | 'verdictForMs' | 'lag' | 'syncState'> & {
  readonly loss: Omit<StandbyReport['loss'], 'text'>;
};

export type LagReport = {
  readonly cluster: string;
  /** How often its prober looks. */
  readonly intervalMs: number;
  readonly primary: { readonly name: string; readonly ageMs: number } | null;
  readonly standbys: readonly ReportedStandby[];
};

export type GivenReport = { readonly report: LagReport; readonly receivedMs: MonoMs };

/** Two reports may be lost or late before nothing is known any more; a prober that looks often gets a second all the same. */
const FRESH_INTERVALS = 2.5;
const FRESH_MS_MIN = 1_000;

/** Until when it counts. */
export function reportGoodUntilMs({ report, receivedMs }: GivenReport): MonoMs {
  return (receivedMs + Math.max(FRESH_MS_MIN, FRESH_INTERVALS * report.intervalMs)) as MonoMs;
}

export type Objection = { readonly reason: RefusalReason; readonly detail: string; readonly ageMs: number };

/** The prober's objection to this standby, if it has one and is heard. */
export function objectionTo(given: GivenReport | null, region: string, nowMs: MonoMs): Objection | null {
  if (given === null || nowMs >= reportGoodUntilMs(given)) return null;
  const verdict = standbyIn(given, region)?.verdict;
  if (verdict?.kind !== 'notPromotable') return null;
  return { reason: verdict.reason, detail: verdict.detail, ageMs: nowMs - given.receivedMs };
}

export type ReportNow = LagReport & { readonly ageMs: number; readonly fresh: boolean };

/** The report as it is to be read now: every age grown by the time since, and nothing known of a prober that fell silent. */
export function reportNow(given: GivenReport, nowMs: MonoMs): ReportNow {
  const { report, receivedMs } = given;
  const ageMs = nowMs - receivedMs;
  const fresh = nowMs < reportGoodUntilMs(given);
  const primary = report.primary === null ? null : { ...report.primary, ageMs: report.primary.ageMs + ageMs };
  return { ...report, primary, standbys: report.standbys.map((one) => aged(one, ageMs, fresh)), ageMs, fresh };
}

/** One sentence for who is asked whether to force a takeover of this region, and for the record. Never "nothing" of what is not known. */
export function lossSentence(given: GivenReport | null, region: string, nowMs: MonoMs): string {
  if (given === null) return 'what would be lost is unknown: no lag prober reports to this controller';
  const { standbys, ageMs } = reportNow(given, nowMs);
  const standby = standbys.find((one) => one.name === region);
  const by = `says the lag prober, heard ${seconds(ageMs)} ago`;
  if (standby === undefined) return `what would be lost is unknown: ${region} is not a standby, ${by}`;
  const { bytes, milliseconds, commits } = standby.loss;
  const text = lossText({ lossBytes: bytes, lossMs: milliseconds, lossCommits: commits }, standby.syncState);
  if (text.startsWith('unknown')) return `what would be lost is ${text}, ${by}`;
  const how = milliseconds.value === null ? commits : milliseconds;
  return `would lose: ${text} (${how.source}, ${how.confidence}), ${by}`;
}

function standbyIn({ report }: GivenReport, region: string): ReportedStandby | undefined {
  return report.standbys.find((one) => one.name === region);
}

function aged(standby: ReportedStandby, sinceMs: number, fresh: boolean): ReportedStandby {
  const { verdict, verdictForMs, lag, loss } = standby;
  const grow = (reading: Reading): Reading => {
    const ageMs = reading.ageMs === null ? null : reading.ageMs + sinceMs;
    // An estimate says how old it is, and is all that an operator has when the prober died with the primary.
    if (fresh || reading.value === null || reading.confidence === 'weak') return { ...reading, ageMs };
    return unknownReading(reading.unit, `the lag prober was last heard ${seconds(sinceMs)} ago`, ageMs);
  };
  return {
    ...standby,
    verdict: fresh ? verdict : { kind: 'unknown', reason: 'standby-silent', detail: `the lag prober was last heard ${seconds(sinceMs)} ago` },
    verdictForMs: fresh && verdictForMs !== null ? verdictForMs + sinceMs : null,
    lag: { bytes: grow(lag.bytes), milliseconds: grow(lag.milliseconds) },
    loss: { bytes: grow(loss.bytes), milliseconds: grow(loss.milliseconds), commits: grow(loss.commits) },
  };
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
