// One region's controller: the shell around the real `decide`. It feeds events one at a time and carries actions out in
// order, as the daemon does; it can die between any two actions, and knows after a restart only what was durable.

import type { Action, ControllerEvent, ControllerState, DatabaseAction, GateDirective, GateObservation, GateWord, Now, Policy, Weights } from '@continuum/core';
import { gateObservation } from '@continuum/core';
import type { CoreVersion } from '../core-version.ts';
import type { Machine } from '../machine.ts';
import { Process } from '../machine.ts';
import type { Link } from '../network.ts';
import type { Simulation } from '../simulation.ts';
import type { DatabaseOperator } from './database-operator.ts';
import type { Database } from './database.ts';
import type { Gate } from './gateway.ts';
import type { GateInstruction } from './instruction.ts';
import type { Quorum } from './quorum.ts';
import type { Witness, WitnessAnswer } from './witness.ts';

/** A gate that has not asked for so long is not connected. */
const GATE_SILENT_MS = 5_000;
const DRAIN_POLL_MS = 50;

const UNHEARD: GateWord = { connected: false, held: 0, applied: 0 };

export type ControllerHooks = {
  readonly decided: (controller: Controller, event: ControllerEvent, before: ControllerState, actions: readonly Action[]) => void;
  readonly died: (controller: Controller) => void;
  /** Before each action that reaches outside. */
  readonly acting: (controller: Controller, action: Action) => void;
  /** A command is about to leave. */
  readonly sent: (controller: Controller, seq: number) => void;
  readonly persisted: (controller: Controller, epoch: number) => void;
  /** A command reaches another version of the witness than was there when it left. */
  readonly crossed: () => void;
  readonly crashedBetween: (controller: Controller, before: Action | null, after: Action) => void;
};

export type ControllerParts = {
  readonly sim: Simulation;
  readonly machine: Machine;
  readonly core: CoreVersion;
  readonly policy: Policy;
  readonly witness: Witness;
  readonly up: Link;
  readonly down: Link;
  readonly database: Database;
  readonly operator: DatabaseOperator;
  readonly gate: Gate;
  readonly observeMs: number;
  readonly hooks: ControllerHooks;
};

export class Controller {
  readonly region: string;
  readonly process: Process;
  core: CoreVersion;
  policy: Policy;
  state: ControllerState;
  /** On disk. */
  persistedEpoch = 0;
  persistedBy: CoreVersion;
  /** The next write to disk fails: the process ends. */
  diskFull = false;
  /** Dies after so many actions of the next list that is long enough; null: not planned. */
  crashAfterActions: number | null = null;
  /** Each event waits up to so long in the mailbox. */
  slowMs = 0;
  trafficFails = false;
  /** What it last set out to do, for the nemesis that lets it arrive late. */
  lastDatabaseAction: DatabaseAction | null = null;
  lastWeights: Weights | null = null;
  /** Its resolvers; set when the world has them. */
  quorum: Quorum | null = null;
  readonly parts: ControllerParts;
  readonly #sim: Simulation;
  /** The witness's answers wait here while somebody holds them up; null: they come as they come. */
  #heldAnswers: (() => void)[] | null = null;
  #wakeAtMono = Number.POSITIVE_INFINITY;
  #directive: GateDirective | null = null;
  #directiveSet: Now;
  #version = 0;
  #heard: GateWord | null = null;
  #lastAskMono = Number.NEGATIVE_INFINITY;

  constructor(parts: ControllerParts) {
    this.parts = parts;
    this.#sim = parts.sim;
    this.core = parts.core;
    this.persistedBy = parts.core;
    this.policy = parts.policy;
    this.region = parts.policy.region;
    this.process = new Process(parts.sim, parts.machine, `${this.region}/controller`);
    this.process.onKill = () => {
      parts.operator.abandon();
      parts.hooks.died(this);
    };
    this.state = this.#initial();
    this.#directiveSet = parts.machine.now();
    parts.gate.ask = (applied, held, take) => this.#asked(applied, held, take);
  }

  start(): void {
    this.process.start();
    this.state = this.#initial();
    this.#directive = null;
    // A version never repeats, or a gate of an earlier life would seem to have taken what it has not.
    this.#version += 1_000;
    this.#heard = null;
    this.#wakeAtMono = Number.POSITIVE_INFINITY;
    this.feed({ kind: 'tick' });
    this.#observe();
    this.#watchGate();
  }

