// The small scope that is searched whole: two regions and a witness under the real lease and decision functions, with a database of a
// few writes, at most a handful of messages under way, one crash and one pause. Time passes in steps that are equal for all.

import type {
  Action,
  ControllerEvent,
  ControllerState,
  DatabaseAction,
  DatabaseObservation,
  GateDirective,
  LeaseCommand,
  LeaseRecord,
  LeaseReply,
  Policy,
} from '@continuum/core';
import { applyCommand, decide, deriveTimings, epoch, initialState, lsn, monoMs, newLease, regionId, viewLease, wallMs } from '@continuum/core';

/** A third of the ttl: a takeover is a few steps away. */
export const STEP_MS = 1_000;
const TIMINGS = deriveTimings(6_000);
const MESSAGES_MAX = 4;
const WRITES_MAX = 2;
const NAMES = ['r1', 'r2'] as const;

export type SmallDatabase = {
  readonly role: 'primary' | 'standby' | 'down';
  readonly shape: 'primary' | 'standby';
  readonly epoch: number;
  readonly log: readonly number[];
  readonly synchronous: readonly string[];
};

export type SmallRegion = {
  readonly state: ControllerState;
  readonly paused: boolean;
  readonly persisted: number;
  readonly directive: GateDirective | null;
  /** What is in force in the gate. */
  readonly gate: GateDirective | null;
  readonly gateEpochMax: number;
  readonly database: SmallDatabase;
  readonly operation: { readonly id: number; readonly action: DatabaseAction } | null;
  readonly draining: number | null;
};

export type Message =
  | { readonly to: 'witness'; readonly region: number; readonly id: number; readonly command: LeaseCommand | null }
  | { readonly to: 'region'; readonly region: number; readonly id: number; readonly reply: LeaseReply };

export type Scope = {
  readonly nowMs: number;
  readonly record: LeaseRecord;
  readonly regions: readonly [SmallRegion, SmallRegion];
  readonly messages: readonly Message[];
  readonly crashes: number;
  readonly pauses: number;
  readonly switchovers: number;
  /** Messages that may be lost and operations that may fail. */
  readonly losses: number;
  readonly writes: number;
  readonly acknowledged: readonly number[];
};

export type Move = { readonly label: string; readonly scope: Scope };

/** Something that must not be. */
export class ScopeViolation extends Error {}

export type Budget = Pick<Scope, 'crashes' | 'pauses' | 'switchovers' | 'losses'>;

export function firstScope(limits: Budget): Scope {
  const nowMs = 1_000_000;
  const region = (index: number): SmallRegion => ({
    state: { ...initialState(policy(index), { instance: `${NAMES[index]}-1`, epoch: 0 }, clock(nowMs)), gate: CONNECTED },
    paused: false,
    persisted: 0,
    directive: null,
    gate: null,
    gateEpochMax: 0,
    database: { role: index === 0 ? 'down' : 'standby', shape: index === 0 ? 'primary' : 'standby', epoch: 0, log: [], synchronous: [] },
    operation: null,
    draining: null,
  });
  const record = newLease('demo', wallMs(nowMs));
  return { nowMs, record, regions: [region(0), region(1)], messages: [], writes: 0, acknowledged: [], ...limits };
}

/** Everything that can happen next. */
export function moves(scope: Scope): Move[] {
  const next: Move[] = [{ label: 'time passes', scope: pass(scope) }];
  scope.messages.forEach((message, index) => {
    const rest = { ...scope, messages: scope.messages.filter((_, at) => at !== index) };
    const name = `${message.to === 'witness' ? 'command' : 'reply'} ${message.id} of ${NAMES[message.region]}`;
    next.push({ label: `${name} arrives`, scope: arrive(rest, message) });
    if (scope.losses > 0) next.push({ label: `${name} is lost`, scope: { ...rest, losses: scope.losses - 1 } });
  });
  for (const index of [0, 1] as const) next.push(...movesOf(scope, index));
  return next;
}

