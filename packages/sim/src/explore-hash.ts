// When are two states of the small scope the same? When nothing that can still happen tells them apart: times count from now, what is
// longer ago than anything looks back is simply past, numbers of requests count from the last one, messages have no order.
//
// The two regions are not exchanged for each other: one begins as the holder with what was acknowledged and the other as its standby,
// so that a state and its mirror image are not the same state.
//
// Every field of a controller's state counts, known here or not: a field that is added to it later splits states, and never joins
// two that differ.

import type { Message, Scope, SmallRegion } from './explore-scope.ts';
import { START_MS } from './explore-scope.ts';

/** Nothing looks back further than a ttl. */
const LOOK_BACK_MS = 3_000;
const GRAIN_MS = 20;
/** Numbers below are durations. */
const FIRST_TIME_MS = START_MS / 2;
/** What never changes, or says only where the clock stands. */
const SKIPPED = new Set(['policy', 'now', 'instance', 'nextId', 'clockMs', 'fingerprint', 'name', 'detail', 'message', 'ageMs']);

/** Numbers that are only compared with the newest: so far behind it they are all alike. */
const BEHIND_MAX = 12;

type Frame = { readonly nowMs: number; readonly nextId: number; readonly seq: number; readonly revisions: readonly number[] };
export type Fingerprint = { readonly high: number; readonly low: number };

/** 64 bits of two independent hashes: at 10^6 states the chance that any two of them collide is one in thirty million. */
export function fingerprint(scope: Scope): Fingerprint {
  const sums = [0, 0] as [number, number];
  const { record, regions, messages, budget, acknowledged, granted, primary, streamed, nextWrite } = scope;
  const digest = new Digest();
  const seqs = regions.map(({ state }) => record.last[state.policy.region]?.seq ?? 0);
  const revisions = revisionsOf(scope);
  const frameOf = (index: number): Frame => ({ nowMs: scope.nowMs, nextId: regions[index]?.state.nextId ?? 0, seq: seqs[index] ?? 0, revisions });
  const { last: _last, revision: _revision, ...rest } = record;
  digest.value(rest, frameOf(0), '');
  digest.value([budget, acknowledged, granted, primary, streamed, nextWrite], frameOf(0), '');
  regions.forEach((region, index) => digest.value(regionKey(region), frameOf(index), ''));
  for (const message of messages) {
    const one = new Digest();
    const { life, state } = regions[message.region];
    one.value(messageKey(message, life), { ...frameOf(message.region), nextId: state.nextId }, '');
    sums[0] = (sums[0] + one.high) | 0;
    sums[1] = (sums[1] + one.low) | 0;
  }
  digest.number(sums[0]);
  digest.number(sums[1]);
  return { high: digest.high >>> 0, low: digest.low >>> 0 };
}

/** Revisions are only ordered: which one is newer is all that counts. */
function revisionsOf({ record, regions, messages }: Scope): number[] {
  const seen = [record.revision, ...regions.flatMap(({ state }) => state.view?.revision ?? []), ...messages.flatMap((message) => (message.to === 'region' ? message.reply.view.revision : []))];
  return [...new Set(seen)].sort((a, b) => a - b);
}

function regionKey({ life: _life, ...region }: SmallRegion): object {
  return region;
}

function messageKey(message: Message, life: number): object {
  const { life: sent, ...rest } = message;
  return { ...rest, fresh: sent === life };
}

class Digest {
  high = 0x811c9dc5 | 0;
  low = 0x9e3779b9 | 0;

  number(value: number): void {
    this.high = Math.imul(this.high ^ value, 0x01000193);
    this.high ^= this.high >>> 15;
    this.low = Math.imul(this.low ^ value ^ (value >>> 16), 0x85ebca6b);
    this.low ^= this.low >>> 13;
  }

  value(value: unknown, frame: Frame, key: string): void {
    if (typeof value === 'number') return this.number(Math.round(relative(key, value, frame)) | 0);
    if (typeof value === 'string') return this.number(textHash(value));
    if (typeof value === 'boolean') return this.number(value ? 3 : 5);
    if (value === null || value === undefined) return this.number(7);
    if (Array.isArray(value)) {
      this.number(11 + value.length);
      for (const item of value) this.value(item, frame, key);
      return;
    }
    this.number(13);
    for (const name in value as Record<string, unknown>) {
      if (SKIPPED.has(name)) continue;
      this.number(textHash(name));
      this.value((value as Record<string, unknown>)[name], frame, name);
    }
  }
}

function relative(key: string, value: number, frame: Frame): number {
  if (key.endsWith('Ms')) {
    if (value > -FIRST_TIME_MS && value < FIRST_TIME_MS) return value;
    return Math.max(-LOOK_BACK_MS, value - frame.nowMs) / GRAIN_MS;
  }
  if (key === 'id' || key === 'drainPending' || key === 'draining') return Math.max(-BEHIND_MAX, value - frame.nextId);
  if (key === 'seq') return Math.max(-BEHIND_MAX, value - frame.seq);
  if (key === 'revision') return frame.revisions.indexOf(value);
  return value;
}

const known = new Map<string, number>();

function textHash(text: string): number {
  const before = known.get(text);
  if (before !== undefined) return before;
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  known.set(text, hash);
  return hash;
}

/** A set of fingerprints, eight bytes each, and no object for any of them. */
export class FingerprintSet {
  size = 0;
  #slots: Uint32Array;
  #mask: number;

  constructor(expected: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, expected) * 2));
    this.#slots = new Uint32Array(2 * capacity);
    this.#mask = capacity - 1;
  }

  /** False when it was there. */
  add({ high, low }: Fingerprint): boolean {
    // Both halves 0 mark a free slot.
    const first = high === 0 && low === 0 ? 1 : high;
    const slots = this.#slots;
    for (let at = (first ^ low) & this.#mask; ; at = (at + 1) & this.#mask) {
      const [left, right] = [slots[2 * at], slots[2 * at + 1]];
      if (left === first && right === low) return false;
      if (left !== 0 || right !== 0) continue;
      slots[2 * at] = first;
      slots[2 * at + 1] = low;
      this.size++;
      return true;
    }
  }
}
