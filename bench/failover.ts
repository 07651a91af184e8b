// `npm run bench -- failover`: kills and switchovers of the real site, again and again, measured at a client that resolves
// the name, keeps its answer for the TTL and writes every 100 ms. The peer is killed the same way in the same run.

import { rmSync } from 'node:fs';
import { createCachingClient } from '@continuum/adapters/resolver/caching-client';
import { monotonicMs } from '../test/rig/clock.ts';
import { runFolder, waitFor } from '../test/rig/process.ts';
import { startSite } from '../test/rig/site.ts';
import type { RegionName, Site } from '../test/rig/site.ts';
import { failoverSteps, ledgerOf, phasesFrom, readLogs, readRows, switchoverSteps } from '../test/demo/evidence.ts';
import type { Steps } from '../test/demo/evidence.ts';
import { askSwitchover } from '../test/demo/acts.ts';
import { createClient, startReaders, startWriter } from '../test/demo/writer.ts';
import type { Read, Write } from '../test/demo/writer.ts';
import { measurePatroni } from './peers/patroni.ts';
import type { PeerResult } from './peers/measure-peer.ts';
import { measurePgAutoFailover } from './peers/pg-auto-failover.ts';
import { machine, median, quantile, row } from './report.ts';
import type { BenchReport, BenchRow } from './report.ts';

export type FailoverBenchOptions = {
  readonly kills: number;
  readonly switchovers: number;
  readonly peerKills: number;
  readonly say: (line: string) => void;
};

const WRITE_EVERY_MS = 100;
const READS_PER_SECOND = 200;
const SWITCHOVER_RTO_MS = 10_000;
/** A kill falls anywhere in the renewal interval: waits differ by this golden share of it, evenly and repeatably. */
const GOLDEN = 0.618_034;

export type Round = { readonly rtoMs: number; readonly expiryToWriteMs: number; readonly phases: ReadonlyMap<string, number> };
type Turn = { readonly gapMs: number; readonly failed: number; readonly phases: ReadonlyMap<string, number> };
export type Counts = { acknowledged: number; unknown: number; lost: number; duplicated: number };

export async function benchFailover(options: FailoverBenchOptions): Promise<BenchReport> {
  const { say } = options;
  const totals: Counts = { acknowledged: 0, unknown: 0, lost: 0, duplicated: 0 };
  const slow = await killRounds(30_000, options.kills, totals, say);
  const fast = await killRounds(5_000, options.kills, totals, say);
  const turns = await switchRounds(options.switchovers, totals, say);
  const peers = await measurePeers(options.peerKills, say);
  const expiry = [...slow, ...fast].map((one) => one.expiryToWriteMs);
  const largest = (values: readonly number[]): number | null => quantile(values, 1);
  const rows = [
    row('RTO, objective 30 s: median', 'ms', slow.map((one) => one.rtoMs), median, '<= 15000', besides(peers.usual, (one) => one.rtoMs)),
    row('RTO, objective 30 s: p99', 'ms', slow.map((one) => one.rtoMs), p99, null),
    row('RTO, objective 5 s: median', 'ms', fast.map((one) => one.rtoMs), median, '<= 2600', besides(peers.floor, (one) => one.rtoMs)),
    row('RTO, objective 5 s: p99', 'ms', fast.map((one) => one.rtoMs), p99, null),
    row('lease expiry to first acknowledged write: median', 'ms', expiry, median, null),
    row('lease expiry to first acknowledged write: p99', 'ms', expiry, p99, '<= 700'),
    ...phaseRows('failover', [...slow, ...fast]),
    row('switchover, longest gap between acknowledged writes: median', 'ms', turns.map((one) => one.gapMs), median, '<= 400', besides(peers.usual, (one) => one.switchoverGapMs)),
    row('switchover, longest gap between acknowledged writes: p99', 'ms', turns.map((one) => one.gapMs), p99, null),
    row('switchover, failed requests: worst', 'requests', turns.map((one) => one.failed), largest, '<= 0', besides(peers.usual, (one) => one.switchoverFailedRequests)),
    ...phaseRows('switchover', turns),
    row('acknowledged writes lost', 'writes', [totals.lost], largest, '<= 0', besides(peers.usual, (one) => [one.lost])),
    row('writes present twice', 'writes', [totals.duplicated], largest, '<= 0', besides(peers.usual, (one) => [one.duplicated])),
  ];
  const notes = [
    `${totals.acknowledged} writes acknowledged, ${totals.unknown} unknown; one write every ${WRITE_EVERY_MS} ms, ${READS_PER_SECOND} reads/s during switchovers`,
    'peers: median of the same kill and the same load; their clients ask each node directly who leads, with no DNS, gateway or application in between',
    ...Object.values(peers).flatMap((group) => Object.entries(group).map(([name, result]) => peerNote(name, result))),
  ];
  return { bench: 'failover', machine: machine(), rows, notes };
}

