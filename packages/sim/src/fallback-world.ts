// A small world for hold and veto: two controllers that run the real `decide`, the real lease functions as their witness, three
// resolvers, and paths that break and heal by chance. What is checked after every step: no two regions may act at once while the
// resolvers are honest, and no epoch is granted twice. Databases and gates do at once what they are told, because not they are tried
// here. With liars among the resolvers two regions may believe at once; that is counted, and the epochs still hold.

import { actingEpoch, applyCommand, decide, deriveFallback, deriveTimings, initialState, lsn, monoMs, newLease, regionId, tally, viewLease, voteOf, wallMs } from '@continuum/core';
import type { Action, ControllerEvent, ControllerState, DatabaseObservation, Finding, LeaseRecord, LeaseReply, Policy, RegionId } from '@continuum/core';
import { Prng } from './prng.ts';

export type FallbackWorldOptions = {
  readonly seed: number;
  readonly durationMs: number;
  /** Resolvers that say "nothing there" of every region but the asker's own. */
  readonly liars?: number;
};

export type FallbackReport = {
  readonly overlapMs: number;
  /** How often each thing was seen: what never happens proves nothing. */
  readonly marks: Readonly<Record<'held' | 'vetoed' | 'taken-over' | 'reacquired' | 'dark' | 'fenced', number>>;
  readonly epochs: number;
  readonly doubleGrants: number;
};

type Region = {
  readonly name: RegionId;
  readonly clockRate: number;
  state: ControllerState;
  database: DatabaseObservation;
  wakeAtMs: number;
  up: boolean;
  /** Its way to the witness and to the resolvers, and the world's way to it. */
  toWitness: boolean;
  toResolvers: boolean;
  visible: boolean;
};

type Later = { readonly atMs: number; readonly run: () => void };

const STEP_MS = 10;
const NAMES = ['r1', 'r2'].map(regionId);
const VENDORS = ['google', 'cloudflare', 'quad9'];
const timings = deriveTimings(12_000);
const fallback = deriveFallback(timings.ttlMs, VENDORS.map((vendor) => ({ name: vendor, vendor })));
const databases = { r1: 'r1.db:5432', r2: 'r2.db:5432' };
const START_MS = 1_000_000;

export class FallbackWorld {
  readonly #prng: Prng;
  readonly #options: FallbackWorldOptions;
  readonly #regions: readonly Region[];
  readonly #marks = { held: 0, vetoed: 0, 'taken-over': 0, reacquired: 0, dark: 0, fenced: 0 };
  readonly #granted = new Map<number, string>();
  #record: LeaseRecord = newLease('counter', wallMs(START_MS));
  #witnessUp = true;
  #nowMs = START_MS;
  #queue: Later[] = [];
  #doubleGrants = 0;

  constructor(options: FallbackWorldOptions) {
    this.#options = options;
    this.#prng = new Prng(options.seed);
    this.#regions = NAMES.map((name, index) => this.#region(name, index === 0));
  }

