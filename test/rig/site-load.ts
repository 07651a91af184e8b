// Clients of a whole site for the fault tests: a writer that goes where DNS says, probes that go to one region's gateway
// whatever DNS says (as a client with a stale answer does), and the verdict over what they saw.

import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createCachingClient } from '@continuum/adapters/resolver/caching-client';
import { REFUSED_HEADER } from '@continuum/wire/gateway-headers';
import { Agent, request } from 'undici';
import { checkPromises, readLogs, readRows } from '../demo/evidence.ts';
import type { Logs } from '../demo/evidence.ts';
import { startSampler } from '../demo/sampler.ts';
import type { Check } from '../demo/timeline.ts';
import { createClient, startWriter } from '../demo/writer.ts';
import type { Write } from '../demo/writer.ts';
import { monotonicMs } from './clock.ts';
import { commandOf, naming, waitFor } from './process.ts';
import type { RegionName, Site } from './site.ts';
import { REGIONS } from './site.ts';

const WRITE_EVERY_MS = 50;
const PROBE_EVERY_MS = 25;

/** One answer of one gateway, asked directly. */
export type Probe = {
  readonly kind: 'well-known' | 'write';
  /** Whose gateway was asked. */
  readonly gateway: RegionName;
  readonly sentMs: number;
  readonly endMs: number;
  /** Null: no answer at all. */
  readonly status: number | null;
  /** Of a write that was acknowledged: the region that wrote it. */
  readonly by: string | null;
};

export type SiteLoad = {
  /** All writes: of the client that follows DNS, and of the probes. */
  readonly writes: readonly Write[];
  readonly probes: readonly Probe[];
  /** The first write that was sent after a time and acknowledged by a region. */
  readonly acknowledged: (region: RegionName, sinceMs: number, timeoutMs?: number) => Promise<Write>;
  /** Ends the clients, and judges by the rows of `survivor`. */
  readonly verdict: (survivor: RegionName, changes: number) => Promise<readonly Check[]>;
};

/** Starts the writer, and probes at each gateway: the well-known path and a write, in turn. */
export function startSiteLoad(site: Site): SiteLoad {
  const writes: Write[] = [];
  const probes: Probe[] = [];
  const timeoutMs = site.timings.holdMsMax + 5_000;
  const [resolver] = site.resolvers;
  if (resolver === undefined) throw new Error('no resolver');
  const client = createClient({ dns: createCachingClient({ server: resolver.server }), name: site.dnsName, port: site.gatewayPort, timeoutMs });
  const writer = startWriter(client, WRITE_EVERY_MS, (write) => void writes.push(write));
  const sampler = startSampler(site, () => undefined);
  const dnsWritesBefore = site.dnsWrites();
  const probing = REGIONS.map((region) => startProbes(site, region, timeoutMs, probes, writes));
  return {
    writes,
    probes,
    acknowledged: (region, sinceMs, within = 30_000) =>
      waitFor(
        `a write acknowledged by ${region}`,
        () => writes.find((write) => write.outcome === 'acknowledged' && write.region === region && write.sentMs > sinceMs),
        { timeoutMs: within },
      ),
    verdict: async (survivor, changes) => {
      await Promise.all([writer.stop(), sampler.stop(), ...probing.map((one) => one.stop())]);
      await client.close();
      const rows = await readRows(site.regions[survivor].databaseUrl());
      const dnsAnswers = sampler.answers.flatMap((one) => (one.addresses === null ? [] : [one.addresses.join(',')]));
      const dnsWritesDuring = site.dnsWrites() - dnsWritesBefore;
      return checkPromises({ logs: readLogs(site), rows, writes, changes, dnsAnswers, dnsWritesDuring });
    },
  };
}

/** Answers with 200 that the old region gave to requests which were sent after its validity: there must be none. */
export function acceptedAfter(load: SiteLoad, region: RegionName, fromMs: number, untilMs: number): readonly object[] {
  const during = (one: { sentMs: number }): boolean => one.sentMs > fromMs && one.sentMs < untilMs;
  const served = load.probes.filter((one) => one.gateway === region && one.status === 200 && during(one));
  return [
    ...served.filter((one) => one.kind === 'well-known' || one.by === region),
    ...load.writes.filter((one) => one.outcome === 'acknowledged' && one.region === region && during(one)),
  ];
}

/** The audit of both regions from a time on. */
export function since(site: Site, fromMs: number): Logs['entries'] {
  return readLogs(site).entries.filter((entry) => entry.monoMs >= fromMs);
}

/** Every process that was started for a site, and every one that names its folder. */
export function processesOf(site: Site): number[] {
  const known = [site.witness().process, ...site.resolvers.map((one) => one.started)].filter((one) => one.running()).map((one) => one.pid);
  return [...new Set([...known, ...REGIONS.flatMap((name) => site.regions[name].pids()), ...naming(site.folder)])];
}

/** Stops the site; what is still alive of it afterwards, as command lines. */
export async function stopAndLook(site: Site): Promise<string[]> {
  const pids = processesOf(site);
  await site.stop();
  return [...new Set([...pids, ...naming(site.folder)])].filter((pid) => existsSync(`/proc/${pid}/cmdline`)).map((pid) => `${pid} ${commandOf(pid)}`).filter((one) => one.includes(site.folder));
}

function startProbes(site: Site, gateway: RegionName, timeoutMs: number, probes: Probe[], writes: Write[]): { stop: () => Promise<void> } {
  const { address } = site.regions[gateway];
  const agent = new Agent({ connect: { timeout: 500 }, headersTimeout: timeoutMs, bodyTimeout: timeoutMs, connections: 64, pipelining: 1 });
  const open = new Set<Promise<void>>();
  const origin = `http://${address}:${site.gatewayPort}`;
  const ask = async (kind: Probe['kind']): Promise<void> => {
    const id = randomUUID();
    const sentMs = monotonicMs();
    const [method, path] = kind === 'write' ? (['POST', `/write?id=${id}`] as const) : (['GET', '/.well-known/continuum/counter'] as const);
    let status: number | null = null;
    let by: string | null = null;
    let outcome: Write['outcome'] = 'unknown';
    let code = '';
    try {
      const reply = await request(`${origin}${path}`, { method, dispatcher: agent, headers: { host: site.dnsName } });
      const body = await reply.body.text();
      status = reply.statusCode;
      if (kind === 'write' && status === 200) by = (JSON.parse(body) as { region: string }).region;
      if (status === 200) outcome = 'acknowledged';
      else if (reply.headers[REFUSED_HEADER] !== undefined) outcome = 'refused';
      code = String(reply.headers[REFUSED_HEADER] ?? '');
    } catch {
      // Refused, reset or never answered: no status. A write is unknown, which is what its record says below.
    }
    const endMs = monotonicMs();
    probes.push({ kind, gateway, sentMs, endMs, status, by });
    if (kind === 'write') writes.push({ id, sentMs, endMs, outcome, region: by, detail: `${status ?? 'no answer'}${code === '' ? '' : ` ${code}`} from ${address}` });
  };
  let turn = 0;
  const timer = setInterval(() => {
    turn += 1;
    if (open.size >= 256) return;
    const running: Promise<void> = ask(turn % 4 === 0 ? 'write' : 'well-known').finally(() => open.delete(running));
    open.add(running);
  }, PROBE_EVERY_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      await agent.destroy();
    },
  };
}
