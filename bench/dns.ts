// `npm run bench -- dns`: how fast a name follows the lease, what is wrong on the way, and what following costs. Two real gateways
// with their gates, two authoritative servers, three recursors, dnsdist with the deployed configuration; the peers in the same run,
// probing the same gateways, asked by the same clients.

import { Resolver } from 'node:dns/promises';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rrset } from '@continuum/core';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import { startAuthoritative, startResolvers } from '../test/rig/dns.ts';
import type { Authoritative, AuthoritativeOptions } from '../test/rig/dns.ts';
import { hotStandbyRecord } from '../test/rig/dns-records.ts';
import { startDnsdist } from '../test/rig/dnsdist.ts';
import { startGatewayPair } from '../test/rig/gateway-pair.ts';
import type { GatewayPair } from '../test/rig/gateway-pair.ts';
import { freePort, runFolder, waitFor } from '../test/rig/process.ts';
import { startGdnsd } from './peers/gdnsd.ts';
import { ensureDnsPrograms } from './peers/install.mjs';
import type { DnsPrograms, Program } from './peers/install.d.mts';
import { peerReason } from './peers/peer-problem.ts';
import { machine, median, quantile, row } from './report.ts';
import type { BenchReport } from './report.ts';

export type DnsBenchOptions = { readonly flips: number; readonly say: (line: string) => void };

const R1 = '127.46.1.1';
const R2 = '127.46.2.1';
const FRONT = '127.46.3.1';
const PEER = '127.46.4.1';
const ZONE = 'app.test';
const LEASE = 'shop';
const NAME = `${LEASE}.${ZONE}`;
/** Follows the same lease by a record as one writes it by PowerDNS's own examples: a list for each region, nothing else. */
const USUAL_NAME = `usual.${ZONE}`;
const VALID_MS = 86_400_000;
const TTL_SECONDS = 1;
/** Longer than any server may take: what names anything but the holder then is wrong. */
const LATE_MS = TTL_SECONDS * 1_000 + 500;
const POLL_MS = 5;
const SAMPLE_MS = 20;
const LOAD_SECONDS = 4;
const LOAD_RUNS = 3;
/** Of the two that are compared: short ones in turn, so that what the machine does meanwhile falls on both. */
const PAIR_SECONDS = 2;
const PAIRS = 12;
/** A flip falls anywhere in a probe's round: waits differ by this golden share of it, evenly and repeatably. */
const GOLDEN = 0.618_034;
const ROUND_MS = 1_200;
/** For 2 s after a change the gate answers every probe at once, and the next one comes a second later: a flip of this bench comes after it. */
const CALM_MS = 3_300;
const RESTART_EVERY = 10;
/** A long run is for our own answers. */
const PEER_FLIPS_MAX = 20;
const WARM = [NAME, USUAL_NAME];

type Bench = {
  readonly gates: GatewayPair;
  readonly authorities: Authoritative[];
  readonly restart: (index: number) => Promise<void>;
  readonly resolvers: readonly ResolverServer[];
  readonly front: ResolverServer;
  readonly peer: ResolverServer | null;
};
type Flips = {
  readonly authorityMs: number[];
  readonly resolversMs: number[];
  readonly frontMs: number[];
  readonly peerMs: number[];
  readonly ours: Answers;
  /** Of the usual record, at the same authorities. */
  readonly usual: Answers;
  /** Refused, failed or not heard of; of authorities, of which some are down at times, and through what stands before them. */
  readonly unanswered: { readonly authorities: number; readonly through: number };
};

type Answers = {
  all: number;
  empty: number;
  foreign: number;
  /** Long after the flip: the fenced region alone, or both. */
  fenced: number;
  both: number;
  /** The same while a server that was just started, or a cache, may tell what it said before its probes had ended. */
  startingFenced: number;
  startingBoth: number;
};

