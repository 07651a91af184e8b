// What a bench writes: one metric a row, ours beside its peers of the same run, and whether the target was met.

import { cpus, totalmem } from 'node:os';

export type BenchRow = {
  readonly metric: string;
  readonly unit: string;
  /** Null when it was not measured; `notes` says why. */
  readonly ours: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly runs: number;
  readonly peers: Readonly<Record<string, number | null>>;
  /** The sign says which way is better: `<= 400`. */
  readonly target: string | null;
  readonly met: boolean | null;
};

export type BenchReport = {
  readonly bench: string;
  readonly machine: { readonly cpus: number; readonly model: string; readonly memoryBytes: number; readonly node: string };
  readonly rows: readonly BenchRow[];
  readonly notes: readonly string[];
};

export function machine(): BenchReport['machine'] {
  return { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', memoryBytes: totalmem(), node: process.versions.node };
}

/** The value below which `share` of the sorted values lie (nearest rank); null for none. */
export function quantile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

export const median = (values: readonly number[]): number | null => quantile(values, 0.5);

/** One row from its measurements; `pick` says which figure of them is reported. */
export function row(
  metric: string,
  unit: string,
  values: readonly number[],
  pick: (values: readonly number[]) => number | null,
  target: string | null,
  peers: BenchRow['peers'] = {},
): BenchRow {
  const ours = pick(values);
  const met = target === null || ours === null ? null : meets(ours, target);
  return { metric, unit, ours: rounded(ours), min: rounded(quantile(values, 0)), max: rounded(quantile(values, 1)), runs: values.length, peers, target, met };
}

export function table(report: BenchReport): string {
  const lines = report.rows.map((one) => {
    const peers = Object.entries(one.peers).map(([name, value]) => `${name} ${shown(value)}`).join(', ');
    const verdict = one.met === null ? '' : one.met ? 'met' : 'MISSED';
    return [one.metric, `${shown(one.ours)} ${one.unit}`, `${shown(one.min)}..${shown(one.max)}`, String(one.runs), peers, one.target ?? '', verdict];
  });
  const rows = [['metric', 'ours', 'min..max', 'runs', 'peers', 'target', ''], ...lines];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length))) ?? [];
  const text = rows.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
  const { cpus: count, model, memoryBytes, node } = report.machine;
  return [...text, '', `${count} x ${model}, ${Math.round(memoryBytes / 2 ** 30)} GiB, Node ${node}`, ...report.notes.map((note) => `- ${note}`)].join('\n');
}

function meets(value: number, target: string): boolean {
  const match = /^(<=|>=) (-?\d+(?:\.\d+)?)$/.exec(target);
  if (match === null) throw new Error(`target ${target}: use "<= NUMBER" or ">= NUMBER"`);
  const limit = Number(match[2]);
  return match[1] === '<=' ? value <= limit : value >= limit;
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 100) / 100;
}

function shown(value: number | null): string {
  return value === null ? '-' : String(value);
}
