// What a client sees of a run, and what it waits for: writes at a steady rate from outside, the time without an acknowledged one
// around each round of faults, and why nobody took over meanwhile. It looks, and asks like any client; where the mode says
// that a person approves a takeover, it is that person.

import type { Precondition } from '@continuum/core';
import { monoMs } from '@continuum/core';
import { takeoverConditions } from '@continuum/core/failover/conditions';
import { Draft } from '@continuum/core/failover/draft';
import { NEMESES } from './nemesis/index.ts';
import type { Nemesis } from './nemesis/nemesis.ts';
import type { Region, World } from './world.ts';

/** Writes in one objective. */
const PROBES = 100;
/** A gap of so many writes is a stall; less is chance. */
const STALL_PROBES = 3;

export type Round = {
  /** When the fault began (alone), or the round. */
  readonly atMs: number;
  readonly lengthMs: number;
  /** The fault was the only one. */
  readonly alone: boolean;
  readonly faults: readonly string[];
  /** Automatic or approved takeovers by the other region; forced ones too. */
  readonly failovers: number;
  readonly switchovers: number;
  /** Times that the region which had lost the lease took it again. */
  readonly reacquired: number;
  /** The region that held the lease lost its power. */
  readonly holderLost: boolean;
  /** Longest time without an acknowledged write. */
  readonly longestGapMs: number;
  /** Sum of all stalls. */
  readonly stalledMs: number;
};

export type Service = {
  readonly rounds: readonly Round[];
  /** Why a region that could have been asked did not take a free lease: epochs in which that held, by condition. */
  readonly refusals: Readonly<Record<string, number>>;
  readonly approvals: number;
  readonly overlapTotalMs: number;
  readonly overlaps: number;
  /** The fault families that this world has something for. */
  readonly families: readonly string[];
};

type Counts = { readonly failovers: number; readonly switchovers: number; readonly reacquired: number };
type Open = { atMs: number; before: Counts; longestGapMs: number; stalledMs: number; holderLost: boolean; faults: readonly string[]; alone: boolean };

export class ServiceRecorder {
  readonly #world: World;
  readonly #probeMs: number;
  readonly #rounds: Round[] = [];
  readonly #refused = new Map<string, Set<string>>();
  readonly #waitingSinceMs = new Map<string, number>();
  #open: Open | null = null;
  #lastOkMs = 0;
  #approvals = 0;
  #stopped = false;

  constructor(world: World) {
    this.#world = world;
    this.#probeMs = world.options.rtoMs / PROBES;
    world.onWriteEnded = (outcome) => {
      if (outcome === 'ok') this.#acknowledged();
    };
    world.onKilled = ({ name }) => {
      const { witness } = world;
      if (this.#open !== null && witness.isHeld && witness.record.holder === name) this.#open.holderLost = true;
    };
  }

  start(): void {
    const { sim, clients } = this.#world;
    sim.after(this.#probeMs, () => {
      if (this.#stopped) return;
      clients.write();
      this.#look();
      this.start();
    });
  }

  /** A round whose faults begin at `atMs`; until then what happens belongs to the one before. */
  begin(atMs: number): void {
    this.#world.sim.at(atMs, () => {
      this.#close();
      this.#open = { atMs: this.#world.sim.nowMs, before: this.#counts(), longestGapMs: 0, stalledMs: 0, holderLost: false, faults: [], alone: false };
    });
  }

  /** What the round was made of. */
  end(faults: readonly string[], alone: boolean): void {
    if (this.#open === null) return;
    this.#open.faults = [...new Set(faults)];
    this.#open.alone = alone;
  }

  stop(): void {
    this.#stopped = true;
    this.#close();
  }

  report(): Service {
    const { overlapTotalMs, overlaps } = this.#world.validity;
    const refusals = [...this.#refused].map(([name, where]) => [name, where.size] as const);
    return { rounds: this.#rounds, refusals: Object.fromEntries(refusals), approvals: this.#approvals, overlapTotalMs, overlaps, families: familiesOf(this.#world).map(({ name }) => name) };
  }

  #counts(): Counts {
    const { lease, marks } = this.#world;
    const { failovers, switchovers } = lease;
    return { failovers, switchovers, reacquired: marks.counts.get('same-region-reacquired') ?? 0 };
  }

  #close(): void {
    // What is still waited for now counts as well.
    this.#countGap();
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    const { atMs, before, longestGapMs, stalledMs, holderLost, faults, alone } = open;
    const now = this.#counts();
    this.#rounds.push({
      atMs,
      lengthMs: this.#world.sim.nowMs - atMs,
      alone,
      faults,
      failovers: now.failovers - before.failovers,
      switchovers: now.switchovers - before.switchovers,
      reacquired: now.reacquired - before.reacquired,
      holderLost,
      longestGapMs,
      stalledMs,
    });
  }

  #acknowledged(): void {
    this.#countGap();
    this.#lastOkMs = this.#world.sim.nowMs;
  }

  #countGap(): void {
    if (this.#open === null) return;
    const gapMs = this.#world.sim.nowMs - Math.max(this.#lastOkMs, this.#open.atMs);
    this.#open.longestGapMs = Math.max(this.#open.longestGapMs, gapMs);
    if (gapMs > STALL_PROBES * this.#probeMs) this.#open.stalledMs += gapMs;
  }

  /** The lease is free: what keeps each region from taking it? */
  #look(): void {
    const { witness, regions } = this.#world;
    if (witness.isHeld || witness.record.epoch === 0) return this.#waitingSinceMs.clear();
    for (const region of regions) {
      const failed = region.controller.process.running ? failedConditions(region) : null;
      if (failed === null || failed.length === 0) continue;
      const names = failed.map(({ name }) => name);
      // It has not heard yet that the lease is free.
      if (names.includes('lease-free')) continue;
      const where = `${witness.record.epoch}/${region.name}`;
      for (const name of names) this.#refused.set(name, (this.#refused.get(name) ?? new Set()).add(where));
      if (names.length === 1 && names[0] === 'mode') this.#approveLater(region);
    }
  }

  /** A person looks, thinks, and says yes. */
  #approveLater(region: Region): void {
    const { sim, options } = this.#world;
    const sinceMs = this.#waitingSinceMs.get(region.name) ?? sim.nowMs;
    this.#waitingSinceMs.set(region.name, sinceMs);
    if (sim.nowMs - sinceMs < options.operatorMs) return;
    this.#waitingSinceMs.delete(region.name);
    this.#approvals++;
    sim.note('operator', () => `approves a takeover by ${region.name}`);
    const word = { kind: 'takeover' as const, force: null, atMs: monoMs(region.machine.now().monoMs) };
    region.controller.feed({ kind: 'operator-asked', word });
  }
}

/** What can go wrong in this world. */
export function familiesOf(world: World): readonly Nemesis[] {
  return NEMESES.filter(({ applies }) => applies?.(world) ?? true);
}

/** Null while it is not one that could take over: it acts, or is not ready to judge. */
function failedConditions(region: Region): readonly Precondition[] | null {
  const { state } = region.controller;
  if (state.phase.kind !== 'standby' && state.phase.kind !== 'fenced') return null;
  return takeoverConditions(new Draft(state)).preconditions.filter(({ ok }) => !ok);
}
