// Watches one cluster: looks at every end in its time, one look at an end at once, and keeps what the core makes of it. An
// end that fails is asked less often, with jitter; its age is told all the same. Nothing in here can hold up another cluster.

import type { MonoMs } from '@continuum/core';
import { absorbProbe, nameOf, newCluster, primaryOf, reportCluster, summariseStandbys } from '@continuum/core/replication/index';
import type { ClusterReport, ClusterState, PrimarySample, ProbeOutcome, StandbySummary } from '@continuum/core/replication/index';
import { createCanary } from './canary.ts';
import type { Canary, CanaryReport } from './canary.ts';
import type { ClusterConfig } from './config.ts';
import type { EndProbe } from './ends.ts';
import { createHistory } from './history.ts';
import type { History, HistoryEntry } from './history.ts';
import type { Alarm, Wheel } from './wheel.ts';

export type WatchedReport = ClusterReport & { readonly version: number; readonly intervalMs: number; readonly canary: CanaryReport | null };

export type Watcher = {
  readonly name: string;
  readonly hash: string;
  readonly report: (nowMs: MonoMs) => WatchedReport;
  readonly history: (nowMs: MonoMs) => Readonly<Record<string, readonly HistoryEntry[]>>;
  readonly version: () => number;
  /** It has a verdict on every standby now: whoever watched this cluster before may stop. */
  readonly knows: (nowMs: MonoMs) => boolean;
  readonly close: () => void;
};

export type WatcherOptions = {
  readonly config: ClusterConfig;
  readonly hash: string;
  readonly intervalMs: number;
  /** When in the interval it looks. */
  readonly phaseMs: number;
  readonly timeoutMs: number;
  readonly backoffMaxMs: number;
  readonly historyEntries: number;
  readonly wheel: Wheel;
  readonly now: () => MonoMs;
  readonly random: () => number;
  readonly open: (end: ClusterConfig['ends'][number]) => EndProbe;
  readonly onLook: (outcome: ProbeOutcome, durationMs: number) => void;
  /** A round of looks is done, or a verdict changed. */
  readonly onChange: (watcher: Watcher) => void;
  readonly onCrash: (error: unknown) => void;
};

type Tasks = Readonly<Record<'turn' | 'timeout' | 'confirm', (end: End) => void>>;

class End {
  readonly name: string;
  readonly probe: EndProbe;
  readonly turn: Alarm;
  readonly timeout: Alarm;
  readonly confirm: Alarm;
  dueMs: number;
  confirmMs: number | null = null;
  /** When the look that is under way was sent; null: none is. */
  sentMs: MonoMs | null = null;
  /** One serves until it was used: most looks end in time, and a thousand clusters look two thousand times a second. */
  controller = new AbortController();
  failures = 0;

  constructor(name: string, probe: EndProbe, dueMs: number, wheel: Wheel, tasks: Tasks) {
    this.name = name;
    this.probe = probe;
    this.dueMs = dueMs;
    this.turn = wheel.alarm(tasks.turn, this);
    this.timeout = wheel.alarm(tasks.timeout, this);
    this.confirm = wheel.alarm(tasks.confirm, this);
  }

  stop(): void {
    for (const alarm of [this.turn, this.timeout, this.confirm]) alarm.clear();
    this.controller.abort();
    this.probe.close();
  }
}

/** An end that failed less often is asked at every interval still. */
const FAILURES_AT_FULL_RATE = 3;

export function createWatcher(options: WatcherOptions): Watcher {
  const { config, intervalMs, timeoutMs, wheel, now } = options;
  let state: ClusterState = newCluster(settingsOf(options));
  let version = 0;
  let closed = false;
  const canary = config.canary ? createCanary() : null;
  const histories = createHistories(options.historyEntries);
  const beater = canary === null ? null : createBeater(canary, options, (writer) => ends.filter((one) => one.name !== writer).forEach(look));

  const look = (end: End): void => {
    if (closed || end.sentMs !== null) return;
    const sentMs = now();
    end.sentMs = sentMs;
    if (end.controller.signal.aborted) end.controller = new AbortController();
    end.timeout.set(sentMs + timeoutMs);
    end.probe.look(end.controller.signal).then((outcome) => {
      end.sentMs = null;
      if (!closed) take(end, outcome, sentMs);
    }, options.onCrash);
  };

  const take = (end: End, outcome: ProbeOutcome, sentMs: MonoMs): void => {
    const receivedMs = now();
    options.onLook(outcome, receivedMs - sentMs);
    const before = state;
    state = absorbProbe(state, { end: end.name, sentMs, receivedMs, outcome });
    version++;
    if (outcome.ok && outcome.sample.role === 'standby') canary?.seen(outcome.sample.beat, sentMs, receivedMs);
    end.failures = outcome.ok ? 0 : end.failures + 1;
    if (end.failures >= FAILURES_AT_FULL_RATE && end.name === state.primary) beater?.giveUp();
    for (const one of ends) confirmStall(one, state, receivedMs);
    const complete = ends.every((one) => one.sentMs === null);
    if (complete) histories.add(receivedMs, summariseStandbys(state, receivedMs));
    if (complete || verdictsDiffer(before, state)) options.onChange(watcher);
    if (outcome.ok && end.name === state.primary) beater?.beat(end.name, end.probe, primaryOf(state)?.sample ?? null);
  };

  const run = (end: End): void => {
    if (closed) return;
    look(end);
    end.dueMs = nextDueMs(end, now(), options);
    end.turn.set(end.dueMs);
  };

  /** Set anew with every look, so it is that look's own. */
  const expire = (end: End): void => {
    if (end.sentMs !== null) end.controller.abort();
  };

  // Both ends in the same slot of the wheel.
  const phaseNowMs = Math.floor(now() / intervalMs) * intervalMs + options.phaseMs;
  const firstMs = phaseNowMs < now() ? phaseNowMs + intervalMs : phaseNowMs;
  const ends = config.ends.map((one) => new End(one.name, options.open(one), firstMs, wheel, { turn: run, timeout: expire, confirm: look }));
  const watcher: Watcher = {
    name: config.name,
    hash: options.hash,
    version: () => version,
    report: (nowMs) => ({ ...reportCluster(state, nowMs), version, intervalMs, canary: canary?.report(nowMs) ?? null }),
    history: histories.read,
    knows: (nowMs) => {
      const { standbys } = reportCluster(state, nowMs);
      return standbys.length > 0 && standbys.every(({ verdict }) => verdict.kind !== 'unknown');
    },
    close: () => {
      closed = true;
      beater?.giveUp();
      for (const end of ends) end.stop();
    },
  };
  for (const end of ends) end.turn.set(end.dueMs);
  return watcher;
}

