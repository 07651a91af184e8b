// I4, worked out from what left the controller and what the witness accepted, never from what the controller or the gate believe. And
// the measure of what cannot be forbidden: for how long two regions believed at once.

import type { LeaseCommand, LeaseRecord, LeaseReply } from '@continuum/core';
import { isWithinValidity } from '@continuum/core';
import type { HiddenTime, Machine } from '../machine.ts';
import type { Mark, Marks } from '../marks.ts';
import type { Controller } from '../models/controller.ts';
import type { Gate } from '../models/gateway.ts';
import type { Witness } from '../models/witness.ts';
import type { Simulation } from '../simulation.ts';

/** What the cores promise: less than this is not told from a wall clock that was set. */
const SUSPEND_UNSEEN_MS = 1_000;

/** Validities that are kept of a region: the newest and the one before it, which a gate may not have been told of. */
const VALIDITIES_KEPT = 2;

type Validity = HiddenTime & { readonly epoch: number; readonly untilMono: number };
type Sent = HiddenTime & { readonly mono: number };

export class ValidityChecker {
  overlapMaxMs = 0;
  overlapTotalMs = 0;
  overlaps = 0;
  /** What a region's attestations add, on its own clock. */
  heldUntil: (region: string, epoch: number) => number | null = () => null;
  /** Whether an operator, a stranger or a lie of the resolvers is behind a grant after `epoch`, up to `now`. */
  isExcused: (epoch: number, now: number) => boolean = () => false;
  /** How far two clocks may drift apart within a validity, when no guard covers it: for so long two may serve, and only the fence stands. */
  uncoveredMs = 0;
  readonly #sim: Simulation;
  readonly #marks: Marks;
  readonly #gates: Gate[] = [];
  readonly #sent = new Map<string, Sent>();
  /** Newest first. */
  readonly #validities = new Map<string, readonly Validity[]>();
  /** When the witness gave the last epochs up, by its own clock. */
  readonly #endedWallMs = new Map<number, number>();
  #overlapSinceMs: number | null = null;

  constructor(sim: Simulation, marks: Marks) {
    this.#sim = sim;
    this.#marks = marks;
  }

  watch(gate: Gate): void {
    this.#gates.push(gate);
  }

  /** A command leaves the controller: validity counts from here. */
  sent(region: string, seq: number, machine: Machine): void {
    this.#sent.set(`${region}/${seq}`, { mono: machine.monoAt(this.#sim.nowMs), ...machine.hiddenTime() });
  }

