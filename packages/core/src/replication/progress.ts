// Does a standby move? A position that stands still while the primary is further on is the one sign that a frozen receiver
// or a paused replay cannot hide: its connection, its state and its equal positions all look alive.

import type { Lsn, MonoMs } from '../types.ts';

export type Progress = {
  readonly position: Lsn;
  /** Something arrived since the look before. */
  readonly moved: boolean;
  /** Since when the primary has been further on while the standby stood just here; null while it is not behind. */
  readonly behindSinceMs: MonoMs | null;
};

export function trackProgress(before: Progress | null, position: Lsn, isBehind: boolean, nowMs: MonoMs): Progress {
  const moved = before?.position !== position;
  const still = moved ? null : (before?.behindSinceMs ?? null);
  return { position, moved, behindSinceMs: isBehind ? (still ?? nowMs) : null };
}

/** How long it has been behind while nothing at all has come; null while it is not behind. */
export function standstillMs(progress: Progress | null, nowMs: MonoMs): number | null {
  const sinceMs = progress?.behindSinceMs ?? null;
  return sinceMs === null ? null : nowMs - sinceMs;
}

export function isStalled(progress: Progress | null, stallMinMs: number, nowMs: MonoMs): boolean {
  return (standstillMs(progress, nowMs) ?? -1) >= stallMinMs;
}
