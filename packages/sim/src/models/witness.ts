// The witness: the real lease functions between a read and a write of one record, as in the Durable Object, with the ways in which
// such an object is known to misbehave: an error after the change was stored, an eviction, late, doubled and forgotten alarms, a
// clock that is set back, a router that does not fit the object behind it.

import type { LeaseCommand, LeaseEventKind, LeaseRecord, LeaseReply, LeaseView } from '@continuum/core';
import { epoch, regionId } from '@continuum/core';
import type { CoreVersion } from '../core-version.ts';
import type { Machine } from '../machine.ts';
import { Process } from '../machine.ts';
import type { Simulation } from '../simulation.ts';

export type WitnessAnswer =
  | { readonly ok: true; readonly reply: LeaseReply }
  | { readonly ok: false; readonly code: string; readonly message: string };

export type WitnessFaults = {
  down: boolean;
  /** Share of commands that are carried out and answered with an error. */
  errorAfterCommitShare: number;
  /** Share of answers that do not fit the caller's protocol version. */
  skewShare: number;
  /** Alarms come late by up to so much, and some twice. */
  alarmDelayMs: number;
  slowMs: number;
};

const NO_FAULTS: WitnessFaults = { down: false, errorAfterCommitShare: 0, skewShare: 0, alarmDelayMs: 0, slowMs: 0 };

export type WitnessHooks = {
  readonly applied: (before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, reply: LeaseReply) => void;
  readonly lostReply: (command: LeaseCommand, reply: LeaseReply) => void;
  readonly alarmLate: () => void;
  readonly alarmForgotten: () => void;
  /** The record was last written by another version. */
  readonly inherited: () => void;
};

export type Watcher = { readonly region: string; readonly push: (event: LeaseEventKind, view: LeaseView) => void };

export class Witness {
  readonly process: Process;
  faults: WitnessFaults = { ...NO_FAULTS };
  core: CoreVersion;
  /** Durable. */
  record: LeaseRecord;
  /** What it had granted when its store was lost: who was told so goes by it until it runs out. */
  #forgotten: LeaseRecord | null = null;
  #recordBy: CoreVersion;
  readonly #sim: Simulation;
  readonly #hooks: WitnessHooks;
  readonly #watchers: readonly Watcher[];
  #alarm: { readonly epoch: number; readonly expiresAtMs: number } | null = null;

  constructor(sim: Simulation, machine: Machine, core: CoreVersion, name: string, watchers: readonly Watcher[], hooks: WitnessHooks) {
    this.#sim = sim;
    this.#hooks = hooks;
    this.#watchers = watchers;
    this.process = new Process(sim, machine, 'witness');
    this.process.start();
    this.core = core;
    this.#recordBy = core;
    this.record = core.newLease(name, machine.now().wallMs);
  }

  healFaults(): void {
    this.faults = { ...NO_FAULTS };
  }

  get nowWallMs(): LeaseRecord['clockMs'] {
    const { wallMs } = this.process.machine.now();
    return wallMs > this.record.clockMs ? wallMs : this.record.clockMs;
  }

  /** True when the record's holder has not expired by the witness's own clock. */
  get isHeld(): boolean {
    return this.record.holder !== null && this.nowWallMs < this.record.expiresAtMs;
  }

  /** Whether a grant of this epoch has not run out yet, also one that it has forgotten. */
  hasGranted(epoch: number): boolean {
    if (this.isHeld && this.record.epoch === epoch) return true;
    return this.#forgotten?.epoch === epoch && this.nowWallMs < this.#forgotten.expiresAtMs;
  }

