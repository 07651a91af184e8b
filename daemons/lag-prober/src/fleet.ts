// All watchers of this prober: the configured clusters that are this one's to watch. A change replaces only the watchers
// whose own settings changed; the others keep what they know.

import type { Logger } from 'pino';
import type { MonoMs } from '@continuum/core';
import { hash } from '@continuum/core/replication/shard';
import type { ProbeOutcome } from '@continuum/core/replication/index';
import { clusterHash } from './cluster-hash.ts';
import type { ClusterConfig, ProberConfig } from './config.ts';
import { openEnd } from './ends.ts';
import type { Peers } from './peers.ts';
import { Watcher } from './watcher.ts';
import type { WatcherParts } from './watcher.ts';
import type { Wheel } from './wheel.ts';

export type Fleet = {
  readonly apply: (config: ProberConfig) => void;
  /** Takes over and gives up clusters as the peers come and go. */
  readonly balance: (peers: Peers) => void;
  readonly get: (cluster: string) => Watcher | undefined;
  readonly all: () => Iterable<Watcher>;
  /** Configured, watched here or elsewhere. */
  readonly configured: (cluster: string) => boolean;
  /** Resolves when the cluster's version is above `version`, or when the signal ends. */
  readonly changed: (cluster: string, version: number, signal: AbortSignal) => Promise<void>;
  readonly waiting: () => number;
  readonly close: () => void;
};

export type FleetOptions = {
  readonly wheel: Wheel;
  readonly now: () => MonoMs;
  readonly log: Logger;
  readonly onLook: (outcome: ProbeOutcome, durationMs: number) => void;
  readonly onChange: (watcher: Watcher) => void;
  readonly onCrash: (error: unknown) => void;
};

type Wanted = { readonly cluster: ClusterConfig; readonly hash: string };

/**
 * So many clusters are looked at together, before the next ones have their turn: the process wakes up for all of them once. No
 * server notices, each is asked once an interval either way.
 */
const CLUSTERS_AT_ONCE = 16;
const PHASE_MS_MIN = 10;

/** A look may take this long even when looks come more often. */
const TIMEOUT_MS_MIN = 250;

export function createFleet(options: FleetOptions): Fleet {
  const watchers = new Map<string, Watcher>();
  const waits = createWaits();
  let wanted = new Map<string, Wanted>();
  let settings: ProberConfig | null = null;
  let peers: Peers | null = null;

  const parts: WatcherParts = {
    wheel: options.wheel,
    now: options.now,
    random: Math.random,
    open: openEnd,
    onLook: options.onLook,
    onCrash: options.onCrash,
    onChange: (watcher) => {
      options.onChange(watcher);
      waits.end(watcher.name);
    },
  };
  const open = ({ cluster, hash }: Wanted, { backoffMaxMs, connectionMaxAgeMs, historyEntries, ...config }: ProberConfig): Watcher => {
    const intervalMs = cluster.intervalMs ?? config.intervalMs;
    const timeoutMs = config.timeoutMs ?? Math.max(TIMEOUT_MS_MIN, intervalMs);
    const phaseMs = phaseOf(cluster.name, intervalMs, wanted.size);
    return new Watcher({ config: cluster, hash, intervalMs, phaseMs, timeoutMs, backoffMaxMs, connectionMaxAgeMs, historyEntries }, parts);
  };
  const close = (name: string): void => {
    watchers.get(name)?.close();
    watchers.delete(name);
    waits.end(name);
  };
  const settle = (): void => {
    if (settings === null) return;
    for (const [name, watcher] of watchers) {
      const still = wanted.get(name);
      if (still?.hash !== watcher.hash || peers?.mine(name, { knows: () => watcher.knows(options.now()) }) === false) close(name);
    }
    for (const [name, one] of wanted) {
      if (!watchers.has(name) && peers?.mine(name, null) !== false) watchers.set(name, open(one, settings));
    }
  };

  return {
    apply: (config) => {
      settings = config;
      wanted = new Map(config.clusters.map((cluster) => [cluster.name, { cluster, hash: clusterHash(cluster, config) }]));
      settle();
      options.log.info({ configured: wanted.size, watched: watchers.size }, 'clusters in force');
    },
    balance: (found) => {
      peers = found;
      settle();
    },
    get: (cluster) => watchers.get(cluster),
    all: () => watchers.values(),
    configured: (cluster) => wanted.has(cluster),
    waiting: waits.count,
    changed: (cluster, version, signal) => {
      const isNewer = (watchers.get(cluster)?.version() ?? version) > version;
      return isNewer || signal.aborted ? Promise.resolve() : waits.begin(cluster, signal);
    },
    close: () => {
      for (const name of [...watchers.keys()]) close(name);
    },
  };
}

/** Clusters are spread over the interval by name, over as many phases as their number needs. */
export function phaseOf(cluster: string, intervalMs: number, clusters: number): number {
  const phases = Math.max(1, Math.min(Math.ceil(clusters / CLUSTERS_AT_ONCE), Math.floor(intervalMs / PHASE_MS_MIN)));
  return Math.floor(((hash(cluster) % phases) * intervalMs) / phases);
}

/** Who waits for news of which cluster. */
function createWaits(): { begin: (cluster: string, signal: AbortSignal) => Promise<void>; end: (cluster: string) => void; count: () => number } {
  const listeners = new Map<string, Set<() => void>>();
  let count = 0;
  return {
    count: () => count,
    begin: (cluster, signal) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const mine = listeners.get(cluster) ?? new Set();
      listeners.set(cluster, mine);
      mine.add(resolve);
      count++;
      signal.addEventListener('abort', () => resolve(), { once: true });
      return promise.finally(() => {
        count--;
        mine.delete(resolve);
        if (mine.size === 0) listeners.delete(cluster);
      });
    },
    end: (cluster) => {
      for (const listener of listeners.get(cluster) ?? []) listener();
    },
  };
}
