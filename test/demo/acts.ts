// What the demo does to a site, act by act: a region dies, comes back, and takes over again as planned.

import type { SwitchoverPlan } from '../../daemons/controller/src/status.ts';
import { monotonicMs } from '../rig/clock.ts';
import { post } from '../rig/operator-api.ts';
import { waitFor } from '../rig/process.ts';
import type { RegionName, Site } from '../rig/site.ts';
import type { Sampler } from './sampler.ts';
import type { EventKind, Scene } from './timeline.ts';
import { startReaders } from './writer.ts';
import type { Client, Read, Write } from './writer.ts';

/** What two slow cores carry beside two whole regions and their clients; the bench asks for more. */
const READS_PER_SECOND = 50;
/** Between two acts, so that each is seen by itself. */
export const SETTLE_MS = 1_500;

/**
 * In the order in which they are played, r1 holding the lease at the start. The witness stays away between `witness-lost` and the end
 * of `holder-lost-too`; both need a site with attestation.
 */
export type Act = 'kill' | 'return' | 'switchover' | 'witness-lost' | 'holder-lost-too';

export type DemoOptions = {
  readonly site: Site;
  readonly rtoMs: number;
  readonly acts: readonly Act[];
  /** One line for every step, as it happens. */
  readonly say: (line: string) => void;
  readonly onWrite: (write: Write) => void;
  readonly onSample: (sampler: Sampler) => void;
};

export type Happened = {
  readonly kind: EventKind;
  readonly startMs: number;
  readonly endMs: number;
  readonly from: RegionName;
  readonly to: RegionName;
  /** Since when a new region's first acknowledged write counts; null for a rejoin. */
  readonly firstWriteMs: number | null;
};

/** What a run collects while it goes on. */
export type Run = {
  readonly options: DemoOptions;
  /** Who holds the lease now. */
  holder: RegionName;
  /** Times that it changed. */
  changes: number;
  readonly startMs: number;
  readonly writes: Write[];
  readonly reads: Read[];
  readonly happened: Happened[];
  readonly scenes: Scene[];
  readonly kills: { readonly atMs: number; readonly region: RegionName | 'witness' }[];
  /** The first write that `region` acknowledged after `sinceMs`. */
  readonly acknowledgedBy: (region: RegionName, sinceMs: number) => Promise<Write>;
};

export const otherThan = (region: RegionName): RegionName => (region === 'r1' ? 'r2' : 'r1');

export async function killHolder(run: Run): Promise<void> {
  const { site, say } = run.options;
  const from = run.holder;
  const to = otherThan(from);
  say(`KILL ${from}: SIGKILL to every process of the region at once, in the middle of its writes`);
  const killMs = monotonicMs();
  run.kills.push({ atMs: killMs, region: from });
  await site.regions[from].kill();
  const first = await run.acknowledgedBy(to, killMs);
  say(`${to} acknowledged a write ${Math.round(first.endMs - killMs)} ms after the kill`);
  run.happened.push({ kind: 'failover', startMs: killMs, endMs: first.endMs, from, to, firstWriteMs: first.endMs });
  run.holder = to;
  run.changes += 1;
  await pause(SETTLE_MS);
}

export async function comeBack(run: Run): Promise<void> {
  const { site, say } = run.options;
  const to = run.holder;
  const from = otherThan(to);
  say(`${from} comes back: fenced, it learns the newer epoch and becomes the standby`);
  const returnMs = monotonicMs();
  await site.regions[from].start();
  await site.settled(to);
  run.happened.push({ kind: 'rejoin', startMs: returnMs, endMs: monotonicMs(), from, to, firstWriteMs: null });
  say(`${from} streams and is in the in-sync set again, ${Math.round(monotonicMs() - returnMs)} ms after its start`);
}

export async function switchOver(run: Run, reading: Client): Promise<void> {
  const { site, say } = run.options;
  const from = run.holder;
  const to = otherThan(from);
  const readers = startReaders(reading, READS_PER_SECOND, (read) => run.reads.push(read));
  await pause(SETTLE_MS);
  say(`planned switchover ${from} -> ${to}, under the writer and ${READS_PER_SECOND} reads/s`);
  const askedMs = await askSwitchover(site, from, to);
  const first = await run.acknowledgedBy(to, askedMs).catch(async (cause: unknown) => {
    const { lastSwitchover } = await site.regions[from].status();
    throw new Error(`no write came through ${to}; the last switchover: ${lastSwitchover?.result ?? 'none'}`, { cause });
  });
  await site.settled(to);
  await pause(SETTLE_MS);
  await readers.stop();
  run.happened.push({ kind: 'switchover', startMs: askedMs, endMs: monotonicMs(), from, to, firstWriteMs: first.endMs });
  run.holder = to;
  run.changes += 1;
  say(`${to} is active, ${from} is its standby again`);
}

/**
 * Asks the holder's controller for a switchover, as soon as both controllers' plans say that it is possible. Returns when it was
 * asked, in monotonic milliseconds; throws with the reason when it is refused.
 */
export async function askSwitchover(site: Site, from: RegionName, to: RegionName): Promise<number> {
  await waitFor(`a switchover ${from} -> ${to} to be possible`, async () => {
    const plans = await Promise.all([from, to].map((region) => post(site.regions[region], '/v1/switchover', { to, dryRun: true })));
    const missing = plans.flatMap(({ json }) => (json as SwitchoverPlan).preconditions.filter((one) => !one.ok));
    if (missing.length > 0) throw new Error(missing.map((one) => `${one.name}: ${one.value}, needs ${one.limit}`).join('; '));
    return true;
  });
  const askedMs = monotonicMs();
  const { status, json } = await post(site.regions[from], '/v1/switchover', { to });
  if (status !== 202) throw new Error(`switchover refused: ${JSON.stringify(json)}`);
  return askedMs;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
