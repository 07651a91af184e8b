// What clients ask for the application's address: a resolver with a cache. It keeps an answer for its TTL, asks one region's name
// server and then the other's, and serves what it had when neither answers, as large resolvers do.

import type { Link } from '../network.ts';
import type { Simulation } from '../simulation.ts';
import type { NameServer } from './name-server.ts';

export type Authority = { readonly server: NameServer; readonly there: Link; readonly back: Link };

export type CacheHooks = { readonly servedStale: () => void; readonly askedOther: () => void };

export class AddressCache {
  /** Keeps what it has, whatever its age. */
  isFrozen = false;
  readonly #sim: Simulation;
  readonly #authorities: readonly Authority[];
  readonly #ttlMs: number;
  readonly #timeoutMs: number;
  readonly #hooks: CacheHooks;
  #kept: readonly string[] = [];
  #keptUntilMs = Number.NEGATIVE_INFINITY;
  #waiting: ((addresses: readonly string[]) => void)[] = [];

  constructor(sim: Simulation, authorities: readonly Authority[], times: { ttlMs: number; timeoutMs: number }, hooks: CacheHooks) {
    this.#sim = sim;
    this.#authorities = authorities;
    this.#ttlMs = times.ttlMs;
    this.#timeoutMs = times.timeoutMs;
    this.#hooks = hooks;
  }

  /** An empty list: nobody answered, ever. */
  resolve(take: (addresses: readonly string[]) => void): void {
    if (this.#kept.length > 0 && (this.isFrozen || this.#sim.nowMs < this.#keptUntilMs)) return take(this.#kept);
    this.#waiting.push(take);
    if (this.#waiting.length > 1) return;
    const [first, second] = this.#sim.prng.chance(0.5) ? this.#authorities : [...this.#authorities].reverse();
    this.#ask(first, () => {
      this.#hooks.askedOther();
      this.#ask(second, () => {
        if (this.#kept.length > 0) this.#hooks.servedStale();
        this.#settle();
      });
    });
  }

  #ask(authority: Authority | undefined, failed: () => void): void {
    let over = false;
    const end = (addresses: readonly string[] | null): void => {
      if (over) return;
      over = true;
      if (addresses === null || addresses.length === 0) return failed();
      this.#kept = addresses;
      this.#keptUntilMs = this.#sim.nowMs + this.#ttlMs;
      this.#settle();
    };
    authority?.there.send(() => authority.server.query((addresses) => authority.back.send(() => end(addresses))));
    this.#sim.after(this.#timeoutMs, () => end(null));
  }

  #settle(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const take of waiting) take(this.#kept);
  }
}
