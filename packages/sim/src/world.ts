// Two regions, a witness and clients, wired together, with every checker listening. The nemeses act on what is exported here.

import type { Action, ControllerState, LeaseEventKind, LeaseView, Policy } from '@continuum/core';
import { regionId } from '@continuum/core';
import { HistoryChecker } from './checkers/history.ts';
import { LeaseChecker } from './checkers/lease.ts';
import { OperatorChecker } from './checkers/operator.ts';
import { RegisterHistory } from './checkers/register-history.ts';
import { ResourceChecker } from './checkers/resources.ts';
import { ValidityChecker } from './checkers/validity.ts';
import { Machine } from './machine.ts';
import { watchCommand, watchDecision } from './mark-decisions.ts';
import { watchVersions } from './mark-versions.ts';
import { Marks } from './marks.ts';
import { Clients } from './models/clients.ts';
import type { RegionEdge, WriteOutcome } from './models/clients.ts';
import { Controller } from './models/controller.ts';
import { Database } from './models/database.ts';
import { DatabaseOperator } from './models/database-operator.ts';
import { Gate } from './models/gateway.ts';
import { contains, fork } from './models/history.ts';
import type { LogEntry } from './models/history.ts';
import { Names } from './models/names.ts';
import { Operators } from './models/operators.ts';
import { Outside, fallbackFor } from './models/outside.ts';
import { Witness } from './models/witness.ts';
import { Link } from './network.ts';
import { RATE_ERROR_MAX, firstVersion, timingsOf } from './options.ts';
import type { WorldOptions } from './options.ts';
import { Prng } from './prng.ts';
import type { Region } from './region.ts';
import { knowingLife } from './region.ts';
import { Simulation } from './simulation.ts';

export type { Region } from './region.ts';

const REGIONS = ['r1', 'r2'] as const;
const SYSTEM_IDENTIFIER = '7300000000000000001';
/** An application's connection gives up waiting for a commit after so long. */
const CLIENT_TIMEOUT_MS = 10_000;

export class World {
  readonly sim: Simulation;
  readonly options: WorldOptions;
  readonly marks = new Marks();
  readonly lease: LeaseChecker;
  readonly resources: ResourceChecker;
  readonly validity: ValidityChecker;
  readonly history: HistoryChecker;
  readonly register: RegisterHistory;
  readonly witness: Witness;
  readonly witnessMachine: Machine;
  readonly regions: readonly Region[];
  readonly clients: Clients;
  readonly links: Link[] = [];
  readonly databases = new Map<string, Database>();
  /** Resolvers and beacons; null in a world without hold and veto. */
  readonly outside: Outside | null;
  /** Name servers and caches; null in a world in which clients find whoever is active. */
  readonly names: Names | null;
  /** For those who want to interfere between two actions. */
  onAction: ((controller: Controller, action: Action) => void) | null = null;
  /** For those who wait for a moment; told after every decision. */
  readonly onDecided = new Set<() => void>();
  /** For those who count what a client sees. */
  onWriteEnded: ((outcome: WriteOutcome) => void) | null = null;
  /** Told right before a region loses its power. */
  onKilled: ((region: Region) => void) | null = null;
  readonly operators = new Operators(this);
  /** Does not come back before the next heal, whatever a fault of earlier still has in hand. */
  #lost: Region | null = null;
  readonly #controllers: readonly Controller[];
  readonly #orders: OperatorChecker;
  /** Read while no standby was known to have them. */
  readonly #readInDoubt = new WeakSet<LogEntry>();

