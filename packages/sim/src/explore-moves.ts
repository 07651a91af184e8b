// Everything that can happen next in the small scope. A move is a name and what comes of it, worked out only when it is taken.

import type { Action, ControllerEvent } from '@continuum/core';
import { applyCommand, decide, epoch, initialState, judge, monoMs, regionId, remainingValidityMs, takeInstruction, viewLease, wallMs } from '@continuum/core';
import { canFinish, finish, observe, replicate, write } from './explore-database.ts';
import type { Index, Message, Scope } from './explore-scope.ts';
import { CONNECTED, MESSAGES_MAX, NAMES, STEP_MS, ScopeViolation, TIMINGS, clock, policy, put, spend } from './explore-scope.ts';

export type Move = { readonly label: string; readonly run: () => Scope };

export function moves(scope: Scope): Move[] {
  const next: Move[] = scope.messages.flatMap((message, at) => movesOfMessage(scope, message, at));
  for (const index of [0, 1] as const) next.push(...movesOf(scope, index));
  if (isQuiet(scope)) next.push({ label: 'time passes', run: () => pass(scope) });
  return next;
}

/** Nothing is on its way but what was held up, and nobody works on anything that can be done. */
function isQuiet(scope: Scope): boolean {
  if (scope.messages.some((message) => !message.late && canArrive(scope, message))) return false;
  return scope.regions.every(({ operation, paused }, index) => operation === null || operation.late || paused || !canFinish(scope, index as Index, operation.action));
}

function canArrive(scope: Scope, message: Message): boolean {
  return message.to === 'witness' || !scope.regions[message.region].paused;
}

function movesOfMessage(scope: Scope, message: Message, at: number): Move[] {
  const rest = { ...scope, messages: scope.messages.filter((_, index) => index !== at) };
  const name = `${message.to === 'witness' ? (message.command?.kind ?? 'read') : 'reply'} ${message.id} of ${NAMES[message.region]}`;
  const next: Move[] = [];
  if (canArrive(scope, message)) next.push({ label: `${name} arrives${message.late ? ' late' : ''}`, run: () => arrive(rest, message) });
  if (scope.budget.losses > 0) next.push({ label: `${name} is lost`, run: () => spend(rest, 'losses') });
  if (scope.budget.delays > 0 && !message.late) {
    next.push({ label: `${name} is held up`, run: () => spend({ ...rest, messages: [...rest.messages, { ...message, late: true }] }, 'delays') });
  }
  return next;
}

function movesOf(scope: Scope, index: Index): Move[] {
  const region = scope.regions[index];
  const { budget } = scope;
  const name = NAMES[index];
  const next = movesOfOperation(scope, index);
  if (budget.writes > 0 && serves(scope, index)) next.push({ label: `a write at ${name}`, run: () => write(spend(scope, 'writes'), index) });
  if (budget.crashes > 0) {
    next.push({ label: `controller of ${name} restarts`, run: () => restart(spend(scope, 'crashes'), index) });
    if (region.database.role !== 'down') next.push({ label: `database of ${name} dies`, run: () => databaseDies(spend(scope, 'crashes'), index) });
  }
  if (budget.pauses > 0 && !region.paused) next.push({ label: `controller of ${name} stops`, run: () => put(spend(scope, 'pauses'), index, { paused: true }) });
  if (region.paused) next.push({ label: `controller of ${name} continues`, run: () => put(scope, index, { paused: false }) });
  if (budget.switchovers > 0 && !region.paused && scope.record.holder === name) {
    const to = regionId(NAMES[index === 0 ? 1 : 0]);
    const word = { kind: 'switchover' as const, id: 's1', to, atMs: monoMs(scope.nowMs) };
    next.push({ label: `an operator asks for a switchover to ${to}`, run: () => feed(spend(scope, 'switchovers'), index, { kind: 'operator-asked', word }) });
  }
  return next;
}

function movesOfOperation(scope: Scope, index: Index): Move[] {
  const { operation, paused } = scope.regions[index];
  if (operation === null || paused) return [];
  const { id, action, late } = operation;
  const name = `${action.kind} of ${NAMES[index]}`;
  const next: Move[] = [{ label: `${name} succeeds${late ? ' late' : ''}`, run: () => succeed(scope, index) }];
  const done = (after: Scope, result: Extract<ControllerEvent, { kind: 'database-done' }>['result']): Scope =>
    feed(put(after, index, { operation: null }), index, { kind: 'database-done', id, result });
  if (scope.budget.losses > 0) {
    next.push({ label: `${name} fails`, run: () => done(spend(scope, 'losses'), { ok: false, code: 'CTM_DATABASE_TIMEOUT', message: '' }) });
  }
  if (scope.budget.delays > 0 && !late) {
    next.push({ label: `${name} is held up`, run: () => put(spend(scope, 'delays'), index, { operation: { ...operation, late: true } }) });
  }
  return next;
}