function movesOf(scope: Scope, index: 0 | 1): Move[] {
  const region = scope.regions[index];
  const name = NAMES[index];
  const next: Move[] = [];
  if (region.operation !== null) {
    const done = finish(scope, index);
    if (done !== null) next.push({ label: `${region.operation.action.kind} of ${name} succeeds`, scope: done });
    if (scope.losses > 0) {
      const failed = fail({ ...scope, losses: scope.losses - 1 }, index);
      next.push({ label: `${region.operation.action.kind} of ${name} fails`, scope: failed });
    }
  }
  if (serves(scope, index) && scope.writes < WRITES_MAX) next.push({ label: `a write at ${name}`, scope: write(scope, index) });
  if (scope.crashes > 0) {
    next.push({ label: `controller of ${name} restarts`, scope: restart({ ...scope, crashes: scope.crashes - 1 }, index) });
    next.push({ label: `database of ${name} dies`, scope: databaseDies({ ...scope, crashes: scope.crashes - 1 }, index) });
  }
  if (scope.pauses > 0 && !region.paused) {
    next.push({ label: `controller of ${name} stops`, scope: put({ ...scope, pauses: scope.pauses - 1 }, index, { paused: true }) });
  }
  if (region.paused) next.push({ label: `controller of ${name} continues`, scope: put(scope, index, { paused: false }) });
  if (scope.switchovers > 0 && scope.record.holder === name) {
    const to = regionId(NAMES[1 - index] as string);
    const word = { kind: 'switchover' as const, id: 's1', to, atMs: monoMs(scope.nowMs) };
    const asked = feed({ ...scope, switchovers: scope.switchovers - 1 }, index, { kind: 'operator-asked', word });
    next.push({ label: `an operator asks for a switchover to ${to}`, scope: asked });
  }
  return next;
}

/** What must hold in every state. The functions under test assert the rest themselves. */
export function check(scope: Scope): void {
  const serving = ([0, 1] as const).filter((index) => opens(scope, index));
  if (serving.length > 1) throw new ScopeViolation('I4: both gates serve');
  const [only] = serving;
  if (only === undefined) return;
  const { gate, database } = scope.regions[only];
  if (gate !== null && (scope.record.holder !== NAMES[only] || scope.record.epoch !== gate.epoch)) {
    throw new ScopeViolation(`I4: ${NAMES[only]} serves in epoch ${gate.epoch}, the witness is at ${scope.record.epoch}`);
  }
  if (database.role === 'primary' && scope.acknowledged.some((id) => !database.log.includes(id))) {
    throw new ScopeViolation(`I3: ${NAMES[only]} serves without an acknowledged write`);
  }
}

/** A text that is equal for states that behave alike: times from now on, counters from where they stand. */
export function canonical(scope: Scope): string {
  const { record, messages, crashes, pauses, switchovers, losses, acknowledged } = scope;
  const { epoch: at, holder, ttlMs, inSync, handover, intent } = record;
  const seqs = NAMES.map((region) => record.last[region]?.seq ?? 0);
  return JSON.stringify([
    [at, holder, ttlMs, inSync, handover, intent === null ? null : [intent.id, intent.to, intent.target], ahead(scope, record.expiresAtMs)],
    scope.regions.map((region, index) => regionKey(scope, region, seqs[index] ?? 0)),
    messages.map((message) => messageKey(scope, message)),
    [crashes, pauses, switchovers, losses, acknowledged],
  ]);
}

