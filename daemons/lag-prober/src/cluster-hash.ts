// Tells whether a cluster's watcher may go on after the file was changed.

import { createHash } from 'node:crypto';
import type { ClusterConfig, ProberConfig } from './config.ts';

/** Changes when anything does that a cluster's watcher is made of. */
export function clusterHash(cluster: ClusterConfig, { intervalMs, timeoutMs, backoffMaxMs, connectionMaxAgeMs, historyEntries }: ProberConfig): string {
  const common = [cluster.intervalMs ?? intervalMs, timeoutMs, backoffMaxMs, connectionMaxAgeMs, historyEntries];
  return createHash('sha256').update(JSON.stringify([cluster, common])).digest('hex').slice(0, 16);
}
