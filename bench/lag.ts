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
import { anonymousMegabytes, cpuMs, residentMegabytes, residentMegabytesMost } from './process-cost.ts';
import { machine, median, quantile, row } from './report.ts';
import type { BenchReport, BenchRow } from './report.ts';

type Say = (line: string) => void;

const PEER = 'postgres_exporter';
/** The same questions, asked as often over the same connections, and nothing made of the answers. */
const ASKS = 'asked alone';
const CLUSTERS = 1_000;
/** Of the thousand: watched at the real pair. The others are watched at the responder. */
const REAL_CLUSTERS = 12;
const INTERVAL_MS = 1_000;
const LOOK_INTERVAL_MS = 50;

type Sizes = {
  readonly looks: number;
  readonly scrapes: number;
  /** A daemon runs for months: what is measured is not its first seconds, in which V8 still compiles. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** A thousand clusters are watched for so long, and scraped as Prometheus does it. */
  readonly fleetMs: number;
  readonly freezes: number;
  readonly pauses: number;
};

/** Ten minutes with a thousand clusters: what is kept of each is then full, and every connection was renewed once at least. */
const FULL: Sizes = { looks: 400, scrapes: 60, warmUpMs: 30_000, measureMs: 4_000, fleetMs: 600_000, freezes: 5, pauses: 6 };
/** In three minutes, to compare two versions by. */
const QUICK: Sizes = { looks: 200, scrapes: 20, warmUpMs: 15_000, measureMs: 2_000, fleetMs: 60_000, freezes: 2, pauses: 2 };
const MEASUREMENTS = 5;
const FLOOR_MS = 3_000;
/** Prometheus' own interval, in most set-ups. */
const SCRAPE_MS = 15_000;

export async function benchLag(quick: boolean, say: Say): Promise<BenchReport> {
  const sizes = quick ? QUICK : FULL;
  const notes: string[] = quick ? ['the quick form: fewer measurements, shorter warm-up'] : [];
  const pair = await startLagPair({ changes: { walReceiverTimeoutMs: 60_000, settings: { wal_sender_timeout: '60s', max_connections: '120' } } });
  try {
    const [one, two] = [await startExporter(pair.one, say), await startExporter(pair.two, say)];
    const rows = [
      ...(await benchLook(pair, { one, two, sizes }, say)),
      ...(await benchTruth(pair, { exporter: two, sizes }, say, notes)),
      ...(await benchFleet(pair, sizes, say, notes)),
    ];
    return { bench: 'lag', machine: machine(), rows, notes };
  } finally {
    await pair.close();
  }
}

/** One look at both ends, against one scrape of both exporters. */
async function benchLook(pair: LagPair, { one, two, sizes }: { readonly one: Exporter; readonly two: Exporter; readonly sizes: Sizes }, say: Say): Promise<BenchRow[]> {
  say('the cost of one look at a pair');
  const options = pair.probeOptions(pair.one);
  const plain = createSession({ host: options.host, port: options.port, database: options.database, controlUser: options.user, passFile: options.passFile, connectTimeoutMs: 2_000 }, 'bench');
  const [primary, standby] = [pair.probe(pair.one), pair.probe(pair.two)];
  const { signal } = new AbortController();
  const look = (): Promise<unknown> => Promise.all([primary.look(signal), standby.look(signal)]);
  for (let count = 0; count < sizes.looks; count++) await look();
  const [looks, trips, scrapes]: [number[], number[], number[]] = [[], [], []];
  for (let count = 0; count < sizes.looks; count++) {
    trips.push(await timed(() => plain.query(signal, 'SELECT 1', [], 'trip')));
    looks.push(await timed(() => primary.look(signal)));
  }
  plain.close();
  const peerBefore = cpuMs(one.pid) + cpuMs(two.pid);
  for (let count = 0; count < sizes.scrapes; count++) scrapes.push(await timed(() => Promise.all([one.scrape(), two.scrape()])));
  const peerCpu = (cpuMs(one.pid) + cpuMs(two.pid) - peerBefore) / sizes.scrapes;

  const { whole, asks } = await measureLooks(pair, sizes);
  return [
    row('CPU of one look at a pair (whole process)', 'ms', whole, median, '<= 0.15', { [PEER]: round(peerCpu), [ASKS]: round(median(asks)) }),
    row('one look at one end', 'ms', looks, median, null, { [PEER]: round(median(scrapes)) }),
    row('one look beyond a bare round trip', 'ms', [(median(looks) ?? 0) - (median(trips) ?? 0)], median, '<= 0.3', {}),
  ];
}

