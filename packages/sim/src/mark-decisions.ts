// Reads the marks off the decisions themselves: what was refused, given up, lost or rejoined is already in what a controller records.

import type { Action, ControllerEvent, ControllerState, LeaseCommand, LeaseRecord, LeaseReply } from '@continuum/core';
import { Draft } from '@continuum/core/failover/draft';
import { takeoverConditions } from '@continuum/core/failover/conditions';
import { isProvenFollower, objection } from '@continuum/core/failover/facts';
import type { Controller } from './models/controller.ts';
import type { World } from './world.ts';

type Recorded = Extract<Action, { kind: 'record' }>;

export function watchDecision(
  world: World,
  controller: Controller,
  event: ControllerEvent,
  before: ControllerState,
  actions: readonly Action[],
): void {
  const { marks } = world;
  for (const action of actions) if (action.kind === 'record') watchRecord(world, action);
  if (event.kind === 'database-done' && !event.result.ok) {
    if (event.result.code === 'CTM_EPOCH_STALE') marks.set('stale-database-action-rejected');
    if (before.databaseAction?.action.kind === 'promote') {
      marks.set(event.result.code === 'CTM_DATABASE_TIMEOUT' ? 'promotion-hung' : 'promotion-failed');
    }
  }
  watchStandbys(world, controller.state);
  const { phase } = controller.state;
  if (event.kind === 'tick' && (phase.kind === 'standby' || phase.kind === 'fenced')) watchRefusal(world, controller);
  if (phase.kind === before.phase.kind) return;
  if (phase.kind === 'fenced' && world.witness.faults.down) marks.set('fence-while-witness-down');
  if (phase.kind === 'releasing' && before.fallback.takenFrom !== null && phase.reason.includes('is still seen')) {
    marks.set('grant-returned-to-seen-region');
  }
  if (phase.kind === 'handing-over' && phase.step === 'returning') marks.set('handover-returned');
}

/** What the witness was asked, and by whom it was not known how it stood. */
export function watchCommand(world: World, before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, reply: LeaseReply): void {
  const { marks, options, lease } = world;
  const { outcome, view } = reply;
  const repeated = outcome.ok && after.revision === before.revision;
  if (command.kind === 'renew' && repeated && view.remainingMs < command.ttlMs - options.timings.guardMs) marks.set('late-renewal-repeated');
  if (command.kind !== 'acquire' || outcome.ok || outcome.code !== 'not-in-sync' || lease.stranger) return;
  if (world.region(command.region).controller.state.view?.inSync.includes(command.region) === true) marks.set('asked-on-an-old-in-sync-set');
}

/** Which standbys are not counted on, although they are connected. */
function watchStandbys({ marks }: World, state: ControllerState): void {
  const { phase, view, evidence, lagReport, policy, widening } = state;
  if (phase.kind !== 'active' || view === null) return;
  for (const region of policy.regions) {
    const verdict = evidence.followers[region]?.verdict;
    if (verdict?.kind === 'notPromotable' && verdict.reason === 'replay-stalled') marks.set('standby-seen-stalled');
    if (widening?.regions.includes(region) === true && verdict?.kind !== 'promotable') marks.set('lost-standby-perhaps-counted-on');
    if (lagReport === null || view.inSync.includes(region)) continue;
    const draft = new Draft(state);
    if (isProvenFollower(draft, region) && objection(draft, region) !== null) marks.set('kept-out-by-lag-prober');
  }
}

/** Why a region does not take a lease that is free. */
function watchRefusal(world: World, controller: Controller): void {
  const { view } = controller.state;
  if (view === null || world.witness.isHeld) return;
  const { preconditions } = takeoverConditions(new Draft(controller.state));
  const failed = preconditions.filter((one) => !one.ok).map((one) => one.name);
  if (failed.includes('lease-free')) return;
  if (failed.length === 1 && failed[0] === 'replay-lag') world.marks.set('refused-lag-unknown');
  if (failed.length === 1 && failed[0] === 'hold-down') world.marks.set('takeover-held-down');
  if (failed.length === 1 && failed[0] === 'mode' && controller.policy.mode === 'manual') world.marks.set('takeover-held-off-by-pause');
  const seen = controller.state.fallback.last?.outcome.kind === 'attested';
  if (failed.length === 1 && failed[0] === 'other-region-dark' && seen) world.marks.set('takeover-vetoed');
}

function watchRecord(world: World, action: Recorded): void {
  const { marks } = world;
  switch (action.event) {
    case 'suspend-suspected':
      return marks.set('suspend-suspected');
    case 'switchover-given-up':
      if (String(action.detail['reason']).startsWith('cancelled')) return;
      return marks.set(action.detail['step'] === 'not begun' ? 'switchover-refused-by-lag-prober' : 'switchover-given-up');
    case 'database-rejoin':
      if (action.detail['detail'] === 'rewind') marks.set('rejoined-by-rewind');
      if (action.detail['detail'] === 'base-backup') marks.set('rejoined-by-copy');
      return;
    default:
  }
}