function regionKey(scope: Scope, region: SmallRegion, seq: number): unknown[] {
  const { state, paused, persisted, directive, gate, gateEpochMax, database, operation, draining } = region;
  const { phase, view, grant, request, streaming, databaseAction, operator } = state;
  const at = (ms: number | null): number | null => (ms === null ? null : ahead(scope, ms));
  return [
    [paused, persisted, gateEpochMax, draining === null ? null : draining === state.drainPending, database, operation?.action ?? null, directive === gate],
    [gate?.mode, gate?.epoch, at(gate?.validUntilMs ?? null), directive?.mode, directive?.epoch, at(directive?.validUntilMs ?? null)],
    ['sinceMs' in phase ? { ...phase, sinceMs: at(phase.sinceMs) } : 'deadlineMs' in phase ? { ...phase, deadlineMs: at(phase.deadlineMs) } : phase],
    view === null ? null : [view.epoch, view.holder, view.inSync, view.remainingMs, view.intent, view.handover, scope.record.revision - view.revision],
    [at(state.viewMs), grant?.epoch, at(grant?.validUntilMs ?? null), state.promotedEpoch, state.seq - seq, at(state.lastRenewMs), at(state.retryRequestMs)],
    [request === null ? null : [request.request.kind, at(request.sentMs)], databaseAction?.action ?? null, at(databaseAction?.sinceMs ?? null)],
    [state.database?.role, state.database?.epoch, state.database?.lsn, at(state.databaseMs), at(state.retryDatabaseMs), at(state.databaseBadSinceMs)],
    [streaming.regions, at(streaming.sinceMs), state.synchronous, state.caughtUp, state.gate.mode, state.gate.epoch, state.drainPending !== null],
    [operator?.kind, at(state.notBeforeMs), at(state.holdDownUntilMs), at(state.streamLostSinceMs)],
  ];
}

function messageKey(scope: Scope, message: Message): unknown[] {
  const { state } = scope.regions[message.region as 0 | 1];
  const fresh = state.request?.id === message.id;
  if (message.to === 'witness') return [message.region, fresh, message.command === null ? null : { ...message.command, seq: 0 }];
  const { outcome, view } = message.reply;
  return [message.region, fresh, outcome.ok, view.epoch, view.holder, view.inSync, view.remainingMs, scope.record.revision - view.revision];
}

/** From now, in grains of 20 ms; what is long past is simply past. */
function ahead(scope: Scope, atMs: number): number {
  return Math.max(-200, Math.round((atMs - scope.nowMs) / 20));
}

// --- one move --------------------------------------------------------------------------------------------------------

const CONNECTED = { connected: true, held: 0, mode: null, epoch: 0 };

function policy(index: number): Policy {
  return {
    name: 'demo',
    region: regionId(NAMES[index] as string),
    regions: NAMES.map((name) => regionId(name)),
    databases: { r1: 'r1:5432', r2: 'r2:5432' },
    mode: 'automatic',
    timings: TIMINGS,
    hash: 'p',
  };
}

const clock = (nowMs: number): ControllerState['now'] => ({ monoMs: monoMs(nowMs), wallMs: wallMs(nowMs) });

function put(scope: Scope, index: number, change: Partial<SmallRegion>): Scope {
  const [first, second] = scope.regions;
  return { ...scope, regions: index === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }] };
}

function feed(scope: Scope, index: number, event: ControllerEvent): Scope {
  const region = scope.regions[index as 0 | 1];
  if (region.paused) return scope;
  const { state, actions } = decide(region.state, event, clock(scope.nowMs));
  return actions.reduce((after, action) => perform(after, index, action), put(scope, index, { state }));
}

function perform(scope: Scope, index: number, action: Action): Scope {
  switch (action.kind) {
    case 'persist':
      return put(scope, index, { persisted: action.epoch });
    case 'register': {
      if (scope.messages.length >= MESSAGES_MAX) return scope;
      const command = action.request.kind === 'read' ? null : action.request;
      return { ...scope, messages: [...scope.messages, { to: 'witness', region: index, id: action.id, command }] };
    }
    case 'database':
      return put(scope, index, { operation: { id: action.id, action: action.action } });
    case 'gate':
      return put(scope, index, { directive: action.directive });
    case 'drain':
      return put(scope, index, { draining: action.id });
    case 'traffic':
      return feed(scope, index, { kind: 'traffic-done', id: action.id, ok: true, detail: '' });
    default:
      return scope;
  }
}