  applied(before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, reply: LeaseReply, guardMs: number): void {
    if (after.epoch !== before.epoch || (before.holder !== null && after.holder === null)) {
      this.#endedWallMs.set(before.epoch, Math.min(before.expiresAtMs, after.clockMs));
    }
    const key = `${command.region}/${command.seq}`;
    const sent = this.#sent.get(key);
    if (sent === undefined || (command.kind !== 'acquire' && command.kind !== 'renew') || !reply.outcome.ok) return;
    const untilMono = sent.mono + Math.min(command.ttlMs, reply.view.remainingMs) - guardMs;
    const known = this.#validities.get(command.region) ?? [];
    const { epoch } = reply.view;
    if (known.some((one) => one.epoch === epoch && one.untilMono >= untilMono)) return;
    const validity = { epoch, untilMono, suspendedMs: sent.suspendedMs, wallOffsetMs: sent.wallOffsetMs };
    const others = known.filter((one) => one.epoch !== epoch);
    this.#validities.set(command.region, [validity, ...others].slice(0, VALIDITIES_KEPT));
    if (this.#sent.size > 256) for (const old of [...this.#sent.keys()].slice(0, 128)) this.#sent.delete(old);
  }

  /** A new boot starts a new clock: what was valid on the old one is nothing now. */
  rebooted(region: string): void {
    this.#validities.delete(region);
    for (const key of [...this.#sent.keys()]) if (key.startsWith(`${region}/`)) this.#sent.delete(key);
  }

  /** The gate let a request through to the local application. */
  allowed(gate: Gate, witness: Witness): void {
    const mark = this.judge(gate, witness);
    if (mark !== null) this.#marks.set(mark);
  }

  /** Whether this gate, which is open, may be. Returns what to note when a request goes through it. */
  judge(gate: Gate, witness: Witness): Mark | null {
    const { machine } = gate.process;
    const epoch = gate.state.instruction?.epoch ?? 0;
    const validities = this.#validities.get(gate.region) ?? [];
    const validity = validities.find((one) => one.epoch === epoch) ?? validities[0];
    const heldMono = this.heldUntil(gate.region, epoch);
    // The register may have granted it more than it has heard of: what its attestations carry goes on.
    if (validity === undefined || (validity.epoch !== epoch && heldMono === null)) {
      this.#sim.violate('I4', `${gate.region} lets requests through in epoch ${epoch}, for which it has no validity`);
    }
    const mono = machine.monoAt(this.#sim.nowMs);
    const granted = validity.epoch === epoch ? validity.untilMono : Number.NEGATIVE_INFINITY;
    const untilMono = heldMono === null ? granted : Math.max(granted, heldMono);
    if (!isWithinValidity(mono, untilMono)) {
      this.#sim.violate('I4', `${gate.region} lets requests through ${Math.round(mono - untilMono)} ms past its validity`);
    }
    if (witness.hasGranted(epoch) || this.#isUnseenSuspend(gate, validity)) return null;
    if (heldMono !== null && isWithinValidity(mono, heldMono)) return this.#serveOnHold(gate, epoch, witness);
    const endedWallMs = this.#endedWallMs.get(epoch) ?? witness.record.expiresAtMs;
    if (witness.nowWallMs - endedWallMs < this.uncoveredMs) return 'served-past-the-witness';
    this.#sim.violate('I4', `${gate.region} lets requests through in epoch ${epoch}, which the witness had given up`);
  }

  /** By the witness's account the lease has run out; while the resolvers carry it, nobody else may serve. */
  #serveOnHold(gate: Gate, epoch: number, { record }: Witness): Mark {
    const other = this.#gates.find((one) => one !== gate && one.isActive);
    if (other === undefined) return 'held-region-served';
    const otherEpoch = other.state.instruction?.epoch ?? 0;
    const validity = this.#validities.get(other.region)?.find((one) => one.epoch === otherEpoch);
    if (validity !== undefined && this.#isUnseenSuspend(other, validity)) return 'held-region-served';
    if (this.isExcused(Math.min(epoch, otherEpoch), Math.max(epoch, otherEpoch, record.epoch))) return 'two-served-on-a-lie';
    this.#sim.violate('I4', `${gate.region} serves in epoch ${epoch} on its attestations while ${other.region} serves in epoch ${otherEpoch}`);
  }

  /**
   * A short sleep, or one that a wall clock set back has hidden: no clock of the machine shows it. The controller counts from what it
   * sent, the gate from its question: a gate that was stopped meanwhile asked last before the clock was set.
   */
  #isUnseenSuspend(gate: Gate, validity: Validity): boolean {
    const { machine } = gate.process;
    const isShort = [validity, gate.hiddenTime].some((since) => {
      const { suspendedMs, seenMs } = sleptSince(since, machine);
      return suspendedMs > 0 && seenMs <= SUSPEND_UNSEEN_MS;
    });
    // Of several sleeps the clocks show a part, which the controller counts: what they hide must make the difference.
    const { suspendedMs, seenMs } = sleptSince(validity, machine);
    return isShort || (suspendedMs > 0 && seenMs < suspendedMs && isWithinValidity(machine.monoAt(this.#sim.nowMs) + seenMs, validity.untilMono));
  }

  /** After every decision: who believes now? */
  believers(controllers: readonly Controller[]): void {
    let believing = 0;
    for (const controller of controllers) if (believes(controller)) believing++;
    if (believing > 1) {
      if (this.#overlapSinceMs === null) this.#marks.set('both-regions-believe-active');
      this.#overlapSinceMs ??= this.#sim.nowMs;
    } else if (this.#overlapSinceMs !== null) {
      const overlapMs = this.#sim.nowMs - this.#overlapSinceMs;
      this.overlapMaxMs = Math.max(this.overlapMaxMs, overlapMs);
      this.overlapTotalMs += overlapMs;
      this.overlaps++;
      this.#overlapSinceMs = null;
    }
  }
}

/** For how long it slept, and how much of that its wall clock shows. */
function sleptSince(since: HiddenTime, machine: Machine): { readonly suspendedMs: number; readonly seenMs: number } {
  const suspendedMs = machine.suspendedMs - since.suspendedMs;
  return { suspendedMs, seenMs: suspendedMs + machine.wallOffsetMs - since.wallOffsetMs };
}

function believes(controller: Controller): boolean {
  const { grant, phase } = controller.state;
  if (!controller.process.alive || grant === null || phase.kind !== 'active') return false;
  // A machine that sleeps believes nothing; when it wakes, its clocks say whether it knows.
  if (controller.process.machine.suspendedSinceMs !== null) return false;
  return controller.parts.machine.now().monoMs < grant.validUntilMs;
}
