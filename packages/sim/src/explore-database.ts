// The two databases of the small scope: a log of a few writes each, replicated while one follows the other, and the operations of the
// port with their own check of the epoch.

import type { DatabaseAction, DatabaseObservation } from '@continuum/core';
import { lsn } from '@continuum/core';
import type { Index, Scope } from './explore-scope.ts';
import { NAMES, ScopeViolation, otherOf, put } from './explore-scope.ts';

export function streams(scope: Scope, index: Index): boolean {
  const standby = scope.regions[index].database;
  const source = scope.regions[otherOf(index)].database;
  if (standby.role !== 'standby' || source.role !== 'primary') return false;
  return standby.log.every((id, at) => source.log[at] === id);
}

export function replicate(scope: Scope, index: Index): Scope {
  if (!streams(scope, index)) return scope;
  const { database } = scope.regions[index];
  const source = scope.regions[otherOf(index)].database;
  const streamed = scope.streamed || scope.primary === NAMES[otherOf(index)];
  if (streamed === scope.streamed && database.log === source.log && database.epoch >= source.epoch) return scope;
  return put({ ...scope, streamed }, index, { database: { ...database, log: source.log, epoch: Math.max(database.epoch, source.epoch) } });
}

/** A commit; acknowledged when everybody whom it waits for has it. */
export function write(scope: Scope, index: Index): Scope {
  const { database } = scope.regions[index];
  const id = scope.nextWrite;
  const logged = put({ ...scope, nextWrite: id + 1 }, index, { database: { ...database, log: [...database.log, id] } });
  if (database.synchronous.length === 0) return { ...logged, acknowledged: [...scope.acknowledged, id] };
  const other = otherOf(index);
  if (!streams(logged, other)) return logged;
  return { ...replicate(logged, other), acknowledged: [...scope.acknowledged, id] };
}

export function observe(scope: Scope, index: Index): DatabaseObservation {
  const { database } = scope.regions[index];
  const other = otherOf(index);
  const at = lsnAt(database.log.length);
  const primary = database.role === 'primary';
  const standbys = primary && streams(scope, other);
  return {
    role: database.role,
    shape: database.shape,
    systemIdentifier: '1',
    timeline: 1,
    lsn: at,
    replayLsn: primary ? null : at,
    receiver: database.role === 'standby' ? { streaming: streams(scope, index), source: `${NAMES[other]}:5432`, messageAgeMs: null } : null,
    replayPaused: primary ? null : false,
    standbys: standbys ? [{ region: NAMES[other], state: 'streaming', syncState: 'sync', replayLsn: at, replayLagBytes: 0 }] : [],
    synchronous: primary ? database.synchronous : [],
    epoch: database.epoch,
    recordedEpoch: database.role === 'down' ? null : database.epoch,
    problem: null,
  };
}

/** Whether the operation can be done now; asked also about one that must not be done. */
export function canFinish(scope: Scope, index: Index, action: DatabaseAction): boolean {
  return effect(scope, index, action) !== null;
}

/** What the operation does, with what it tells; null when it cannot be done now. Only a demotion tells more than that. */
export function finish(scope: Scope, index: Index, action: DatabaseAction): { readonly scope: Scope; readonly token: Extract<DatabaseAction, { kind: 'promote' }>['token'] } | null {
  const { database } = scope.regions[index];
  const changed = effect(scope, index, action);
  if (changed === null) return null;
  if (action.kind === 'promote') checkPromotion(scope, index, action.epoch);
  return { scope: changed, token: action.kind === 'demote' ? { systemIdentifier: '1', timeline: 1, checkpointLsn: lsnAt(database.log.length) } : null };
}

function effect(scope: Scope, index: Index, action: DatabaseAction): Scope | null {
  const { database } = scope.regions[index];
  if (action.kind !== 'prewarm' && action.epoch < database.epoch) return null;
  const other = otherOf(index);
  const source = scope.regions[other].database;
  switch (action.kind) {
    case 'prewarm':
      return scope;
    case 'promote': {
      // What was proved under this very epoch may have served since.
      if (action.token !== null && database.epoch < action.epoch && action.token.checkpointLsn !== lsnAt(database.log.length)) return null;
      const changed = { ...database, role: 'primary' as const, shape: 'primary' as const, epoch: action.epoch, synchronous: [] };
      const same = scope.primary === NAMES[index];
      return put({ ...scope, primary: NAMES[index], streamed: same && scope.streamed }, index, { database: changed });
    }
    case 'demote':
      if (database.role !== 'primary') return null;
      return put(replicate(scope, other), index, { database: { ...database, role: 'down' } });
    case 'rejoin':
      if (action.preserve) return put(scope, index, { database: { ...database, role: 'standby', shape: 'standby' } });
      if (source.role !== 'primary') return null;
      return put(scope, index, { database: { ...database, role: 'standby', shape: 'standby', log: source.log, epoch: action.epoch } });
    default:
      if (database.role !== 'primary' || (action.standbys.length > 0 && !streams(scope, other))) return null;
      return put(action.standbys.length > 0 ? replicate(scope, other) : scope, index, { database: { ...database, synchronous: action.standbys } });
  }
}

/** I3 and I10, where they are broken. */
function checkPromotion(scope: Scope, index: Index, epoch: number): void {
  const { log } = scope.regions[index].database;
  const missing = scope.acknowledged.find((id) => !log.includes(id));
  if (missing !== undefined) throw new ScopeViolation(`I3: ${NAMES[index]} is promoted in epoch ${epoch} without the acknowledged write ${missing}`);
  if (scope.primary !== null && scope.primary !== NAMES[index] && !scope.streamed) {
    throw new ScopeViolation(`I10: ${NAMES[index]} is promoted in epoch ${epoch}, and was never seen streaming from ${scope.primary}`);
  }
}

function lsnAt(writes: number): ReturnType<typeof lsn> {
  return lsn(`0/${(writes + 1).toString(16).toUpperCase()}`);
}
