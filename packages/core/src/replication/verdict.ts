// May this standby be promoted, as far as measurement can tell? Three answers, never two: what is not known is `unknown`
// and says why. The order of the questions is the order of their weight: the first that fails names the reason.

import type { Reading } from './reading.ts';
import type { EndSample, PrimarySample, StandbySample } from './sample.ts';

export type UnknownReason =
  | 'never-measured'
  | 'standby-silent'
  | 'primary-never-seen'
  | 'primary-silent'
  | 'two-primaries'
  | 'timeline-unknown'
  | 'timeline-behind'
  /** Never seen streaming from this primary: equal positions on forked histories would look like "nothing missing". */
  | 'history-unproven'
  | 'lag-unknown'
  | 'weak-evidence-only';

export type RefusalReason =
  | 'foreign-cluster'
  | 'another-primary'
  | 'timeline-ahead'
  | 'replay-paused'
  | 'slot-lost'
  | 'not-streaming'
  | 'receiver-stalled'
  /** As its primary sees it: it is connected, it is behind, and what it has replayed does not move. */
  | 'replay-stalled'
  | 'loss-over-limit'
  | 'replay-lag-over-limit';

export type Verdict =
  | { readonly kind: 'promotable' }
  | { readonly kind: 'notPromotable'; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: 'unknown'; readonly reason: UnknownReason; readonly detail: string };

/** What a promotion may cost at most. */
export type Limits = {
  /** Evidence older than this is no evidence. */
  readonly evidenceAgeMaxMs: number;
  /** Log that the standby does not have. */
  readonly lossMaxBytes: number;
  readonly lossMaxMs: number;
  /** Behind for so long without a byte arriving: stalled. */
  readonly stallMinMs: number;
  /** Log that it has not replayed: a promotion ends only when it has replayed all that it has. */
  readonly replayLagMaxBytes: number;
  readonly replayLagMaxMs: number;
};

/** All that a verdict rests on but the figures. */
export type StandbyEvidence = {
  readonly limits: Limits;
  /** The primary's newest sample, and its age; null when none was ever seen. */
  readonly primary: { readonly sample: PrimarySample; readonly ageMs: number } | null;
  /** More than one end says that it is the primary of the newest timeline. */
  readonly twoPrimaries: boolean;
  /** What the end answered as last. */
  readonly role: EndSample['role'] | null;
  readonly standby: { readonly sample: StandbySample; readonly ageMs: number } | null;
  /** Why the standby could not be measured lately, for the detail. */
  readonly problem: string | null;
  /** It was seen streaming from this primary on this timeline. */
  readonly linked: boolean;
  /** The primary has a walsender for it now, and the standby a receiver. */
  readonly streaming: boolean;
  readonly stalled: boolean;
  readonly slotLost: boolean;
};

/** The figures that a limit is set for. */
export type LimitedFigures = Readonly<Record<'lossBytes' | 'lossMs' | 'lagBytes' | 'lagMs', Reading>>;

export type StandbyFacts = StandbyEvidence & LimitedFigures;

export const PROMOTABLE: Verdict = { kind: 'promotable' };

const unknown = (reason: UnknownReason, detail: string): Verdict => ({ kind: 'unknown', reason, detail });
const refuse = (reason: RefusalReason, detail: string): Verdict => ({ kind: 'notPromotable', reason, detail });

/** The undebounced verdict on one standby. */
export function judgeStandby(facts: StandbyFacts): Verdict {
  return judgeBeforeFigures(facts) ?? judgeFigures(facts.limits, facts) ?? PROMOTABLE;
}

