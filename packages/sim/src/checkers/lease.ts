// I1, I6 and I8 at the witness, and what was granted to whom, which the other checkers ask about.

import type { ControllerState, LeaseCommand, LeaseRecord, LeaseReply } from '@continuum/core';
import { mayEnterEpoch, mayTakeOver } from '@continuum/core';
import type { Marks } from '../marks.ts';
import type { Simulation } from '../simulation.ts';

export type Granted = { readonly region: string; readonly forced: boolean; readonly planned: boolean; readonly doubtful: boolean; readonly atMs: number };

/** The hold-down counts on the region's own clock. */
const HOLD_DOWN_SHARE = 0.98;

/** One command as a caller saw it, for the linearizability check. */
export type RegisterCall = {
  readonly kind: LeaseCommand['kind'];
  readonly region: string;
  readonly epoch: number;
  readonly ok: boolean;
  readonly revision: number;
};

export class LeaseChecker {
  readonly grants = new Map<number, Granted>();
  failovers = 0;
  switchovers = 0;
  lastChangeMs = Number.NEGATIVE_INFINITY;
  /** Somebody who is no controller of ours sends a command. */
  stranger = false;
  /** Whether a region that asks for the lease now may have been told something else than its holder. */
  isDoubtful: (region: string) => boolean = () => false;
  /** Whether a region lives on its attestations under this epoch. */
  isHolding: (region: string, epoch: number) => boolean = () => false;
  /** Regions that were told to take over and have not held the lease since. */
  readonly #words = new Set<string>();
  /** Where an operator let the lease go on: granted to nobody, and seen by all. */
  readonly #restored = new Set<number>();
  #isEmpty = false;
  readonly #sim: Simulation;
  readonly #marks: Marks;

  readonly #holdDownMs: number;
  /** Which life of a region's controller this is: a restarted one has forgotten what it saw. Null: it has not heard of the lease yet. */
  readonly #generationOf: (region: string) => number | null;
  #automatic: { readonly from: string; readonly atMs: number; readonly generation: number | null } | null = null;

  constructor(sim: Simulation, marks: Marks, holdDownMs: number, generationOf: (region: string) => number | null) {
    this.#sim = sim;
    this.#marks = marks;
    this.#holdDownMs = holdDownMs;
    this.#generationOf = generationOf;
  }

