// Metrics in Prometheus' naming: base units, and no sample for what is not known. An alert on "unknown" has a gauge of its
// own; nobody has to tell a missing series from a zero.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { MonoMs } from '@continuum/core';
import type { ProbeOutcome, Reading } from '@continuum/core/replication/index';
import type { Watcher } from './watcher.ts';

export type Metrics = {
  readonly looked: (outcome: ProbeOutcome, durationMs: number) => void;
  readonly configuration: (ok: boolean) => void;
  readonly render: () => Promise<string>;
};

export function createMetrics(watchers: () => Iterable<Watcher>, now: () => MonoMs): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, labelNames: readonly string[]): Gauge => new Gauge({ name, help, labelNames: [...labelNames], registers });
  const of = ['cluster', 'standby'];
  const figures = {
    lagBytes: gauge('continuum_replication_lag_bytes', 'Log of the primary that the standby has not replayed; absent when unknown.', [...of, 'source', 'confidence']),
    lagSeconds: gauge('continuum_replication_lag_seconds', 'Age of the oldest log that the standby has not replayed; absent when unknown.', [...of, 'source', 'confidence']),
    lossBytes: gauge('continuum_replication_loss_bytes', 'Log that a promotion now would lose; absent when unknown.', [...of, 'source', 'confidence']),
    lossSeconds: gauge('continuum_replication_loss_seconds', 'Time span that a promotion now would lose; absent when unknown.', [...of, 'source', 'confidence']),
    lossTransactions: gauge('continuum_replication_loss_transactions', 'Transactions that a promotion now would lose, at most; absent when unknown.', [...of, 'source', 'confidence']),
  };
  const unknown = gauge('continuum_replication_lag_unknown', '1 while the lag of this standby is unknown.', of);
  const age = gauge('continuum_replication_evidence_age_seconds', 'Age of the older end that the lag rests on; absent before the first.', of);
  const verdict = gauge('continuum_replication_verdict', '1 for the verdict in force.', [...of, 'verdict', 'reason']);
  const end = gauge('continuum_replication_end_up', '1 while the last look at this end was answered.', ['cluster', 'end']);
  const canary = gauge('continuum_replication_canary_visible_seconds', 'From writing a row to seeing it on the standby; absent until seen.', ['cluster']);
  const applied = gauge('continuum_replication_canary_applied_before_acknowledged', '0 when an acknowledged row was not there: remote_apply is not in force.', ['cluster']);
  const watched = gauge('continuum_lag_prober_clusters', 'Clusters that this prober watches.', []);
  const configuration = gauge('continuum_lag_prober_configuration_ok', '0 while the file on disk cannot be used and an older one is in force.', []);
  const looks = new Counter({ name: 'continuum_lag_prober_looks_total', help: 'Looks at an end, by outcome.', labelNames: ['code'], registers });
  const durations = new Histogram({ name: 'continuum_lag_prober_look_seconds', help: 'Duration of answered looks.', buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1], registers });
  configuration.set(1);
  /** By outcome, since the last scrape: a labelled counter sorts and hashes its labels every time. */
  const looked = new Map<string, number>();

  const observe = (watcher: Watcher, nowMs: MonoMs): void => {
    const report = watcher.report(nowMs);
    const { cluster } = report;
    for (const { name: standby, lag, loss, verdict: one } of report.standbys) {
      const labels = { cluster, standby };
      set(figures.lagBytes, labels, lag.bytes, 1);
      set(figures.lagSeconds, labels, lag.milliseconds, 1_000);
      set(figures.lossBytes, labels, loss.bytes, 1);
      set(figures.lossSeconds, labels, loss.milliseconds, 1_000);
      set(figures.lossTransactions, labels, loss.commits, 1);
      unknown.set(labels, lag.bytes.value === null || lag.milliseconds.value === null ? 1 : 0);
      if (lag.bytes.ageMs !== null) age.set(labels, lag.bytes.ageMs / 1_000);
      verdict.set({ ...labels, verdict: one.kind, reason: one.kind === 'promotable' ? '' : one.reason }, 1);
    }
    for (const one of report.ends) end.set({ cluster, end: one.name }, one.failure === null && one.ageMs !== null ? 1 : 0);
    const { visibleMs, appliedBeforeAcknowledged } = report.canary ?? { visibleMs: null, appliedBeforeAcknowledged: null };
    if (visibleMs !== null) canary.set({ cluster }, visibleMs / 1_000);
    if (appliedBeforeAcknowledged !== null) applied.set({ cluster }, appliedBeforeAcknowledged ? 1 : 0);
  };

  return {
    looked: (outcome, durationMs) => {
      const code = outcome.ok ? 'ok' : outcome.code;
      looked.set(code, (looked.get(code) ?? 0) + 1);
      if (outcome.ok) durations.observe(durationMs / 1_000);
    },
    configuration: (ok) => configuration.set(ok ? 1 : 0),
    render: () => {
      for (const one of [...Object.values(figures), unknown, age, verdict, end, canary, applied]) one.reset();
      for (const [code, times] of looked) looks.inc({ code }, times);
      looked.clear();
      const nowMs = now();
      let count = 0;
      for (const watcher of watchers()) {
        observe(watcher, nowMs);
        count++;
      }
      watched.set(count);
      return registry.metrics();
    },
  };
}

function set(gauge: Gauge, labels: Record<string, string>, { value, source, confidence }: Reading, divisor: number): void {
  if (value !== null) gauge.set({ ...labels, source, confidence }, value / divisor);
}
