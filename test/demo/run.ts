// The demo's run: a writer that never stops, the acts one after the other, and the verdict. What is
// measured is measured at the client; what is counted is counted in the surviving database.

import { createCachingClient } from '@continuum/adapters/resolver/caching-client';
import { locateAll } from '../../scripts/parts.mjs';
import { monotonicMs } from '../rig/clock.ts';
import { waitFor } from '../rig/process.ts';
import type { RegionName, Site } from '../rig/site.ts';
import { REGIONS } from '../rig/site.ts';
import { comeBack, killHolder, pause, SETTLE_MS, switchOver } from './acts.ts';
import type { Act, DemoOptions, Happened, Run } from './acts.ts';
import { checkPromises, failoverSteps, firstAfter, ledgerOf, phasesFrom, readLogs, readRows, switchoverSteps } from './evidence.ts';
import type { Steps } from './evidence.ts';
import { checkDeadLag, lagSpans } from './lag.ts';
import { holderLostToo, witnessLost } from './scenes.ts';
import { startSampler } from './sampler.ts';
import type { Sampler } from './sampler.ts';
import { longestGap, spansOf } from './timeline.ts';
import type { Check, DemoEvent, DemoReport, Timeline, WriteRecord } from './timeline.ts';
import { createClient, startWriter } from './writer.ts';
import type { Client, Read, Write } from './writer.ts';

const WRITE_EVERY_MS = 100;
const LAG_BUCKET_MS = 200;
/** A prober that looks twice a second has noticed by then that an end is gone. */
const LAG_NOTICED_MS = 3_000;
/** What the product promises of a planned switchover. */
const SWITCHOVER_GAP_MS_MAX = 1_000;

export type DemoResult = { readonly timeline: Timeline; readonly report: DemoReport };

const PLAY: Readonly<Record<Act, (run: Run, reading: Client) => Promise<void>>> = {
  kill: killHolder,
  return: comeBack,
  switchover: switchOver,
  'witness-lost': witnessLost,
  'holder-lost-too': holderLostToo,
};

export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { site, acts } = options;
  const startedAtWallMs = Date.now();
  const dnsWritesBefore = site.dnsWrites();
  const writes: Write[] = [];
  const run: Run = {
    options,
    startMs: monotonicMs(),
    writes,
    reads: [],
    happened: [],
    scenes: [],
    kills: [],
    holder: 'r1',
    changes: 0,
    acknowledgedBy: (region, sinceMs) =>
      waitFor(`an acknowledged write in ${region}`, () => firstAcknowledged(writes, region, sinceMs), { timeoutMs: 3 * options.rtoMs + 10_000 }),
  };
  const sampler: Sampler = startSampler(site, () => options.onSample(sampler));
  const [writing, reading] = [clientOf(site, 0), clientOf(site, 1)];
  const writer = startWriter(writing, WRITE_EVERY_MS, (write) => {
    writes.push(write);
    options.onWrite(write);
  });
  await pause(SETTLE_MS);
  for (const act of acts) await PLAY[act](run, reading);
  await writer.stop();
  await sampler.stop();
  await Promise.all([writing.close(), reading.close()]);
  return judge(run, { startedAtWallMs, sampler, dnsWritesDuring: site.dnsWrites() - dnsWritesBefore });
}

function firstAcknowledged(writes: readonly Write[], region: RegionName, sinceMs: number): Write | undefined {
  const acknowledged = writes.filter((one) => one.outcome === 'acknowledged' && one.region === region && one.endMs > sinceMs);
  return acknowledged.sort((a, b) => a.endMs - b.endMs)[0];
}

function clientOf(site: Site, index: number): Client {
  const resolver = site.resolvers[index];
  if (resolver === undefined) throw new Error(`no resolver ${index}`);
  const dns = createCachingClient({ server: resolver.server });
  return createClient({ dns, name: site.dnsName, port: site.gatewayPort, timeoutMs: site.timings.holdMsMax + 5_000 });
}

type Judged = { readonly startedAtWallMs: number; readonly sampler: Sampler; readonly dnsWritesDuring: number };

