// When did the log reach this position? Kept from the primary's own (position, clock) pairs, so that the age of what a
// standby misses is a difference of one machine's clock. A step of that clock shows against the prober's monotonic clock
// and is taken out.
//
// Invariant: whatever lies above an entry's position was written after its `lastMs`, and whatever lies at or below it was
// there at its `firstMs`. Every answer is therefore a bound, and dropping entries widens a bound but never breaks it.

import { assert } from '../assert.ts';
import type { Lsn, MonoMs } from '../types.ts';
import { lsnBytes } from '../types.ts';
import { addOldEntries, NO_OLD_ENTRIES, oldEntry } from './old-entries.ts';
import type { MapEntry, OldEntries } from './old-entries.ts';

export type TimeMap = {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Entries in the order of the log: first the old ones, of which some were dropped, then the recent ones, never none. */
  readonly old: OldEntries;
  readonly recent: readonly MapEntry[];
  /** Added to the primary's wall clock to get steady milliseconds: minus the sum of its steps. */
  readonly offsetMs: number;
  /** Wall-clock times before this one are from before a step. */
  readonly unsteppedSinceMs: number;
  readonly last: { readonly clockMs: number; readonly sentMs: MonoMs; readonly receivedMs: MonoMs };
};

export type MapSample = {
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly lsn: Lsn;
  readonly nextXid: number | null;
  readonly clockMs: number;
  readonly sentMs: MonoMs;
  readonly receivedMs: MonoMs;
};

/** So many of the newest are never dropped. */
const RECENT_ENTRIES_MIN = 16;
/** Beyond them so many wait until they are taken over all at once. */
const RECENT_ENTRIES_MAX = 24;
const OLD_ENTRIES_MAX = 96;
export const MAP_ENTRIES_MAX = OLD_ENTRIES_MAX + RECENT_ENTRIES_MAX;
/** What two reads of a clock may differ by without it having been stepped, beyond the rate error. */
const CLOCK_NOISE_MS = 20;
const CLOCK_RATE_ERROR = 0.01;

/**
 * Takes one sample. Another history, or a position that went back, starts a new map: nothing of the old one holds. A sample
 * whose position is none changes nothing.
 */
export function extendMap(map: TimeMap | null, sample: MapSample): TimeMap | null {
  const endBytes = lsnBytes(sample.lsn);
  if (endBytes === null) return map;
  if (map === null || !continues(map, sample, endBytes)) return startMap(sample, endBytes);
  const { offsetMs, unsteppedSinceMs } = steady(map, sample);
  const atMs = Math.max(latestMs(map), sample.clockMs + offsetMs);
  const newest = newestOf(map);
  const { systemIdentifier, timeline, clockMs, sentMs, receivedMs, nextXid } = sample;
  const entry = newest.endBytes === endBytes ? { endBytes, firstMs: newest.firstMs, lastMs: atMs, nextXid } : { endBytes, firstMs: atMs, lastMs: atMs, nextXid };
  const recent = newest.endBytes === endBytes ? map.recent.with(-1, entry) : [...map.recent, entry];
  return { systemIdentifier, timeline, ...settle(map.old, recent, atMs), offsetMs, unsteppedSinceMs, last: { clockMs, sentMs, receivedMs } };
}

/** Steady time of the newest sample: "now", as far as the primary has told. */
export function latestMs(map: TimeMap): number {
  return newestOf(map).lastMs;
}

export type Behind = {
  /** Bytes above the position; 0 only when the position is at or above the newest sample's. */
  readonly bytes: number;
  /** Age of the oldest log above the position: at least and at most. Null: older than the map knows. */
  readonly msMin: number;
  readonly msMax: number | null;
  /** Transactions that may have written above the position, at most. */
  readonly commitsMax: number | null;
};

