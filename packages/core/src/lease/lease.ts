// The lease itself: one record, one function that changes it. The Durable Object runs this between a storage read and a
// storage write, the simulator runs it as the witness, and nothing else decides who holds the lease.
//
// Kept by every transition (checked before and after):
//   - the epoch never goes down, and goes up by one exactly when somebody is granted the lease;
//   - a grant is given only while the lease is free or expired, or by its holder (transfer);
//   - the clock never runs backwards, so an expired lease stays expired;
//   - after a grant only the new holder is in sync: the others come back when the holder has seen them stream.

import { assert, unreachable } from '../assert.ts';
import { mayEnterEpoch, mayTakeOver } from '../invariants.ts';
import type { Epoch, RegionId, WallMs } from '../types.ts';
import { epoch, wallMs } from '../types.ts';
import type {
  LeaseCommand,
  LeaseEventKind,
  LeaseRecord,
  LeaseReply,
  LeaseView,
  Outcome,
  RefusalCode,
} from './types.ts';

/** Share of the ttl after which a lease without a renewal is overdue: one and a half renewals at ttl / 3. */
const OVERDUE_SHARE = 0.5;

/** A lease that nobody has ever held. */
export function newLease(name: string, nowMs: WallMs): LeaseRecord {
  return {
    name,
    revision: 0,
    epoch: epoch(0),
    holder: null,
    instance: null,
    ttlMs: 0,
    expiresAtMs: wallMs(0),
    clockMs: nowMs,
    inSync: [],
    policyHash: '',
    handover: null,
    intent: null,
    last: {},
  };
}

/** The lease as one region may see it: durations, no times of the witness's clock. */
export function viewLease(record: LeaseRecord, region: RegionId, nowMs: WallMs): LeaseView {
  const at = clock(record, nowMs);
  const held = record.holder !== null && at < record.expiresAtMs;
  const intent = record.intent !== null && at < record.intent.expiresAtMs ? record.intent : null;
  return {
    name: record.name,
    revision: record.revision,
    epoch: record.epoch,
    holder: record.holder,
    instance: record.instance,
    ttlMs: record.ttlMs,
    remainingMs: held ? record.expiresAtMs - at : 0,
    inSync: record.inSync,
    policyHash: record.policyHash,
    handover: record.handover,
    intent:
      intent === null
        ? null
        : { id: intent.id, from: intent.from, to: intent.to, target: intent.target, reasons: intent.reasons },
    seq: record.last[region]?.seq ?? 0,
  };
}

export type Applied = {
  readonly record: LeaseRecord;
  readonly reply: LeaseReply;
  readonly events: readonly LeaseEventKind[];
};

/**
 * Applies one command at the witness's time `nowMs`. Never throws for a bad command: it is refused with a stable code.
 * The caller stores `record` before it sends `reply` (and with no other input between its read and its write).
 */
export function applyCommand(before: LeaseRecord, command: LeaseCommand, nowMs: WallMs): Applied {
  const at = clock(before, nowMs);
  const fingerprint = canonical(command);
  const last = before.last[command.region];
  if (last !== undefined && command.seq <= last.seq) {
    const outcome =
      command.seq < last.seq
        ? refuse('seq-stale', `sequence ${command.seq} is below ${last.seq}, the last one of region ${command.region}`)
        : last.fingerprint === fingerprint
          ? last.outcome
          : refuse('seq-reused', `sequence ${command.seq} of region ${command.region} was another command`);
    return { record: before, reply: { outcome, view: viewLease(before, command.region, at) }, events: [] };
  }
  const change = execute({ ...before, clockMs: at }, command, at);
  const outcome: Outcome = change.ok ? { ok: true } : { ok: false, code: change.code, detail: change.detail };
  const changed = change.ok
    ? { ...change.record, revision: before.revision + 1 }
    : { ...before, clockMs: at };
  const record: LeaseRecord = {
    ...changed,
    last: { ...before.last, [command.region]: { seq: command.seq, fingerprint, outcome } },
  };
  checkTransition(before, record);
  if (change.ok && command.kind === 'acquire') checkTakeover(before, command);
  return {
    record,
    reply: { outcome, view: viewLease(record, command.region, at) },
    events: change.ok ? change.events : [],
  };
}

/** When watchers should hear that a renewal is overdue, and that the lease has expired; null when nobody holds it. */
export function leaseDeadlines(record: LeaseRecord): { overdueAtMs: WallMs; expiresAtMs: WallMs } | null {
  if (record.holder === null) return null;
  const overdueAtMs = wallMs(record.expiresAtMs - record.ttlMs + Math.ceil(record.ttlMs * OVERDUE_SHARE));
  return { overdueAtMs, expiresAtMs: record.expiresAtMs };
}

