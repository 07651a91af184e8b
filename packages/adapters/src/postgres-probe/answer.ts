// Reads what a server answered to the one question. A server is not trusted: what is not of the expected kind makes the
// whole answer senseless. Written by hand because a prober reads thousands of these a second; a schema took a tenth of it.

import { lsnDiffBytes } from '@continuum/core/types';
import type { Lsn } from '@continuum/core/types';
import type { PrimarySample, Slot, StandbySample, Walsender } from '@continuum/core/replication/sample';

export type EndAnswer = {
  readonly sample: PrimarySample | StandbySample;
  /** Highest epoch in the fence row; null when it was not asked for. */
  readonly epoch: number | null;
};

/** Walsenders and slots: nobody has more. */
const LIST_ITEMS_MAX = 1_000;
const DIGITS = /^\d{1,20}$/;
const PAUSES: readonly unknown[] = ['not paused', 'pause requested', 'paused'];

/** Thrown and caught in this file only. */
class Nonsense extends Error {}

/** The sample in the server's answer; null when the answer makes no sense. */
export function readAnswer(answered: unknown): EndAnswer | null {
  try {
    const given = asObject(JSON.parse(asText(answered)));
    const sample = asBoolean(given['standby']) ? readStandby(given) : readPrimary(given);
    return { sample, epoch: orNull(given['epoch'], asCount) };
  } catch (error) {
    if (error instanceof Nonsense || error instanceof SyntaxError) return null;
    throw error;
  }
}

type Given = Readonly<Record<string, unknown>>;

function readPrimary(given: Given): PrimarySample {
  const [syncWaiters, syncWaitMsMax] = orNull(given['syncWaits'], (value) => asTuple(value, 2)) ?? [null, null];
  return {
    role: 'primary',
    systemIdentifier: asDigits(given['system']),
    timeline: asTimeline(given['timeline']),
    clockMs: asNumber(given['clockMs']),
    lsn: asPosition(given['lsn']),
    nextXid: orNull(given['nextXid'], (value) => Number(asDigits(value))),
    walsenders: orNull(given['walsenders'], (value) => asList(value).map(readWalsender)) ?? [],
    slots: orNull(given['slots'], (value) => asList(value).map(readSlot)) ?? [],
    synchronous: asText(given['synchronous']),
    syncWaiters: orNull(syncWaiters, asCount),
    syncWaitMsMax: orNull(syncWaitMsMax, asElapsedMs),
    weakSettings: orNull(given['weak'], asCount),
    beat: orNull(given['beat'], asCount),
  };
}

function readWalsender(value: unknown): Walsender {
  const [name, state, syncState, flushLsn, replayLsn] = asTuple(value, 5);
  return { name: asText(name), state: asText(state), syncState: asText(syncState), flushLsn: orNull(flushLsn, asPosition), replayLsn: orNull(replayLsn, asPosition) };
}

function readSlot(value: unknown): Slot {
  const [name, active, walStatus, retainedBytes] = asTuple(value, 4);
  return { name: asText(name), active: asBoolean(active), walStatus: orNull(walStatus, asText), retainedBytes: orNull(retainedBytes, asNumber) };
}

function readStandby(given: Given): StandbySample {
  return {
    role: 'standby',
    systemIdentifier: asDigits(given['system']),
    timeline: orNull(given['timeline'], asTimeline),
    clockMs: asNumber(given['clockMs']),
    receiveLsn: orNull(given['receive'], asPosition),
    replayLsn: orNull(given['replay'], asPosition),
    lastReplayedCommitMs: orNull(given['commitMs'], asNumber),
    receiver: orNull(given['receiver'], readReceiver),
    replayPaused: asPauseState(given['pause']) !== 'not paused',
    applyDelayMs: orNull(given['delayMs'], asCount),
    conflicts: orNull(given['conflicts'], asCount),
    beat: orNull(given['beat'], asCount),
  };
}

function readReceiver(value: unknown): StandbySample['receiver'] {
  const [status, source, messageAgeMs] = asTuple(value, 3);
  return { streaming: asText(status) === 'streaming', source: orNull(source, asText), messageAgeMs: orNull(messageAgeMs, asElapsedMs) };
}

function refuse(): never {
  throw new Nonsense('not of the expected kind');
}

const orNull = <T>(value: unknown, read: (value: unknown) => T): T | null => (value === null ? null : read(value));
const asObject = (value: unknown): Given => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Given) : refuse());
const asText = (value: unknown): string => (typeof value === 'string' ? value : refuse());
const asBoolean = (value: unknown): boolean => (typeof value === 'boolean' ? value : refuse());
/** JSON can spell a number that is too large for any: it becomes infinite. */
const asNumber = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : refuse());
const asCount = (value: unknown): number => (asNumber(value) >= 0 ? asNumber(value) : refuse());
/** A clock's difference may come out a little negative. */
const asElapsedMs = (value: unknown): number => Math.max(0, asNumber(value));
const asTimeline = (value: unknown): number => (Number.isInteger(value) && asNumber(value) > 0 ? asNumber(value) : refuse());
const asDigits = (value: unknown): string => (DIGITS.test(asText(value)) ? asText(value) : refuse());
const asPosition = (value: unknown): Lsn => (lsnDiffBytes(asText(value), '0/0') === null ? refuse() : (asText(value) as Lsn));
const asTuple = (value: unknown, length: number): readonly unknown[] => (Array.isArray(value) && value.length === length ? value : refuse());
const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) && value.length <= LIST_ITEMS_MAX ? value : refuse());
/** Null is what an older server, or one that is just leaving recovery, may say: not known to run is paused. */
const asPauseState = (value: unknown): unknown => (value === null || PAUSES.includes(value) ? value : refuse());
