// Reads CloudNativePG's own exporter, where no SQL is allowed. Its lag of a standby is not read at all: it is 0 whenever the
// last received position is the replayed one, so also for a standby that receives nothing. What its primary says of the
// standby's confirmed position is arithmetic of somebody else, and marked so.

import type { ExporterSample } from '@continuum/core/replication/sample';

type Series = { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number };

const SERIES_MAX = 20_000;
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** The sample in a text exposition; null when it is not one of a CloudNativePG instance. */
export function readExporter(text: string): ExporterSample | null {
  const series = parseExposition(text);
  const recovery = single(series, 'cnpg_pg_replication_in_recovery');
  if (recovery === null) return null;
  const walsenders = new Map<string, { replayBytes: number | null; replayLagMs: number | null }>();
  for (const { name, labels, value } of series) {
    const standby = labels['application_name'];
    if (standby === undefined) continue;
    const known = walsenders.get(standby) ?? { replayBytes: null, replayLagMs: null };
    if (name === 'cnpg_pg_stat_replication_replay_diff_bytes') walsenders.set(standby, { ...known, replayBytes: sane(value) });
    if (name === 'cnpg_pg_stat_replication_replay_lag_seconds') {
      const seconds = sane(value);
      walsenders.set(standby, { ...known, replayLagMs: seconds === null ? null : seconds * 1_000 });
    }
  }
  const up = single(series, 'cnpg_pg_replication_is_wal_receiver_up');
  return {
    role: 'exporter',
    inRecovery: recovery === 1,
    receiverUp: up === null ? null : up === 1,
    walsenders: [...walsenders].map(([name, figures]) => ({ name, ...figures })),
  };
}

function parseExposition(text: string): Series[] {
  const found: Series[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = LINE.exec(line.trim());
    if (match === null || found.length >= SERIES_MAX) continue;
    const [, name = '', labels = '', value = ''] = match;
    if (!name.startsWith('cnpg_')) continue;
    const pairs = [...labels.matchAll(LABEL)].map(([, key = '', raw = '']) => [key, raw.replaceAll(/\\(.)/g, '$1')]);
    found.push({ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) });
  }
  return found;
}

function single(series: readonly Series[], name: string): number | null {
  const value = series.find((one) => one.name === name)?.value;
  return value === undefined ? null : sane(value);
}

/** NaN and infinities are how an exporter says that it does not know; a negative lag is nonsense. */
const sane = (value: number): number | null => (Number.isFinite(value) && value >= 0 ? value : null);