function arrive(scope: Scope, message: Message): Scope {
  if (message.to === 'region') {
    return feed(scope, message.region, { kind: 'register-answered', id: message.id, answer: { ok: true, reply: message.reply } });
  }
  const { region, id, command } = message;
  const at = wallMs(scope.nowMs);
  if (command === null) {
    // A read changes nothing: its way back is not drawn out.
    const view = viewLease(scope.record, regionId(NAMES[region] as string), at);
    return feed(scope, region, { kind: 'register-answered', id, answer: { ok: true, reply: { outcome: { ok: true }, view } } });
  }
  const { record, reply } = applyCommand(scope.record, command, at);
  return { ...scope, record, messages: [...scope.messages, { to: 'region', region, id, reply }] };
}

/** One step of time: gates ask, databases are looked at, what took too long has failed, and both controllers look around. */
function pass(before: Scope): Scope {
  let scope: Scope = { ...before, nowMs: before.nowMs + STEP_MS };
  for (const index of [0, 1] as const) {
    scope = replicate(scope, index);
    const { request } = scope.regions[index].state;
    if (request !== null && scope.nowMs >= request.sentMs + TIMINGS.commandMs) {
      const answer = { ok: false as const, code: 'CTM_REGISTER_TIMEOUT', message: '' };
      scope = feed(scope, index, { kind: 'register-answered', id: request.id, answer });
    }
    scope = askGate(scope, index);
    const startedMs = monoMs(scope.nowMs);
    scope = feed(scope, index, { kind: 'database-observed', startedMs, observation: observe(scope, index) });
    const { draining, paused } = scope.regions[index];
    if (draining !== null && !paused) {
      scope = feed(put(scope, index, { draining: null }), index, { kind: 'drained', id: draining, ok: true, detail: '' });
    }
  }
  return scope;
}

function askGate(scope: Scope, index: number): Scope {
  const { directive, gate, gateEpochMax, paused } = scope.regions[index as 0 | 1];
  if (paused || directive === null || directive === gate || directive.epoch < gateEpochMax) return scope;
  const taken = put(scope, index, { gate: directive, gateEpochMax: directive.epoch });
  const observation = { connected: true, held: 0, mode: directive.mode, epoch: directive.epoch };
  return feed(taken, index, { kind: 'gate-observed', observation });
}

function opens(scope: Scope, index: 0 | 1): boolean {
  const { gate } = scope.regions[index];
  return gate !== null && gate.mode === 'open' && scope.nowMs < gate.validUntilMs;
}

function serves(scope: Scope, index: 0 | 1): boolean {
  return opens(scope, index) && scope.regions[index].database.role === 'primary';
}

function restart(scope: Scope, index: number): Scope {
  const { persisted } = scope.regions[index as 0 | 1];
  const restored = { instance: `${NAMES[index]}-1`, epoch: persisted };
  const state = { ...initialState(policy(index), restored, clock(scope.nowMs)), gate: CONNECTED };
  return put(scope, index, { state, operation: null, draining: null, directive: null });
}

function databaseDies(scope: Scope, index: number): Scope {
  const { database } = scope.regions[index as 0 | 1];
  return put(scope, index, { database: { ...database, role: 'down' } });
}

// --- the databases ---------------------------------------------------------------------------------------------------

function streams(scope: Scope, index: number): boolean {
  const standby = scope.regions[index as 0 | 1].database;
  const source = scope.regions[(1 - index) as 0 | 1].database;
  const prefix = standby.log.every((id, at) => source.log[at] === id);
  return standby.role === 'standby' && source.role === 'primary' && prefix;
}

function replicate(scope: Scope, index: number): Scope {
  if (!streams(scope, index)) return scope;
  const { database } = scope.regions[index as 0 | 1];
  const source = scope.regions[(1 - index) as 0 | 1].database;
  return put(scope, index, { database: { ...database, log: source.log, epoch: Math.max(database.epoch, source.epoch) } });
}

