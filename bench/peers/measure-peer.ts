// Kills and switchovers of a peer's cluster, as bench/failover.ts does them to Continuum's: the same load, the same points of
// the cycle, from the same moment to the same one. What was lost or doubled is read from the table at the end.

import { setTimeout as delay } from 'node:timers/promises';
import { ledgerOf, readRows } from '../../test/demo/evidence.ts';
import { startReaders, startWriter } from '../../test/demo/writer.ts';
import type { Client, Read, Write } from '../../test/demo/writer.ts';
import { monotonicMs } from '../../test/rig/clock.ts';
import { waitForPeer } from './peer-problem.ts';
import { createPrimaryClient, startRouter } from './primary-client.ts';
import type { Endpoint, Login } from './primary-client.ts';

export type PeerNode = Endpoint & {
  readonly start: () => Promise<void>;
  /** SIGKILL to every process of the node at once. */
  readonly kill: () => Promise<void>;
};

export type PeerCluster = {
  readonly nodes: readonly [PeerNode, PeerNode];
  readonly login: Login;
  /** What a load balancer in front of this peer asks. */
  readonly isPrimary: (node: Endpoint, signal: AbortSignal) => Promise<boolean>;
  /** `primary` leads, and the other node streams and may take over without loss. */
  readonly settled: (primary: PeerNode) => Promise<void>;
  /** Resolves when the peer says that it is done. */
  readonly switchover: (from: PeerNode, to: PeerNode) => Promise<void>;
  readonly stop: () => Promise<void>;
};

export type PeerPlan = {
  readonly kills: number;
  readonly switchovers: number;
  /** The peer renews or checks at this interval: kills fall anywhere in it. */
  readonly cycleMs: number;
  /** Longest wait for the first write after a kill. */
  readonly takeoverTimeoutMs: number;
  /** Begins each line of progress. */
  readonly label: string;
  readonly say: (line: string) => void;
};

export type PeerFigures = {
  /** SIGKILL to the end of the first acknowledged write at the other node. */
  readonly rtoMs: number[];
  /** Longest time between two acknowledged writes. */
  readonly switchoverGapMs: number[];
  /** Reads and writes that were not answered with success. */
  readonly switchoverFailedRequests: number[];
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
};

export type PeerResult =
  | ({ readonly available: true; readonly version: string } & PeerFigures)
  | { readonly available: false; readonly reason: string };

type Round = { readonly cluster: PeerCluster; readonly client: Client; readonly writes: readonly Write[]; readonly plan: PeerPlan };

const WRITE_EVERY_MS = 100;
const READS_PER_SECOND = 200;
/** A kill falls anywhere in the cycle: waits differ by this golden share of it, evenly and repeatably. */
const GOLDEN = 0.618_034;
/** Undisturbed load before and after what is measured. */
const MARGIN_MS = 500;

/** Needs a settled cluster whose first node leads. Leaves it settled; stopping it is the caller's. */
export async function measurePeer(cluster: PeerCluster, plan: PeerPlan): Promise<PeerFigures> {
  const router = startRouter(cluster.nodes, cluster.isPrimary);
  const client = createPrimaryClient(router, cluster.nodes, cluster.login);
  const writes: Write[] = [];
  const writer = startWriter(client, WRITE_EVERY_MS, (write) => writes.push(write));
  const round: Round = { cluster, client, writes, plan };
  const rtoMs: number[] = [];
  const turns: { gapMs: number; failed: number }[] = [];
  let [primary, standby] = cluster.nodes;
  try {
    await waitForPeer('the first acknowledged write', () => writes.some((one) => one.outcome === 'acknowledged'));
    for (let index = 0; index < plan.kills; index++) {
      rtoMs.push(await killOnce(round, primary, standby, index));
      [primary, standby] = [standby, primary];
    }
    for (let index = 0; index < plan.switchovers; index++) {
      turns.push(await switchOnce(round, primary, standby, index));
      [primary, standby] = [standby, primary];
    }
  } finally {
    await writer.stop();
    await router.stop();
    await client.close();
  }
  const { user, password, database } = cluster.login;
  const ledger = ledgerOf(writes, await readRows(`postgres://${user}:${password}@${primary.host}:${primary.port}/${database}`));
  return {
    rtoMs,
    switchoverGapMs: turns.map((one) => one.gapMs),
    switchoverFailedRequests: turns.map((one) => one.failed),
    acknowledged: ledger.acknowledged,
    lost: ledger.lost,
    duplicated: ledger.duplicated,
  };
}

async function killOnce({ cluster, writes, plan }: Round, primary: PeerNode, standby: PeerNode, index: number): Promise<number> {
  await delay(MARGIN_MS + ((index * GOLDEN) % 1) * plan.cycleMs);
  const killMs = monotonicMs();
  await primary.kill();
  const rtoMs = (await firstWriteMs(writes, standby, killMs, plan)) - killMs;
  plan.say(`${plan.label}, kill ${index + 1} of ${plan.kills}: ${Math.round(rtoMs)} ms`);
  await primary.start();
  await cluster.settled(standby);
  return rtoMs;
}

async function switchOnce({ cluster, client, writes, plan }: Round, primary: PeerNode, standby: PeerNode, index: number): Promise<{ gapMs: number; failed: number }> {
  const reads: Read[] = [];
  const readers = startReaders(client, READS_PER_SECOND, (read) => reads.push(read));
  try {
    await delay(MARGIN_MS);
    const askedMs = monotonicMs();
    await cluster.switchover(primary, standby);
    await firstWriteMs(writes, standby, askedMs, plan);
    await cluster.settled(standby);
    await delay(MARGIN_MS);
    const endMs = monotonicMs();
    const within = (one: { sentMs: number; endMs: number }): boolean => one.endMs >= askedMs && one.sentMs <= endMs;
    const failed = writes.filter((one) => within(one) && one.outcome !== 'acknowledged').length + reads.filter((one) => within(one) && !one.ok).length;
    const gapMs = longestGapMs(writes, askedMs, endMs);
    plan.say(`${plan.label}, switchover ${index + 1} of ${plan.switchovers}: gap ${Math.round(gapMs)} ms, ${failed} failed`);
    return { gapMs, failed };
  } finally {
    await readers.stop();
  }
}

async function firstWriteMs(writes: readonly Write[], node: PeerNode, sinceMs: number, plan: PeerPlan): Promise<number> {
  const found = (): Write[] => writes.filter((one) => one.outcome === 'acknowledged' && one.region === node.name && one.endMs > sinceMs);
  await waitForPeer(`an acknowledged write at ${node.name}`, () => found().length > 0, { timeoutMs: plan.takeoverTimeoutMs, everyMs: 10 });
  return Math.min(...found().map((one) => one.endMs));
}

function longestGapMs(writes: readonly Write[], fromMs: number, toMs: number): number {
  const ends = writes.filter((one) => one.outcome === 'acknowledged' && one.endMs > fromMs - MARGIN_MS && one.endMs <= toMs).map((one) => one.endMs);
  const sorted = ends.sort((a, b) => a - b);
  return Math.max(0, ...sorted.slice(1).map((end, index) => end - (sorted[index] ?? end)));
}
