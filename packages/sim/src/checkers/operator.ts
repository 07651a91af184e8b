// CANCEL: what an operator took back is not acted upon by the controller that was told so, as long as it lives. Judged by what the
// controller does next, against what it had been asked when it was told: a demoted database is past taking back. What had left
// before may still take effect, and the register hears of it through the other region only.

import type { ControllerEvent, ControllerState, SwitchoverIntent } from '@continuum/core';
import type { Marks } from '../marks.ts';
import type { Simulation } from '../simulation.ts';

type Told = { readonly cancelled: Set<string>; mayForce: boolean };

export class OperatorChecker {
  readonly #sim: Simulation;
  readonly #marks: Marks;
  readonly #told = new Map<string, Told>();

  constructor(sim: Simulation, marks: Marks) {
    this.#sim = sim;
    this.#marks = marks;
  }

  /** The controller of this region is gone, and what it was told with it. */
  forget(region: string): void {
    this.#told.delete(region);
  }

  decided(before: ControllerState, after: ControllerState, event: ControllerEvent): void {
    if (event.kind === 'operator-asked') this.#of(after).mayForce = event.word.kind === 'takeover';
    if (event.kind === 'operator-cancelled') this.#cancel(before);
    const { region } = after.policy;
    const { phase, request } = after;
    const { cancelled, mayForce } = this.#of(after);
    // A target that was handed it all the same and cannot serve gives it back: that is no switchover.
    if (phase.kind === 'handing-over' && phase.step !== 'returning' && cancelled.has(phase.id)) this.#sim.violate('CANCEL', `${region} hands over for ${phase.id}, which was cancelled`);
    if (request === null || request.id === before.request?.id) return;
    const { request: asked } = request;
    if (asked.kind === 'acquire' && asked.force !== null && !mayForce) this.#sim.violate('CANCEL', `${region} forces a takeover on a word that was taken back`);
    const goesOn = asked.kind === 'requestSwitchover' || (asked.kind === 'answerSwitchover' && asked.answer === 'ready');
    if (goesOn && cancelled.has(asked.id)) this.#sim.violate('CANCEL', `${region} goes on with ${asked.id}, which was cancelled`);
  }

  #cancel({ policy, phase, operator, view }: ControllerState): void {
    const told = this.#of({ policy });
    told.mayForce = false;
    const begun = phase.kind === 'handing-over' && (phase.step === 'preparing' || phase.step === 'holding' || phase.step === 'draining');
    if (phase.kind === 'handing-over') this.#marks.set(begun ? 'switchover-cancelled' : 'cancelled-too-late');
    if (phase.kind === 'handing-over' && !begun) return;
    if (phase.kind === 'handing-over') told.cancelled.add(phase.id);
    if (operator?.kind === 'switchover') told.cancelled.add(operator.id);
    const intent: Pick<SwitchoverIntent, 'id' | 'from' | 'to'> | null = view?.intent ?? null;
    if (begun || intent === null || (intent.from !== policy.region && intent.to !== policy.region)) return;
    this.#marks.set(intent.from === policy.region ? 'switchover-cancelled-before-it-began' : 'switchover-cancelled-by-target');
    told.cancelled.add(intent.id);
  }

  #of({ policy }: Pick<ControllerState, 'policy'>): Told {
    const { region } = policy;
    const told = this.#told.get(region) ?? { cancelled: new Set<string>(), mayForce: false };
    this.#told.set(region, told);
    return told;
  }
}
