// Clients outside all regions: each write carries its own id and ends as ok, refused (certainly not carried out) or unknown. They
// find a region through a name that is cached, so they go on asking the wrong one for a while, as clients do. A request is HTTP over
// TCP: on its way it is lost or late, never doubled, and the gateway tries again only where no connection came about. Who sends a
// request twice is the client, which does not know what became of the first one; both carry the same id.

import type { Link } from '../network.ts';
import type { Prng } from '../prng.ts';
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
  /** Another region than the one that is active was named. */
  readonly sentWrong: () => void;
  /** The application looks at what is there. */
  readonly read: (database: Database) => void;
  /** The write was carried out, and its client did not hear so in time. */
  readonly acknowledgementLost: () => void;
  /** A write that was sent again is there already. */
  readonly foundAgain: () => void;
  readonly ended: (writeId: number, outcome: WriteOutcome, region: string | null) => void;
};

/** Share of the writes of unknown outcome that are sent again, and what draws them: a stream of its own. */
export type Retries = { readonly share: number; readonly prng: Prng };

type Write = { readonly id: number; requests: number };

const APPLICATION_MS = 2;
const RETRY_PAUSE_MS = 100;
const REQUESTS_MAX = 3;

export class Clients {
  meanMs: number;
  /** The regions that the name stands for now, in the order to try; null: no name servers here, whoever is active is found. */
  names: ((take: (regions: readonly string[]) => void) => void) | null = null;
  resolver: ResolverFaults = { wrong: false, stale: false, dark: false };
  readonly timeoutMs: number;
  readonly #sim: Simulation;
  readonly #edges: readonly RegionEdge[];
  readonly #ttlMs: number;
  readonly #retries: Retries;
  readonly #hooks: ClientHooks;
  #nextId = 1;
  #answer: RegionEdge;
  #answerUntilMs = 0;
  #stopped = false;

  constructor(
    sim: Simulation,
    edges: readonly RegionEdge[],
    options: { meanMs: number; timeoutMs: number; ttlMs: number; retries: Retries },
    hooks: ClientHooks,
  ) {
    this.#sim = sim;
    this.#edges = edges;
    this.#answer = edges[0] as RegionEdge;
    this.meanMs = options.meanMs;
    this.timeoutMs = options.timeoutMs;
    this.#ttlMs = options.ttlMs;
    this.#retries = options.retries;
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
    this.#request({ id: this.#nextId++, requests: 0 });
  }

  #request(write: Write): void {
    const { resolver } = this;
    write.requests++;
    if (this.names === null || resolver.wrong || resolver.stale || resolver.dark) return this.#send(write, this.#resolve());
    this.names((regions) => {
      const edges = regions.flatMap((region) => this.#edges.find((edge) => edge.region === region) ?? []);
      const [first] = edges;
      if (first === undefined) return this.#ended(write, 'refused', null);
      // A connection that is refused or never comes about sends a client to the next address.
      const open = edges.find(isReachable) ?? first;
      if (open !== first) this.#hooks.triedNext();
      this.#answer = open;
      this.#send(write, open);
    });
  }

  #send(write: Write, edge: RegionEdge): void {
    let over = false;
    let acknowledged = false;
    const end = (outcome: WriteOutcome): void => {
      if (over) return;
      over = true;
      if (outcome === 'unknown' && acknowledged) this.#hooks.acknowledgementLost();
      this.#ended(write, outcome, edge.region);
    };
    if (!isReachable(edge)) return end('refused');
    this.#sim.after(this.timeoutMs, () => end('unknown'));
    const answer = (outcome: WriteOutcome): void => {
      acknowledged = outcome === 'ok';
      edge.toClients.send(() => end(outcome));
    };
    edge.fromClients.send(() => edge.gate.request([], (outcome) => this.#routed(edge, [], outcome, write, answer)));
  }

  /** Once a request was sent whose outcome is unknown, the refusal of another one says nothing about the write. */
  #ended(write: Write, outcome: WriteOutcome, region: string | null): void {
    const { share, prng } = this.#retries;
    const inDoubt = outcome !== 'ok' && (outcome === 'unknown' || write.requests > 1);
    if (inDoubt && share > 0 && !this.#stopped && write.requests < REQUESTS_MAX && prng.chance(share)) {
      return this.#sim.after(RETRY_PAUSE_MS, () => this.#request(write));
    }
    this.#hooks.ended(write.id, inDoubt ? 'unknown' : outcome, region);
  }

  #routed(
    edge: RegionEdge,
    forwardedBy: readonly string[],
    outcome: RouteOutcome,
    write: Write,
    answer: (outcome: WriteOutcome) => void,
  ): void {
    if (outcome.kind === 'refused') return answer('refused');
    if (outcome.kind === 'local') return this.#serve(edge, write, answer);
    const target = this.#edges.find(({ region }) => region === outcome.to);
    const there = edge.forward.get(outcome.to);
    if (target === undefined || there === undefined || there.isCut) return answer('refused');
    this.#hooks.forwarded();
    const hops = [...forwardedBy, edge.region];
    there.send(() =>
      target.gate.request(hops, (next) => {
        const back = target.forward.get(edge.region) as Link;
        this.#routed(target, hops, next, write, (result) => back.send(() => answer(result)));
      }),
    );
  }

  /** The application: one statement in the region's own database. */
  #serve(edge: RegionEdge, write: Write, answer: (outcome: WriteOutcome) => void): void {
    const { gate, database } = edge;
    const { generation } = gate.process;
    gate.inFlight++;
    const finish = (outcome: WriteOutcome): void => {
      if (generation === gate.process.generation && gate.process.alive) gate.inFlight--;
      answer(outcome);
    };
    this.#sim.after(APPLICATION_MS, () => {
      if (!database.process.running) return finish('refused');
      this.#hooks.read(database);
      const repeated = write.requests > 1;
      if (repeated && database.has(write.id)) this.#hooks.foundAgain();
      database.commit(write.id, repeated, (outcome) => finish(outcome === 'committed' ? 'ok' : outcome));
    });
  }

  /** The region whose gateway says that it is active; with no evidence, the last one that was. */
  #resolve(): RegionEdge {
    if (this.#sim.nowMs < this.#answerUntilMs || this.resolver.stale || this.resolver.dark) return this.#answer;
    this.#answerUntilMs = this.#sim.nowMs + this.#ttlMs;
    const active = this.#edges.filter(({ gate, fromClients }) => gate.isActive && !fromClients.isCut);
    const right = active[0] ?? this.#answer;
    if (this.resolver.wrong && active.length > 0 && active.length < this.#edges.length) this.#hooks.sentWrong();
    const answer = this.resolver.wrong ? (this.#edges.find((edge) => edge !== right) ?? right) : right;
    this.#answer = answer;
    return answer;
  }
}

const isReachable = ({ fromClients, gate }: RegionEdge): boolean => !fromClients.isCut && gate.process.machine.up;
