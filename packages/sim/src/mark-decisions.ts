// Reads the marks off the decisions themselves: what was refused, given up, lost or rejoined is already in what a controller records.

import type { Action, ControllerEvent, ControllerState } from '@continuum/core';
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
  if (event.kind === 'traffic-done' && !event.ok && !controller.trafficFails) marks.set('stale-weights-rejected');
  const { phase } = controller.state;
  if (phase.kind === before.phase.kind) return;
  if (phase.kind === 'fenced' && world.witness.faults.down) marks.set('fence-while-witness-down');
  if (phase.kind === 'handing-over' && phase.step === 'returning') marks.set('handover-returned');
}

function watchRecord(world: World, action: Recorded): void {
  const { marks } = world;
  switch (action.event) {
    case 'suspend-suspected':
      return marks.set('suspend-suspected');
    case 'switchover-given-up':
      return marks.set('switchover-given-up');
    case 'database-rejoin':
      if (action.detail['detail'] === 'rewind') marks.set('rejoined-by-rewind');
      if (action.detail['detail'] === 'base-backup') marks.set('rejoined-by-copy');
      return;
    default:
  }
}