/** What can be said without figures; every verdict that is certain is among it. */
export function judgeBeforeFigures(evidence: StandbyEvidence): Verdict | null {
  const { limits, primary, twoPrimaries, role, standby, problem } = evidence;
  if (twoPrimaries) return unknown('two-primaries', 'more than one end is a primary of the newest timeline');
  if (role === 'primary') return refuse('another-primary', 'it is a primary itself, of an older timeline');
  if (role === 'exporter') return unknown('weak-evidence-only', 'only an exporter can be read there');
  if (standby === null) return unknown('never-measured', problem ?? 'not measured yet');
  if (standby.ageMs > limits.evidenceAgeMaxMs) {
    return unknown('standby-silent', `last measured ${Math.round(standby.ageMs)} ms ago${problem === null ? '' : `: ${problem}`}`);
  }
  if (primary === null) return unknown('primary-never-seen', 'no end was seen as primary');
  return judgeHistory(evidence, primary, standby.sample) ?? judgeStream(evidence, standby.sample);
}

/** Beyond doubt, or fatal when true: one look is enough to say so. */
export function isCertain(verdict: Verdict): boolean {
  if (verdict.kind === 'unknown') return verdict.reason === 'two-primaries' || verdict.reason === 'history-unproven';
  // The others may be one look's noise: a stream that reconnects, a lag that is just over its limit.
  return verdict.kind === 'notPromotable' && !['not-streaming', 'loss-over-limit', 'replay-lag-over-limit'].includes(verdict.reason);
}

function judgeHistory({ limits, linked }: StandbyEvidence, primary: NonNullable<StandbyEvidence['primary']>, ours: StandbySample): Verdict | null {
  const theirs = primary.sample;
  if (ours.systemIdentifier !== theirs.systemIdentifier) {
    return refuse('foreign-cluster', `system identifier ${ours.systemIdentifier}, the primary's is ${theirs.systemIdentifier}`);
  }
  if (ours.replayPaused) return refuse('replay-paused', 'somebody paused replay on this standby');
  if (primary.ageMs > limits.evidenceAgeMaxMs) {
    return unknown('primary-silent', `the primary was last measured ${Math.round(primary.ageMs)} ms ago; what it wrote since is not known`);
  }
  if (ours.timeline === null) return unknown('timeline-unknown', 'the standby does not say on which timeline it is');
  if (ours.timeline !== theirs.timeline) {
    const both = `timeline ${ours.timeline}, the primary's is ${theirs.timeline}`;
    return ours.timeline > theirs.timeline ? refuse('timeline-ahead', both) : unknown('timeline-behind', both);
  }
  return linked ? null : unknown('history-unproven', 'never seen streaming from this primary on this timeline');
}

function judgeStream({ streaming, slotLost, stalled }: StandbyEvidence, ours: StandbySample): Verdict | null {
  if (!streaming) {
    if (slotLost) return refuse('slot-lost', 'its replication slot is lost: it needs log that the primary no longer has');
    return refuse('not-streaming', ours.receiver === null ? 'it has no walreceiver' : 'the primary has no streaming walsender for it');
  }
  return stalled ? refuse('receiver-stalled', 'log that the primary had one look ago has not arrived, and nothing moves') : null;
}

/** For a standby of which nothing else speaks against it. */
export function judgeFigures(limits: Limits, { lossBytes, lossMs, lagBytes, lagMs }: LimitedFigures): Verdict | null {
  const checks = [
    { figure: lossBytes, limit: limits.lossMaxBytes, reason: 'loss-over-limit' },
    { figure: lossMs, limit: limits.lossMaxMs, reason: 'loss-over-limit' },
    { figure: lagBytes, limit: limits.replayLagMaxBytes, reason: 'replay-lag-over-limit' },
    { figure: lagMs, limit: limits.replayLagMaxMs, reason: 'replay-lag-over-limit' },
  ] as const;
  for (const { figure, limit, reason } of checks) {
    const { value, unit } = figure;
    if (value === null) return unknown('lag-unknown', figure.reason ?? `no figure in ${unit}`);
    if (figure.confidence === 'weak') return unknown('weak-evidence-only', `${unit} only from ${figure.source}`);
    if (value > limit) return refuse(reason, `${Math.round(value)} ${unit}, at most ${limit} allowed`);
  }
  return null;
}
