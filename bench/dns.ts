// `npm run bench -- dns`: how fast a name follows the lease, what is wrong on the way, and what following costs. Two real
// authoritative servers, three real recursors, dnsdist with the deployed configuration; the peers in the same run, probing the
// same gateways, asked by the same clients.

import { Resolver } from 'node:dns/promises';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { synthesize } from '@continuum/core';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import { startAuthoritative, startResolvers } from '../test/rig/dns.ts';
import type { Authoritative, AuthoritativeOptions } from '../test/rig/dns.ts';
import { startDnsdist } from '../test/rig/dnsdist.ts';
import { startLeaseGates } from '../test/rig/lease-gates.ts';
import type { LeaseGates } from '../test/rig/lease-gates.ts';
import { freePort, runFolder, stopAll, waitFor } from '../test/rig/process.ts';
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
const NAME = `counter.${ZONE}`;
const TTL_SECONDS = 1;
/** Longer than any server may take: what still names the closed region then is wrong. */
const LATE_MS = TTL_SECONDS * 1_000 + 3_000;
const POLL_MS = 5;
const SAMPLE_MS = 20;
const LOAD_SECONDS = 4;
const LOAD_RUNS = 3;
/** A flip falls anywhere in the probe's interval: waits differ by this golden share of it, evenly and repeatably. */
const GOLDEN = 0.618_034;
const RESTART_EVERY = 10;
/** Within the probe's time-out of 1 s, with room for a slow network. */
const HOLD_MS = 700;

type Bench = {
  readonly gates: LeaseGates;
  readonly authorities: Authoritative[];
  readonly restart: (index: number) => Promise<void>;
  readonly resolvers: readonly ResolverServer[];
  readonly front: ResolverServer;
  readonly peer: ResolverServer | null;
};
type Flips = { readonly authorityMs: number[]; readonly resolversMs: number[]; readonly peerMs: number[]; readonly answers: number; readonly wrong: number; readonly unanswered: number };

export async function benchDns({ flips, say }: DnsBenchOptions): Promise<BenchReport> {
  const programs = await ensureDnsPrograms(say).catch((error: unknown) => peerReason(error));
  const notes: string[] = typeof programs === 'string' ? [`gdnsd and dnsperf could not be had: ${programs}`] : [];
  const holding = await startAll(null, notes, say, HOLD_MS);
  const held = await follow(holding, flips, say);
  await holding.gates.close();
  await stopAll();
  const bench = await startAll(typeof programs === 'string' ? null : programs, notes, say, 0);
  const followed = await follow(bench, flips, say);
  const load = typeof programs === 'string' ? null : await loads(bench, programs.dnsperf, say);
  await bench.gates.close();
  const ratio = load === null ? [] : load.gated.map((one, index) => one / (load.plain[index] ?? Number.NaN));
  const peer = (values: readonly number[], pick: (values: readonly number[]) => number | null) => ({ gdnsd: values.length === 0 ? null : rounded(pick(values)) });
  const p99 = (values: readonly number[]): number | null => quantile(values, 0.99);
  return {
    bench: 'dns',
    machine: machine(),
    rows: [
      row('flip at the authority after the fence: median', 'ms', followed.authorityMs, median, '<= 500', peer(followed.peerMs, median)),
      row('flip at the authority after the fence: p99', 'ms', followed.authorityMs, p99, null, peer(followed.peerMs, p99)),
      row('the same with probes that the gate holds until a change: median', 'ms', held.authorityMs, median, '<= 500'),
      row('the same with probes that the gate holds until a change: p99', 'ms', held.authorityMs, p99, null),
      row('flip as seen through three caching resolvers: median', 'ms', followed.resolversMs, median, null),
      row('flip as seen through three caching resolvers: p99', 'ms', followed.resolversMs, p99, `<= ${TTL_SECONDS * 1_000 + 500}`),
      row('the same with held probes: median', 'ms', held.resolversMs, median, null),
      row('the same with held probes: p99', 'ms', held.resolversMs, p99, `<= ${TTL_SECONDS * 1_000 + 500}`),
      row('wrong or empty answers', 'answers', [followed.wrong + held.wrong], median, '<= 0'),
      row('lease-gated behind the cache, against a static record behind it', 'share', ratio, median, '>= 0.95'),
      row('answers/s, lease-gated, behind the cache', '1/s', load?.gated ?? [], median, null, {
        'static behind the cache': rounded(median(load?.plain ?? [])),
        'PowerDNS static': rounded(median(load?.directPlain ?? [])),
        'PowerDNS LUA': rounded(median(load?.directGated ?? [])),
        gdnsd: rounded(median(load?.peer ?? [])),
      }),
    ],
    notes: [
      `${followed.answers + held.answers} answers looked at during ${2 * flips} flips and ${2 * Math.floor(flips / RESTART_EVERY)} restarts of an authority, ${followed.unanswered + held.unanswered} questions without an answer (their authority was down)`,
      `a wrong answer is empty, or names no region, or ${LATE_MS} ms after a flip still only the region that is fenced; TTL ${TTL_SECONDS} s`,
      'probes every 1 s, the least that PowerDNS takes; gdnsd every 2 s, its least; nothing is written at a flip',
      `held probes: the gateways of this bench answer a probe at the change, at the latest after ${HOLD_MS} ms; those of the product answer at once`,
      ...notes,
    ],
  };
}

