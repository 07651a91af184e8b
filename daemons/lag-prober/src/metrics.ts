// Metrics in Prometheus' naming: base units, and no sample for what is not known. An alert on "unknown" has a gauge of its
// own; nobody has to tell a missing series from a zero.
//
// Written out by hand, from the reports and only when asked: a registry would keep some ten series a standby as objects
// between two scrapes, in a process that is to watch a thousand clusters in little memory. What is said of one cluster is of one
// moment; the next one's may be of a few milliseconds later.

import type { MonoMs } from '@continuum/core';
import type { ProbeOutcome, Reading } from '@continuum/core/replication/index';
import { inPortions, LongText } from './long-text.ts';
import type { Watcher } from './watcher.ts';

export type Metrics = {
  readonly looked: (outcome: ProbeOutcome, durationMs: number) => void;
  readonly configuration: (ok: boolean) => void;
  /** The whole text, in parts. */
  readonly render: () => Promise<readonly Buffer[]>;
};

type Kind = 'gauge' | 'counter' | 'histogram';
type Labels = Readonly<Record<string, string>>;
/** One metric: its head, then its samples. */
type Family = { readonly name: string; readonly text: LongText };

const UPPER_BOUNDS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000] as const;

export function createMetrics(watchers: () => Iterable<Watcher>, now: () => MonoMs): Metrics {
  let configurationOk = true;
  const looks = new Map<string, number>();
  const durations = { counts: UPPER_BOUNDS_MS.map(() => 0), all: 0, sumMs: 0 };
  return {
    looked: (outcome, durationMs) => {
      const code = outcome.ok ? 'ok' : outcome.code;
      looks.set(code, (looks.get(code) ?? 0) + 1);
      if (!outcome.ok) return;
      const at = UPPER_BOUNDS_MS.findIndex((boundMs) => durationMs <= boundMs);
      if (at >= 0) durations.counts[at] = (durations.counts[at] ?? 0) + 1;
      durations.all++;
      durations.sumMs += durationMs;
    },
    configuration: (ok) => {
      configurationOk = ok;
    },
    render: async () => {
      const own = family('continuum_lag_prober_configuration_ok', 'gauge', '0 while the file on disk cannot be used and an older one is in force.');
      add(own, {}, configurationOk ? 1 : 0);
      const counted = family('continuum_lag_prober_looks_total', 'counter', 'Looks at an end, by outcome.');
      for (const [code, times] of looks) add(counted, { code }, times);
      const families = [...(await replication(watchers(), now)), own, counted, histogram(durations), ...ownProcess()];
      return families.flatMap(({ text }) => text.parts());
    },
  };
}