/** The processes that do it, not this one, with all that they do besides: a prober, and what only asks as often beside it. */
async function measureLooks(pair: LagPair, { warmUpMs, measureMs }: Sizes): Promise<{ readonly whole: number[]; readonly asks: number[] }> {
  const clusters = Array.from({ length: REAL_CLUSTERS }, (_, index) => clusterOf(`shop-${index}`, pair));
  const prober = await startProber({ intervalMs: LOOK_INTERVAL_MS, clusters });
  const folder = runFolder('lag-asks');
  const logFile = join(folder, 'asks.log');
  const script = fileURLToPath(new URL('lag-asks.ts', import.meta.url));
  const asking = await start({ name: 'asks', command: process.execPath, args: ['--max-semi-space-size=2', script, prober.configFile], env: { NODE_OPTIONS: '' }, logFile });
  const asked = async (): Promise<number> => {
    const linesBefore = readFileSync(logFile, 'utf8').split('\n').length;
    process.kill(asking.pid, 'SIGUSR2');
    return waitFor('the count', () => {
      const lines = readFileSync(logFile, 'utf8').split('\n');
      return lines.length > linesBefore && Number(lines.at(-2));
    });
  };
  const [whole, asks]: [number[], number[]] = [[], []];
  await delay(warmUpMs);
  for (let count = 0; count < MEASUREMENTS; count++) {
    // Asking for the count is the bench's work, and not within what is measured.
    const [looksBefore, askedBefore] = [await looksOf(prober), await asked()];
    const [ownBeforeMs, theirsBeforeMs] = [cpuMs(prober.process.pid), cpuMs(asking.pid)];
    await delay(measureMs);
    const [ownMs, theirsMs] = [cpuMs(prober.process.pid) - ownBeforeMs, cpuMs(asking.pid) - theirsBeforeMs];
    whole.push((2 * ownMs) / ((await looksOf(prober)) - looksBefore));
    asks.push((2 * theirsMs) / ((await asked()) - askedBefore));
  }
  await prober.process.stop();
  await asking.stop();
  return { whole, asks };
}