async function startAll(programs: DnsPrograms | null, notes: string[], say: (line: string) => void, holdMs: number): Promise<Bench> {
  const folder = runFolder('bench-dns');
  const [probePort, dnsPort, apiPort] = [await freePort(R1, R2), await freePort(R1, R2), await freePort(R1, R2)];
  const gates = await startLeaseGates([R1, R2], probePort, holdMs);
  gates.open(R1);
  say('two authoritative servers, three recursors, dnsdist');
  const regions = [{ region: 'r1', address: R1 }, { region: 'r2', address: R2 }];
  const settings = regions.map(({ region, address }): AuthoritativeOptions => ({ folder: join(folder, region), region, address, dnsPort, apiPort, apiKey: 'a-key-of-this-bench', zone: ZONE, nameServers: regions, warm: [] }));
  const authorities = await Promise.all(settings.map(startAuthoritative));
  const record = synthesize({ name: NAME, lease: 'counter', port: probePort, ttlSeconds: TTL_SECONDS, regions: regions.map(({ region, address }) => ({ region, addresses: [address] })) });
  if (!record.ok) throw new Error(JSON.stringify(record.problems));
  const plain = { name: `static.${ZONE}.`, type: 'A' as const, ttlSeconds: TTL_SECONDS, records: [R1] };
  for (const one of authorities) {
    const published = await one.publisher.publish(ZONE, [record.value, plain], AbortSignal.timeout(10_000));
    if (!published.ok) throw new Error(published.failure.message);
    await one.warm(NAME);
  }
  const backends = regions.map(({ address }) => ({ address, port: dnsPort }));
  const recursors = await startResolvers({ folder: join(folder, 'resolvers'), port: await freePort('127.8.8.8', '127.1.1.1', '127.9.9.9'), forward: [{ zone: ZONE, servers: backends }] });
  const front = { name: 'dnsdist', address: FRONT, port: await freePort(FRONT) };
  await startDnsdist({ folder: join(folder, 'front'), address: FRONT, port: front.port, backends, zone: ZONE, settings: { QPS: '10000000' } });
  const peer = { name: 'gdnsd', address: PEER, port: await freePort(PEER) };
  const running = programs !== null && (await startGdnsd({ folder: join(folder, 'gdnsd'), program: programs.gdnsd, address: PEER, port: peer.port, zone: ZONE, label: 'counter', regions: [R1, R2], probePort }).then(
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
      authorities[index] = await startAuthoritative({ ...setting, warm: [NAME] });
    },
    resolvers: recursors.map(({ server }) => server),
    front,
    peer: running === true ? peer : null,
  };
}

