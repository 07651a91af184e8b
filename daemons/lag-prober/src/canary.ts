// The write canary of one cluster: from the moment a row is sent to the primary until a look at the standby shows it, all on
// this process's own clock. A look that was sent after the commit was acknowledged and does not show the row proves that
// commits do not wait for that standby (`remote_apply` is not in force there).

import type { MonoMs } from '@continuum/core';

export type CanaryReport = {
  /** Write sent to row seen; null until it was ever seen. */
  readonly visibleMs: number | null;
  /** Write sent to commit acknowledged. */
  readonly acknowledgedMs: number | null;
  /** Since that measurement was finished. */
  readonly ageMs: number | null;
  /** Whether the acknowledged row was there for the next look; null when that was not seen. */
  readonly appliedBeforeAcknowledged: boolean | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
};

export type Canary = {
  readonly sent: (beat: number, atMs: MonoMs) => void;
  readonly acknowledged: (beat: number, atMs: MonoMs) => void;
  readonly failed: (code: string, message: string) => void;
  /** A look at the standby showed this beat. */
  readonly seen: (beat: number | null, sentMs: MonoMs, receivedMs: MonoMs) => void;
  /** The beat that is still to be seen. */
  readonly waiting: () => boolean;
  readonly report: (nowMs: MonoMs) => CanaryReport;
};

type Beat = { readonly beat: number; readonly sentMs: MonoMs; ackMs: MonoMs | null; applied: boolean | null };

export function createCanary(): Canary {
  let current: Beat | null = null;
  let last: { visibleMs: number; acknowledgedMs: number | null; atMs: MonoMs } | null = null;
  let applied: boolean | null = null;
  let failure: CanaryReport['failure'] = null;
  return {
    sent: (beat, sentMs) => {
      current = { beat, sentMs, ackMs: null, applied: null };
    },
    acknowledged: (beat, atMs) => {
      failure = null;
      if (current?.beat === beat) current.ackMs = atMs;
    },
    failed: (code, message) => {
      failure = { code, message };
    },
    seen: (beat, sentMs, receivedMs) => {
      if (current === null || beat === null) return;
      const isThere = beat >= current.beat;
      if (current.applied === null && current.ackMs !== null && sentMs >= current.ackMs) {
        current.applied = isThere;
        applied = isThere;
      }
      if (!isThere) return;
      last = { visibleMs: receivedMs - current.sentMs, acknowledgedMs: current.ackMs === null ? null : current.ackMs - current.sentMs, atMs: receivedMs };
      // Seen before it was acknowledged is the very order that `remote_apply` promises; the look after it still says so.
      if (current.ackMs !== null && current.applied !== null) current = null;
    },
    waiting: () => current !== null,
    report: (nowMs) => ({
      visibleMs: last?.visibleMs ?? null,
      acknowledgedMs: last?.acknowledgedMs ?? null,
      ageMs: last === null ? null : nowMs - last.atMs,
      appliedBeforeAcknowledged: applied,
      failure,
    }),
  };
}
