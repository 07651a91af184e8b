// Watches one cluster: looks at every end in its time, one look at an end at once, and keeps what the core makes of it. An
// end that fails is asked less often, with jitter; its age is told all the same. Nothing in here can hold up another cluster.

import type { MonoMs } from '@continuum/core';
import { absorbProbe, nameOf, newCluster, primaryOf, reportCluster, summariseStandbys } from '@continuum/core/replication/index';
import type { ClusterReport, ClusterState, PrimarySample, ProbeOutcome } from '@continuum/core/replication/index';
import { createCanary } from './canary.ts';
import type { Canary, CanaryReport } from './canary.ts';
import type { ClusterConfig } from './config.ts';
import type { EndProbe } from './ends.ts';
import { History } from './history.ts';
import type { HistoryEntry } from './history.ts';
import type { Alarm, Wheel } from './wheel.ts';

export type WatchedReport = ClusterReport & { readonly version: number; readonly intervalMs: number; readonly canary: CanaryReport | null };

/** What is this cluster's own. */
export type WatcherOptions = {
  readonly config: ClusterConfig;
  readonly hash: string;
  readonly intervalMs: number;
  /** When in the interval it looks. */
  readonly phaseMs: number;
  readonly timeoutMs: number;
  readonly backoffMaxMs: number;
  readonly connectionMaxAgeMs: number;
  readonly historyEntries: number;
};

/** What all watchers share. */
export type WatcherParts = {
  readonly wheel: Wheel;
  readonly now: () => MonoMs;
  readonly random: () => number;
  readonly open: (end: ClusterConfig['ends'][number], options: { readonly canary: boolean; readonly timeoutMs: number; readonly connectionMaxAgeMs: number }) => EndProbe;
  readonly onLook: (outcome: ProbeOutcome, durationMs: number) => void;
  /** A round of looks is done, or a verdict changed. */
  readonly onChange: (watcher: Watcher) => void;
  readonly onCrash: (error: unknown) => void;
};

type Tasks = Readonly<Record<'turn' | 'timeout' | 'confirm', (end: End) => void>>;

class End {
  readonly of: Watcher;
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
  /** Of its rounds as a standby. */
  history: History | null = null;

