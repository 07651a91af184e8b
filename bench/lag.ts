// `npm run bench -- lag`: the cost of a look, a thousand clusters in one process, and how far what is said is from the truth,
// which the bench knows because it makes every commit and every fault itself. postgres_exporter runs beside it on the same
// pair, in the same minutes.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { createSession } from '../packages/adapters/src/postgres/session.ts';
import { processesOf, startLagPair } from '../test/rig/lag-pair.ts';
import type { LagPair } from '../test/rig/lag-pair.ts';
import { INSERT } from '../test/rig/postgres-pair.ts';
import { endConfig, startProber } from '../test/rig/prober.ts';
import type { Prober } from '../test/rig/prober.ts';
import { runFolder, signalAll, start, waitFor } from '../test/rig/process.ts';
import { startExporter } from './lag-peer.ts';
import type { Exporter } from './lag-peer.ts';
import { anonymousMegabytes, cpuMs, residentMegabytes } from './process-cost.ts';
import { machine, median, quantile, row } from './report.ts';
import type { BenchReport, BenchRow } from './report.ts';

type Say = (line: string) => void;

const PEER = 'postgres_exporter';
const LOOKS = 400;
const SCRAPES = 60;
const CLUSTERS = 1_000;
/** Of the thousand: watched at the real pair. The others are watched at the responder. */
const REAL_CLUSTERS = 12;
const INTERVAL_MS = 1_000;
/** A daemon runs for months: what is measured is not its first seconds, in which V8 still compiles. */
const WARM_UP_MS = 30_000;
const FREEZES = 5;
const PAUSES = 6;

export async function benchLag(say: Say): Promise<BenchReport> {
  const notes: string[] = [];
  const pair = await startLagPair({ changes: { walReceiverTimeoutMs: 60_000, settings: { wal_sender_timeout: '60s', max_connections: '120' } } });
  try {
    const [one, two] = [await startExporter(pair.one, say), await startExporter(pair.two, say)];
    const rows = [
      ...(await benchLook(pair, one, two, say)),
      ...(await benchTruth(pair, two, say, notes)),
      ...(await benchFleet(pair, say, notes)),
    ];
    return { bench: 'lag', machine: machine(), rows, notes };
  } finally {
    await pair.close();
  }
}

/** One look at both ends, against one scrape of both exporters. */
async function benchLook(pair: LagPair, one: Exporter, two: Exporter, say: Say): Promise<BenchRow[]> {
  say('the cost of one look at a pair');
  const options = pair.probeOptions(pair.one);
  const plain = createSession({ host: options.host, port: options.port, database: options.database, controlUser: options.user, passFile: options.passFile, connectTimeoutMs: 2_000 }, 'bench');
  const [primary, standby] = [pair.probe(pair.one), pair.probe(pair.two)];
  const { signal } = new AbortController();
  const look = (): Promise<unknown> => Promise.all([primary.look(signal), standby.look(signal)]);
  for (let count = 0; count < LOOKS; count++) await look();
  const [looks, trips, scrapes]: [number[], number[], number[]] = [[], [], []];
  for (let count = 0; count < LOOKS; count++) {
    trips.push(await timed(() => plain.query(signal, 'SELECT 1', [], 'trip')));
    looks.push(await timed(() => primary.look(signal)));
  }
  plain.close();
  const peerBefore = cpuMs(one.pid) + cpuMs(two.pid);
  for (let count = 0; count < SCRAPES; count++) scrapes.push(await timed(() => Promise.all([one.scrape(), two.scrape()])));
  const peerCpu = (cpuMs(one.pid) + cpuMs(two.pid) - peerBefore) / SCRAPES;

  // The process that does it, not this one, with all that it does besides.
  const prober = await startProber({ intervalMs: 50, clusters: Array.from({ length: REAL_CLUSTERS }, (_, index) => clusterOf(`shop-${index}`, pair)) });
  await delay(WARM_UP_MS);
  const [cpuBefore, looksBefore] = [cpuMs(prober.process.pid), await looksOf(prober)];
  await delay(10_000);
  const cpu = (cpuMs(prober.process.pid) - cpuBefore) / ((await looksOf(prober)) - looksBefore);
  await prober.process.stop();
  return [
    row('CPU of one look at a pair (whole process)', 'ms', [cpu * 2], median, '<= 0.15', { [PEER]: round(peerCpu) }),
    row('one look at one end', 'ms', looks, median, null, { [PEER]: round(median(scrapes)) }),
    row('one look beyond a bare round trip', 'ms', [(median(looks) ?? 0) - (median(trips) ?? 0)], median, '<= 0.3', {}),
  ];
}

