// Watches the site from outside while it runs, for the picture: each controller's status, each resolver's answer. Looking
// changes nothing, and the verdict does not rest on it (but for what the resolvers answered).

import type { Status } from '../../daemons/controller/src/status.ts';
import { createVoter } from '@continuum/adapters/resolver/resolvers';
import type { RegionName, Site } from '../rig/site.ts';
import { REGIONS } from '../rig/site.ts';
import { monotonicMs } from '../rig/clock.ts';
import { lagNow } from './lag.ts';
import type { LagSample } from './lag.ts';

const STATUS_EVERY_MS = 100;
const DNS_EVERY_MS = 200;
const TIMEOUT_MS = 400;

export type StatusSample = { readonly atMs: number; readonly region: RegionName; readonly status: Status | null };
export type DnsSample = {
  readonly atMs: number;
  readonly resolver: string;
  /** Null: the resolver abstained, and why. */
  readonly addresses: readonly string[] | null;
  readonly reason: string | null;
};

export type Sampler = {
  readonly statuses: readonly StatusSample[];
  readonly lag: readonly LagSample[];
  readonly answers: readonly DnsSample[];
  readonly latest: () => { readonly statuses: Readonly<Record<RegionName, Status | null>>; readonly answers: readonly DnsSample[] };
  readonly stop: () => Promise<void>;
};

export function startSampler(site: Site, onSample: () => void): Sampler {
  const statuses: StatusSample[] = [];
  const lag: LagSample[] = [];
  const answers: DnsSample[] = [];
  const lastStatus: Record<RegionName, Status | null> = { r1: null, r2: null };
  const lastAnswer = new Map<string, DnsSample>();
  const stopping = new AbortController();

  const lookAtRegion = async (region: RegionName): Promise<void> => {
    // A dead region answers nothing: that is what is being watched.
    const status = await site.regions[region].status(TIMEOUT_MS).catch(() => null);
    statuses.push({ atMs: monotonicMs(), region, status });
    lastStatus[region] = status;
    lag.push({ atMs: monotonicMs(), lag: lagNow(REGIONS.map((name) => lastStatus[name])) });
    onSample();
  };
  const lookups = site.resolvers.map(({ server }) => {
    const ask = createVoter(server, TIMEOUT_MS);
    return async (): Promise<void> => {
      const answer = await ask(site.dnsName, stopping.signal);
      if (stopping.signal.aborted) return;
      const addresses = answer.status === 'answered' ? [...answer.addresses].sort() : null;
      const sample = { atMs: monotonicMs(), resolver: server.name, addresses, reason: answer.status === 'abstained' ? answer.reason : null };
      answers.push(sample);
      lastAnswer.set(server.name, sample);
      onSample();
    };
  });
  const running = [
    ...REGIONS.map((region) => every(STATUS_EVERY_MS, () => lookAtRegion(region), stopping.signal)),
    ...lookups.map((look) => every(DNS_EVERY_MS, look, stopping.signal)),
  ];
  return {
    statuses,
    lag,
    answers,
    latest: () => ({ statuses: { ...lastStatus }, answers: [...lastAnswer.values()] }),
    stop: async () => {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

async function every(intervalMs: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const nextMs = monotonicMs() + intervalMs;
    await work();
    await new Promise<void>((resolve) => setTimeout(resolve, Math.max(1, nextMs - monotonicMs())));
  }
}