export async function benchDns({ flips, say }: DnsBenchOptions): Promise<BenchReport> {
  const programs = await ensureDnsPrograms(say).catch((error: unknown) => peerReason(error));
  const notes: string[] = typeof programs === 'string' ? [`gdnsd and dnsperf could not be had: ${programs}`] : [];
  const found = typeof programs === 'string' ? null : programs;
  say('probes that wait at the gate');
  const bench = await startAll(null, notes, say, (record) => record);
  const followed = await follow(bench, flips, say);
  const load = found === null ? null : await loads(bench, found.dnsperf, say);
  await bench.gates.close();
  say('peers: the same probes answered at once, and gdnsd');
  const plain = await startAll(found, notes, say, withoutWait);
  const peerFlips = Math.min(flips, PEER_FLIPS_MAX);
  const atOnce = await follow(plain, peerFlips, say);
  if (load !== null && found !== null && plain.peer !== null) load.peer.push(...(await peerLoads(plain.peer, found.dnsperf, say)));
  await plain.gates.close();
  const ratio = load === null ? [] : load.gated.map((one, index) => one / (load.plain[index] ?? Number.NaN));
  const peers = (pick: (values: readonly number[]) => number | null) => ({ 'probes answered at once': rounded(pick(atOnce.authorityMs)), gdnsd: rounded(pick(atOnce.peerMs)) });
  const p99 = (values: readonly number[]): number | null => quantile(values, 0.99);
  const atOnceAlone = (value: number | null) => ({ 'probes answered at once': rounded(value) });
  const flipRows = (metric: string, of: (flips: Flips) => number[]) => [
    row(`${metric}: median`, 'ms', of(followed), median, null, atOnceAlone(median(of(atOnce)))),
    row(`${metric}: p99`, 'ms', of(followed), p99, `<= ${LATE_MS}`, atOnceAlone(p99(of(atOnce)))),
  ];
  return {
    bench: 'dns',
    machine: machine(),
    rows: [
      row('flip at the authority after the fence: median', 'ms', followed.authorityMs, median, '<= 500', peers(median)),
      row('flip at the authority after the fence: p99', 'ms', followed.authorityMs, p99, null, peers(p99)),
      ...flipRows('flip as seen through three caching resolvers', ({ resolversMs }) => resolversMs),
      ...flipRows('flip as seen through dnsdist', ({ frontMs }) => frontMs),
      row('wrong or empty answers', 'answers', [wrongOf(followed.ours)], median, '<= 0', { 'probes answered at once': wrongOf(atOnce.ours), 'the usual LUA record': wrongOf(followed.usual) }),
      row('of them, the fenced region alone from a restarted server that had not probed yet', 'answers', [followed.ours.startingFenced], median, '<= 0', { 'probes answered at once': atOnce.ours.startingFenced, 'the usual LUA record': followed.usual.startingFenced }),
      row('besides: both regions from such a server, the holder among them', 'answers', [followed.ours.startingBoth], median, null, { 'probes answered at once': atOnce.ours.startingBoth, 'the usual LUA record': followed.usual.startingBoth }),
      row('questions without an answer, through resolvers and dnsdist', 'questions', [followed.unanswered.through], median, null, atOnceAlone(atOnce.unanswered.through)),
      row('lease-gated behind the cache, against a static record behind it', 'share', ratio, median, '>= 0.95'),
      row('answers/s, lease-gated, behind the cache', '1/s', load?.gated ?? [], median, null, {
        'static behind the cache': rounded(median(load?.plain ?? [])),
        'PowerDNS static': rounded(median(load?.directPlain ?? [])),
        'PowerDNS LUA': rounded(median(load?.directGated ?? [])),
        gdnsd: rounded(median(load?.peer ?? [])),
      }),
    ],
    notes: [
      `${followed.ours.all} answers looked at during ${flips} flips and ${Math.floor(flips / RESTART_EVERY)} restarts of an authority; ${followed.unanswered.authorities} questions to authorities that were down; probes answered at once, for ${peerFlips} flips: ${atOnce.ours.all} and ${atOnce.unanswered.authorities}; the usual record, at the authorities alone: ${followed.usual.all}`,
      `a wrong answer is empty, or names no region, or ${LATE_MS} ms after a flip anything but the holder alone; of a server that was just started: one that lacks the holder; empty ${followed.ours.empty}, of no region ${followed.ours.foreign}, the fenced region alone ${followed.ours.fenced}, both ${followed.ours.both}; TTL ${TTL_SECONDS} s`,
      `the usual LUA record: ifurlup('URL', {{'${R1}'}, {'${R2}'}}), probes answered at once, on the same servers`,
      'PowerDNS probes every 1 s, the least that it takes; gdnsd every 2 s, its least; nothing is written at a flip',
      'a flip is counted from the word of the controller to both gates; with probes that wait the next one comes after at least 3.3 s, when they wait again',
      ...notes,
    ],
  };
}