  run(): FallbackReport {
    let overlapMs = 0;
    for (const region of this.#regions) this.#feed(region, { kind: 'tick' });
    for (const endMs = START_MS + this.#options.durationMs; this.#nowMs < endMs; this.#nowMs += STEP_MS) {
      if (this.#prng.chance(STEP_MS / 4_000)) this.#breakOrHeal();
      const due = this.#queue.filter(({ atMs }) => atMs <= this.#nowMs);
      this.#queue = this.#queue.filter(({ atMs }) => atMs > this.#nowMs);
      for (const { run } of due) run();
      for (const region of this.#regions) this.#turn(region);
      const acting = this.#regions.filter((region) => actingEpoch({ ...region.state, now: this.#now(region) }) > 0 && region.up);
      if (acting.length > 1) overlapMs += STEP_MS;
    }
    return { overlapMs, marks: this.#marks, epochs: this.#record.epoch, doubleGrants: this.#doubleGrants };
  }

  #region(name: RegionId, first: boolean): Region {
    const policy: Policy = { name: 'counter', region: name, regions: NAMES, databases, mode: 'automatic', timings, hash: 'h', fallback };
    const clockRate = 1 + this.#prng.between(-0.002, 0.002);
    const now = { monoMs: monoMs(START_MS * clockRate), wallMs: wallMs(START_MS) };
    const state = initialState(policy, { instance: `${name}-1`, epoch: 0 }, now);
    return { name, clockRate, state, database: observation(first ? 'primary' : 'standby', 0), wakeAtMs: 0, up: true, toWitness: true, toResolvers: true, visible: true };
  }

  /** One thing changes; most of the time everything works. */
  #breakOrHeal(): void {
    const region = this.#prng.pick(this.#regions);
    const broken = this.#prng.chance(0.45);
    // Visibility twice as often: that it ends just as the lease does is what the window is for.
    const what = this.#prng.integer(0, 5);
    if (what === 0) this.#witnessUp = !broken;
    else if (what === 1) region.toWitness = !broken;
    else if (what === 2 || what === 5) region.visible = !broken;
    else if (what === 3) region.toResolvers = !broken;
    else region.up = !this.#prng.chance(0.2);
  }

  #turn(region: Region): void {
    if (!region.up) return;
    if (this.#nowMs % 100 === 0) {
      const startedMs = this.#now(region).monoMs;
      const { gateDirective } = region.state;
      this.#feed(region, { kind: 'gate-observed', observation: { connected: true, held: 0, mode: gateDirective?.mode ?? null, epoch: gateDirective?.epoch ?? 0 } });
      this.#feed(region, { kind: 'database-observed', startedMs, observation: this.#seen(region) });
    }
    if (this.#now(region).monoMs >= region.wakeAtMs) this.#feed(region, { kind: 'tick' });
  }

  #now(region: Region): ControllerState['now'] {
    return { monoMs: monoMs(this.#nowMs * region.clockRate), wallMs: wallMs(this.#nowMs) };
  }

  #feed(region: Region, event: ControllerEvent): void {
    if (!region.up) return;
    const decision = decide(region.state, event, this.#now(region));
    region.state = decision.state;
    region.wakeAtMs = decision.wakeMs;
    for (const action of decision.actions) this.#perform(region, action);
  }

  #perform(region: Region, action: Action): void {
    if (action.kind === 'register') this.#register(region, action);
    if (action.kind === 'database') this.#database(region, action);
    if (action.kind === 'ask-quorum') this.#ask(region, action);
    if (action.kind === 'traffic') this.#later(5, () => this.#feed(region, { kind: 'traffic-done', id: action.id, ok: true, detail: '' }));
    if (action.kind !== 'record') return;
    if (action.event === 'held-by-quorum') this.#marks.held += 1;
    if (action.event === 'phase' && action.detail['kind'] === 'fenced') this.#marks.fenced += 1;
  }

  #register(region: Region, { id, request, timeoutMs }: Extract<Action, { kind: 'register' }>): void {
    const there = this.#prng.between(2, 40);
    let reply: LeaseReply | null = null;
    const reachable = (): boolean => this.#witnessUp && region.toWitness;
    this.#later(there, () => {
      if (!reachable()) return;
      if (request.kind === 'read') reply = { outcome: { ok: true }, view: viewLease(this.#record, region.name, wallMs(this.#nowMs)) };
      else reply = this.#command(region, request);
    });
    const back = there + this.#prng.between(2, 40);
    this.#later(Math.min(back, timeoutMs), () => {
      const answer = reply !== null && reachable() ? { ok: true as const, reply } : { ok: false as const, code: 'CTM_REGISTER_TIMEOUT', message: '' };
      this.#feed(region, { kind: 'register-answered', id, answer });
    });
  }

  #command(region: Region, request: Parameters<typeof applyCommand>[1]): LeaseReply {
    const before = this.#record;
    const applied = applyCommand(before, request, wallMs(this.#nowMs));
    this.#record = applied.record;
    if (applied.record.epoch > before.epoch) {
      if (this.#granted.has(applied.record.epoch)) this.#doubleGrants += 1;
      this.#granted.set(applied.record.epoch, region.name);
      if (before.holder !== null) this.#marks[before.holder === region.name ? 'reacquired' : 'taken-over'] += 1;
    }
    return applied.reply;
  }

  #database(region: Region, { id, action }: Extract<Action, { kind: 'database' }>): void {
    this.#later(this.#prng.between(20, 120), () => {
      if (action.kind === 'promote') region.database = observation('primary', action.epoch);
      if (action.kind === 'rejoin') region.database = observation('standby', action.epoch);
      this.#feed(region, { kind: 'database-done', id, result: { ok: true, token: null, detail: '' } });
    });
  }

  /** A standby streams from the other region while that one's database is a primary. */
  #seen(region: Region): DatabaseObservation {
    const other = this.#regions.find((one) => one !== region) ?? region;
    const streams = region.up && other.up && region.database.role === 'standby' && other.database.role === 'primary';
    const source = databases[other.name as keyof typeof databases];
    if (region.database.role === 'standby') return { ...region.database, receiver: { source, streaming: streams } as DatabaseObservation['receiver'] };
    const standbys = other.up && other.database.role === 'standby' ? [{ region: other.name, state: 'streaming' as const, replayLagBytes: 0, syncState: 'sync' as const, replayLsn: lsn('0/100') }] : [];
    return { ...region.database, standbys, synchronous: standbys.map((one) => one.region) };
  }

  #ask(region: Region, { id, target, timeoutMs }: Extract<Action, { kind: 'ask-quorum' }>): void {
    const startedMs = this.#now(region).monoMs;
    const findings: { target: Finding; control: Finding }[] = VENDORS.map(() => ({ target: NOTHING, control: NOTHING }));
    VENDORS.forEach((_, index) => {
      const afterMs = this.#prng.between(2, timeoutMs / 3);
      this.#later(afterMs, () => {
        if (!region.toResolvers) return;
        const control = this.#look(region.name);
        const lied = target !== region.name && index < (this.#options.liars ?? 0);
        findings[index] = { target: lied ? NOTHING : (this.#look(target) ?? NOTHING), control: control === null ? NOTHING : { kind: 'attested', epoch: 0 } };
        if (target !== region.name && findings[index].target.kind === 'attested') this.#marks.vetoed += 1;
      });
    });
    this.#later(timeoutMs, () => {
      const votes = VENDORS.map((vendor, index) => {
        const { target: found = NOTHING, control = NOTHING } = findings[index] ?? {};
        return { voter: { name: vendor, vendor }, vote: voteOf(found, control) };
      });
      const outcome = tally(target, votes);
      if (outcome.kind === 'dark') this.#marks.dark += 1;
      this.#feed(region, { kind: 'quorum-answered', id, startedMs, outcome });
    });
  }

  /** What the world sees of a region now: null when it is not to be seen. */
  #look(name: RegionId): Finding | null {
    const region = this.#regions.find((one) => one.name === name);
    if (region === undefined || !region.up || !region.visible) return null;
    const epoch = actingEpoch({ ...region.state, now: this.#now(region) });
    return epoch > 0 && region.state.gateDirective?.mode === 'open' ? { kind: 'attested', epoch } : NOTHING;
  }

  #later(afterMs: number, run: () => void): void {
    this.#queue.push({ atMs: this.#nowMs + afterMs, run });
  }
}

const NOTHING: Finding = { kind: 'nothing', reason: 'no answer in time' };

function observation(role: 'primary' | 'standby', epoch: number): DatabaseObservation {
  const replayLsn = role === 'standby' ? lsn('0/100') : null;
  return { role, shape: role, systemIdentifier: '7', timeline: 1, lsn: lsn('0/100'), replayLsn, receiver: null, replayPaused: null, standbys: [], synchronous: [], epoch, problem: null };
}