function succeed(scope: Scope, index: Index): Scope {
  const { operation } = scope.regions[index];
  const done = operation === null ? null : finish(scope, index, operation.action);
  // It cannot be done now: it goes on.
  if (operation === null || done === null) return scope;
  const result = { ok: true as const, token: done.token, detail: '' };
  return feed(put(done.scope, index, { operation: null }), index, { kind: 'database-done', id: operation.id, result });
}

// --- what the real functions make of it ------------------------------------------------------------------------------

function feed(scope: Scope, index: Index, event: ControllerEvent): Scope {
  const region = scope.regions[index];
  if (region.paused) return scope;
  const { state, actions } = decide(region.state, event, clock(scope.nowMs));
  return actions.reduce((after, action) => perform(after, index, action), put(scope, index, { state }));
}

function perform(scope: Scope, index: Index, action: Action): Scope {
  const { life, weightsEpoch } = scope.regions[index];
  switch (action.kind) {
    case 'persist':
      return put(scope, index, { persisted: action.epoch });
    case 'register': {
      if (scope.messages.length >= MESSAGES_MAX) return scope;
      const command = action.request.kind === 'read' ? null : action.request;
      return { ...scope, messages: [...scope.messages, { to: 'witness', region: index, id: action.id, life, late: false, command }] };
    }
    case 'database':
      return put(scope, index, { operation: { id: action.id, action: action.action, late: false } });
    case 'gate':
      return put(scope, index, { directive: action.directive });
    case 'drain':
      return put(scope, index, { draining: action.id });
    case 'traffic': {
      checkWeights(scope, index, action.weights);
      return feed(put(scope, index, { weightsEpoch: Math.max(weightsEpoch, action.weights.epoch) }), index, { kind: 'traffic-done', id: action.id, ok: true, detail: '' });
    }
    default:
      return scope;
  }
}

function arrive(scope: Scope, message: Message): Scope {
  const { region, id, life } = message;
  if (message.to === 'region') {
    if (life !== scope.regions[region].life) return scope;
    return feed(scope, region, { kind: 'register-answered', id, answer: { ok: true, reply: message.reply } });
  }
  const at = wallMs(scope.nowMs);
  if (message.command === null) {
    const view = viewLease(scope.record, regionId(NAMES[region]), at);
    const reply = { outcome: { ok: true as const }, view };
    return { ...scope, messages: [...scope.messages, { to: 'region', region, id, life, late: message.late, reply }] };
  }
  const { record, reply } = applyCommand(scope.record, message.command, at);
  const back: Message = { to: 'region', region, id, life, late: message.late, reply };
  return { ...grant(scope, record, message.command), record, messages: [...scope.messages, back] };
}