/** The record as it would be for any gateway: probes that do not wait. */
const withoutWait = (record: Rrset): Rrset => ({ ...record, records: record.records.map((content) => content.replace(/\?wait=\d+/, '').replace("timeout='2'", "timeout='1'")) });

const usual = (record: Rrset): Rrset => {
  const url = /'(http[^'?]*)/.exec(record.records[0] ?? '')?.[1];
  return { ...record, name: `${USUAL_NAME}.`, records: [`A "ifurlup('${url}',{{'${R1}'},{'${R2}'}})"`] };
};

async function startAll(programs: DnsPrograms | null, notes: string[], say: (line: string) => void, change: (record: Rrset) => Rrset): Promise<Bench> {
  const folder = runFolder('bench-dns');
  say('two gateways, two authoritative servers, three recursors, dnsdist');
  const gates = await startGatewayPair('bench-dns-gates', [R1, R2]);
  await open(gates, R1);
  const probePort = Number(new URL(gates.r1.gateway.url).port);
  const [dnsPort, apiPort] = [await freePort(R1, R2), await freePort(R1, R2)];
  const regions = [{ region: 'r1', address: R1 }, { region: 'r2', address: R2 }];
  const settings = regions.map(({ region, address }): AuthoritativeOptions => ({ folder: join(folder, region), region, address, dnsPort, apiPort, apiKey: 'a-key-of-this-bench', zone: ZONE, nameServers: regions, warm: [] }));
  const authorities = await Promise.all(settings.map(startAuthoritative));
  const record = hotStandbyRecord({ name: NAME, lease: LEASE, port: probePort, ttlSeconds: TTL_SECONDS, regions: regions.map(({ region, address }) => ({ region, addresses: [address] })) });
  const plain = { name: `static.${ZONE}.`, type: 'A' as const, ttlSeconds: TTL_SECONDS, records: [R1] };
  for (const one of authorities) {
    const published = await one.publisher.publish(ZONE, [change(record), usual(record), plain], AbortSignal.timeout(10_000));
    if (!published.ok) throw new Error(published.failure.message);
    for (const name of WARM) await one.warm(name);
  }
  const backends = regions.map(({ address }) => ({ address, port: dnsPort }));
  const recursors = await startResolvers({ folder: join(folder, 'resolvers'), port: await freePort('127.8.8.8', '127.1.1.1', '127.9.9.9'), forward: [{ zone: ZONE, servers: backends }] });
  const front = { name: 'dnsdist', address: FRONT, port: await freePort(FRONT) };
  await startDnsdist({ folder: join(folder, 'front'), address: FRONT, port: front.port, backends, zone: ZONE, settings: { QPS: '10000000' } });
  const peer = { name: 'gdnsd', address: PEER, port: await freePort(PEER) };
  const running = programs !== null && (await startGdnsd({ folder: join(folder, 'gdnsd'), program: programs.gdnsd, address: PEER, port: peer.port, zone: ZONE, label: LEASE, regions: [R1, R2], probePort }).then(
    () => true,
    (error: unknown) => void notes.push(`gdnsd could not run: ${peerReason(error)}`),
  ));
  return {
    gates,
    authorities,
    restart: async (index) => {
      const before = authorities[index];
      const setting = settings[index];
      if (before === undefined || setting === undefined) return;
      await before.started.kill();
      authorities[index] = await startAuthoritative({ ...setting, warm: WARM });
    },
    resolvers: recursors.map(({ server }) => server),
    front,
    peer: running === true ? peer : null,
  };
}

