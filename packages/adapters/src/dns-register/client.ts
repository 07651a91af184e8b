// One client's knowledge of a lease at the authority: reads it, writes it by compare-and-set, and refuses what cannot be
// true of one register (an older state than it has seen, two values for one change).

import { randomInt } from 'node:crypto';
import type { LeaseView } from '@continuum/core';
import { failure, success } from '@continuum/ports';
import type { Result } from '@continuum/ports';
import { decodeText, encodeTextQuestion, encodeTextUpdate, MessageError, RCODE, TYPE } from './message.ts';
import type { Message } from './message.ts';
import { observeAnswer, observeWrite, viewStored } from './observed-lease.ts';
import type { Observation } from './observed-lease.ts';
import type { Checked } from './options.ts';
import type { CrossCheck } from './cross-check.ts';
import { decodeLease, encodeLease, isOlder, RECORD_TTL_SECONDS } from './record.ts';
import type { LeaseState, StoredLease } from './record.ts';
import type { Session } from './session.ts';

/** The lease as it was read last, with the very text that a compare-and-set must name. */
export type Seen = { readonly text: string; readonly observation: Observation };

/** What a client knows and shares between its commands, reads and watches. */
export type Client = {
  readonly checked: Checked;
  seen: Seen | null;
  /** Null when no resolvers are named. */
  readonly crossCheck: CrossCheck | null;
};

const THIS_REGION = 'this region has';

export function view({ checked }: Client, { observation }: Seen): LeaseView {
  return viewStored(observation, checked.region, checked.nowMs(), checked.drift);
}

/** Reads the lease at the authority. */
export async function readLease(client: Client, session: Session, signal: AbortSignal): Promise<Result<Seen>> {
  const { checked } = client;
  // Without a memory of its own it would believe whatever is there: the others are asked first, within their own bound.
  if (client.seen === null && checked.memory.load() === null) await client.crossCheck?.firstRound;
  const askedMs = checked.nowMs();
  const answered = await session.exchange(encodeTextQuestion(randomInt(0x1_0000), checked.name), signal);
  if (!answered.ok) return answered;
  const text = textOf(answered.value, checked);
  if (!text.ok) return text;
  const decoded = decodeLease(text.value, checked.lease);
  if (!decoded.ok) return failure('CTM_REGISTER_REJECTED', `the record at ${checked.name} cannot be used: ${decoded.problem}`);
  return take(client, text.value, decoded.lease, askedMs);
}

function take(client: Client, text: string, stored: StoredLease, askedMs: number): Result<Seen> {
  const { checked, seen } = client;
  const answeredMs = checked.nowMs();
  const known = seen === null ? checked.memory.load() : seen.observation.stored;
  if (known !== null && isOlder(stored, known)) {
    // Asked before the newer state was known, and answered late.
    if (seen !== null && askedMs < seen.observation.learnedMs) return success(seen);
    return failure('CTM_REGISTER_REJECTED', rolledBack(checked, stored, known, THIS_REGION));
  }
  const outside = client.crossCheck?.remembered() ?? null;
  if (outside !== null && askedMs >= outside.learnedMs && isOlder(stored, outside.state)) {
    return failure('CTM_REGISTER_REJECTED', rolledBack(checked, stored, outside.state, `${outside.by.join(' and ')} have`));
  }
  if (seen !== null && stored.change === seen.observation.stored.change && stored.epoch === seen.observation.stored.epoch) {
    if (text !== seen.text) {
      return failure('CTM_REGISTER_REJECTED', `${checked.name} has two values for change ${stored.change}: it is kept in more than one place, where compare-and-set does not hold`);
    }
  }
  const next = { text, observation: observeAnswer(seen?.observation ?? null, stored, askedMs, answeredMs) };
  remember(client, next);
  return success(next);
}

/** Null: somebody else wrote before. */
export async function writeLease(client: Client, session: Session, seen: Seen, next: StoredLease, signal: AbortSignal): Promise<Result<Seen | null>> {
  const { checked } = client;
  const text = encodeLease(next);
  if (text === null) return failure('CTM_REGISTER_REJECTED', 'the lease would be larger than its record may be; give shorter reasons');
  const sentMs = checked.nowMs();
  const update = { zone: checked.zone, name: checked.name, expected: seen.text, next: text, ttlSeconds: RECORD_TTL_SECONDS };
  const answered = await session.exchange(encodeTextUpdate({ id: randomInt(0x1_0000), ...update }), signal);
  if (!answered.ok) return answered;
  const { rcode } = answered.value;
  if (rcode === RCODE.NXRRSET) return success(null);
  if (rcode !== RCODE.NOERROR) return updateRefused(checked, rcode);
  const written = { text, observation: observeWrite(seen.observation, next, sentMs, checked.nowMs()) };
  // Meanwhile another exchange of this client may have seen something newer.
  if (client.seen === null || !isOlder(next, client.seen.observation.stored)) remember(client, written);
  return success(written);
}

/** Only ever upwards, and on disk before anybody acts on it. */
function remember(client: Client, next: Seen): void {
  const before = client.seen?.observation.stored ?? null;
  const { epoch, change } = next.observation.stored;
  client.seen = next;
  if (before === null || before.epoch !== epoch || before.change !== change) client.checked.memory.save({ epoch, change });
}

function rolledBack({ name }: Checked, stored: LeaseState, known: LeaseState, who: string): string {
  return (
    `${name} is at epoch ${stored.epoch}, change ${stored.change}; ${who} seen epoch ${known.epoch}, change ${known.change}. ` +
    `An old copy of the zone was put back${who === THIS_REGION ? '' : ', or this region is led to another server'}. ` +
    `Stop both controllers, remove the record and create the lease anew with an epoch of at least ${known.epoch}`
  );
}

export function updateRefused({ zone }: Checked, rcode: number): ReturnType<typeof failure> {
  if (rcode === RCODE.SERVFAIL) return failure('CTM_REGISTER_UNREACHABLE', 'the authority could not write (SERVFAIL)');
  const name = Object.entries(RCODE).find(([, value]) => value === rcode)?.[0] ?? String(rcode);
  return failure('CTM_REGISTER_REJECTED', `the authority refuses updates of ${zone} (${name}): is dnsupdate on, and this region's key and address allowed?`);
}

/** The one TXT record of the name, from the authority itself. */
function textOf(message: Message, { name }: Checked): Result<string> {
  const [question] = message.questions;
  if (message.questions.length !== 1 || question?.name !== name || question.type !== TYPE.TXT) {
    return failure('CTM_REGISTER_REPLY_INVALID', 'the answer is to another question');
  }
  if (message.rcode === RCODE.SERVFAIL) return failure('CTM_REGISTER_UNREACHABLE', 'the authority could not read (SERVFAIL)');
  if (!message.authoritative) return failure('CTM_REGISTER_REJECTED', `who answers is not the authority for ${name}: name the authority itself, not a cache`);
  const records = message.answers.filter((record) => record.name === name && record.type === TYPE.TXT);
  const [record] = records;
  if (record === undefined) return failure('CTM_REGISTER_REJECTED', `there is no lease at ${name}: create it once, before the first controller starts`);
  if (records.length > 1) return failure('CTM_REGISTER_REJECTED', `${records.length} TXT records at ${name}: a lease is exactly one`);
  try {
    return success(decodeText(record.data));
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    return failure('CTM_REGISTER_REPLY_INVALID', error.message);
  }
}