  constructor(options: WorldOptions) {
    this.options = options;
    this.sim = new Simulation(options.seed, options.traced);
    this.lease = new LeaseChecker(this.sim, this.marks, options.timings.holdDownMs, (name) => knowingLife(this.region(name)));
    this.#orders = new OperatorChecker(this.sim, this.marks);
    this.resources = new ResourceChecker(this.sim, this.lease);
    this.validity = new ValidityChecker(this.sim, this.marks);
    if (!options.defences.guard) this.validity.uncoveredMs = options.timings.ttlMs * RATE_ERROR_MAX;
    this.validity.isExcused = (epoch, now) => this.lease.isExcused(epoch, now);
    this.history = new HistoryChecker(this.sim, this.lease);
    this.register = new RegisterHistory(this.sim, this.marks, () => this.witness.record);
    this.witnessMachine = new Machine(this.sim, 'w', options.rateErrors[0], 0);
    this.witness = this.#witness();
    this.regions = REGIONS.map((name, index) => this.#region(name, options.rateErrors[index + 1] ?? 0));
    this.sim.onEvent = () => this.#look();
    this.#controllers = this.regions.map(({ controller }) => controller);
    this.#wire();
    const fallback = fallbackFor(options);
    this.outside =
      options.resolvers === null || fallback === undefined
        ? null
        : new Outside(this, options.resolvers, fallback, (name, baseMs) => this.#link(name, baseMs));
    this.names = options.names === null ? null : new Names(this, options.names);
    const ttlMs = Math.max(1, options.timings.dnsTtlSeconds) * 1_000;
    this.clients = new Clients(
      this.sim,
      this.regions.map(({ edge }) => edge),
      { meanMs: options.writeMeanMs, timeoutMs: CLIENT_TIMEOUT_MS, ttlMs, retries: { share: options.retryShare, prng: new Prng(options.seed, 10) } },
      {
        forwarded: () => this.marks.set('request-forwarded'),
        sentWrong: () => this.marks.set('client-sent-to-wrong-region'),
        read: (database) => this.#read(database),
        triedNext: () => this.marks.set('client-tried-next-address'),
        acknowledgementLost: () => this.marks.set('acknowledgement-lost'),
        foundAgain: () => this.marks.set('retried-write-found-again'),
        ended: (writeId, outcome, region) => {
          if (outcome !== 'ok') this.sim.note('clients', () => `write ${writeId} at ${region} ended ${outcome}`);
          this.history.ended(writeId, outcome);
          this.onWriteEnded?.(outcome);
        },
      },
    );
    const { names } = this;
    if (names !== null) this.clients.names = (take) => names.resolve(take);
  }

  region(name: string): Region {
    return this.regions.find((region) => region.name === name) as Region;
  }

  other(region: Region): Region {
    return this.regions.find((one) => one !== region) as Region;
  }

  /** r1 has a database of its own, r2 an empty directory: as on the first day. */
  start(): void {
    const [first] = this.regions as readonly [Region, Region];
    first.database.initialise(SYSTEM_IDENTIFIER);
    for (const region of this.regions) {
      region.gate.start();
      this.outside?.start(region.name);
      this.names?.start(region.name);
      region.controller.start();
    }
    this.clients.start();
  }

  // --- what nemeses do -----------------------------------------------------------------------------------

  /** Power loss of a whole region. */
  kill(region: Region): void {
    if (!region.machine.up) return;
    this.sim.note('nemesis', () => `power loss in ${region.name}`);
    this.onKilled?.(region);
    const { process, state } = region.controller;
    if (process.alive && state.phase.kind === 'promoting') this.marks.set('crash-while-promoting');
    if (process.alive && state.phase.kind === 'handing-over') this.marks.set('crash-while-handing-over');
    region.database.streamMayBreak();
    region.machine.crash();
  }

  /** Power loss until the next heal. */
  lose(region: Region): void {
    this.kill(region);
    this.#lost = region;
  }

  boot(region: Region): void {
    if (region.machine.up || region === this.#lost) return;
    this.sim.note('nemesis', () => `${region.name} boots`);
    region.machine.boot();
    this.validity.rebooted(region.name);
    this.outside?.checker.rebooted(region.name);
    region.gate.start();
    this.outside?.start(region.name);
    this.names?.start(region.name);
    if (this.options.databaseStartsAtBoot) this.startDatabase(region);
    this.restart(region);
  }

  restart(region: Region): void {
    if (!region.machine.up || region.controller.process.alive) return;
    const { machine, controller } = region;
    if (this.witness.isHeld && this.witness.record.holder === region.name) this.marks.set('controller-restart-within-validity');
    if (controller.persistedEpoch > 0 && controller.persistedBy !== controller.core) this.marks.set('epoch-of-another-version-read');
    this.sim.note(controller.process.name, () => `starts, epoch ${controller.persistedEpoch} on disk, mono ${Math.round(machine.now().monoMs)}`);
    controller.start();
  }

  startGate({ machine, gate }: Region): void {
    if (machine.up && !gate.process.alive) gate.start();
  }

  startWitness(): void {
    if (!this.witness.process.alive) this.witness.process.start();
  }

  /** The server starts by itself, as what its directory says. */
  startDatabase(region: Region): void {
    const { database, machine } = region;
    if (!machine.up || database.process.alive || database.shape === 'empty') return;
    database.process.start();
    database.setRole('starting');
    const { generation } = database.process;
    this.sim.after(database.times.startMs, () =>
      database.process.deliver(() => {
        if (database.role === 'starting') database.runAsShaped();
      }, generation),
    );
  }

  cutLinks(links: readonly Link[], reason: string): void {
    for (const link of links) link.cut(reason);
    for (const { database } of this.regions) database.streamMayBreak();
  }

  mendLinks(links: readonly Link[], reason: string): void {
    for (const link of links) link.mend(reason);
    this.resend();
  }

  /** What TCP does when its link is back. */
  resend(): void {
    for (const { database } of this.regions) {
      for (const stream of database.senders.values()) stream.sent = stream.replayed;
      database.flush();
      database.receive();
    }
  }

  /** Ends every fault: all is mended, started and continued, but for a region that is lost and stays so. */
  heal(lost: Region | null = null): void {
    this.#lost = null;
    if (lost !== null) this.lose(lost);
    this.witness.healFaults();
    this.startWitness();
    for (const link of this.links) link.heal();
    for (const region of this.regions.filter((one) => one !== lost)) {
      region.machine.resume();
      region.database.process.unpause();
      region.gate.process.unpause();
      region.controller.process.unpause();
      region.database.healFaults();
      region.database.settleWaiting();
      region.controller.crashAfterActions = null;
      region.controller.diskFull = false;
      region.controller.slowMs = 0;
      region.controller.passAnswers();
      region.controller.trafficFails = false;
      this.boot(region);
      this.startGate(region);
      this.restart(region);
    }
    this.outside?.heal();
    this.names?.heal();
    this.clients.resolver = { wrong: false, stale: false, dark: false };
    this.resend();
  }

  // --- wiring --------------------------------------------------------------------------------------------------------

  #link(name: string, baseMs: number): Link {
    const link = new Link(this.sim, name, baseMs);
    this.links.push(link);
    return link;
  }

  #witness(): Witness {
    const watchers = REGIONS.map((name) => ({
      region: name,
      push: (event: LeaseEventKind, view: LeaseView) => {
        const { controller, down } = this.region(name);
        if (event === 'expired' && down.isCut) this.marks.set('push-missed-at-expiry');
        down.send(() => controller.feed({ kind: 'lease-pushed', event, view }));
      },
    }));
    return new Witness(this.sim, this.witnessMachine, firstVersion(this.options), 'demo', watchers, {
      applied: (before, after, command, reply) => {
        const { failovers, switchovers } = this.lease;
        this.lease.applied(before, after, command, reply);
        watchVersions(this, { failovers, switchovers });
        watchCommand(this, before, after, command, reply);
        this.outside?.checker.granted(before, after, command, this.lease.stranger);
        // Its own: two versions may take different guards off the same lease.
        this.validity.applied(before, after, command, reply, this.region(command.region).controller.policy.timings.guardMs);
      },
      lostReply: (command, reply) => {
        if (!reply.outcome.ok) return;
        if (command.kind === 'acquire') this.marks.set('grant-reply-lost');
        if (command.kind === 'renew') this.marks.set('renewal-reply-lost-lease-kept');
      },
      alarmLate: () => this.marks.set('alarm-late-or-twice'),
      alarmForgotten: () => this.marks.set('alarm-forgotten'),
      inherited: () => this.marks.set('lease-of-another-version-read'),
    });
  }

  #region(name: string, rateError: number): Region {
    const { options, sim } = this;
    const machine = new Machine(sim, name, rateError, sim.prng.between(-2_000, 2_000));
    const address = `${name}.db:5432`;
    const database = new Database(sim, machine, name, address, options.databaseTimes, {
      promoted: (which, epoch) => {
        this.history.promoted(which, epoch);
        if (which.faults.promote === 'crashes-after') this.marks.set('promotion-then-crash');
        if (this.regions.every((region) => region.database.role === 'primary')) this.marks.set('both-databases-primary');
      },
      acknowledged: (entry) => this.history.acknowledged(entry),
      epochTaken: (which, epoch) => this.resources.accepted(`${which.region}/database`, epoch),
      diverged: (standby, source) => sim.violate('I3', `${standby.region} streams from ${source.region} over another history of the same timeline`),
      streams: (standby, source) => this.history.streams(standby, source),
      demoted: (entry) => this.history.demoted(entry),
      discarded: (which, by) => {
        const { head, cancelledVisible } = which;
        if (head !== null && !contains(by, head)) this.marks.set('timelines-diverged');
        if (cancelledVisible !== null && !contains(by, cancelledVisible)) this.marks.set('cancelled-write-vanished');
        if (head !== null && this.#wasRead(head, by)) this.marks.set('read-write-vanished');
        which.cancelledVisible = null;
      },
    });
    database.uniqueKey = options.defences.uniqueKey;
    this.databases.set(name, database);
    const operator = new DatabaseOperator(database, this.databases);
    operator.fenced = options.defences.databaseFence;
    const gateStore = `${name}/gate`;
    const gate = new Gate(sim, machine, firstVersion(options), name, options.askMs, {
      allowed: (which) => {
        this.validity.allowed(which, this.witness);
        this.history.verified(which.region, which.state.instruction?.epoch ?? 0);
      },
      epochTaken: (_gate, epoch) => this.resources.accepted(gateStore, epoch),
      staleRefused: () => this.marks.set('stale-instruction-rejected'),
      released: () => this.#released(name),
      weightsTaken: (region, weights) => this.resources.weights(region, weights),
    });
    gate.fenced = options.defences.gateFence;
    this.validity.watch(gate);
    const up = this.#link(`${name}>w`, options.witnessLinkMs);
    const down = this.#link(`w>${name}`, options.witnessLinkMs);
    const edge: RegionEdge = {
      region: name,
      gate,
      database,
      fromClients: this.#link(`c>${name}`, 5),
      toClients: this.#link(`${name}>c`, 5),
      forward: new Map(),
    };
    const controller = this.#controller(name, machine, { up, down, database, operator, gate });
    return { name, machine, controller, database, operator, gate, up, down, edge };
  }

  #controller(
    name: string,
    machine: Machine,
    parts: { up: Link; down: Link; database: Database; operator: DatabaseOperator; gate: Gate },
  ): Controller {
    const { options, sim } = this;
    const fallback = fallbackFor(options);
    const policy: Policy = {
      ...options.policy,
      ...(fallback === undefined ? {} : { fallback }),
      name: 'demo',
      region: regionId(name),
      regions: REGIONS.map((region) => regionId(region)),
      databases: Object.fromEntries(REGIONS.map((region) => [region, `${region}.db:5432`])),
      mode: options.mode,
      timings: timingsOf(options, firstVersion(options)),
      hash: 'policy-1',
    };
    return new Controller({
      sim,
      machine,
      core: firstVersion(options),
      policy,
      witness: this.witness,
      observeMs: options.observeMs,
      ...parts,
      hooks: {
        decided: (controller, event, before, actions) => {
          this.#mixState(controller.state, actions.length);
          this.validity.believers(this.#controllers);
          this.resources.decided(controller, actions);
          this.register.decided(before, controller.state, event);
          this.#orders.decided(before, controller.state, event);
          const { grant } = controller.state;
          if (grant !== null && grant.epoch !== before.grant?.epoch) this.lease.learned(name);
          this.lease.decided(before, controller.state);
          this.outside?.checker.decided(before, controller.state, event, machine);
          watchDecision(this, controller, event, before, actions);
          for (const look of this.onDecided) look();
        },
        died: (controller) => {
          this.register.forgotten(controller.state);
          this.#orders.forget(controller.region);
          this.outside?.checker.forget(controller.region);
        },
        acting: (controller, action) => this.onAction?.(controller, action),
        sent: (controller, seq) => this.validity.sent(controller.region, seq, machine),
        persisted: (controller, epoch) => this.resources.accepted(`${controller.region}/disk`, epoch),
        crossed: () => this.marks.set('command-in-flight-across-upgrade'),
        crashedBetween: (_controller, before, after) => {
          this.marks.set('crash-between-actions');
          if (before?.kind === 'persist' && after.kind === 'gate') this.marks.set('crash-after-persist-before-gate');
        },
      },
    });
  }

  /** After every event: an open gate is judged whether or not somebody asks it. */
  #look(): void {
    for (const { gate } of this.regions) {
      if (!gate.isActive) continue;
      this.validity.judge(gate, this.witness);
      this.history.verified(gate.region, gate.state.instruction?.epoch ?? 0);
    }
  }