/** The verdict: from the table in the surviving database, the evidence of both regions, and what the client was told. */
async function judge(run: Run, { startedAtWallMs, sampler, dnsWritesDuring }: Judged): Promise<DemoResult> {
  const { options, writes, reads, happened } = run;
  const { site, rtoMs } = options;
  const survivor = run.holder;
  options.say(`reading the table in ${survivor}, and the evidence of both regions`);
  const rows = await readRows(site.regions[survivor].databaseUrl());
  const logs = readLogs(site);
  const stored = new Set(rows.map((row) => row.writeId));
  const relative = (ms: number): number => Math.round((ms - run.startMs) * 10) / 10;
  const records: WriteRecord[] = writes.map(({ id, sentMs, endMs, outcome, region, detail }) => {
    return { id, atMs: relative(sentMs), endMs: relative(endMs), outcome, region, reason: detail, stored: stored.has(id) };
  });
  const events = happened.map((one) => describeEvent(one, { logs, records, writes, reads, relative }));
  const dnsAnswers = sampler.answers.flatMap((one) => (one.addresses === null ? [] : [one.addresses.join(',')]));
  const scenes = run.scenes.map((one) => ({ ...one, fromMs: relative(one.fromMs), toMs: relative(one.toMs) }));
  const checks = [
    ...checkPromises({ logs, rows, writes, changes: run.changes, dnsAnswers, dnsWritesDuring }),
    ...events.flatMap((event, index) => checkEvent(event, rtoMs, reasonsOf(happened[index], writes, reads))),
    ...scenes.flatMap((one) => one.checks),
    ...checkDeadLag(sampler.lag, deadSpans(run), LAG_NOTICED_MS),
  ];
  const { acknowledged, unknown, refused, lost, duplicated } = ledgerOf(writes, rows);
  const endMs = relative(monotonicMs());
  const report: DemoReport = {
    ok: checks.every((one) => one.passed),
    objective: { rtoMs },
    regions: [...REGIONS],
    durationMs: endMs,
    writes: { acknowledged, unknown, refused, lost, duplicated },
    events,
    checks,
    scenes,
    parts: partsInUse(),
  };
  const timeline: Timeline = {
    startedAtWallMs,
    durationMs: endMs,
    regions: [...REGIONS],
    regionOfAddress: Object.fromEntries(REGIONS.map((name) => [site.regions[name].address, name])),
    kills: run.kills.map(({ atMs, region }) => ({ atMs: relative(atMs), region })),
    writes: records,
    reads: readsPerBucket(reads, relative),
    ...bandsOf(sampler, relative, endMs),
  };
  return { timeline, report };
}

/** From each kill of a region until it comes back, or until now. */
function deadSpans({ kills, happened }: Run): { region: string; fromMs: number; toMs: number }[] {
  const regions = kills.filter((kill) => (REGIONS as readonly string[]).includes(kill.region));
  return regions.map(({ region, atMs }) => {
    const back = happened.find((one) => one.kind === 'rejoin' && one.from === region && one.startMs > atMs);
    return { region, fromMs: atMs, toMs: back?.startMs ?? monotonicMs() };
  });
}

function partsInUse(): DemoReport['parts'] {
  const located = locateAll().flatMap((part) => (part.located === null ? [] : [{ name: part.name, version: part.located.version }]));
  return [{ name: 'node', version: process.versions.node }, ...located];
}

type Measured = {
  readonly logs: ReturnType<typeof readLogs>;
  readonly records: readonly WriteRecord[];
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
  readonly relative: (ms: number) => number;
};

function describeEvent(happened: Happened, measured: Measured): DemoEvent {
  const { logs, records, writes, reads, relative } = measured;
  const { kind, startMs, endMs, from, to, firstWriteMs } = happened;
  const epochs = logs.entries.filter((entry) => entry.event === 'lease-seen');
  const epochAt = (ms: number): number => Number(epochs.filter((entry) => entry.monoMs <= ms).at(-1)?.detail['epoch'] ?? 0);
  const steps: Steps =
    kind === 'failover'
      ? failoverSteps(logs, startMs, to, firstWriteMs)
      : kind === 'switchover'
        ? switchoverSteps(logs, startMs, from, to, firstWriteMs)
        : rejoinSteps(logs, startMs, from, to);
  const gap = longestGap(records, relative(startMs), relative(endMs));
  const within = (one: { sentMs: number; endMs: number }): boolean => one.endMs >= startMs && one.sentMs <= endMs;
  const failedWrites = writes.filter((write) => within(write) && write.outcome !== 'acknowledged').length;
  const failedReads = reads.filter((read) => within(read) && !read.ok).length;
  return {
    kind,
    epochBefore: epochAt(startMs),
    epochAfter: epochAt(endMs),
    rtoMs: firstWriteMs === null ? null : Math.round(firstWriteMs - startMs),
    writeGapMs: gap === null ? 0 : Math.round(gap.toMs - gap.fromMs),
    failedRequests: failedWrites + failedReads,
    phases: phasesFrom(startMs, steps).map((phase) => ({
      name: phase.name,
      startMs: relative(phase.startMs),
      endMs: relative(phase.endMs),
    })),
  };
}

function rejoinSteps(logs: Measured['logs'], startMs: number, region: string, holder: string): Steps {
  const after = (event: string, by: string, match: (detail: Readonly<Record<string, unknown>>) => boolean) =>
    firstAfter(logs, startMs, event, (entry) => entry.region === by && match(entry.detail))?.monoMs ?? null;
  return [
    { name: 'processes start', endMs: after('started', region, () => true) },
    { name: 'learn the epoch', endMs: after('lease-seen', region, () => true) },
    { name: 'database rejoins', endMs: after('database-rejoin', region, (detail) => detail['ok'] === true) },
    { name: 'streams', endMs: after('phase', region, (detail) => detail['kind'] === 'standby') },
    { name: 'commits wait for it', endMs: after('database-set-synchronous', holder, (detail) => detail['ok'] === true) },
    { name: 'in sync at the witness', endMs: after('in-sync', holder, (detail) => (detail['inSync'] as string[]).length > 1) },
  ];
}