async function follow(bench: Bench, flips: number, say: (line: string) => void): Promise<Flips> {
  const result = {
    authorityMs: [] as number[],
    resolversMs: [] as number[],
    frontMs: [] as number[],
    peerMs: [] as number[],
    ours: noAnswers(),
    usual: noAnswers(),
    unanswered: { authorities: 0, through: 0 },
  };
  let [holder, flippedMs] = [R1, performance.now()];
  /** Until then some server may tell what a restarted one said before its probes had ended: a cache keeps that for a TTL. */
  let startingUntilMs = 0;
  const ended = new AbortController();
  const sample = async (server: ResolverServer, into: Answers, unanswered: () => void, name = NAME): Promise<void> => {
    const ask = asker(server, name);
    while (!ended.signal.aborted) {
      const [held, late] = [holder, performance.now() - flippedMs > LATE_MS];
      const named = await ask();
      if (named === null) unanswered();
      else count(into, named, late && held === holder ? holder : null, performance.now() < startingUntilMs);
      await delay(SAMPLE_MS);
    }
  };
  const through = (): void => void result.unanswered.through++;
  const sampling = [
    ...[...bench.resolvers, bench.front].map((server) => sample(server, result.ours, through)),
    ...bench.authorities.map(({ server }) => sample(server, result.ours, () => void result.unanswered.authorities++)),
    ...bench.authorities.map(({ server }) => sample(server, result.usual, () => undefined, USUAL_NAME)),
  ];
  for (let index = 0; index < flips; index++) {
    if (index % 10 === 0) say(`flip ${index + 1} of ${flips}`);
    const restarts = index % RESTART_EVERY === RESTART_EVERY - 1;
    if (restarts) {
      // When probes wait: just after a flip a server that starts hears of both regions at once.
      await delay(Math.max(0, flippedMs + CALM_MS - performance.now()));
      startingUntilMs = Number.POSITIVE_INFINITY;
      await bench.restart((index / RESTART_EVERY) & 1);
    }
    await everybody(bench, holder);
    if (restarts) startingUntilMs = performance.now() + LATE_MS;
    const calmMs = bench.peer === null ? flippedMs + CALM_MS - performance.now() : 0;
    await delay(Math.max(0, calmMs) + ROUND_MS * ((index * GOLDEN) % 1));
    holder = holder === R1 ? R2 : R1;
    flippedMs = performance.now();
    const startedMs = flippedMs;
    const opened = open(bench.gates, holder);
    const since = async (servers: readonly ResolverServer[]): Promise<number> => {
      await Promise.all(servers.map((server) => names(server, holder)));
      return performance.now() - startedMs;
    };
    const [authority, resolvers, front, peer] = await Promise.all([
      Promise.all(bench.authorities.map(({ server }) => since([server]))),
      since(bench.resolvers),
      since([bench.front]),
      bench.peer === null ? null : since([bench.peer]),
    ]);
    await opened;
    result.authorityMs.push(...authority);
    result.resolversMs.push(resolvers);
    result.frontMs.push(front);
    if (peer !== null) result.peerMs.push(peer);
  }
  ended.abort();
  await Promise.all(sampling);
  return result;
}

const noAnswers = (): Answers => ({ all: 0, empty: 0, foreign: 0, fenced: 0, both: 0, startingFenced: 0, startingBoth: 0 });
const wrongOf = ({ empty, foreign, fenced, both, startingFenced }: Answers): number => empty + foreign + fenced + both + startingFenced;