type PeerGroup = Readonly<Record<string, PeerResult>>;
type AvailablePeer = Extract<PeerResult, { available: true }>;

/** `usual`: at the settings they come with. `floor`: at the quickest that work. */
async function measurePeers(kills: number, say: (line: string) => void): Promise<{ usual: PeerGroup; floor: PeerGroup }> {
  const inFolder = async (measure: (folder: string) => Promise<PeerResult>): Promise<PeerResult> => {
    const folder = runFolder('peer');
    const result = await measure(folder);
    rmSync(folder, { recursive: true, force: true });
    return result;
  };
  const patroni = { kills, synchronous: true, say } as const;
  const usual = await inFolder((folder) =>
    measurePatroni({ ...patroni, folder, switchovers: kills, ttlSeconds: 30, loopWaitSeconds: 10, retryTimeoutSeconds: 10 }),
  );
  // Later releases of Patroni raise a ttl below 20 s; this is the last one that lets it be.
  const floor = await inFolder((folder) =>
    measurePatroni({ ...patroni, folder, switchovers: 0, ttlSeconds: 5, loopWaitSeconds: 1, retryTimeoutSeconds: 2, release: '3.1.2' }),
  );
  const other = await inFolder((folder) => measurePgAutoFailover({ folder, kills, switchovers: 0, timings: 'fast', say }));
  return { usual: { 'Patroni 30/10/10': usual }, floor: { 'Patroni 5/1/2': floor, 'pg_auto_failover, quick': other } };
}

function besides(group: PeerGroup, values: (result: AvailablePeer) => readonly number[]): BenchRow['peers'] {
  return Object.fromEntries(
    Object.entries(group).map(([name, result]) => {
      const middle = result.available ? median(values(result)) : null;
      return [name, middle === null ? null : Math.round(middle)];
    }),
  );
}

function peerNote(name: string, result: PeerResult): string {
  if (!result.available) return `${name} could not run: ${result.reason}`;
  return `${name}: version ${result.version}, ${result.rtoMs.length} kills, ${result.switchoverGapMs.length} switchovers`;
}

/** `attestation`: with beacons, and controllers that ask the resolvers. */
export async function killRounds(rtoMs: number, count: number, totals: Counts, say: (line: string) => void, attestation = false): Promise<Round[]> {
  return withSite({ rtoMs, attestation }, totals, async (site, writes) => {
    const rounds: Round[] = [];
    let holder: RegionName = 'r1';
    for (let index = 0; index < count; index++) {
      const other: RegionName = holder === 'r1' ? 'r2' : 'r1';
      await pause(500 + ((index * GOLDEN) % 1) * site.timings.renewMs);
      const killMs = monotonicMs();
      await site.regions[holder].kill();
      const first = await firstWrite(writes, other, killMs, rtoMs);
      await waitFor('the evidence of the takeover', () => readLogs(site).entries.some((entry) => entry.monoMs > killMs && entry.event === 'database-promote'));
      const steps = failoverSteps(readLogs(site), killMs, other, first);
      const expiryMs = steps[0]?.endMs ?? killMs;
      rounds.push({ rtoMs: first - killMs, expiryToWriteMs: first - expiryMs, phases: durations(killMs, steps) });
      say(`objective ${rtoMs / 1_000} s, kill ${index + 1} of ${count}: ${Math.round(first - killMs)} ms`);
      await site.regions[holder].start();
      await site.settled(other);
      holder = other;
    }
    return { result: rounds, survivor: holder };
  });
}

