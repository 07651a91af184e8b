// Feeds the live view: keeps what happened so far, and turns samples of the site into what a person looks at.

import type { RegionName, Site } from '../rig/site.ts';
import { monotonicMs } from '../rig/clock.ts';
import { REGIONS } from '../rig/site.ts';
import { lagNow } from './lag.ts';
import type { LagNow } from './lag.ts';
import type { LiveRegion, LiveView } from './live-view.ts';
import type { Sampler } from './sampler.ts';
import { duration } from './timeline.ts';
import type { Outcome } from './writer.ts';

type Second = Record<Outcome, number>;

export type Picture = {
  /** A new step of the script. */
  readonly say: (line: string) => void;
  readonly counted: (outcome: Outcome, endMs: number) => void;
  readonly sampled: (site: Site, sampler: Sampler) => void;
  readonly stop: () => void;
};

const EVENTS_MAX = 200;
/** Time passes on the picture even while nothing happens. */
const TICK_MS = 250;

export function createPicture(view: LiveView, ttlMs: number): Picture {
  const startMs = monotonicMs();
  const events: { atMs: number; text: string }[] = [];
  const seconds: Second[] = [];
  let step = { name: 'starting real parts', startedMs: 0 };
  let regions: readonly LiveRegion[] = [];
  let lease: { holder: string | null; epoch: number } | null = null;
  let resolvers: { resolver: string; answer: string }[] = [];
  let lag: readonly LagNow[] = [];

  const draw = (): void =>
    view.update({ elapsedMs: monotonicMs() - startMs, step, lease, ttlMs, regions, lag, resolvers, writes: seconds, events });
  const ticking = setInterval(draw, TICK_MS);
  return {
    stop: () => clearInterval(ticking),
    say: (line) => {
      const atMs = monotonicMs() - startMs;
      if (events.length < EVENTS_MAX) events.push({ atMs, text: `${step.name}: ${duration(atMs - step.startedMs)}` });
      step = { name: line, startedMs: atMs };
      draw();
    },
    counted: (outcome, endMs) => {
      const index = Math.max(0, Math.floor((endMs - startMs) / 1_000));
      while (seconds.length <= index) seconds.push({ acknowledged: 0, refused: 0, unknown: 0 });
      const second = seconds[index];
      if (second !== undefined) second[outcome] += 1;
      draw();
    },
    sampled: (site, sampler) => {
      const { statuses, answers } = sampler.latest();
      regions = REGIONS.map((name) => liveRegion(name, statuses[name]));
      lag = lagNow(REGIONS.map((name) => statuses[name]));
      const newest = REGIONS.flatMap((name) => statuses[name]?.lease ?? []).sort((a, b) => b.revision - a.revision)[0];
      if (newest !== undefined) lease = { holder: newest.remainingMs > newest.ageMs ? newest.holder : null, epoch: newest.epoch };
      const named = new Map(REGIONS.map((name) => [site.regions[name].address, name as string]));
      resolvers = answers.map(({ resolver, addresses }) => ({
        resolver,
        answer: (addresses ?? []).map((address) => named.get(address) ?? address).join('+'),
      }));
      draw();
    },
  };
}

function liveRegion(region: RegionName, status: ReturnType<Sampler['latest']>['statuses'][RegionName]): LiveRegion {
  if (status === null) return { region, phase: null, actingEpoch: 0, validityMs: 0, database: null, gate: null };
  const { phase, database } = status;
  return {
    region,
    phase: phase.kind === 'handing-over' ? `${phase.kind}: ${phase.step}` : phase.kind,
    actingEpoch: status.actingEpoch,
    validityMs: status.validityMs,
    database: database?.role ?? null,
    gate: status.gate.connected ? status.gate.mode : null,
  };
}
