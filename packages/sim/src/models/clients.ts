// Clients outside all regions: each write carries its own id and ends as ok, refused (certainly not carried out) or unknown. They
// find a region through a name that is cached, so they go on asking the wrong one for a while, as clients do.

import type { Link } from '../network.ts';
import type { Simulation } from '../simulation.ts';
import type { Database } from './database.ts';
import type { Gate, RouteOutcome } from './gateway.ts';

export type WriteOutcome = 'ok' | 'refused' | 'unknown';

export type RegionEdge = {
  readonly region: string;
  readonly gate: Gate;
  readonly database: Database;
  /** From the clients to this region's gateway and back. */
  readonly fromClients: Link;
  readonly toClients: Link;
  /** To the other regions' gateways, by region. */
  readonly forward: Map<string, Link>;
};

export type ResolverFaults = { readonly wrong: boolean; readonly stale: boolean; readonly dark: boolean };

export type ClientHooks = {
  readonly forwarded: () => void;
  readonly triedNext: () => void;
  readonly ended: (writeId: number, outcome: WriteOutcome, region: string | null) => void;
};

const APPLICATION_MS = 2;

export class Clients {
  meanMs: number;
  /** The regions that the name stands for now, in the order to try; null: no name servers here, whoever is active is found. */
  names: ((take: (regions: readonly string[]) => void) => void) | null = null;
  resolver: ResolverFaults = { wrong: false, stale: false, dark: false };
  readonly timeoutMs: number;
  readonly #sim: Simulation;
  readonly #edges: readonly RegionEdge[];
  readonly #ttlMs: number;
  readonly #hooks: ClientHooks;
  #nextId = 1;
  #answer: RegionEdge;
  #answerUntilMs = 0;
  #stopped = false;

  constructor(
    sim: Simulation,
    edges: readonly RegionEdge[],
    options: { meanMs: number; timeoutMs: number; ttlMs: number },
    hooks: ClientHooks,
  ) {
    this.#sim = sim;
    this.#edges = edges;
    this.#answer = edges[0] as RegionEdge;
    this.meanMs = options.meanMs;
    this.timeoutMs = options.timeoutMs;
    this.#ttlMs = options.ttlMs;
    this.#hooks = hooks;
  }

  get issued(): number {
    return this.#nextId - 1;
  }

  start(): void {
    this.#sim.after(this.#sim.prng.wait(this.meanMs), () => {
      if (this.#stopped) return;
      this.write();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Some writes close together, so that there is something in flight and something held. */
  burst(count: number, spacingMs: number): void {
    for (let index = 0; index < count; index++) this.#sim.after(index * spacingMs, () => this.write());
  }

  write(): void {
    const writeId = this.#nextId++;
    const { resolver } = this;
    if (this.names === null || resolver.wrong || resolver.stale || resolver.dark) return this.#send(writeId, this.#resolve());
    this.names((regions) => {
      const edges = regions.flatMap((region) => this.#edges.find((edge) => edge.region === region) ?? []);
      const [first] = edges;
      if (first === undefined) return this.#hooks.ended(writeId, 'refused', null);
      // A connection that is refused or never comes about sends a client to the next address.
      const open = edges.find(isReachable) ?? first;
      if (open !== first) this.#hooks.triedNext();
      this.#answer = open;
      this.#send(writeId, open);
    });
  }

  #send(writeId: number, edge: RegionEdge): void {
    let over = false;
    const end = (outcome: WriteOutcome): void => {
      if (over) return;
      over = true;
      this.#hooks.ended(writeId, outcome, edge.region);
    };
    if (!isReachable(edge)) return end('refused');
    this.#sim.after(this.timeoutMs, () => end('unknown'));
    edge.fromClients.send(() =>
      edge.gate.request([], (outcome) =>
        this.#routed(edge, [], outcome, writeId, (result) => edge.toClients.send(() => end(result))),
      ),
    );
  }

  #routed(
    edge: RegionEdge,
    forwardedBy: readonly string[],
    outcome: RouteOutcome,
    writeId: number,
    answer: (outcome: WriteOutcome) => void,
  ): void {
    if (outcome.kind === 'refused') return answer('refused');
    if (outcome.kind === 'local') return this.#serve(edge, writeId, answer);
    const target = this.#edges.find(({ region }) => region === outcome.to);
    const there = edge.forward.get(outcome.to);
    if (target === undefined || there === undefined || there.isCut) return answer('refused');
    this.#hooks.forwarded();
    const hops = [...forwardedBy, edge.region];
    there.send(() =>
      target.gate.request(hops, (next) => {
        const back = target.forward.get(edge.region) as Link;
        this.#routed(target, hops, next, writeId, (result) => back.send(() => answer(result)));
      }),
    );
  }

  /** The application: one INSERT in the region's own database. */
  #serve(edge: RegionEdge, writeId: number, answer: (outcome: WriteOutcome) => void): void {
    const { gate, database } = edge;
    const { generation } = gate.process;
    gate.inFlight++;
    const finish = (outcome: WriteOutcome): void => {
      if (generation === gate.process.generation && gate.process.alive) gate.inFlight--;
      answer(outcome);
    };
    this.#sim.after(APPLICATION_MS, () => {
      if (!database.process.running) return finish('refused');
      database.commit(writeId, (outcome) => finish(outcome === 'committed' ? 'ok' : outcome));
    });
  }

  /** The region whose gateway says that it is active; with no evidence, the last one that was. */
  #resolve(): RegionEdge {
    if (this.#sim.nowMs < this.#answerUntilMs || this.resolver.stale || this.resolver.dark) return this.#answer;
    this.#answerUntilMs = this.#sim.nowMs + this.#ttlMs;
    const active = this.#edges.filter(({ gate, fromClients }) => gate.isActive && !fromClients.isCut);
    const right = active[0] ?? this.#answer;
    const answer = this.resolver.wrong ? (this.#edges.find((edge) => edge !== right) ?? right) : right;
    this.#answer = answer;
    return answer;
  }
}

const isReachable = ({ fromClients, gate }: RegionEdge): boolean => !fromClients.isCut && gate.process.machine.up;
