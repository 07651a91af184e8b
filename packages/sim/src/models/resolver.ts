// A public resolver, as a vantage point: it asks the beacon that a name belongs to over its own path to that region, and passes on
// what it hears. What such resolvers are known to do wrong is a fault here: silence, SERVFAIL, a name that is said not to exist,
// an empty answer, somebody else's record, an answer from an old cache, an old answer when the authority does not answer, delay, and
// saying of another region that nothing is there. None of them can sign for a region.
//
// Not modelled: the delegation to the beacon (a parent that is out of reach is a resolver that finds nothing), DNS over HTTPS as a
// second transport, and several caches behind one address.

import type { AttestationQuestion } from '@continuum/core';
import { CONTROL_LABEL } from '@continuum/core';
import type { Link } from '../network.ts';
import type { Simulation } from '../simulation.ts';
import type { Beacon } from './beacon.ts';

export const RESOLVER_FAULTS = ['dead', 'servfail', 'nxdomain', 'empty', 'wrong-record', 'stale', 'serve-stale', 'slow', 'lies'] as const;
export type ResolverFault = (typeof RESOLVER_FAULTS)[number];

export type DnsAnswer =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'empty' }
  | { readonly kind: 'servfail' }
  | { readonly kind: 'nxdomain' };

export type ResolverPath = { readonly to: Link; readonly from: Link };

export class Resolver {
  readonly name: string;
  readonly vendor: string;
  fault: ResolverFault | null = null;
  /** Its two ways to and from each region. */
  readonly paths = new Map<string, ResolverPath>();
  readonly #sim: Simulation;
  readonly #beacons: ReadonlyMap<string, Beacon>;
  /** How long it takes until an old answer is served, and how much a slow one adds. */
  readonly #patienceMs: number;
  /** The last word of each name's owner that it passed on. */
  readonly #old = new Map<string, string>();

  constructor(sim: Simulation, voter: { name: string; vendor: string }, beacons: ReadonlyMap<string, Beacon>, patienceMs: number) {
    this.#sim = sim;
    this.name = voter.name;
    this.vendor = voter.vendor;
    this.#beacons = beacons;
    this.#patienceMs = patienceMs;
  }

  /** A question from a region. The answer arrives there, or does not. */
  ask(asker: string, question: AttestationQuestion, answer: (answer: DnsAnswer) => void): void {
    const home = this.paths.get(asker) as ResolverPath;
    const back = (one: DnsAnswer): void => home.to.send(() => answer(one));
    home.from.send(() => this.#asked(asker, question, back));
  }

  #asked(asker: string, question: AttestationQuestion, back: (answer: DnsAnswer) => void): void {
    const old = this.#old.get(key(question));
    switch (this.fault) {
      case 'dead':
        return;
      case 'servfail':
      case 'empty':
        return back({ kind: this.fault });
      // A block list names the lease, and not the control name beside it.
      case 'nxdomain':
        return question.lease === CONTROL_LABEL ? this.#forward(question, back) : back({ kind: 'nxdomain' });
      case 'lies':
        if (question.region !== asker && question.lease !== CONTROL_LABEL) return back({ kind: 'empty' });
        return this.#forward(question, back);
      case 'wrong-record': {
        const other = [...this.#old].find(([name]) => name !== key(question));
        return back({ kind: 'text', text: other?.[1] ?? 'v=spf1 -all' });
      }
      case 'stale':
        if (old !== undefined) return back({ kind: 'text', text: old });
        return this.#forward(question, back);
      case 'serve-stale': {
        let heard = false;
        this.#forward(question, (answer) => {
          if (!heard) back(answer);
          heard = true;
        });
        return this.#sim.after(this.#patienceMs, () => {
          if (!heard && old !== undefined) back({ kind: 'text', text: old });
          heard = true;
        });
      }
      case 'slow':
        return this.#forward(question, (answer) => this.#sim.after(this.#sim.prng.between(0, 4 * this.#patienceMs), () => back(answer)));
      default:
        return this.#forward(question, back);
    }
  }

  /** An authority that does not answer is, within any round, no answer. */
  #forward(question: AttestationQuestion, back: (answer: DnsAnswer) => void): void {
    const there = this.paths.get(question.region) as ResolverPath;
    there.to.send(() =>
      this.#beacons.get(question.region)?.answer(question, (text) =>
        there.from.send(() => {
          if (text === null) return back({ kind: 'empty' });
          this.#old.set(key(question), text);
          back({ kind: 'text', text });
        }),
      ),
    );
  }
}

const key = ({ lease, region }: AttestationQuestion): string => `${lease}.${region}`;