  /** Only what is stored is left: answers that are still in it are lost, and an alarm rings only when somebody has asked again. */
  evict(): void {
    this.process.kill();
    if (this.#alarm !== null && this.isHeld) this.#hooks.alarmForgotten();
    this.#alarm = null;
  }

  /** Starts again as an object without a record does. */
  loseStore(): void {
    this.#forgotten = this.record;
    this.record = this.core.newLease(this.record.name, this.process.machine.now().wallMs);
  }

  /** The same, from where an operator says that the lease goes on. */
  restore(at: number, region: string): void {
    const fresh = this.core.newLease(this.record.name, this.process.machine.now().wallMs);
    this.record = { ...fresh, epoch: epoch(at), inSync: [regionId(region)] };
  }

  command(command: LeaseCommand, answer: (answer: WitnessAnswer) => void): void {
    if (this.faults.down) return;
    const before = this.record;
    if (this.#recordBy !== this.core) this.#hooks.inherited();
    this.#recordBy = this.core;
    const { record, reply, events } = this.core.applyCommand(before, command, this.process.machine.now().wallMs);
    this.record = record;
    this.#hooks.applied(before, record, command, reply);
    for (const event of events) this.#push(event);
    this.#arm();
    this.#answer({ ok: true, reply }, command, answer);
  }

  read(region: string, answer: (answer: WitnessAnswer) => void): void {
    if (this.faults.down) return;
    const view = this.core.viewLease(this.record, regionId(region), this.process.machine.now().wallMs);
    this.#answer({ ok: true, reply: { outcome: { ok: true }, view } }, null, answer);
  }

  #answer(reply: Extract<WitnessAnswer, { ok: true }>, command: LeaseCommand | null, answer: (answer: WitnessAnswer) => void): void {
    const { errorAfterCommitShare, skewShare, slowMs } = this.faults;
    const { prng } = this.#sim;
    let sent: WitnessAnswer = reply;
    if (errorAfterCommitShare > 0 && prng.chance(errorAfterCommitShare)) {
      if (command !== null) this.#hooks.lostReply(command, reply.reply);
      sent = { ok: false, code: 'CTM_REGISTER_UNREACHABLE', message: 'the witness answered 500' };
    } else if (skewShare > 0 && prng.chance(skewShare)) {
      sent = { ok: false, code: 'CTM_REGISTER_REPLY_INVALID', message: 'the reply is not of this protocol' };
    }
    if (slowMs === 0) return answer(sent);
    const { generation } = this.process;
    this.#sim.after(prng.between(0, slowMs), () => {
      if (this.process.alive && this.process.generation === generation) answer(sent);
      else if (command !== null) this.#hooks.lostReply(command, reply.reply);
    });
  }

  #push(event: LeaseEventKind): void {
    if (!this.process.alive) return;
    for (const { region, push } of this.#watchers) {
      push(event, this.core.viewLease(this.record, regionId(region), this.process.machine.now().wallMs));
    }
  }

  /** One alarm, for the next deadline of the record as it is now. It only tells watchers; it decides nothing. */
  #arm(): void {
    const deadlines = this.core.leaseDeadlines(this.record);
    if (deadlines === null) return;
    const { epoch, expiresAtMs } = this.record;
    if (this.#alarm?.epoch === epoch && this.#alarm.expiresAtMs === expiresAtMs) return;
    const alarm = { epoch, expiresAtMs };
    this.#alarm = alarm;
    const nowMs = this.process.machine.now().wallMs;
    for (const [event, atMs] of [['overdue', deadlines.overdueAtMs], ['expired', deadlines.expiresAtMs]] as const) {
      this.#sim.after(Math.max(0, atMs - nowMs) + 1, () => this.#ring(alarm, event));
    }
  }

  #ring(alarm: object, event: LeaseEventKind): void {
    const { alarmDelayMs } = this.faults;
    if (alarm !== this.#alarm || this.faults.down) return;
    if (alarmDelayMs === 0) return this.#push(event);
    this.#hooks.alarmLate();
    this.#sim.after(this.#sim.prng.between(0, alarmDelayMs), () => this.#push(event));
    if (this.#sim.prng.chance(0.5)) this.#sim.after(this.#sim.prng.between(0, alarmDelayMs), () => this.#push(event));
  }
}