/** Why requests failed while it happened, each reason once with its count. */
function reasonsOf(happened: Happened | undefined, writes: readonly Write[], reads: readonly Read[]): string {
  if (happened === undefined) return '';
  const failed = [...writes.filter((write) => write.outcome !== 'acknowledged'), ...reads.filter((read) => !read.ok)];
  const during = failed.filter((one) => one.endMs >= happened.startMs && one.sentMs <= happened.endMs);
  const counts = new Map<string, number>();
  for (const { detail } of during) counts.set(detail, (counts.get(detail) ?? 0) + 1);
  return [...counts].map(([detail, count]) => `${count} x ${detail}`).join('; ');
}

function checkEvent(event: DemoEvent, rtoMs: number, reasons: string): Check[] {
  if (event.kind === 'failover') {
    const evidence = `${event.rtoMs ?? 'no'} ms from the kill to the first acknowledged write; objective ${rtoMs} ms`;
    return [{ name: 'failover within the objective', passed: event.rtoMs !== null && event.rtoMs <= rtoMs, evidence }];
  }
  if (event.kind === 'rejoin') return [];
  return [
    { name: 'switchover: no failed request', passed: event.failedRequests === 0, evidence: `${event.failedRequests} requests failed${reasons === '' ? '' : `: ${reasons}`}` },
    {
      name: 'switchover: under 1 s of write disruption',
      passed: event.writeGapMs < SWITCHOVER_GAP_MS_MAX,
      evidence: `longest time between two acknowledged writes ${event.writeGapMs} ms, at one write every ${WRITE_EVERY_MS} ms`,
    },
  ];
}

function readsPerBucket(reads: readonly Read[], relative: (ms: number) => number): Timeline['reads'] {
  const bucketMs = 100;
  const count = Math.max(0, ...reads.map((read) => Math.floor(relative(read.endMs) / bucketMs) + 1));
  const ok = new Array<number>(count).fill(0);
  const failed = new Array<number>(count).fill(0);
  for (const read of reads) {
    const series = read.ok ? ok : failed;
    const index = Math.floor(relative(read.endMs) / bucketMs);
    series[index] = (series[index] ?? 0) + 1;
  }
  return { bucketMs, ok, failed };
}

/** The bands under the picture, from what was sampled. */
function bandsOf(sampler: Sampler, relative: (ms: number) => number, endMs: number): Pick<Timeline, 'lease' | 'gates' | 'databaseRoles' | 'dns' | 'lag'> {
  const seen = sampler.statuses.filter(({ status }) => status !== null && status.lease !== null);
  const lease = seen.map(({ atMs, status }) => ({
    atMs: relative(atMs),
    value: { holder: (status?.lease?.remainingMs ?? 0) > (status?.lease?.ageMs ?? 0) ? (status?.lease?.holder ?? null) : null, epoch: status?.lease?.epoch ?? 0 },
  }));
  // Two observers: the newer epoch is what is true, an older one is late.
  let epoch = 0;
  const newest = lease.filter(({ value }) => value.epoch >= epoch && ((epoch = value.epoch), true));
  const perRegion = REGIONS.map((region) => ({ region, samples: sampler.statuses.filter((one) => one.region === region) }));
  return {
    lease: spansOf(newest, endMs).map(({ value, ...span }) => ({ ...span, ...value })),
    gates: perRegion.flatMap(({ region, samples }) =>
      spansOf(samples.map(({ atMs, status }) => ({ atMs: relative(atMs), value: status?.gate.mode ?? ('down' as const) })), endMs).map(
        ({ value: mode, ...span }) => ({ ...span, region, mode }),
      ),
    ),
    databaseRoles: perRegion.flatMap(({ region, samples }) =>
      spansOf(samples.map(({ atMs, status }) => ({ atMs: relative(atMs), value: status === null ? ('down' as const) : (status.database?.role ?? 'unknown') })), endMs).map(
        ({ value: role, ...span }) => ({ ...span, region, role }),
      ),
    ),
    dns: [...new Set(sampler.answers.map((one) => one.resolver))].flatMap((resolver) =>
      spansOf(
        sampler.answers.filter((one) => one.resolver === resolver).map(({ atMs, addresses }) => ({ atMs: relative(atMs), value: addresses ?? [] })),
        endMs,
      ).map(({ value: addresses, ...span }) => ({ ...span, resolver, addresses })),
    ),
    lag: lagSpans(sampler.lag.map(({ atMs, lag }) => ({ atMs: relative(atMs), lag })), LAG_BUCKET_MS),
  };
}