function write(scope: Scope, index: 0 | 1): Scope {
  const { database } = scope.regions[index];
  const id = scope.writes + 1;
  const logged = put({ ...scope, writes: id }, index, { database: { ...database, log: [...database.log, id] } });
  if (database.synchronous.length === 0) return { ...logged, acknowledged: [...scope.acknowledged, id] };
  const other = (1 - index) as 0 | 1;
  if (!streams(logged, other)) return logged;
  return { ...replicate(logged, other), acknowledged: [...scope.acknowledged, id] };
}

function observe(scope: Scope, index: number): DatabaseObservation {
  const { database } = scope.regions[index as 0 | 1];
  const other = 1 - index;
  const at = lsn(`0/${(database.log.length + 1).toString(16)}`);
  const standby = streams(scope, other);
  const primary = database.role === 'primary';
  return {
    role: database.role,
    shape: database.shape,
    systemIdentifier: '1',
    timeline: 1,
    lsn: at,
    replayLsn: primary ? null : at,
    receiver: database.role === 'standby' ? { streaming: streams(scope, index), source: `${NAMES[other]}:5432`, messageAgeMs: null } : null,
    replayPaused: primary ? null : false,
    standbys: primary && standby ? [{ region: NAMES[other] as string, state: 'streaming', syncState: 'sync', replayLsn: at, replayLagBytes: 0 }] : [],
    synchronous: primary ? database.synchronous : [],
    epoch: database.epoch,
    problem: null,
  };
}

function fail(scope: Scope, index: number): Scope {
  const { operation } = scope.regions[index as 0 | 1];
  if (operation === null) return scope;
  const result = { ok: false as const, code: 'CTM_DATABASE_TIMEOUT', message: '' };
  return feed(put(scope, index, { operation: null }), index, { kind: 'database-done', id: operation.id, result });
}

/** The operation's effect, or null when it cannot succeed now. */
function finish(scope: Scope, index: number): Scope | null {
  const { operation, database } = scope.regions[index as 0 | 1];
  if (operation === null) return null;
  const { action, id } = operation;
  if (action.kind !== 'prewarm' && action.epoch < database.epoch) return null;
  const changed = effect(scope, index, action);
  if (changed === null) return null;
  const checkpointLsn = lsn(`0/${(database.log.length + 1).toString(16)}`);
  const token = action.kind === 'demote' ? { systemIdentifier: '1', timeline: 1, checkpointLsn } : null;
  const result = { ok: true as const, token, detail: '' };
  return feed(put(changed, index, { operation: null }), index, { kind: 'database-done', id, result });
}

function effect(scope: Scope, index: number, action: DatabaseAction): Scope | null {
  const { database } = scope.regions[index as 0 | 1];
  const other = (1 - index) as 0 | 1;
  switch (action.kind) {
    case 'prewarm':
      return scope;
    case 'promote': {
      const end = `0/${(database.log.length + 1).toString(16)}`;
      if (action.token !== null && action.token.checkpointLsn !== end) return null;
      if (scope.acknowledged.some((write) => !database.log.includes(write))) {
        throw new ScopeViolation(`I3: ${NAMES[index]} is promoted in epoch ${action.epoch} without an acknowledged write`);
      }
      return put(scope, index, { database: { ...database, role: 'primary', shape: 'primary', epoch: epoch(action.epoch), synchronous: [] } });
    }
    case 'demote':
      if (database.role !== 'primary') return null;
      return put(replicate(scope, other), index, { database: { ...database, role: 'down' } });
    case 'rejoin': {
      const source = scope.regions[other].database;
      if (action.preserve) return put(scope, index, { database: { ...database, role: 'standby', shape: 'standby' } });
      if (source.role !== 'primary') return null;
      return put(scope, index, { database: { ...database, role: 'standby', shape: 'standby', log: source.log, epoch: action.epoch } });
    }
    default:
      if (database.role !== 'primary' || (action.standbys.length > 0 && !streams(scope, other))) return null;
      return put(action.standbys.length > 0 ? replicate(scope, other) : scope, index, { database: { ...database, synchronous: action.standbys } });
  }
}