/** What both say while the bench knows better. */
async function benchTruth(pair: LagPair, exporter: Exporter, say: Say, notes: string[]): Promise<BenchRow[]> {
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters: [clusterOf('shop', pair)] });
  const client = await pair.one.client();
  try {
    await prober.until('shop', 'the pair to be promotable', ({ verdict }) => verdict.kind === 'promotable');
    say('idle, then one commit a minute old for the standby that has it');
    const idle = await sampleIdle(prober, exporter, client);
    say('replay paused under writes: error against the commits');
    const errors = await sampleErrors(pair, prober, exporter, client);
    say('a frozen receiver');
    const frozen = await sampleFreezes(pair, prober, exporter, client);
    notes.push(`truth: the bench's own commit times on this machine; error counts only looks whose evidence is newer than the commit; ${errors.ours.length} samples`);
    notes.push(`${PEER} reads 0 for a standby that receives nothing, for as long as it does: "never" is shown as no figure`);
    return [
      row('false lag of an idle pair', 'ms', idle.ours, (values) => quantile(values, 1), '<= 0', { [PEER]: round(quantile(idle.peer, 1)) }),
      row('error against the truth, beyond one interval of looks', 'ms', errors.ours.map((error) => Math.max(0, error - INTERVAL_MS)), (values) => quantile(values, 1), '<= 10', {}),
      row('error against the truth', 'ms', errors.ours, (values) => quantile(values, 1), `<= ${INTERVAL_MS + 10}`, { [PEER]: round(quantile(errors.peer, 1)) }),
      row('lag said of a frozen receiver while rows are missing (least)', 'ms', frozen.lagOurs, (values) => quantile(values, 0), '>= 1', { [PEER]: round(quantile(frozen.lagPeer, 0)) }),
      row('a frozen receiver noticed, in intervals of looks', 'intervals', frozen.noticed, (values) => quantile(values, 1), '<= 2', { [PEER]: null }),
    ];
  } finally {
    await client.end();
    await prober.process.stop();
  }
}

type Sampled = { readonly ours: readonly number[]; readonly peer: readonly number[] };

async function sampleIdle(prober: Prober, exporter: Exporter, client: pg.Client): Promise<Sampled> {
  await client.query(INSERT, ['r1']);
  await prober.until('shop', 'the row to be replayed', ({ lag }) => lag.milliseconds.value === 0);
  const [ours, peer]: [number[], number[]] = [[], []];
  for (let count = 0; count < 8; count++) {
    await delay(INTERVAL_MS);
    const { lag } = await prober.standby('shop');
    if (lag.milliseconds.value !== null) ours.push(lag.milliseconds.value);
    peer.push((await exporter.scrape()) ?? 0);
  }
  return { ours, peer };
}

async function sampleErrors(pair: LagPair, prober: Prober, exporter: Exporter, client: pg.Client): Promise<Sampled> {
  const [ours, peer]: [number[], number[]] = [[], []];
  for (let pause = 0; pause < PAUSES; pause++) {
    await pair.admin(pair.two, 'SELECT pg_wal_replay_pause()');
    await delay(Math.random() * INTERVAL_MS);
    const committedMs = performance.now();
    await client.query(INSERT, ['r1']);
    for (let count = 0; count < 5; count++) {
      await delay(300 + Math.random() * 400);
      const { lag } = await prober.standby('shop');
      const seenMs = performance.now() - (lag.milliseconds.ageMs ?? 0);
      if (lag.milliseconds.value !== null && seenMs > committedMs + 50) ours.push(Math.abs(lag.milliseconds.value - (seenMs - committedMs)));
      const said = await exporter.scrape();
      if (said !== null) peer.push(Math.abs(said - (performance.now() - committedMs)));
      await client.query(INSERT, ['r1']);
    }
    await pair.admin(pair.two, 'SELECT pg_wal_replay_resume()');
    await prober.until('shop', 'to catch up', ({ lag }) => lag.bytes.value === 0);
  }
  return { ours, peer };
}

type Freezes = { readonly noticed: number[]; readonly lagOurs: number[]; readonly lagPeer: number[] };

async function sampleFreezes(pair: LagPair, prober: Prober, exporter: Exporter, client: pg.Client): Promise<Freezes> {
  const found: Freezes = { noticed: [], lagOurs: [], lagPeer: [] };
  for (let freeze = 0; freeze < FREEZES; freeze++) {
    await prober.until('shop', 'the pair to be promotable', ({ verdict }) => verdict.kind === 'promotable');
    const pids = processesOf(pair.two, 'walreceiver');
    await delay(Math.random() * INTERVAL_MS);
    signalAll(pids, 'SIGSTOP');
    const writtenMs = performance.now();
    await client.query(INSERT, ['r1']);
    const seen = await prober.until('shop', 'the freeze to be noticed', ({ verdict }) => verdict.kind === 'notPromotable' && verdict.reason === 'receiver-stalled');
    found.noticed.push((performance.now() - writtenMs) / INTERVAL_MS);
    found.lagOurs.push(seen.lag.milliseconds.value ?? 0);
    found.lagPeer.push((await exporter.scrape()) ?? 0);
    signalAll(pids, 'SIGCONT');
  }
  return found;
}