/** What a transition of the record must keep, whatever the command was (I1, I6). */
export function checkTransition(before: LeaseRecord, after: LeaseRecord): void {
  assert(mayEnterEpoch(before.epoch, after.epoch), 'EPOCH_MONOTONE', `${before.epoch} -> ${after.epoch}`);
  assert(after.epoch <= before.epoch + 1, 'EPOCH_STEP', `${before.epoch} -> ${after.epoch}`);
  assert(after.clockMs >= before.clockMs, 'CLOCK_MONOTONE', () => `${before.clockMs} -> ${after.clockMs}`);
  const granted = after.holder !== null && after.holder !== before.holder;
  assert(!granted || after.epoch === before.epoch + 1, 'GRANT_NEEDS_EPOCH', `epoch ${after.epoch}`);
  assert(after.epoch === before.epoch || after.holder !== null, 'EPOCH_NEEDS_HOLDER', `epoch ${after.epoch}`);
  assert(after.epoch === 0 || after.inSync.length > 0, 'IN_SYNC_EMPTY', `epoch ${after.epoch}`);
}

/** Whom the lease was granted to, whatever led to it (I8). */
export function checkTakeover({ epoch: epochBefore, inSync }: LeaseRecord, { region, force }: Of<'acquire'>): void {
  assert(mayTakeOver({ region, inSync, first: epochBefore === 0, forced: force !== null }), 'TAKEOVER_OUTSIDE_IN_SYNC', `${region} of [${inSync.join()}]`);
}

type Change =
  | { readonly ok: true; readonly record: LeaseRecord; readonly events: readonly LeaseEventKind[] }
  | { readonly ok: false; readonly code: RefusalCode; readonly detail: string };

type Of<K extends LeaseCommand['kind']> = Extract<LeaseCommand, { kind: K }>;

function execute(record: LeaseRecord, command: LeaseCommand, at: WallMs): Change {
  switch (command.kind) {
    case 'acquire':
      return acquire(record, command, at);
    case 'renew':
      return renew(record, command, at);
    case 'release':
      return asHolder(record, command, at, () => ({
        // The instance stays: it says who held the lease last.
        record: { ...record, holder: null, expiresAtMs: at, intent: null },
        events: ['released'],
      }));
    case 'transfer':
      return transfer(record, command, at);
    case 'setInSync':
      return setInSync(record, command, at);
    case 'requestSwitchover':
      return requestSwitchover(record, command, at);
    case 'answerSwitchover':
      return answerSwitchover(record, command, at);
    default:
      return unreachable(command);
  }
}

function acquire(record: LeaseRecord, command: Of<'acquire'>, at: WallMs): Change {
  if (record.holder !== null && at < record.expiresAtMs) {
    return refuse('held', `region ${record.holder} holds epoch ${record.epoch}`);
  }
  if (command.epochSeen !== record.epoch) {
    return refuse('epoch-stale', `you saw epoch ${command.epochSeen}, the lease is at ${record.epoch}`);
  }
  if (command.force === null && record.epoch > 0) {
    if (!record.inSync.includes(command.region)) {
      return refuse('not-in-sync', `region ${command.region} is not in the in-sync set [${record.inSync.join(', ')}]`);
    }
    // The last holder may come back with a changed specification, as it may renew with one: or nobody could, once it was changed back.
    const heldLast = record.holder === command.region || (record.holder === null && record.instance === command.instance);
    if (!heldLast && command.policyHash !== record.policyHash) {
      return refuse('policy-mismatch', `your specification differs from the last holder's (${record.policyHash})`);
    }
  }
  const granted = grant(record, command.region, command.instance, command.ttlMs, at);
  return { ok: true, record: { ...granted, policyHash: command.policyHash, handover: null }, events: ['granted'] };
}

function renew(record: LeaseRecord, command: Of<'renew'>, at: WallMs): Change {
  return asHolder(record, command, at, () => ({
    record: {
      ...record,
      instance: command.instance,
      ttlMs: command.ttlMs,
      policyHash: command.policyHash,
      expiresAtMs: wallMs(at + command.ttlMs),
    },
    events: ['renewed'],
  }));
}

