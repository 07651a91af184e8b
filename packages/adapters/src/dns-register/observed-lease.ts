// The clock of a register that has none.
//
// A name server compares and sets; it does not judge time. So the stored record carries no time at all, only `ttlMs` and
// `renewal`, a number that goes up whenever the ttl begins anew. Each client judges expiry on its own monotonic clock,
// from what it has seen itself. The write of renewal n happened at some unknown moment w:
//
//     notBefore  <=  w  <=  seenBy
//
//   notBefore   when this client sent the latest question that was still answered with an earlier renewal;
//   seenBy      when this client had the first answer that showed renewal n.
//
// Two deadlines follow, and which of them is used decides whether two regions can act at once:
//
//   - nobody takes over before  seenBy + ttl x (1 + drift)   (latest): `applyCommand` sees this one as the expiry, and so
//     does everybody who looks;
//   - who holds the lease may trust it until  notBefore + ttl  (earliest): the answer to its own acquire or renew says
//     this one. It is 0 for a client that cannot know, for example one that finds its own command carried out already
//     without ever having seen the lease before it.
//
// notBefore <= w <= seenBy' for every two clients, so trust ends before anybody else's wait does, with any offset between
// clocks and rates that differ by at most the drift (a holder's own fast or slow clock is covered by its `guard`, which is
// at least ttl x drift). A client that has just started waits a whole ttl: that is the price of having no common clock.

import { applyCommand, regionId, viewLease, wallMs } from '@continuum/core';
import type { LeaseCommand, LeaseRecord, LeaseReply, LeaseView, SwitchoverIntent, WallMs } from '@continuum/core';
import type { StoredLease } from './record.ts';
import { JOURNAL_MAX } from './record.ts';

/** What one client knows about the stored lease and about when it was written. All times are on its own monotonic clock. */
export type Observation = {
  readonly stored: StoredLease;
  /** When the latest question was sent that was answered with this renewal. */
  readonly askedMs: number;
  /** When this state (`stored.change`) was first known here. A question asked later cannot be answered with an older one. */
  readonly learnedMs: number;
  readonly notBeforeMs: number | null;
  readonly seenByMs: number;
  /** When the pending intent was first seen; 0 when there is none. */
  readonly intentSeenMs: number;
};

export type Step = {
  readonly reply: LeaseReply;
  /** To be written by compare-and-set before `reply` may leave; null when the lease stays as it is. */
  readonly next: StoredLease | null;
};

/** Takes in an answer to a question that was sent at `askedMs`. The caller has made sure that it is not an older state. */
export function observeAnswer(before: Observation | null, stored: StoredLease, askedMs: number, answeredMs: number): Observation {
  const intentSeenMs = intentSeen(before, stored, answeredMs);
  if (before === null) return { stored, askedMs, learnedMs: answeredMs, notBeforeMs: null, seenByMs: answeredMs, intentSeenMs };
  const learnedMs = stored.change === before.stored.change ? before.learnedMs : answeredMs;
  if (stored.renewal === before.stored.renewal) {
    return { ...before, stored, learnedMs, intentSeenMs, askedMs: Math.max(askedMs, before.askedMs) };
  }
  return { stored, askedMs, learnedMs, notBeforeMs: before.askedMs, seenByMs: answeredMs, intentSeenMs };
}

/** Takes in a write of one's own that was acknowledged: it happened after it was sent. */
export function observeWrite(before: Observation, written: StoredLease, sentMs: number, answeredMs: number): Observation {
  const after = observeAnswer(before, written, sentMs, answeredMs);
  return written.renewal === before.stored.renewal ? after : { ...after, notBeforeMs: sentMs };
}

/** The lease as the shared functions know it, with times of this client. */
export function toRecord(observation: Observation, drift: number): LeaseRecord {
  const { stored, seenByMs, intentSeenMs } = observation;
  const { intent } = stored;
  return {
    name: stored.name,
    revision: stored.revision,
    epoch: stored.epoch,
    holder: stored.holder,
    instance: stored.instance,
    ttlMs: stored.ttlMs,
    expiresAtMs: stored.holder === null ? localTime(0) : localTime(seenByMs + stored.ttlMs * (1 + drift)),
    clockMs: localTime(0),
    inSync: stored.inSync,
    policyHash: stored.policyHash,
    handover: stored.handover,
    intent:
      intent === null
        ? null
        : { id: intent.id, from: intent.from, to: intent.to, target: intent.target, reasons: intent.reasons, expiresAtMs: localTime(intentSeenMs + intent.validForMs) },
    last: stored.last,
  };
}

/** The lease as `region` may see it: `remainingMs` is until somebody may take it over. */
export function viewStored(observation: Observation, region: string, nowMs: number, drift: number): LeaseView {
  return viewLease(toRecord(observation, drift), regionId(region), localTime(nowMs));
}

/** One command on the lease as it was seen. A refusal is not stored: it changes nothing, and a repeat may be judged anew. */
export function step(observation: Observation, command: LeaseCommand, nowMs: number, drift: number): Step {
  const { stored } = observation;
  const before = toRecord(observation, drift);
  const { record, reply, events } = applyCommand(before, command, localTime(nowMs));
  if (!reply.outcome.ok) return { reply, next: null };
  if (record === before) return { reply: trusted(observation, command, reply, nowMs), next: null };
  const begins = command.kind === 'acquire' || command.kind === 'renew' || command.kind === 'transfer';
  const journal = [...stored.journal, ...events.map((event) => ({ revision: record.revision, event }))].slice(-JOURNAL_MAX);
  // A pending intent that ran out on this clock goes with the next write: a client that starts later would take it for new.
  const intent = record.intent !== null && nowMs < record.intent.expiresAtMs ? record.intent : null;
  return {
    reply,
    next: {
      ...stored,
      change: stored.change + 1,
      renewal: stored.renewal + (begins ? 1 : 0),
      revision: record.revision,
      epoch: record.epoch,
      holder: record.holder,
      instance: record.instance,
      ttlMs: record.ttlMs,
      inSync: record.inSync,
      policyHash: record.policyHash,
      handover: record.handover,
      intent: intent === null ? null : toStoredIntent(intent, stored, command),
      last: record.last,
      journal,
    },
  };
}

/** The answer of a command that took effect: what its sender may trust, counted from before anybody could have seen it. */
export function trusted(observation: Observation, command: LeaseCommand, reply: LeaseReply, nowMs: number): LeaseReply {
  if (command.kind !== 'acquire' && command.kind !== 'renew') return reply;
  const { notBeforeMs, stored } = observation;
  const remainingMs = notBeforeMs === null || stored.holder === null ? 0 : Math.max(0, notBeforeMs + stored.ttlMs - nowMs);
  return { outcome: reply.outcome, view: { ...reply.view, remainingMs: Math.min(remainingMs, stored.ttlMs) } };
}

function intentSeen(before: Observation | null, stored: StoredLease, answeredMs: number): number {
  if (stored.intent === null) return 0;
  return before?.stored.intent?.id === stored.intent.id ? before.intentSeenMs : answeredMs;
}

function toStoredIntent(intent: SwitchoverIntent, stored: StoredLease, command: LeaseCommand): StoredLease['intent'] {
  const { expiresAtMs: _local, ...rest } = intent;
  const known = stored.intent?.id === intent.id ? stored.intent.validForMs : null;
  const validForMs = known ?? (command.kind === 'requestSwitchover' ? command.validForMs : 0);
  return { ...rest, validForMs };
}

/** The shared functions call the register's time wall time; here it is this client's monotonic one, and stays in this file. */
const localTime = (monoMs: number): WallMs => wallMs(monoMs);
