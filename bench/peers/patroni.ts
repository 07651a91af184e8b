// Patroni beside Continuum in the failover bench: two nodes and an etcd outside both, killed and switched over on this machine.

import { locate } from '../../scripts/parts.mjs';
import { ensurePatroni } from './install.mjs';
import type { PatroniVersion } from './install.mjs';
import { measurePeer } from './measure-peer.ts';
import type { PeerResult } from './measure-peer.ts';
import { startCluster } from './patroni-cluster.ts';
import { peerReason } from './peer-problem.ts';

export type PatroniOptions = {
  /** An empty folder that the user PostgreSQL runs under can enter. */
  readonly folder: string;
  readonly kills: number;
  readonly switchovers: number;
  readonly ttlSeconds: number;
  readonly loopWaitSeconds: number;
  readonly retryTimeoutSeconds: number;
  /** Patroni's synchronous mode, with `remote_apply`. */
  readonly synchronous: boolean;
  /** The newest when not given; only 3.1.2 runs with a ttl below 20 s. */
  readonly release?: PatroniVersion;
  readonly say: (line: string) => void;
};

export type PatroniResult = PeerResult;

const NEWEST: PatroniVersion = '4.1.5';
/** A takeover may need a whole ttl, some rounds of the loop and a promotion. */
const TAKEOVER_EXTRA_MS = 60_000;

/** Measures a fresh cluster. What keeps Patroni from being measured is a value, with the reason. */
export async function measurePatroni(options: PatroniOptions): Promise<PatroniResult> {
  const { ttlSeconds, loopWaitSeconds, retryTimeoutSeconds, say, release: version = NEWEST } = options;
  const label = `Patroni ${version} at ${ttlSeconds}/${loopWaitSeconds}/${retryTimeoutSeconds}`;
  try {
    const programs = await ensurePatroni(say);
    const startedMs = performance.now();
    const cluster = await startCluster({ ...options, programs, version });
    say(`${label}: two nodes in sync after ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
    try {
      const plan = { ...options, cycleMs: loopWaitSeconds * 1_000, takeoverTimeoutMs: 2_000 * ttlSeconds + TAKEOVER_EXTRA_MS, label };
      return { available: true, version: `${version} (PostgreSQL ${locate('postgres').version})`, ...(await measurePeer(cluster, plan)) };
    } finally {
      await cluster.stop();
    }
  } catch (error) {
    const reason = peerReason(error);
    say(`${label}: ${reason}`);
    return { available: false, reason };
  }
}