  #initial(): ControllerState {
    const restored = { instance: `${this.region}-1`, epoch: this.persistedEpoch };
    return this.core.initialState(this.policy, restored, this.parts.machine.now());
  }

  /** Puts an event into the mailbox. */
  feed(event: ControllerEvent): void {
    if (this.slowMs > 0) this.process.after(this.#sim.prng.between(0, this.slowMs), () => this.#decide(event));
    else this.process.deliver(() => this.#decide(event));
  }

  #decide(event: ControllerEvent): void {
    const before = this.state;
    const decision = this.core.decide(before, event, this.parts.machine.now());
    this.state = decision.state;
    this.parts.hooks.decided(this, event, before, decision.actions);
    this.#carryOut(decision.actions);
    this.#wakeAt(decision.wakeMs);
  }

  /** At most one timer stands; it is only moved when it would come too late. */
  #wakeAt(mono: number): void {
    if (mono >= this.#wakeAtMono) {
      this.#wantedMono = mono;
      return;
    }
    this.#wantedMono = mono;
    this.#wakeAtMono = mono;
    this.process.atMono(mono, () => {
      if (this.#wakeAtMono !== mono) return;
      this.#wakeAtMono = Number.POSITIVE_INFINITY;
      if (this.parts.machine.now().monoMs >= this.#wantedMono) this.feed({ kind: 'tick' });
      else this.#wakeAt(this.#wantedMono);
    });
  }
  #wantedMono = 0;

  #carryOut(actions: readonly Action[]): void {
    const { generation } = this.process;
    const planned = this.crashAfterActions;
    const crashAt = planned !== null && actions.length > planned ? planned : -1;
    for (let index = 0; index < actions.length; index++) {
      const action = actions[index] as Action;
      if (action.kind !== 'record') this.parts.hooks.acting(this, action);
      if (index === crashAt) {
        this.crashAfterActions = null;
        this.parts.hooks.crashedBetween(this, actions[index - 1] ?? null, action);
        this.process.kill();
      }
      if (!this.process.alive || generation !== this.process.generation) return;
      this.#perform(action);
    }
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case 'persist':
        return this.#persist(action.epoch);
      case 'register':
        return this.#register(action);
      case 'database':
        return this.#database(action);
      case 'gate':
        return this.#setDirective(action.directive);
      case 'drain':
        return this.#drain(action.id, action.timeoutMs);
      case 'traffic':
        return this.#traffic(action);
      case 'confirm-dns':
        return;
      case 'ask-quorum':
        return this.#askQuorum(action);
      case 'record':
        return this.#sim.note(this.process.name, () => `${action.event} ${JSON.stringify(action.detail, wholeNumbers)}`);
    }
  }

  #persist(value: number): void {
    if (this.diskFull) {
      this.diskFull = false;
      return this.process.kill();
    }
    this.parts.hooks.persisted(this, value);
    this.persistedEpoch = value;
    this.persistedBy = this.core;
  }

  #register(action: Extract<Action, { kind: 'register' }>): void {
    const { witness, up, down, hooks } = this.parts;
    const { id, request, timeoutMs } = action;
    const { generation } = this.process;
    const { core } = witness;
    const answered = (answer: WitnessAnswer): void =>
      this.process.deliver(() => this.feed({ kind: 'register-answered', id, answer }), generation);
    const reply = (answer: WitnessAnswer): void => down.send(() => this.#arrives(() => answered(answer)));
    if (request.kind === 'read') {
      up.send(() => witness.process.deliver(() => witness.read(this.region, reply)));
    } else {
      hooks.sent(this, request.seq);
      up.send(() => {
        if (witness.core !== core) hooks.crossed();
        witness.process.deliver(() => witness.command(request, reply));
      });
    }
    this.process.after(timeoutMs, () => {
      if (this.state.request?.id !== id) return;
      answered({ ok: false, code: 'CTM_REGISTER_TIMEOUT', message: `no answer within ${timeoutMs} ms` });
    });
  }

  #arrives(run: () => void): void {
    if (this.#heldAnswers === null) run();
    else this.#heldAnswers.push(run);
  }

  /** Answers wait from now on, while what the witness pushes still comes: they are of two connections. */
  holdAnswers(): void {
    this.#heldAnswers ??= [];
  }

  get heldAnswers(): number {
    return this.#heldAnswers?.length ?? 0;
  }

  passAnswers(): void {
    const waiting = this.#heldAnswers ?? [];
    this.#heldAnswers = null;
    for (const run of waiting) run();
  }

  #askQuorum({ id, target, timeoutMs }: Extract<Action, { kind: 'ask-quorum' }>): void {
    const startedMs = this.parts.machine.now().monoMs;
    this.quorum?.round(target, timeoutMs, (outcome) => this.feed({ kind: 'quorum-answered', id, startedMs, outcome }));
  }

  #database(action: Extract<Action, { kind: 'database' }>): void {
    const { generation } = this.process;
    this.lastDatabaseAction = action.action;
    this.parts.operator.run(action.action, action.timeoutMs, (result) =>
      this.process.deliver(() => this.feed({ kind: 'database-done', id: action.id, result }), generation),
    );
  }

  /** Observations follow each other; a slow one is not doubled. */
  #observe(): void {
    const { database, machine, observeMs } = this.parts;
    const startedMs = machine.now().monoMs;
    const observation = database.observe();
    const took = this.#sim.prng.chance(0.05) ? this.#sim.prng.between(0, observeMs) : 0;
    const tell = (): void => {
      this.feed({ kind: 'database-observed', startedMs, observation });
      this.process.after(observeMs, () => this.#observe());
    };
    if (took > 0) this.process.after(took, tell);
    else tell();
  }

  // --- gate ----------------------------------------------------------------------------------------------------------

  #setDirective(directive: GateDirective): void {
    const before = this.#directive;
    this.#directive = directive;
    this.#directiveSet = this.parts.machine.now();
    const same =
      before !== null &&
      before.epoch === directive.epoch &&
      before.mode === directive.mode &&
      before.activeRegion === directive.activeRegion &&
      before.holdForwarded === directive.holdForwarded;
    if (!same) {
      this.#version++;
    }
    if (!same || (before !== null && directive.validUntilMs < before.validUntilMs)) this.#sim.after(1, () => this.parts.gate.changed());
  }

  #asked(applied: number, held: number, take: (instruction: GateInstruction | null) => void): void {
    this.process.deliver(() => {
      this.#lastAskMono = this.parts.machine.now().monoMs;
      take(this.instruction());
      this.#reportGate({ connected: true, held, applied });
    });
  }

  /** What a beacon is told when it asks; it is never counted among the gates. */
  tell(take: (instruction: GateInstruction | null) => void): void {
    this.process.deliver(() => take(this.instruction()));
  }

  /** The instruction that stands now, as an earlier life of this controller would still give it. */
  instruction(): GateInstruction | null {
    const directive = this.#directive;
    if (directive === null) return null;
    const now = this.parts.machine.now();
    return {
      version: this.#version,
      epoch: directive.epoch,
      mode: directive.mode,
      activeRegion: directive.activeRegion,
      holdForwarded: directive.holdForwarded,
      holdMsMax: this.policy.timings.holdMsMax,
      // As the gate link does: what this machine slept since the directive was set is time that has passed.
      remainingMs: this.core.leftMs(directive.validUntilMs, this.#directiveSet, now),
    };
  }

  #watchGate(): void {
    const silentMs = this.parts.machine.now().monoMs - this.#lastAskMono;
    if (silentMs > GATE_SILENT_MS && this.#heard?.connected !== false) {
      this.#reportGate(UNHEARD);
    }
    this.process.after(GATE_SILENT_MS, () => this.#watchGate());
  }

  #reportGate(heard: GateWord): void {
    const last = this.#heard;
    if (last !== null && last.connected === heard.connected && last.held === heard.held && last.applied === heard.applied) return;
    this.#heard = heard;
    this.feed(this.#gateObserved());
  }

  /** As the daemon's: read when the event is taken, which may be after the next directive was given. */
  #gateObserved(): ControllerEvent {
    const observe = (): GateObservation => {
      const given = this.#directive === null ? null : { ...this.#directive, version: this.#version };
      return gateObservation(given, this.#heard ?? UNHEARD);
    };
    return {
      kind: 'gate-observed',
      get observation() {
        return observe();
      },
    };
  }

  // --- traffic -------------------------------------------------------------------------------------------------------

  #drain(id: number, timeoutMs: number): void {
    const endMono = this.parts.machine.now().monoMs + timeoutMs;
    let zeros = 0;
    const poll = (): void => {
      zeros = this.parts.gate.inFlight === 0 ? zeros + 1 : 0;
      if (zeros === 2) return this.feed({ kind: 'drained', id, ok: true, detail: 'none in flight' });
      if (this.parts.machine.now().monoMs >= endMono) {
        return this.feed({ kind: 'drained', id, ok: false, detail: `${this.parts.gate.inFlight} still in flight` });
      }
      this.process.after(DRAIN_POLL_MS, poll);
    };
    poll();
  }

  #traffic(action: Extract<Action, { kind: 'traffic' }>): void {
    const { id, weights } = action;
    this.lastWeights = weights;
    this.process.after(this.#sim.prng.between(1, 20), () => {
      const ok = !this.trafficFails && this.parts.gate.setWeights(weights);
      this.feed({ kind: 'traffic-done', id, ok, detail: ok ? 'written' : 'CTM_TRAFFIC_WRITE_FAILED' });
    });
  }
}

/** Traces are read by people and compared as text: fractions of a millisecond say nothing there. */
function wholeNumbers(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value) : value;
}