  applied(before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, reply: LeaseReply): void {
    const sim = this.#sim;
    sim.mix(after.revision * 64 + after.epoch);
    if (!mayEnterEpoch(before.epoch, after.epoch)) sim.violate('I6', `the witness went from epoch ${before.epoch} to ${after.epoch}`);
    if (!reply.outcome.ok) return this.#refused(reply.outcome.code);
    if (after.revision === before.revision) return;
    this.#checkRight(before, after, command);
    if (command.kind === 'renew' && after.clockMs >= before.expiresAtMs) {
      sim.violate('I4', `epoch ${after.epoch} was renewed after it had expired`);
    }
    if (command.kind === 'release') this.#marks.set('lease-released');
    if (command.kind === 'answerSwitchover' && command.answer === 'refused') this.#marks.set('switchover-refused-by-target');
    if (command.kind === 'setInSync') {
      this.#marks.set(after.inSync.length < before.inSync.length ? 'in-sync-narrowed' : 'in-sync-widened');
    }
    if (after.epoch === before.epoch || after.holder === null) return;
    const forced = command.kind === 'acquire' && command.force !== null;
    const planned = command.kind === 'transfer';
    if (forced && !this.#words.has(after.holder)) sim.violate('I8', `${after.holder} forces a takeover on a word that it has used up`);
    const earlier = this.grants.get(after.epoch);
    if (earlier !== undefined && this.#isEmpty) return;
    if (earlier !== undefined) sim.violate('I1', `epoch ${after.epoch} was granted to ${earlier.region} and to ${after.holder}`);
    const first = before.epoch === 0;
    if (!mayTakeOver({ region: after.holder, inSync: before.inSync, first, forced })) {
      sim.violate('I8', `${after.holder} was granted epoch ${after.epoch} outside the in-sync set [${before.inSync.join()}]`);
    }
    const last = this.grants.get(before.epoch)?.region;
    this.grants.set(after.epoch, { region: after.holder, forced, planned, doubtful: this.stranger || this.isDoubtful(after.holder), atMs: sim.nowMs });
    if (last === after.holder && this.isHolding(after.holder, before.epoch)) this.#marks.set('held-region-reacquired');
    this.#count(last, after.holder, forced, planned);
    sim.note('witness', () => `epoch ${after.epoch} -> ${after.holder}${planned ? ' (transfer)' : ''}${forced ? ' (forced)' : ''}`);
  }

  /** The store is gone: until an operator restores it, an empty register gives out epochs again, and no resource may accept them (I2). */
  storeLost(): void {
    this.#isEmpty = true;
  }

  /** An operator lets the lease go on from this epoch. */
  restored(epoch: number): void {
    this.#isEmpty = false;
    this.#restored.add(epoch);
  }

  wasSaid(epoch: number): boolean {
    return this.grants.has(epoch) || this.#restored.has(epoch);
  }

  /** An operator tells a region to take over, whatever it costs. */
  told(region: string): void {
    this.#words.add(region);
  }

  /** A region has learned that it was granted the lease: what it was told has come about. */
  learned(region: string): void {
    this.#words.delete(region);
  }

  /** Whether a grant after `epoch`, up to `now`, was forced, or asked for on what may have been a lie, or by a stranger. */
  isExcused(epoch: number, now: number): boolean {
    return this.#some(epoch, now, ({ forced, doubtful }) => forced || doubtful);
  }

  #some(epoch: number, now: number, is: (grant: Granted) => boolean): boolean {
    for (let one = epoch + 1; one <= now; one++) {
      const grant = this.grants.get(one);
      if (grant !== undefined && is(grant)) return true;
    }
    return false;
  }

  /** What the witness accepts from whom, told apart from how it decides. */
  #checkRight(before: LeaseRecord, after: LeaseRecord, command: LeaseCommand): void {
    const sim = this.#sim;
    const { region, kind } = command;
    const seqBefore = before.last[region]?.seq ?? 0;
    if (command.seq <= seqBefore) sim.violate('I2', `command ${command.seq} of ${region} was carried out after ${seqBefore}`);
    const isHeld = before.holder !== null && after.clockMs < before.expiresAtMs;
    if (kind === 'acquire' && isHeld) sim.violate('I1', `${region} was granted the lease while ${before.holder} held it`);
    const asHolder = kind === 'renew' || kind === 'release' || kind === 'transfer' || kind === 'setInSync';
    if (asHolder && before.holder !== region) sim.violate('I1', `${region} did ${kind} with the lease of ${before.holder}`);
    if (kind === 'acquire' && after.handover !== null) sim.violate('I8', 'a takeover kept the token of an earlier hand-over');
  }

  #count(last: string | undefined, holder: string, forced: boolean, planned: boolean): void {
    if (last === undefined) return;
    if (last === holder) return this.#marks.set('same-region-reacquired');
    if (planned) {
      this.switchovers++;
      return this.#marks.set('planned-switchover');
    }
    this.failovers++;
    this.lastChangeMs = this.#sim.nowMs;
    this.#marks.set(forced ? 'forced-takeover' : 'automatic-failover');
    if (!forced && !this.stranger) this.#checkFlapping(last, holder);
  }

  /** L2: who lost the lease to a takeover does not take it back within the hold-down, unless it forgot, or never knew, that it had it. */
  #checkFlapping(last: string, holder: string): void {
    const before = this.#automatic;
    const atMs = this.#sim.nowMs;
    this.#automatic = { from: last, atMs, generation: this.#generationOf(last) };
    if (before === null || before.from !== holder || before.generation !== this.#generationOf(holder)) return;
    const sinceMs = atMs - before.atMs;
    if (sinceMs < this.#holdDownMs * HOLD_DOWN_SHARE) {
      this.#sim.violate('L2', `${holder} took the lease back by itself after ${Math.round(sinceMs)} ms`);
    }
  }

  /** L2, as the controller that would take the lease by itself sees it. */
  decided(before: ControllerState, after: ControllerState): void {
    const { phase, policy, operator, holdDownUntilMs, notBeforeMs, now } = after;
    if (phase.kind !== 'acquiring' || before.phase.kind === 'acquiring' || operator?.kind === 'takeover') return;
    if (policy.mode === 'manual' && (after.view?.epoch ?? 0) > 0) this.#sim.violate('L2', `${policy.region} takes the lease by itself while takeovers are paused`);
    const leftMs = Math.max(holdDownUntilMs, notBeforeMs) - now.monoMs;
    if (leftMs > 0) this.#sim.violate('L2', `${policy.region} takes the lease by itself ${Math.round(leftMs)} ms before its hold-down ends`);
  }

  #refused(code: string): void {
    if (code === 'seq-stale') this.#marks.set('late-command-refused');
    if (code === 'not-in-sync') this.#marks.set('refused-not-in-sync');
    if (code === 'policy-mismatch') this.#marks.set('policy-differs-per-region');
  }
}