function transfer(record: LeaseRecord, command: Of<'transfer'>, at: WallMs): Change {
  const { region: from, to, id, token } = command;
  if (to === from) return refuse('invalid', 'a transfer goes to another region');
  if (!record.inSync.includes(to)) {
    return refuse('not-in-sync', `region ${to} is not in the in-sync set [${record.inSync.join(', ')}]`);
  }
  return asHolder(record, command, at, () => ({
    record: { ...grant(record, to, null, record.ttlMs, at), handover: { id, from, to, token } },
    events: ['transferred'],
  }));
}

function setInSync(record: LeaseRecord, command: Of<'setInSync'>, at: WallMs): Change {
  const inSync = [...new Set(command.inSync)].sort();
  if (!inSync.includes(command.region)) return refuse('invalid', 'the holder is always in its own in-sync set');
  return asHolder(record, command, at, () => ({ record: { ...record, inSync }, events: ['in-sync'] }));
}

function requestSwitchover(record: LeaseRecord, command: Of<'requestSwitchover'>, at: WallMs): Change {
  const { id, from, to } = command;
  const pending = record.intent !== null && at < record.intent.expiresAtMs ? record.intent : null;
  if (pending !== null && pending.id !== id) {
    return refuse('switchover-pending', `switchover ${pending.id} to ${pending.to} is under way`);
  }
  if (record.holder !== from || at >= record.expiresAtMs) {
    return refuse('not-holder', `region ${from} does not hold the lease`);
  }
  if (from === to) return refuse('invalid', `region ${to} holds the lease already`);
  if (!record.inSync.includes(to)) {
    return refuse('not-in-sync', `region ${to} is not in the in-sync set [${record.inSync.join(', ')}]`);
  }
  if (pending !== null) {
    // Asked again after a lost reply: what the target has answered meanwhile stands, and so does the time it has.
    return pending.to === to ? { ok: true, record, events: [] } : refuse('switchover-pending', `switchover ${id} goes to ${pending.to}`);
  }
  const expiresAtMs = wallMs(at + command.validForMs);
  const intent = { id, from, to, target: 'pending' as const, reasons: [], expiresAtMs };
  return { ok: true, record: { ...record, intent }, events: ['intent'] };
}

function answerSwitchover(record: LeaseRecord, command: Of<'answerSwitchover'>, at: WallMs): Change {
  const { intent } = record;
  if (intent === null || intent.id !== command.id || at >= intent.expiresAtMs) {
    return refuse('switchover-unknown', `no switchover ${command.id} is under way`);
  }
  if (command.region !== intent.to && command.region !== intent.from) {
    return refuse('invalid', `region ${command.region} takes no part in switchover ${intent.id}`);
  }
  if (command.answer === 'cancelled') return { ok: true, record: { ...record, intent: null }, events: ['intent'] };
  if (command.region !== intent.to) return refuse('invalid', `only ${intent.to} says whether it is ready`);
  const answered = { ...intent, target: command.answer, reasons: command.reasons };
  return { ok: true, record: { ...record, intent: answered }, events: ['intent'] };
}

function asHolder(
  record: LeaseRecord,
  command: { region: RegionId; instance: string; epoch: Epoch },
  at: WallMs,
  change: () => { record: LeaseRecord; events: readonly LeaseEventKind[] },
): Change {
  if (record.holder !== command.region) {
    return refuse('not-holder', `the lease belongs to ${record.holder ?? 'nobody'}, epoch ${record.epoch}`);
  }
  if (command.epoch !== record.epoch) {
    return refuse('epoch-stale', `you hold epoch ${command.epoch}, the lease is at ${record.epoch}`);
  }
  if (record.instance !== null && record.instance !== command.instance) {
    return refuse('instance-conflict', `another controller of region ${command.region} holds this lease`);
  }
  if (at >= record.expiresAtMs) return refuse('expired', `epoch ${record.epoch} expired; acquire a new one`);
  return { ok: true, ...change() };
}

function grant(record: LeaseRecord, to: RegionId, instance: string | null, ttlMs: number, at: WallMs): LeaseRecord {
  return {
    ...record,
    epoch: epoch(record.epoch + 1),
    holder: to,
    instance,
    ttlMs,
    expiresAtMs: wallMs(at + ttlMs),
    inSync: [to],
    intent: null,
  };
}

function refuse(code: RefusalCode, detail: string): { ok: false; code: RefusalCode; detail: string } {
  return { ok: false, code, detail };
}

function clock(record: LeaseRecord, nowMs: WallMs): WallMs {
  return nowMs > record.clockMs ? nowMs : record.clockMs;
}

/** JSON with sorted keys: the same command gives the same text, whoever built it. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const fields = value as Readonly<Record<string, unknown>>;
  const keys = Object.keys(fields).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(fields[key])}`).join()}}`;
}