/** What the primary had at its newest sample and a standby at `position` has not. Null when the position is no position. */
export function behind(map: TimeMap, position: Lsn): Behind | null {
  const newest = newestOf(map);
  const positionBytes = lsnBytes(position);
  if (positionBytes === null) return null;
  const bytes = Number(newest.endBytes - positionBytes);
  if (bytes <= 0) return { bytes: 0, msMin: 0, msMax: 0, commitsMax: 0 };
  const above = firstAbove(map, positionBytes);
  const next = entryAt(map, above);
  const below = above === 0 ? null : entryAt(map, above - 1);
  const nowMs = newest.lastMs;
  return {
    bytes,
    msMin: Math.max(0, nowMs - next.firstMs),
    msMax: below === null ? null : nowMs - below.lastMs,
    commitsMax: below === null || below.nextXid === null || newest.nextXid === null ? null : newest.nextXid - below.nextXid,
  };
}

/** Age of a commit by its time stamp on the primary's clock; null when the clock was stepped since. */
export function commitAgeMs(map: TimeMap, committedMs: number): number | null {
  if (committedMs < map.unsteppedSinceMs) return null;
  return Math.max(0, latestMs(map) - (committedMs + map.offsetMs));
}

/** Writing transactions per millisecond over the map's horizon; null when it is too short to tell. */
export function commitRate(map: TimeMap): number | null {
  const [last, first] = [newestOf(map), entryAt(map, 0)];
  if (first.nextXid === null || last.nextXid === null) return null;
  const spanMs = last.lastMs - first.firstMs;
  return spanMs <= 0 ? null : (last.nextXid - first.nextXid) / spanMs;
}

function startMap(sample: MapSample, endBytes: bigint): TimeMap {
  const { systemIdentifier, timeline, nextXid, clockMs, sentMs, receivedMs } = sample;
  return {
    systemIdentifier,
    timeline,
    old: NO_OLD_ENTRIES,
    recent: [{ endBytes, firstMs: clockMs, lastMs: clockMs, nextXid }],
    offsetMs: 0,
    unsteppedSinceMs: Number.NEGATIVE_INFINITY,
    last: { clockMs, sentMs, receivedMs },
  };
}

function continues(map: TimeMap, sample: MapSample, endBytes: bigint): boolean {
  if (map.systemIdentifier !== sample.systemIdentifier || map.timeline !== sample.timeline) return false;
  return endBytes >= newestOf(map).endBytes;
}

/** The primary's clock may run a little differently, but what it advanced must fit what passed here. */
function steady(map: TimeMap, sample: MapSample): Pick<TimeMap, 'offsetMs' | 'unsteppedSinceMs'> {
  const { offsetMs, unsteppedSinceMs, last } = map;
  const advancedMs = sample.clockMs - last.clockMs;
  const leastMs = Math.max(0, sample.sentMs - last.receivedMs);
  const mostMs = sample.receivedMs - last.sentMs;
  const fits = advancedMs >= leastMs * (1 - CLOCK_RATE_ERROR) - CLOCK_NOISE_MS && advancedMs <= mostMs * (1 + CLOCK_RATE_ERROR) + CLOCK_NOISE_MS;
  if (fits) return { offsetMs, unsteppedSinceMs };
  // The longer estimate: a lag is rather overstated by a round trip than understated.
  return { offsetMs: offsetMs + mostMs - advancedMs, unsteppedSinceMs: sample.clockMs };
}

export const entryCount = ({ old, recent }: TimeMap): number => old.count + recent.length;

function entryAt({ old, recent }: TimeMap, index: number): MapEntry {
  const entry = index < old.count ? oldEntry(old, index) : recent[index - old.count];
  assert(entry !== undefined, 'MAP_INDEX', () => `${index}`);
  return entry;
}

function newestOf({ recent }: TimeMap): MapEntry {
  const newest = recent.at(-1);
  assert(newest !== undefined, 'MAP_EMPTY');
  return newest;
}

function firstAbove(map: TimeMap, position: bigint): number {
  let [low, high] = [0, entryCount(map)];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entryAt(map, middle).endBytes > position) high = middle;
    else low = middle + 1;
  }
  return low;
}

function settle(old: OldEntries, recent: readonly MapEntry[], nowMs: number): Pick<TimeMap, 'old' | 'recent'> {
  if (recent.length <= RECENT_ENTRIES_MAX) return { old, recent };
  const moved = recent.length - RECENT_ENTRIES_MIN;
  return { old: addOldEntries(old, recent.slice(0, moved), OLD_ENTRIES_MAX, nowMs), recent: recent.slice(moved) };
}