/** A thousand clusters at once a second: few of them real, the others at something that only speaks the protocol. */
async function benchFleet(pair: LagPair, say: Say, notes: string[]): Promise<BenchRow[]> {
  say(`${CLUSTERS} clusters at ${INTERVAL_MS} ms`);
  const folder = runFolder('lag-bench');
  const logFile = join(folder, 'responder.log');
  const responder = await start({ name: 'responder', command: process.execPath, args: [fileURLToPath(new URL('lag-responder.ts', import.meta.url))], logFile });
  const ports = await waitFor('the responder', () => {
    const line = readFileSync(logFile, 'utf8').split('\n')[0] ?? '';
    return line !== '' && (JSON.parse(line) as { primary: number; standby: number });
  });
  const passFile = join(folder, 'passwords');
  writeFileSync(passFile, '*:*:*:continuum_prober:none\n');
  const far = (name: string, port: number): object => ({ name, sql: { host: '127.0.0.1', port, passFile } });
  const clusters = Array.from({ length: CLUSTERS }, (_, index) =>
    index < REAL_CLUSTERS ? clusterOf(`real-${index}`, pair) : { name: `far-${index}`, ends: [far('r1', ports.primary), far('r2', ports.standby)] },
  );
  const floor = await benchFloor(clusters.slice(0, 1));
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters });
  try {
    await waitFor('every cluster to be promotable', async () => !/verdict="(unknown|notPromotable)"/.test(await prober.metrics()), { timeoutMs: 60_000, everyMs: 1_000 });
    await delay(WARM_UP_MS);
    const [cores, resident, own]: [number[], number[], number[]] = [[], [], []];
    const looksBefore = await looksOf(prober);
    const startedMs = performance.now();
    for (let count = 0; count < 5; count++) {
      const [beforeMs, before] = [performance.now(), cpuMs(prober.process.pid)];
      await delay(4_000);
      cores.push((cpuMs(prober.process.pid) - before) / (performance.now() - beforeMs));
      resident.push(residentMegabytes(prober.process.pid));
      own.push(anonymousMegabytes(prober.process.pid));
    }
    const looks = (await looksOf(prober)) - looksBefore;
    const seconds = (performance.now() - startedMs) / 1_000;
    notes.push(`${CLUSTERS} clusters: ${REAL_CLUSTERS} of them at the real pair, ${CLUSTERS - REAL_CLUSTERS} at a responder that speaks the protocol; every one has two connections of its own`);
    notes.push(`measured ${WARM_UP_MS / 1_000} s after the start, as the README of daemons/lag-prober starts it (heap options, compile cache warm)`);
    return [
      row(`${CLUSTERS} clusters: processor`, 'cores', cores, median, '<= 0.3', { [PEER]: null }),
      row(`${CLUSTERS} clusters: CPU of one look at a pair (whole process)`, 'ms', [((median(cores) ?? 0) * 2_000) / (looks / seconds)], median, null, {}),
      row(`${CLUSTERS} clusters: memory`, 'MB', resident, (values) => quantile(values, 1), '<= 120', { [PEER]: null }),
      row(`${CLUSTERS} clusters: memory that is its own, not mapped from files`, 'MB', own, (values) => quantile(values, 1), null, { [PEER]: null }),
      row('one cluster: memory (below this no number of clusters comes)', 'MB', floor, (values) => quantile(values, 1), null, { [PEER]: null }),
      row(`${CLUSTERS} clusters: looks done`, '1/s', [looks / seconds], median, `>= ${Math.floor(CLUSTERS * 2 * 0.98)}`, { [PEER]: null }),
    ];
  } finally {
    await prober.process.stop();
    await responder.stop();
  }
}

/** What the process takes for itself: Node, the daemon's modules, one cluster. */
async function benchFloor(clusters: readonly object[]): Promise<number[]> {
  // The first start fills the compile cache.
  await (await startProber({ intervalMs: INTERVAL_MS, clusters })).process.stop();
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters });
  await delay(5_000);
  const resident = residentMegabytes(prober.process.pid);
  await prober.process.stop();
  return [resident];
}

const clusterOf = (name: string, pair: LagPair): object => ({ name, ends: [endConfig('r1', pair.probeOptions(pair.one)), endConfig('r2', pair.probeOptions(pair.two))] });

async function looksOf(prober: Prober): Promise<number> {
  const counts = [...(await prober.metrics()).matchAll(/^continuum_lag_prober_looks_total\{code="ok"\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const round = (value: number | null): number | null => (value === null ? null : Math.round(value * 100) / 100);
