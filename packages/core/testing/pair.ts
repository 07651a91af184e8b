// A replicating pair at rest, as a prober sees it: r1 is the primary, r2 streams and has all. A test changes one thing that
// an end says and looks again.

import { absorbProbe, newCluster } from '../src/replication/measure.ts';
import type { EndSample, PrimarySample, ProbeOutcome, StandbySample } from '../src/replication/sample.ts';
import type { ClusterSettings, ClusterState } from '../src/replication/state.ts';
import { lsn, monoMs } from '../src/types.ts';

export const settings: ClusterSettings = {
  name: 'shop',
  ends: [
    { name: 'r1', applicationName: 'app-r1', slot: null },
    { name: 'r2', applicationName: 'app-r2', slot: 'slot_r2' },
  ],
  limits: { evidenceAgeMaxMs: 2_500, lossMaxBytes: 1_000, lossMaxMs: 5_000, stallMinMs: 900, replayLagMaxBytes: 1_000, replayLagMaxMs: 5_000 },
  thresholds: { up: 3, ok: 3, down: 2 },
};

export const primary: PrimarySample = {
  role: 'primary',
  systemIdentifier: '7',
  timeline: 2,
  clockMs: 1_000_000,
  lsn: lsn('0/500'),
  nextXid: 100,
  walsenders: [{ name: 'app-r2', state: 'streaming', syncState: 'sync', flushLsn: lsn('0/500'), replayLsn: lsn('0/500') }],
  slots: [{ name: 'slot_r2', active: true, walStatus: 'reserved', retainedBytes: 16 }],
  synchronous: 'ANY 1 (app-r2)',
  syncWaiters: 1,
  syncWaitMsMax: 20,
  weakSettings: 0,
  beat: null,
};

export const standby: StandbySample = {
  role: 'standby',
  systemIdentifier: '7',
  timeline: 2,
  clockMs: 1_000_000,
  receiveLsn: lsn('0/500'),
  replayLsn: lsn('0/500'),
  lastReplayedCommitMs: null,
  receiver: { streaming: true, source: '10.0.0.1:5432', messageAgeMs: 10 },
  replayPaused: false,
  applyDelayMs: 0,
  conflicts: 3,
  beat: null,
};

export const TIMEOUT: ProbeOutcome = { ok: false, code: 'CTM_PROBE_TIMEOUT', message: 'no answer in time' };

/** What an end said at `atMs` (its clock goes with the prober's); null: it did not answer. */
export type Look = { readonly end: string; readonly atMs: number; readonly sample: EndSample | null };

export function watch(looks: readonly Look[], of: ClusterSettings = settings): ClusterState {
  return looks.reduce((state, { end, atMs, sample }) => {
    const told = sample?.role === 'primary' ? { ...sample, clockMs: sample.clockMs + atMs } : sample;
    const outcome: ProbeOutcome = told === null ? TIMEOUT : { ok: true, sample: told };
    return absorbProbe(state, { end, sentMs: monoMs(atMs), receivedMs: monoMs(atMs + 1), outcome });
  }, newCluster(of));
}

/** Both ends, every second from 1 to `count`. */
export function both(count: number, r1: EndSample | null = primary, r2: EndSample | null = standby, fromMs = 0): Look[] {
  return Array.from({ length: count }, (_, index) => fromMs + (index + 1) * 1_000).flatMap((atMs) => [
    { end: 'r1', atMs, sample: r1 },
    { end: 'r2', atMs, sample: r2 },
  ]);
}
