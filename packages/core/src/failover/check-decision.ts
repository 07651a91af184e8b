// The last look at a decision before anything of it is carried out: what it must not let out, whatever state it was made in.
// Nothing else in the controller leads to these; that is why they are checked here, apart from what they check.

import { assert } from '../assert.ts';
import { areWeightsSound, isWithinValidity } from '../invariants.ts';
import type { Draft } from './draft.ts';
import { holdsGrant, promised } from './facts.ts';

/** What must hold of every decision, in production too (I2, I4, I8, I9). */
export function checkDecision(draft: Draft): void {
  const { state } = draft;
  const { grant, view, policy } = state;
  const valid = holdsGrant(draft);
  for (const action of draft.actions) {
    if (action.kind === 'gate' && action.directive.mode === 'open') {
      assert(valid && grant !== null, 'OPEN_NEEDS_GRANT', state.phase.kind);
      assert(action.directive.epoch === grant.epoch, 'OPEN_IN_ANOTHER_EPOCH', `${action.directive.epoch} ${grant.epoch}`);
      assert(isWithinValidity(draft.nowMs, action.directive.validUntilMs), 'OPEN_PAST_VALIDITY');
      assert(action.directive.validUntilMs <= grant.validUntilMs, 'OPEN_BEYOND_VALIDITY');
      assert(state.promotedEpoch === grant.epoch, 'OPEN_BEFORE_VERIFIED', `${state.promotedEpoch} ${grant.epoch}`);
    }
    if (action.kind === 'traffic') {
      assert(areWeightsSound(action.weights.weights, valid ? policy.region : (view?.holder ?? null)), 'WEIGHTS_FOR_A_FENCED_REGION', JSON.stringify(action.weights.weights));
    }
    if (action.kind !== 'database') continue;
    const asked = action.action;
    if (asked.kind === 'promote' || asked.kind === 'demote' || asked.kind === 'set-synchronous') {
      assert(valid && grant?.epoch === asked.epoch, 'DATABASE_NEEDS_GRANT', asked.kind);
    }
    const counted = promised(state);
    if (asked.kind === 'promote') assert(counted.join() === policy.region, 'PROMOTE_NEEDS_NARROW_SET');
    if (asked.kind === 'set-synchronous') {
      const others = counted.filter((region) => region !== policy.region);
      assert(view !== null && others.every((region) => asked.standbys.includes(region)), 'RELAX_BEFORE_NARROW', others.join());
    }
  }
}