/** `holder`: null while the answers may still be on their way from one to the other. */
function count(into: Answers, named: readonly string[], holder: string | null, starting: boolean): void {
  into.all++;
  if (named.length === 0) into.empty++;
  else if (named.some((address) => address !== R1 && address !== R2)) into.foreign++;
  else if (holder !== null && named.join() !== holder) {
    const how = named.includes(holder) ? 'both' : 'fenced';
    into[starting ? (how === 'both' ? 'startingBoth' : 'startingFenced') : how]++;
  }
}

async function open({ r1, r2 }: GatewayPair, address: string): Promise<void> {
  const [holder, other] = address === R1 ? [r1, r2] : [r2, r1];
  await Promise.all([other.tell({ mode: 'closed', activeRegion: holder.name }), holder.tell({ mode: 'open' }, VALID_MS)]);
}

async function everybody({ authorities, resolvers, front, peer }: Bench, holder: string): Promise<void> {
  const servers = [...authorities.map(({ server }) => server), ...resolvers, front, ...(peer === null ? [] : [peer])];
  await Promise.all(servers.map((server) => names(server, holder)));
}

/** Returns once `server` names the holder and nobody else. */
async function names(server: ResolverServer, holder: string): Promise<void> {
  const ask = asker(server);
  await waitFor(`${holder} at ${server.name}`, async () => (await ask())?.join() === holder, { everyMs: POLL_MS, timeoutMs: 30_000 });
}

/** One question; null when there was no answer. An answer without addresses is empty. */
function asker(server: ResolverServer, name = NAME): () => Promise<readonly string[] | null> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${server.address}:${server.port}`]);
  return () =>
    resolver.resolve4(name).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENODATA' || error.code === 'ENOTFOUND') return [];
      return null;
    });
}

const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value));

type Loads = Record<'gated' | 'plain' | 'directGated' | 'directPlain' | 'peer', number[]>;

async function loads({ front, authorities }: Bench, dnsperf: Program, say: (line: string) => void): Promise<Loads> {
  const direct = authorities[0]?.server;
  const found: Loads = { gated: [], plain: [], directGated: [], directPlain: [], peer: [] };
  const folder = runFolder('bench-dnsperf');
  const files = { gated: join(folder, 'gated'), plain: join(folder, 'plain') };
  writeFileSync(files.gated, `${NAME} A\n`);
  writeFileSync(files.plain, `static.${ZONE} A\n`);
  say(`load behind the cache, ${PAIRS} pairs of ${PAIR_SECONDS} s`);
  for (let pair = 0; pair < PAIRS; pair++) {
    const kinds = ['gated', 'plain'] as const;
    for (const kind of pair % 2 === 0 ? kinds : kinds.toReversed()) found[kind].push(await answersPerSecond(dnsperf, front, files[kind], PAIR_SECONDS));
  }
  if (direct === undefined) return found;
  say('load of a server without a cache');
  for (let run = 0; run < LOAD_RUNS; run++) {
    found.directPlain.push(await answersPerSecond(dnsperf, direct, files.plain, LOAD_SECONDS));
    found.directGated.push(await answersPerSecond(dnsperf, direct, files.gated, LOAD_SECONDS));
  }
  return found;
}

async function peerLoads(peer: ResolverServer, dnsperf: Program, say: (line: string) => void): Promise<number[]> {
  say('load of the peer');
  const file = join(runFolder('bench-dnsperf-peer'), 'gated');
  writeFileSync(file, `${NAME} A\n`);
  const found: number[] = [];
  while (found.length < LOAD_RUNS) found.push(await answersPerSecond(dnsperf, peer, file, LOAD_SECONDS));
  return found;
}

async function answersPerSecond({ command, env }: Program, server: ResolverServer, file: string, seconds: number): Promise<number> {
  const args = ['-s', server.address, '-p', String(server.port), '-d', file, '-l', String(seconds), '-c', '4', '-q', '100', '-t', '1'];
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout) output += String(chunk);
  const rate = /Queries per second:\s+([\d.]+)/.exec(output)?.[1];
  if (rate === undefined) throw new Error(`dnsperf said no rate: ${output.slice(-300)}`);
  return Number(rate);
}