/** What both say while the bench knows better. */
async function benchTruth(pair: LagPair, { exporter, sizes }: { readonly exporter: Exporter; readonly sizes: Sizes }, say: Say, notes: string[]): Promise<BenchRow[]> {
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters: [clusterOf('shop', pair)] });
  const client = await pair.one.client();
  try {
    await prober.until('shop', 'the pair to be promotable', ({ verdict }) => verdict.kind === 'promotable');
    say('idle, then one commit a minute old for the standby that has it');
    const idle = await sampleIdle(prober, exporter, client);
    say('replay paused under writes: error against the commits');
    const errors = await sampleErrors(pair, { prober, exporter, client, pauses: sizes.pauses });
    say('a frozen receiver');
    const frozen = await sampleFreezes(pair, { prober, exporter, client, freezes: sizes.freezes });
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

type Watching = { readonly prober: Prober; readonly exporter: Exporter; readonly client: pg.Client };
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

async function sampleErrors(pair: LagPair, { prober, exporter, client, pauses }: Watching & { readonly pauses: number }): Promise<Sampled> {
  const [ours, peer]: [number[], number[]] = [[], []];
  for (let pause = 0; pause < pauses; pause++) {
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

async function sampleFreezes(pair: LagPair, { prober, exporter, client, freezes }: Watching & { readonly freezes: number }): Promise<Freezes> {
  const found: Freezes = { noticed: [], lagOurs: [], lagPeer: [] };
  for (let freeze = 0; freeze < freezes; freeze++) {
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
async function benchFleet(pair: LagPair, { warmUpMs, fleetMs }: Sizes, say: Say, notes: string[]): Promise<BenchRow[]> {
  say(`${CLUSTERS} clusters at ${INTERVAL_MS} ms, for ${fleetMs / 1_000} s`);
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
  const floor = await benchFloor();
  const prober = await startProber({ intervalMs: INTERVAL_MS, clusters });
  try {
    await waitFor('every cluster to be promotable', async () => !/verdict="(unknown|notPromotable)"/.test(await prober.metrics()), { timeoutMs: 60_000, everyMs: 1_000 });
    await delay(warmUpMs);
    const { cores, own, looksPerSecond } = await watchFleet(prober, fleetMs);
    const mostMegabytes = residentMegabytesMost(prober.process.pid);
    notes.push(`${CLUSTERS} clusters: ${REAL_CLUSTERS} of them at the real pair, ${CLUSTERS - REAL_CLUSTERS} at a responder that speaks the protocol; every one has two connections of its own`);
    notes.push(`memory: the most since the start, ${Math.round((warmUpMs + fleetMs) / 1_000)} s long, with /metrics scraped every ${SCRAPE_MS / 1_000} s, as daemons/lag-prober/prober.sh starts it, compile cache warm`);
    return [
      row(`${CLUSTERS} clusters: processor`, 'cores', cores, median, '<= 0.3', { [PEER]: null }),
      row(`${CLUSTERS} clusters: CPU of one look at a pair (whole process)`, 'ms', [((median(cores) ?? 0) * 2_000) / looksPerSecond], median, null, {}),
      row(`${CLUSTERS} clusters: memory`, 'MB', [mostMegabytes], median, '<= 120', { [PEER]: null }),
      row(`${CLUSTERS} clusters: memory that is its own, not mapped from files`, 'MB', own, (values) => quantile(values, 1), null, { [PEER]: null }),
      row('no cluster: memory (the floor; a bare Node beside it)', 'MB', [floor.resident], median, null, { 'bare Node': round(floor.bare) }),
      row('no cluster: memory that is its own', 'MB', [floor.own], median, null, {}),
      row(`memory that each of ${CLUSTERS} clusters adds`, 'kB', [(mostMegabytes - floor.resident) * (1_024 / CLUSTERS)], median, null, {}),
      row(`${CLUSTERS} clusters: looks done`, '1/s', [looksPerSecond], median, `>= ${Math.floor(CLUSTERS * 2 * 0.98)}`, { [PEER]: null }),
    ];
  } finally {
    await prober.process.stop();
    await responder.stop();
  }
}

type Watched = { readonly cores: number[]; readonly own: number[]; readonly looksPerSecond: number };

/** What is scraped is paid by the prober, and counts. */
async function watchFleet(prober: Prober, fleetMs: number): Promise<Watched> {
  const [cores, own]: [number[], number[]] = [[], []];
  const looksBefore = await looksOf(prober);
  const startedMs = performance.now();
  while (performance.now() - startedMs < fleetMs) {
    const [beforeMs, before] = [performance.now(), cpuMs(prober.process.pid)];
    await delay(SCRAPE_MS);
    await prober.metrics();
    own.push(anonymousMegabytes(prober.process.pid));
    cores.push((cpuMs(prober.process.pid) - before) / (performance.now() - beforeMs));
  }
  const looks = (await looksOf(prober)) - looksBefore;
  return { cores, own, looksPerSecond: looks / ((performance.now() - startedMs) / 1_000) };
}

type Floor = { readonly resident: number; readonly own: number; readonly bare: number };

/** What the process takes for itself: Node and the daemon's modules, before it knows of any cluster. */
async function benchFloor(): Promise<Floor> {
  // The first start fills the compile cache.
  await (await startProber({ clusters: [] })).process.stop();
  const prober = await startProber({ clusters: [] });
  const bare = await start({ name: 'bare Node', command: process.execPath, args: ['-e', 'setInterval(() => undefined, 1_000)'], env: { NODE_OPTIONS: '' }, logFile: join(runFolder('lag-bare'), 'bare.log') });
  await delay(FLOOR_MS);
  const found = { resident: residentMegabytes(prober.process.pid), own: anonymousMegabytes(prober.process.pid), bare: residentMegabytes(bare.pid) };
  await prober.process.stop();
  await bare.stop();
  return found;
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