/** I1 and I8 at the witness. */
function grant(before: Scope, record: Scope['record'], command: NonNullable<Extract<Message, { to: 'witness' }>['command']>): Scope {
  if (record.epoch === before.record.epoch || record.holder === null) return before;
  const region = record.holder;
  const held = before.record.holder !== null && before.nowMs < before.record.expiresAtMs;
  if (before.granted.some((one) => one.epoch === record.epoch && one.region !== region)) throw new ScopeViolation(`I1: epoch ${record.epoch} is granted a second time, to ${region}`);
  if (held && command.kind !== 'transfer') throw new ScopeViolation(`I1: ${region} is granted the lease while ${before.record.holder} holds it`);
  if (before.record.epoch > 0 && !before.record.inSync.includes(region)) throw new ScopeViolation(`I8: ${region} is granted epoch ${record.epoch} outside the in-sync set`);
  return { ...before, granted: [...before.granted, { epoch: record.epoch, region }] };
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

/** The gate asks: it takes what it may, by the real function, and says what it does now. */
function askGate(scope: Scope, index: Index): Scope {
  const { directive, taken, gate, paused } = scope.regions[index];
  if (paused || directive === null || directive === taken) return scope;
  const { mode, activeRegion, holdForwarded, validUntilMs } = directive;
  const instruction = { version: 1, epoch: directive.epoch, mode, activeRegion, holdForwarded, holdMsMax: TIMINGS.holdMsMax };
  const remainingMs = Math.max(0, validUntilMs - scope.nowMs);
  const { state, outcome } = takeInstruction(gate, instruction, clock(scope.nowMs), remainingMs);
  if (outcome === 'epoch-stale') return scope;
  const observation = { connected: true, held: 0, mode, epoch: directive.epoch };
  return feed(put(scope, index, { taken: directive, gate: state }), index, { kind: 'gate-observed', observation });
}

/** The gate lets a request through to its own region. */
export function opens(scope: Scope, index: Index): boolean {
  const { gate } = scope.regions[index];
  const now = clock(scope.nowMs);
  if (remainingValidityMs(gate, now) === 0) return false;
  const request = { kind: 'application' as const, forwardedBy: [], arrivedMonoMs: now.monoMs, held: false };
  const verdict = judge(gate, request, { region: regionId(NAMES[index]), held: 0, heldMax: 1, holdMsLimit: TIMINGS.holdMsMax }, now);
  return verdict.kind === 'allow' && verdict.route === NAMES[index];
}

function serves(scope: Scope, index: Index): boolean {
  return scope.regions[index].database.role === 'primary' && opens(scope, index);
}

function restart(scope: Scope, index: Index): Scope {
  const { persisted, life } = scope.regions[index];
  const restored = { instance: `${NAMES[index]}-1`, epoch: persisted };
  const state = { ...initialState(policy(index), restored, clock(scope.nowMs)), gate: CONNECTED };
  return put(scope, index, { state, life: life + 1, paused: false, operation: null, draining: null, directive: null });
}

function databaseDies(scope: Scope, index: Index): Scope {
  const { database } = scope.regions[index];
  return put(scope, index, { database: { ...database, role: 'down' } });
}

/** I9: all to the region that was granted that epoch, and nothing of an older one after a newer one. */
function checkWeights(scope: Scope, index: Index, { epoch: of, weights }: Extract<Action, { kind: 'traffic' }>['weights']): void {
  const active = scope.granted.find((one) => one.epoch === of)?.region ?? null;
  const given = Object.entries(weights).filter(([, weight]) => weight > 0);
  if (given.length === 0 || given.some(([region]) => region !== active)) {
    throw new ScopeViolation(`I9: ${NAMES[index]} has ${JSON.stringify(weights)} in epoch ${of}, which belongs to ${active}`);
  }
}

// --- what must hold in every state -----------------------------------------------------------------------------------

/** The functions under test assert the rest themselves. */
export function check(before: Scope, scope: Scope): void {
  if (opens(scope, 0) && opens(scope, 1)) throw new ScopeViolation('I4: both gates let requests through');
  for (const index of [0, 1] as const) {
    checkMonotone(before, scope, index);
    if (!opens(scope, index)) continue;
    const { gate, database, persisted } = scope.regions[index];
    const { record, nowMs } = scope;
    const of = gate.instruction?.epoch ?? epoch(0);
    if (record.holder !== NAMES[index] || record.epoch !== of || nowMs >= record.expiresAtMs) {
      throw new ScopeViolation(`I4: ${NAMES[index]} lets requests through in epoch ${of}; the witness has ${record.holder}, epoch ${record.epoch}`);
    }
    if (persisted < of) throw new ScopeViolation(`I6: ${NAMES[index]} lets requests through in epoch ${of} with ${persisted} on disk`);
    if (database.role === 'primary' && scope.acknowledged.some((id) => !database.log.includes(id))) {
      throw new ScopeViolation(`I3: ${NAMES[index]} serves without an acknowledged write`);
    }
  }
}

/** I2 and I6: no store and no resource goes back, or ahead of the witness. */
function checkMonotone(before: Scope, after: Scope, index: Index): void {
  const [old, now] = [before.regions[index], after.regions[index]];
  const stores = [
    ['disk', old.persisted, now.persisted],
    ['gate', old.gate.epochMax, now.gate.epochMax],
    ['database', old.database.epoch, now.database.epoch],
    ['weights', old.weightsEpoch, now.weightsEpoch],
  ] as const;
  for (const [store, was, is] of stores) {
    if (is < was) throw new ScopeViolation(`I2: the ${store} of ${NAMES[index]} goes from epoch ${was} to ${is}`);
    if (is > after.record.epoch) throw new ScopeViolation(`I6: the ${store} of ${NAMES[index]} has epoch ${is}; the witness is at ${after.record.epoch}`);
  }
}
