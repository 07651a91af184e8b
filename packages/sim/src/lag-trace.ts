// A recorded trace of replication between two real servers: what was done to them, when commits were acknowledged, what each
// look saw, and what the prober made of it. Rows instead of objects: a trace is a few kB and can be read as text.
// test/rig/record-lag-traces.ts records them; lag-traces.test.ts holds the core and the model against them.

import type { ClusterReport, ClusterSettings, EndSample, Probe, Verdict } from '@continuum/core/replication/index';
import { nameOf } from '@continuum/core/replication/index';
import type { Lsn } from '@continuum/core';
import { lsn, monoMs } from '@continuum/core';

export const STEPS = ['freeze-receiver', 'thaw-receiver', 'slow-link', 'fast-link', 'cut-link', 'heal-link', 'pause-replay', 'resume-replay', 'promote-r2'] as const;
export type Step = (typeof STEPS)[number];

type Walsender = readonly [state: string, syncState: string, flushLsn: string | null, replayLsn: string | null];
type PrimaryLook = readonly ['primary', timeline: number, clockMs: number, lsn: string, nextXid: number | null, walsender: Walsender | null];
type StandbyLook = readonly [
  'standby',
  timeline: number | null,
  clockMs: number,
  receiveLsn: string | null,
  replayLsn: string | null,
  lastCommitMs: number | null,
  receiver: readonly [streaming: boolean, messageAgeMs: number | null] | null,
  paused: boolean,
];
type FailedLook = readonly ['failed', code: string, message: string];

/** All times but the servers' clocks are milliseconds since the trace began; clocks are since the primary's first reading. */
export type LagTrace = {
  readonly name: string;
  readonly server: string;
  readonly limits: ClusterSettings['limits'];
  readonly steps: readonly (readonly [atMs: number, step: Step])[];
  /** In r1: when each was acknowledged, and where the log ended then. */
  readonly commits: readonly (readonly [atMs: number, lsn: string])[];
  readonly looks: readonly (readonly [end: 'r1' | 'r2', sentMs: number, receivedMs: number, saw: PrimaryLook | StandbyLook | FailedLook])[];
  readonly said: readonly Said[];
};

/** What the prober says of r2 after a round: the published verdict and the figures. */
export type Said = readonly [atMs: number, verdict: string, lagBytes: number | null, lagMs: number | null, lossBytes: number | null, lossMs: number | null];

export function settingsOf({ limits }: Pick<LagTrace, 'limits'>): ClusterSettings {
  const end = (name: string): ClusterSettings['ends'][number] => ({ name, applicationName: name, slot: null });
  return { name: 'trace', ends: [end('r1'), end('r2')], limits, thresholds: { up: 3, ok: 3, down: 2 } };
}

export function saidOf(report: ClusterReport, atMs: number): Said {
  const standby = report.standbys.find((one) => one.name === 'r2');
  // Two primaries, or r2 is the primary now: what is left of r1 is none of this.
  if (standby === undefined) return [atMs, 'primary', null, null, null, null];
  const verdict: Verdict = standby.verdict;
  const { lag, loss } = standby;
  return [atMs, nameOf(verdict), rounded(lag.bytes.value), rounded(lag.milliseconds.value), rounded(loss.bytes.value), rounded(loss.milliseconds.value)];
}

const SYSTEM = '7300000000000000001';

export function probeOf([end, sentMs, receivedMs, saw]: LagTrace['looks'][number]): Probe {
  const at = { end, sentMs: monoMs(sentMs), receivedMs: monoMs(receivedMs) };
  if (saw[0] === 'failed') return { ...at, outcome: { ok: false, code: saw[1], message: saw[2] } };
  return { ...at, outcome: { ok: true, sample: saw[0] === 'primary' ? toPrimary(saw) : toStandby(saw) } };
}

/** `baseMs`: the primary's first clock reading. */
export function rowOf({ end, sentMs, receivedMs, outcome }: Probe, baseMs: number): LagTrace['looks'][number] {
  const at = [end === 'r1' ? 'r1' : 'r2', tenth(sentMs), tenth(receivedMs)] as const;
  if (!outcome.ok) return [...at, ['failed', outcome.code, outcome.message]];
  const { sample } = outcome;
  if (sample.role === 'exporter') throw new Error('a trace is of real servers');
  const clockMs = tenth(sample.clockMs - baseMs);
  if (sample.role === 'primary') {
    const [one] = sample.walsenders.filter(({ name }) => name === 'r2');
    return [...at, ['primary', sample.timeline, clockMs, sample.lsn, sample.nextXid, one === undefined ? null : [one.state, one.syncState, one.flushLsn, one.replayLsn]]];
  }
  const { timeline, receiveLsn, replayLsn, lastReplayedCommitMs, receiver, replayPaused } = sample;
  const commitMs = lastReplayedCommitMs === null ? null : tenth(lastReplayedCommitMs - baseMs);
  const heard = receiver === null ? null : ([receiver.streaming, receiver.messageAgeMs === null ? null : tenth(receiver.messageAgeMs)] as const);
  return [...at, ['standby', timeline, clockMs, receiveLsn, replayLsn, commitMs, heard, replayPaused]];
}

function toPrimary([, timeline, clockMs, position, nextXid, walsender]: PrimaryLook): EndSample {
  const walsenders = walsender === null ? [] : [{ name: 'r2', state: walsender[0], syncState: walsender[1], flushLsn: lsnOrNull(walsender[2]), replayLsn: lsnOrNull(walsender[3]) }];
  const rest = { slots: [], synchronous: '', syncWaiters: 0, syncWaitMsMax: null, weakSettings: 0, beat: null };
  return { role: 'primary', systemIdentifier: SYSTEM, timeline, clockMs, lsn: lsn(position), nextXid, walsenders, ...rest };
}

function toStandby([, timeline, clockMs, receive, replay, lastReplayedCommitMs, heard, replayPaused]: StandbyLook): EndSample {
  const receiver = heard === null ? null : { streaming: heard[0], source: '127.0.0.1:5432', messageAgeMs: heard[1] };
  const rest = { applyDelayMs: 0, conflicts: 0, beat: null };
  return { role: 'standby', systemIdentifier: SYSTEM, timeline, clockMs, receiveLsn: lsnOrNull(receive), replayLsn: lsnOrNull(replay), lastReplayedCommitMs, receiver, replayPaused, ...rest };
}

const lsnOrNull = (text: string | null): Lsn | null => (text === null ? null : lsn(text));
const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value));
const tenth = (value: number): number => Math.round(value * 10) / 10;