async function replication(watchers: Iterable<Watcher>, now: () => MonoMs): Promise<Family[]> {
  const families = {
    lagBytes: family('continuum_replication_lag_bytes', 'gauge', 'Log of the primary that the standby has not replayed; absent when unknown.'),
    lagSeconds: family('continuum_replication_lag_seconds', 'gauge', 'Age of the oldest log that the standby has not replayed; absent when unknown.'),
    lossBytes: family('continuum_replication_loss_bytes', 'gauge', 'Log that a promotion now would lose; absent when unknown.'),
    lossSeconds: family('continuum_replication_loss_seconds', 'gauge', 'Time span that a promotion now would lose; absent when unknown.'),
    lossTransactions: family('continuum_replication_loss_transactions', 'gauge', 'Transactions that a promotion now would lose, at most; absent when unknown.'),
    unknown: family('continuum_replication_lag_unknown', 'gauge', '1 while the lag of this standby is unknown.'),
    age: family('continuum_replication_evidence_age_seconds', 'gauge', 'Age of the older end that the lag rests on; absent before the first.'),
    verdict: family('continuum_replication_verdict', 'gauge', '1 for the verdict in force.'),
    end: family('continuum_replication_end_up', 'gauge', '1 while the last look at this end was answered.'),
    visible: family('continuum_replication_canary_visible_seconds', 'gauge', 'From writing a row to seeing it on the standby; absent until seen.'),
    applied: family('continuum_replication_canary_applied_before_acknowledged', 'gauge', '0 when an acknowledged row was not there: remote_apply is not in force.'),
    watched: family('continuum_lag_prober_clusters', 'gauge', 'Clusters that this prober watches.'),
  };
  let count = 0;
  await inPortions(watchers, (watcher) => {
    count++;
    const report = watcher.report(now());
    const { cluster } = report;
    for (const { name: standby, lag, loss, verdict } of report.standbys) {
      const of = { cluster, standby };
      addReading(families.lagBytes, of, lag.bytes, 1);
      addReading(families.lagSeconds, of, lag.milliseconds, 1_000);
      addReading(families.lossBytes, of, loss.bytes, 1);
      addReading(families.lossSeconds, of, loss.milliseconds, 1_000);
      addReading(families.lossTransactions, of, loss.commits, 1);
      add(families.unknown, of, lag.bytes.value === null || lag.milliseconds.value === null ? 1 : 0);
      if (lag.bytes.ageMs !== null) add(families.age, of, lag.bytes.ageMs / 1_000);
      add(families.verdict, { ...of, verdict: verdict.kind, reason: verdict.kind === 'promotable' ? '' : verdict.reason }, 1);
    }
    for (const one of report.ends) add(families.end, { cluster, end: one.name }, one.failure === null && one.ageMs !== null ? 1 : 0);
    const { visibleMs, appliedBeforeAcknowledged } = report.canary ?? { visibleMs: null, appliedBeforeAcknowledged: null };
    if (visibleMs !== null) add(families.visible, { cluster }, visibleMs / 1_000);
    if (appliedBeforeAcknowledged !== null) add(families.applied, { cluster }, appliedBeforeAcknowledged ? 1 : 0);
  });
  add(families.watched, {}, count);
  return Object.values(families);
}

function histogram({ counts, all, sumMs }: { readonly counts: readonly number[]; readonly all: number; readonly sumMs: number }): Family {
  const name = 'continuum_lag_prober_look_seconds';
  const found = family(name, 'histogram', 'Duration of answered looks.');
  const say = (ending: string, labels: Labels, value: number): void => found.text.add(sample(`${name}_${ending}`, labels, value));
  let below = 0;
  UPPER_BOUNDS_MS.forEach((boundMs, index) => {
    below += counts[index] ?? 0;
    say('bucket', { le: String(boundMs / 1_000) }, below);
  });
  say('bucket', { le: '+Inf' }, all);
  say('sum', {}, sumMs / 1_000);
  say('count', {}, all);
  return found;
}

/** What every exporter tells of its own process, under the usual names. */
function ownProcess(): Family[] {
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  const one = (name: string, kind: Kind, help: string, value: number): Family => {
    const found = family(name, kind, help);
    add(found, {}, value);
    return found;
  };
  return [
    one('process_cpu_seconds_total', 'counter', 'Processor time used so far.', (user + system) / 1e6),
    one('process_resident_memory_bytes', 'gauge', 'Resident now.', memory.rss),
    one('process_start_time_seconds', 'gauge', 'Since 1970.', Math.round(Date.now() / 1_000 - process.uptime())),
    one('nodejs_heap_size_used_bytes', 'gauge', 'Of the heap, in use.', memory.heapUsed),
    one('nodejs_heap_size_total_bytes', 'gauge', 'Of the heap, taken from the system.', memory.heapTotal),
    one('nodejs_external_memory_bytes', 'gauge', 'Outside the heap, held by it.', memory.external),
  ];
}

function family(name: string, kind: Kind, help: string): Family {
  const text = new LongText();
  text.add(`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`);
  return { name, text };
}

function add({ name, text }: Family, labels: Labels, value: number): void {
  text.add(sample(name, labels, value));
}

function addReading(to: Family, labels: Labels, { value, source, confidence }: Reading, divisor: number): void {
  if (value !== null) add(to, { ...labels, source, confidence }, value / divisor);
}

/** One line with its end. */
function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text.replaceAll(/[\\"\n]/g, escaped)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
}

const escaped = (character: string): string => (character === '\n' ? '\\n' : `\\${character}`);
