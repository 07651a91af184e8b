// The application's name: a PowerDNS in each region with the record that the core writes for its version, the caches that clients ask,
// and how an address becomes a region. Wired here, so that the world itself stays readable.

import type { PdnsVersion } from '@continuum/core';
import { knows, renderPlacement } from '@continuum/core';
import { NamesChecker } from '../checkers/names.ts';
import type { Prng } from '../prng.ts';
import type { Region, World } from '../world.ts';
import { AddressCache } from './address-cache.ts';
import type { Authority } from './address-cache.ts';
import type { Link } from '../network.ts';
import { NameServer } from './name-server.ts';

export type NameOptions = {
  readonly versions: readonly [PdnsVersion, PdnsVersion];
  /** Time between two probes of each server, as a share of the ttl. */
  readonly intervalShares: readonly [number, number];
  /** The record says how often to probe, where the server knows that option. */
  readonly saysInterval: boolean;
};

const CACHES = 3;
const NAME = 'counter.app.test';
/** The oldest in use and the newest behave most differently from what one expects. */
const VERSIONS: readonly PdnsVersion[] = ['4.7', '4.7', '4.8', '4.9', '5.0', '5.1', '5.1'];

export function drawNames(prng: Prng): NameOptions | null {
  if (prng.chance(0.45)) return null;
  // Either all servers are of one version, or an upgrade is under way.
  const first = prng.pick(VERSIONS);
  const share = (): number => prng.spread(0.08, 0.35);
  return {
    versions: [first, prng.chance(0.7) ? first : prng.pick(VERSIONS)],
    intervalShares: [share(), share()],
    saysInterval: prng.chance(0.7),
  };
}

export class Names {
  readonly servers: readonly NameServer[];
  readonly caches: readonly AddressCache[];
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #world: World;

  constructor(world: World, options: NameOptions) {
    this.#world = world;
    const { sim, marks, regions } = world;
    this.#addresses = new Map(regions.map(({ name }, index) => [`192.0.2.${index + 1}`, name]));
    const checker = new NamesChecker(sim, marks, () => world.lease.grants.get(world.witness.record.epoch)?.region ?? null);
    this.servers = regions.map((region, index) => this.#server(region, options, index as 0 | 1, checker));
    const ttlMs = Math.max(1, world.options.timings.dnsTtlSeconds) * 1_000;
    const timeoutMs = world.options.timings.ttlMs / 12;
    const authorities: Authority[] = regions.map(({ edge }, index) => ({
      server: this.servers[index] as NameServer,
      there: edge.fromClients,
      back: edge.toClients,
    }));
    const hooks = { servedStale: () => marks.set('stale-address-served'), askedOther: () => marks.set('name-server-did-not-answer') };
    this.caches = Array.from({ length: CACHES }, () => new AddressCache(sim, authorities, { ttlMs, timeoutMs }, hooks));
  }

  start(region: string): void {
    this.#serverOf(region)?.start();
  }

  /** Power is back, or a nemesis lets it: a server that was killed starts with nothing known. */
  restart(region: Region): void {
    const server = this.#serverOf(region.name);
    if (server === undefined || !region.machine.up || server.process.alive) return;
    this.#world.marks.set('name-server-restarted');
    server.start();
  }

  heal(): void {
    for (const cache of this.caches) cache.isFrozen = false;
    for (const { process, region } of this.servers) {
      process.unpause();
      this.restart(this.#world.region(region));
    }
  }

  /** As a client asks: one of the caches, and the regions in the order in which it will try them. */
  resolve(take: (regions: readonly string[]) => void): void {
    const { prng } = this.#world.sim;
    prng.pick(this.caches).resolve((addresses) => {
      const regions = this.#regions(addresses);
      const at = regions.length > 1 ? prng.integer(0, regions.length - 1) : 0;
      take([...regions.slice(at), ...regions.slice(0, at)]);
    });
  }

  /** Whether every server names just this region. One that was never asked begins with this question. */
  follow(region: string): boolean {
    return this.servers.every((server) => {
      const regions = this.#regions(server.answer() ?? []);
      return regions.length === 1 && regions[0] === region;
    });
  }

  #serverOf(region: string): NameServer | undefined {
    return this.servers.find((one) => one.region === region);
  }

  #regions(addresses: readonly string[]): string[] {
    return addresses.flatMap((address) => this.#addresses.get(address) ?? []);
  }

  #server(region: Region, options: NameOptions, index: 0 | 1, checker: NamesChecker): NameServer {
    const { sim, options: world } = this.#world;
    const version = options.versions[index];
    const known = this.#addresses.size;
    const parts = {
      region: region.name,
      version,
      content: this.#content(version, options.saysInterval),
      intervalMs: world.timings.ttlMs * options.intervalShares[index],
      probe: (address: string, take: (isActive: boolean) => void) => this.#probe(region, this.#addresses.get(address) ?? '', take),
    };
    return new NameServer(sim, region.machine, parts, {
      answered: (server, addresses, probed) => {
        const found = new Map([...probed].map(([address, isUp]) => [this.#addresses.get(address) ?? address, isUp]));
        checker.answered(server.process.name, addresses === null ? null : this.#regions(addresses), found, known);
      },
    });
  }

  #probe(from: Region, to: string, take: (isActive: boolean) => void): void {
    const { gate, edge } = this.#world.region(to);
    const judged = (tell: (isActive: boolean) => void): void => gate.process.deliver(() => tell(gate.isActive));
    if (from.name === to) return judged(take);
    const there = from.edge.forward.get(to) as Link;
    const back = edge.forward.get(from.name) as Link;
    there.send(() => judged((isActive) => back.send(() => take(isActive))));
  }

  /** The record as production writes it; a problem of the core's own making ends the run. */
  #content(version: PdnsVersion, saysInterval: boolean): string {
    const ttlSeconds = this.#world.options.timings.dnsTtlSeconds;
    const regions = [...this.#addresses].map(([address, region]) => ({ region, addresses: [address] }));
    const probe = saysInterval && knows(version, '5.0') ? { intervalSeconds: 1 } : {};
    const lease = { name: 'demo', port: 80, probe };
    const made = renderPlacement({ placement: 'active-hotstandby', version, zone: 'app.test', names: [NAME], regions, ttlSeconds, lease });
    if (!made.ok) throw new Error(JSON.stringify(made.problems));
    return made.value.lua[0]?.records[0] ?? '';
  }
}
