// pg_auto_failover beside Continuum in the failover bench: two nodes and a monitor outside both, on this machine.

import { spawnSync } from 'node:child_process';
import { ensurePgAutoFailover } from './install.mjs';
import type { PgAutoFailoverPrograms } from './install.mjs';
import { measurePeer } from './measure-peer.ts';
import type { PeerResult } from './measure-peer.ts';
import { peerReason } from './peer-problem.ts';
import { startFormation } from './pg-auto-failover-cluster.ts';
import type { FormationTimings } from './pg-auto-failover-cluster.ts';

export type PgAutoFailoverOptions = {
  /** An empty folder that the user PostgreSQL runs under can enter. */
  readonly folder: string;
  readonly kills: number;
  readonly switchovers: number;
  readonly timings: keyof typeof PG_AUTO_FAILOVER_TIMINGS;
  readonly say: (line: string) => void;
};

/**
 * `fast`: near the interval of 1 s at which nodes report to the monitor, below which a healthy node is given up. An isolated
 * primary still stops itself before the standby is promoted, as with the defaults (20 s, and 20 + 30 s).
 */
export const PG_AUTO_FAILOVER_TIMINGS = {
  default: { monitor: {} },
  fast: {
    monitor: {
      health_check_period: 1_000,
      health_check_timeout: 1_000,
      health_check_max_retries: 1,
      health_check_retry_delay: 500,
      node_considered_unhealthy_timeout: 3_000,
      primary_demote_timeout: 1_000,
      startup_grace_period: 1_000,
    },
    networkPartitionTimeoutSeconds: 2,
  },
} as const satisfies Readonly<Record<string, FormationTimings>>;

/** Checks of the monitor's defaults; kills fall anywhere in one interval. */
const DEFAULT_CHECK_PERIOD_MS = 5_000;
const TAKEOVER_TIMEOUT_MS = 150_000;

/** Measures a fresh formation. What keeps it from being measured is a value, with the reason. */
export async function measurePgAutoFailover(options: PgAutoFailoverOptions): Promise<PeerResult> {
  const { say, timings } = options;
  const label = `pg_auto_failover, ${timings} timings`;
  const chosen: FormationTimings = PG_AUTO_FAILOVER_TIMINGS[timings];
  try {
    const programs = await ensurePgAutoFailover(say);
    const startedMs = performance.now();
    const cluster = await startFormation({ folder: options.folder, programs, timings: chosen });
    say(`${label}: two nodes in sync after ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
    try {
      const cycleMs = chosen.monitor['health_check_period'] ?? DEFAULT_CHECK_PERIOD_MS;
      const figures = await measurePeer(cluster, { ...options, cycleMs, takeoverTimeoutMs: TAKEOVER_TIMEOUT_MS, label });
      return { available: true, version: versionOf(programs), ...figures };
    } finally {
      await cluster.stop();
    }
  } catch (error) {
    const reason = peerReason(error);
    say(`${label}: ${reason}`);
    return { available: false, reason };
  }
}

function versionOf({ autoctl, env }: PgAutoFailoverPrograms): string {
  const said = spawnSync(autoctl, ['version'], { env: { ...process.env, ...env }, encoding: 'utf8', timeout: 10_000 }).stdout ?? '';
  return /pg_autoctl version (\S+)/.exec(said)?.[1] ?? 'unknown';
}