/** What may be a stall is confirmed as soon as it can be, not an interval later. */
function confirmStall(end: End, state: ClusterState, nowMs: MonoMs): void {
  const { progress, stalled } = state.ends[end.name] ?? { progress: null, stalled: false };
  const sinceMs = progress?.behindSinceMs ?? null;
  // A stream that moves is no suspect: on a busy cluster a standby is behind at every look.
  if (sinceMs === null || progress?.moved === true || stalled || end.failures > 0) return;
  const confirmMs = sinceMs + state.settings.limits.stallMinMs;
  if (confirmMs <= nowMs || confirmMs === end.confirmMs) return;
  end.confirmMs = confirmMs;
  end.confirm.set(confirmMs);
}

type Histories = { readonly add: (atMs: MonoMs, rounds: readonly StandbySummary[]) => void; readonly read: Watcher['history'] };

function createHistories(entriesMax: number): Histories {
  const histories = new Map<string, History>();
  return {
    add: (atMs, rounds) => {
      for (const round of rounds) {
        const history = histories.get(round.name) ?? createHistory(entriesMax);
        histories.set(round.name, history);
        history.add(atMs, round);
      }
    },
    read: (nowMs) => Object.fromEntries([...histories].map(([name, history]) => [name, history.read(nowMs)])),
  };
}

type Beater = { readonly beat: (end: string, probe: EndProbe, primary: PrimarySample | null) => void; readonly giveUp: () => void };

/** One heartbeat is under way at most: while commits wait for a standby that is gone, so does the canary. */
function createBeater(canary: Canary, { now, onCrash }: WatcherOptions, onAcknowledged: (writer: string) => void): Beater {
  let beating: AbortController | null = null;
  return {
    beat: (end, probe, primary) => {
      if (probe.beat === null || primary === null || beating !== null) return;
      const value = (primary.beat ?? 0) + 1;
      beating = new AbortController();
      canary.sent(value, now());
      probe.beat(beating.signal, value, primary.timeline).then((result) => {
        beating = null;
        if (!result.ok) return canary.failed(result.failure.code, result.failure.message);
        canary.acknowledged(value, now());
        onAcknowledged(end);
      }, onCrash);
    },
    giveUp: () => beating?.abort(),
  };
}

/** The next turn of its phase; later, and at no fixed phase, after repeated failures. */
function nextDueMs(end: End, nowMs: number, { intervalMs, backoffMaxMs, random }: WatcherOptions): number {
  if (end.failures > FAILURES_AT_FULL_RATE) {
    const restMs = Math.min(backoffMaxMs, intervalMs * 2 ** Math.min(20, end.failures - FAILURES_AT_FULL_RATE));
    return nowMs + Math.max(intervalMs, restMs * (0.5 + random() / 2));
  }
  const behind = Math.max(0, Math.ceil((nowMs - end.dueMs) / intervalMs));
  const nextMs = end.dueMs + behind * intervalMs;
  return nextMs > nowMs ? nextMs : nextMs + intervalMs;
}

function verdictsDiffer(before: ClusterState, after: ClusterState): boolean {
  for (const name in after.ends) {
    const [old, now] = [before.ends[name], after.ends[name]];
    if (old === undefined || now === undefined || nameOf(old.verdict) !== nameOf(now.verdict)) return true;
  }
  return false;
}

function settingsOf({ config, intervalMs, timeoutMs }: WatcherOptions): ClusterState['settings'] {
  return {
    name: config.name,
    ends: config.ends.map(({ name, applicationName, slot }) => ({ name, applicationName: applicationName ?? name, slot: slot ?? null })),
    limits: {
      ...config.limits,
      // Two looks may be lost or late before what is known is called old.
      evidenceAgeMaxMs: Math.max(2.5 * intervalMs, timeoutMs + 1.5 * intervalMs),
      // A look comes a little early when the one before was late.
      stallMinMs: config.limits.stallMinMs ?? 0.8 * intervalMs,
    },
    thresholds: config.thresholds,
  };
}
