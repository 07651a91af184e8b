// I2 and I6 in every store and resource that takes an epoch, and I9 for weights.

import type { Action, Weights } from '@continuum/core';
import { actingEpoch, areWeightsSound, mayEnterEpoch } from '@continuum/core';
import type { Controller } from '../models/controller.ts';
import type { Simulation } from '../simulation.ts';
import type { LeaseChecker } from './lease.ts';

export class ResourceChecker {
  readonly #sim: Simulation;
  readonly #lease: LeaseChecker;
  readonly #highest = new Map<string, number>();

  constructor(sim: Simulation, lease: LeaseChecker) {
    this.#sim = sim;
    this.#lease = lease;
  }

  /** A resource has accepted an action, or a store a value, of that epoch. */
  accepted(resource: string, epoch: number): void {
    const highest = this.#highest.get(resource) ?? 0;
    if (!mayEnterEpoch(highest, epoch)) this.#sim.violate('I2', `${resource} accepted epoch ${epoch} after ${highest}`);
    this.#highest.set(resource, epoch);
    if (epoch > 0 && !this.#lease.wasSaid(epoch)) this.#sim.violate('I6', `${resource} accepted epoch ${epoch}, which was never granted`);
  }

  /** What an action list must be, whatever led to it: an epoch counts once it is on disk, and unknown lag is no lag (I6, I8). */
  decided(controller: Controller, actions: readonly Action[]): void {
    let persisted = controller.persistedEpoch;
    for (const action of actions) {
      if (action.kind === 'persist') persisted = action.epoch;
      if (action.kind === 'gate' && action.directive.mode === 'open' && action.directive.epoch !== persisted) {
        this.#sim.violate('I6', `${controller.region} opens in epoch ${action.directive.epoch} with ${persisted} on disk`);
      }
      if (action.kind !== 'register' || action.request.kind !== 'acquire' || action.request.force !== null) continue;
      // A holder that lives on its attestations asks anew for what it has; it promotes nothing.
      if (actingEpoch(controller.state) > 0) continue;
      const { database, databaseMs, now, policy } = controller.state;
      if (now.monoMs - databaseMs > policy.timings.observationMaxAgeMs) {
        this.#sim.violate('I8', `${controller.region} asks for the lease on what it knew ${Math.round(now.monoMs - databaseMs)} ms ago`);
      }
      if (database === null || (database.shape === 'standby' && database.replayLsn === null)) {
        this.#sim.violate('I8', `${controller.region} asks for the lease with an unknown lag`);
      }
    }
  }

  weights(region: string, weights: Weights): void {
    this.accepted(`${region}/weights`, weights.epoch);
    const active = this.#lease.grants.get(weights.epoch)?.region ?? null;
    if (!areWeightsSound(weights.weights, active)) {
      this.#sim.violate('I9', `${region} has ${JSON.stringify(weights.weights)} in epoch ${weights.epoch}, which belongs to ${active}`);
    }
  }
}