async function follow(bench: Bench, flips: number, say: (line: string) => void): Promise<Flips> {
  const result = { authorityMs: [] as number[], resolversMs: [] as number[], peerMs: [] as number[], answers: 0, wrong: 0, unanswered: 0 };
  let [holder, flippedMs] = [R1, performance.now()];
  const ended = new AbortController();
  const sampling = [...bench.resolvers, bench.front, ...bench.authorities.map(({ server }) => server)].map(async (server) => {
    const ask = asker(server);
    while (!ended.signal.aborted) {
      const [named, at, heldBefore] = [await ask(), performance.now(), holder];
      if (named === null) result.unanswered++;
      else {
        result.answers++;
        const foreign = named.length === 0 || named.some((address) => address !== R1 && address !== R2);
        if (foreign || (at - flippedMs > LATE_MS && heldBefore === holder && !named.includes(holder))) result.wrong++;
      }
      await delay(SAMPLE_MS);
    }
  });
  for (let index = 0; index < flips; index++) {
    if (index % 10 === 0) say(`flip ${index + 1} of ${flips}`);
    if (index % RESTART_EVERY === RESTART_EVERY - 1) await bench.restart((index / RESTART_EVERY) & 1);
    await everybody(bench, holder);
    await delay(1_000 * ((index * GOLDEN) % 1));
    holder = holder === R1 ? R2 : R1;
    flippedMs = performance.now();
    const startedMs = flippedMs;
    bench.gates.open(holder);
    const since = async (servers: readonly ResolverServer[]): Promise<number> => {
      await Promise.all(servers.map((server) => names(server, holder)));
      return performance.now() - startedMs;
    };
    const [authority, resolvers, peer] = await Promise.all([
      Promise.all(bench.authorities.map(({ server }) => since([server]))),
      since(bench.resolvers),
      bench.peer === null ? null : since([bench.peer]),
    ]);
    result.authorityMs.push(...authority);
    result.resolversMs.push(resolvers);
    if (peer !== null) result.peerMs.push(peer);
  }
  ended.abort();
  await Promise.all(sampling);
  return result;
}

async function everybody({ authorities, resolvers, peer }: Bench, holder: string): Promise<void> {
  const servers = [...authorities.map(({ server }) => server), ...resolvers, ...(peer === null ? [] : [peer])];
  await Promise.all(servers.map((server) => names(server, holder)));
}

/** Returns once `server` names the holder and nobody else. */
async function names(server: ResolverServer, holder: string): Promise<void> {
  const ask = asker(server);
  await waitFor(`${holder} at ${server.name}`, async () => (await ask())?.join() === holder, { everyMs: POLL_MS, timeoutMs: 30_000 });
}

/** One question; null when there was no answer. An answer without addresses is empty. */
function asker(server: ResolverServer): () => Promise<readonly string[] | null> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${server.address}:${server.port}`]);
  return () =>
    resolver.resolve4(NAME).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENODATA' || error.code === 'ENOTFOUND') return [];
      return null;
    });
}

const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value));

type Loads = Record<'gated' | 'plain' | 'directGated' | 'directPlain' | 'peer', number[]>;

async function loads({ front, authorities, peer }: Bench, dnsperf: Program, say: (line: string) => void): Promise<Loads> {
  const direct = authorities[0]?.server;
  const found: Loads = { gated: [], plain: [], directGated: [], directPlain: [], peer: [] };
  const folder = runFolder('bench-dnsperf');
  const files = { gated: join(folder, 'gated'), plain: join(folder, 'plain') };
  writeFileSync(files.gated, `${NAME} A\n`);
  writeFileSync(files.plain, `static.${ZONE} A\n`);
  for (let run = 0; run < LOAD_RUNS; run++) {
    say(`load, run ${run + 1} of ${LOAD_RUNS}`);
    found.gated.push(await answersPerSecond(dnsperf, front, files.gated));
    found.plain.push(await answersPerSecond(dnsperf, front, files.plain));
    if (direct !== undefined) {
      found.directPlain.push(await answersPerSecond(dnsperf, direct, files.plain));
      found.directGated.push(await answersPerSecond(dnsperf, direct, files.gated));
    }
    if (peer !== null) found.peer.push(await answersPerSecond(dnsperf, peer, files.gated));
  }
  return found;
}

async function answersPerSecond({ command, env }: Program, server: ResolverServer, file: string): Promise<number> {
  const args = ['-s', server.address, '-p', String(server.port), '-d', file, '-l', String(LOAD_SECONDS), '-c', '4', '-q', '100', '-t', '1'];
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout) output += String(chunk);
  const rate = /Queries per second:\s+([\d.]+)/.exec(output)?.[1];
  if (rate === undefined) throw new Error(`dnsperf said no rate: ${output.slice(-300)}`);
  return Number(rate);
}
