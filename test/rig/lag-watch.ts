// A real pair under a real prober, as the tests of replication faults need it.

import type pg from 'pg';
import type { Test } from 'tap';
import type { StandbyReport } from '@continuum/core/replication/index';
import { startLagPair } from './lag-pair.ts';
import type { LagPair, LagPairOptions } from './lag-pair.ts';
import { INSERT } from './postgres-pair.ts';
import { endConfig, startProber } from './prober.ts';
import type { Prober } from './prober.ts';

export const INTERVAL_MS = 200;

export type Watched = { readonly pair: LagPair; readonly prober: Prober; readonly client: pg.Client; readonly write: () => Promise<void> };

export const why = ({ verdict }: StandbyReport): string => (verdict.kind === 'promotable' ? verdict.kind : verdict.reason);
export const is = (reason: string) => (report: StandbyReport): boolean => why(report) === reason;

/** Cluster `shop` of `r1` and `r2`, promotable. */
export async function watchPair(t: Test, options: LagPairOptions): Promise<Watched> {
  const pair = await startLagPair(options);
  t.teardown(pair.close);
  const cluster = {
    name: 'shop',
    canary: options.canary ?? false,
    limits: { replayLagMaxMs: 1_500, lossMaxMs: 5_000 },
    ends: [endConfig('r1', pair.probeOptions(pair.one)), endConfig('r2', pair.probeOptions(pair.two))],
  };
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters: [cluster] });
  t.teardown(() => prober.process.stop());
  const client = await pair.one.client();
  t.teardown(() => client.end().catch(() => undefined));
  await prober.until('shop', 'the pair to be promotable', is('promotable'));
  return { pair, prober, client, write: async () => void (await client.query(INSERT, ['r1'])) };
}

export const recovered = (prober: Prober): Promise<StandbyReport> =>
  prober.until('shop', 'the pair to be promotable again', (report) => is('promotable')(report) && report.lag.milliseconds.value === 0);