async function switchRounds(count: number, totals: Counts, say: (line: string) => void): Promise<Turn[]> {
  return withSite({ rtoMs: SWITCHOVER_RTO_MS, attestation: false }, totals, async (site, writes, reads) => {
    const turns: Turn[] = [];
    let holder: RegionName = 'r1';
    for (let index = 0; index < count; index++) {
      const other: RegionName = holder === 'r1' ? 'r2' : 'r1';
      await pause(500);
      const askedMs = await askSwitchover(site, holder, other);
      const first = await firstWrite(writes, other, askedMs, 30_000);
      await site.settled(other);
      await pause(300);
      const endMs = monotonicMs();
      const within = (one: { sentMs: number; endMs: number }): boolean => one.endMs >= askedMs && one.sentMs <= endMs;
      const failed = writes.filter((one) => within(one) && one.outcome !== 'acknowledged').length + reads.filter((one) => within(one) && !one.ok).length;
      turns.push({ gapMs: longestGapMs(writes, askedMs, endMs), failed, phases: durations(askedMs, switchoverSteps(readLogs(site), askedMs, holder, other, first)) });
      say(`switchover ${index + 1} of ${count}: gap ${Math.round(turns.at(-1)?.gapMs ?? 0)} ms, ${failed} failed`);
      holder = other;
    }
    return { result: turns, survivor: holder };
  });
}

/** A site with its writer (and readers); afterwards every acknowledged write is looked for in the surviving database. */
async function withSite<T>(
  options: { readonly rtoMs: number; readonly attestation: boolean },
  totals: Counts,
  run: (site: Site, writes: Write[], reads: Read[]) => Promise<{ result: T; survivor: RegionName }>,
): Promise<T> {
  const site = await startSite({ folder: runFolder('bench'), ...options });
  const [writes, reads]: [Write[], Read[]] = [[], []];
  const clients = [0, 1].map((index) => {
    const server = site.resolvers[index]?.server;
    if (server === undefined) throw new Error(`no resolver ${index}`);
    return createClient({ dns: createCachingClient({ server }), name: site.dnsName, port: site.gatewayPort, timeoutMs: site.timings.holdMsMax + 5_000 });
  });
  const [writing, reading] = clients;
  if (writing === undefined || reading === undefined) throw new Error('two clients');
  const writer = startWriter(writing, WRITE_EVERY_MS, (write) => writes.push(write));
  const readers = options.rtoMs === SWITCHOVER_RTO_MS ? startReaders(reading, READS_PER_SECOND, (read) => reads.push(read)) : null;
  try {
    const { result, survivor } = await run(site, writes, reads);
    await readers?.stop();
    await writer.stop();
    const ledger = ledgerOf(writes, await readRows(site.regions[survivor].databaseUrl()));
    totals.acknowledged += ledger.acknowledged;
    totals.unknown += ledger.unknown;
    totals.lost += ledger.lost;
    totals.duplicated += ledger.duplicated;
    return result;
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await site.stop();
  }
}

async function firstWrite(writes: readonly Write[], region: RegionName, sinceMs: number, rtoMs: number): Promise<number> {
  const acknowledged = () => writes.filter((one) => one.outcome === 'acknowledged' && one.region === region && one.endMs > sinceMs);
  await waitFor(`an acknowledged write in ${region}`, () => acknowledged().length > 0, { timeoutMs: 2 * rtoMs + 20_000, everyMs: 5 });
  return Math.min(...acknowledged().map((one) => one.endMs));
}

function longestGapMs(writes: readonly Write[], fromMs: number, toMs: number): number {
  const ends = writes.filter((one) => one.outcome === 'acknowledged' && one.endMs > fromMs - 1_000 && one.endMs <= toMs).map((one) => one.endMs);
  const sorted = ends.sort((a, b) => a - b);
  return Math.max(0, ...sorted.slice(1).map((end, index) => end - (sorted[index] ?? end)));
}

function durations(startMs: number, steps: Steps): ReadonlyMap<string, number> {
  return new Map(phasesFrom(startMs, steps).map((phase) => [phase.name, phase.endMs - phase.startMs]));
}

function phaseRows(event: string, measured: readonly { readonly phases: ReadonlyMap<string, number> }[]): BenchRow[] {
  const names = [...new Set(measured.flatMap((one) => [...one.phases.keys()]))];
  return names.map((name) => row(`${event} phase: ${name}`, 'ms', measured.flatMap((one) => one.phases.get(name) ?? []), median, null));
}

function p99(values: readonly number[]): number | null {
  return quantile(values, 0.99);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