  constructor(of: Watcher, name: string, probe: EndProbe, dueMs: number, wheel: Wheel, tasks: Tasks) {
    this.of = of;
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

/** A class, as all that there is a thousand times: a closure a function would be kept for each. */
export class Watcher {
  static readonly #tasks: Tasks = { turn: (end) => end.of.#run(end), timeout: expire, confirm: (end) => end.of.#look(end) };
  readonly name: string;
  readonly hash: string;
  readonly #options: WatcherOptions;
  readonly #parts: WatcherParts;
  readonly #ends: readonly End[];
  readonly #canary: Canary | null;
  readonly #beater: Beater | null;
  #state: ClusterState;
  #version = 0;
  #closed = false;

  constructor(options: WatcherOptions, parts: WatcherParts) {
    const { config, hash, intervalMs, phaseMs, timeoutMs, connectionMaxAgeMs } = options;
    const { canary } = config;
    this.name = config.name;
    this.hash = hash;
    this.#options = options;
    this.#parts = parts;
    this.#state = newCluster(settingsOf(options));
    this.#canary = canary ? createCanary() : null;
    this.#beater = this.#canary === null ? null : createBeater(this.#canary, parts, (writer) => this.#lookElsewhere(writer));
    // Both ends in the same slot of the wheel.
    const phaseNowMs = Math.floor(parts.now() / intervalMs) * intervalMs + phaseMs;
    const firstMs = phaseNowMs < parts.now() ? phaseNowMs + intervalMs : phaseNowMs;
    this.#ends = config.ends.map((one) => new End(this, one.name, parts.open(one, { canary, timeoutMs, connectionMaxAgeMs }), firstMs, parts.wheel, Watcher.#tasks));
    for (const end of this.#ends) end.turn.set(end.dueMs);
  }

  version(): number {
    return this.#version;
  }

  report(nowMs: MonoMs): WatchedReport {
    return { ...reportCluster(this.#state, nowMs), version: this.#version, intervalMs: this.#options.intervalMs, canary: this.#canary?.report(nowMs) ?? null };
  }

  history(nowMs: MonoMs): Readonly<Record<string, readonly HistoryEntry[]>> {
    return Object.fromEntries(this.#ends.flatMap(({ name, history }) => (history === null ? [] : [[name, history.read(nowMs)]])));
  }

  /** It has a verdict on every standby now: whoever watched this cluster before may stop. */
  knows(nowMs: MonoMs): boolean {
    const { standbys } = reportCluster(this.#state, nowMs);
    return standbys.length > 0 && standbys.every(({ verdict }) => verdict.kind !== 'unknown');
  }

  close(): void {
    this.#closed = true;
    this.#beater?.giveUp();
    for (const end of this.#ends) end.stop();
  }

  #run(end: End): void {
    if (this.#closed) return;
    this.#look(end);
    end.dueMs = nextDueMs(end, this.#parts.now(), this.#options, this.#parts.random);
    end.turn.set(end.dueMs);
  }

  #look(end: End): void {
    if (this.#closed || end.sentMs !== null) return;
    const sentMs = this.#parts.now();
    end.sentMs = sentMs;
    if (end.controller.signal.aborted) end.controller = new AbortController();
    end.timeout.set(sentMs + this.#options.timeoutMs);
    end.probe.look(end.controller.signal).then((outcome) => {
      end.sentMs = null;
      if (!this.#closed) this.#take(end, outcome, sentMs);
    }, this.#parts.onCrash);
  }

  #lookElsewhere(writer: string): void {
    for (const end of this.#ends) if (end.name !== writer) this.#look(end);
  }

  #take(end: End, outcome: ProbeOutcome, sentMs: MonoMs): void {
    const receivedMs = this.#parts.now();
    this.#parts.onLook(outcome, receivedMs - sentMs);
    const before = this.#state;
    const state = absorbProbe(before, { end: end.name, sentMs, receivedMs, outcome });
    this.#state = state;
    this.#version++;
    if (outcome.ok && outcome.sample.role === 'standby') this.#canary?.seen(outcome.sample.beat, sentMs, receivedMs);
    end.failures = outcome.ok ? 0 : end.failures + 1;
    if (end.failures >= FAILURES_AT_FULL_RATE && end.name === state.primary) this.#beater?.giveUp();
    for (const one of this.#ends) confirmStall(one, state, receivedMs);
    const complete = this.#ends.every((one) => one.sentMs === null);
    if (complete) this.#remember(receivedMs);
    if (complete || verdictsDiffer(before, state)) this.#parts.onChange(this);
    if (outcome.ok && end.name === state.primary) this.#beater?.beat(end.name, end.probe, primaryOf(state)?.sample ?? null);
  }

  #remember(atMs: MonoMs): void {
    for (const round of summariseStandbys(this.#state, atMs)) {
      const end = this.#ends.find(({ name }) => name === round.name);
      if (end === undefined) continue;
      end.history ??= new History(this.#options.historyEntries);
      end.history.add(atMs, round);
    }
  }
}

/** Its alarm is set anew with every look, so it is that look's own. */
function expire(end: End): void {
  if (end.sentMs !== null) end.controller.abort();
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

type Beater = { readonly beat: (end: string, probe: EndProbe, primary: PrimarySample | null) => void; readonly giveUp: () => void };

/** One heartbeat is under way at most: while commits wait for a standby that is gone, so does the canary. */
function createBeater(canary: Canary, { now, onCrash }: WatcherParts, onAcknowledged: (writer: string) => void): Beater {
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
function nextDueMs(end: End, nowMs: number, { intervalMs, backoffMaxMs }: WatcherOptions, random: () => number): number {
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