  /** A commit whose wait was cancelled is there for every reader, and may vanish. */
  #read(database: Database): void {
    const { cancelledVisible } = database;
    if (cancelledVisible === null || database.role !== 'primary' || database.caughtUpTo(cancelledVisible)) return;
    this.marks.set('sync-wait-cancelled-then-read');
    this.#readInDoubt.add(cancelledVisible);
  }

  /** Whether somebody has read, in doubt, what this history has and the other one has not. */
  #wasRead(head: LogEntry, by: LogEntry): boolean {
    const kept = fork(head, by);
    for (let entry: LogEntry | null = head; entry !== null && entry !== kept; entry = entry.parent) if (this.#readInDoubt.has(entry)) return true;
    return false;
  }

  #released(name: string): void {
    this.marks.set('held-request-released');
    if (this.regions.some((region) => region.name !== name && !region.machine.up)) this.marks.set('held-request-released-after-crash');
  }

  #mixState(state: ControllerState, actions: number): void {
    this.sim.mix(state.phase.kind.length * 1_024 + actions * 64 + (state.grant?.epoch ?? 0) + state.seq * 4_096);
  }

  #wire(): void {
    const { regionLinkMs } = this.options;
    for (const from of this.regions) {
      for (const to of this.regions) {
        if (from === to) continue;
        from.database.links.set(to.name, this.#link(`${from.name}>${to.name}/db`, regionLinkMs));
        from.edge.forward.set(to.name, this.#link(`${from.name}>${to.name}/http`, regionLinkMs));
      }
    }
  }
}
