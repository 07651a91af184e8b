// One lease: a Durable Object with one record in SQLite. Each call reads the record, applies one command by the pure lease
// function and stores the result in one synchronous transaction, with nothing awaited in between. Nothing about the lease
// is kept in memory: a deploy, a move or an eviction may reset this object at any moment.
//
// Calls and answers are JSON texts, and an answer carries its own HTTP status, so that a Worker of one version and an object
// of another understand each other while a deploy is under way. The alarm only tells watchers; it decides nothing.

import { DurableObject } from 'cloudflare:workers';
import { applyCommand, leaseDeadlines, newLease, regionId, viewLease, wallMs } from '@continuum/core';
import type { LeaseEventKind, LeaseRecord, WallMs } from '@continuum/core';
import { describeFields, leaseCommand, parseWire, signPush } from '@continuum/wire';
import { configOf } from './config.ts';
import type { Config, Env } from './config.ts';
import { toProblem } from './problems.ts';
import type { ProblemCode } from './problems.ts';
import { RecordCorruptError, loadRecord, storeRecord } from './record.ts';

/** What the Worker signs and sends: status and JSON text. */
export type Answer = { readonly status: number; readonly body: string };

/** Headers by which the Worker tells who opened a watch. They never come from outside: the Worker sets them all. */
export const WATCH_HEADERS = { lease: 'x-continuum-lease', region: 'x-continuum-region', nonce: 'x-continuum-nonce' };
export const PING = 'ping';
export const PONG = 'pong';

/** A region has a controller or two; what exceeds this are connections that died without a word. */
const WATCHES_PER_REGION_MAX = 16;
const CLOSE_REPLACED = 4001;
const CLOSE_NOT_UNDERSTOOD = 1003;

type Watcher = { readonly name: string; readonly region: string; readonly nonce: string; readonly openedMs: number };
type Stage = { readonly event: 'overdue' | 'expired' | null; readonly nextMs: WallMs | null };

export class LeaseObject extends DurableObject<Env> {
  #pushes: Promise<void> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Answered by the runtime without waking this object: a watcher's proof that the connection lives.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    log('info', 'lease object started', { object: ctx.id.toString(), watches: ctx.getWebSockets().length });
  }

  /** Carries out one command. `command` is JSON text, already known to come from the region that it names. */
  async execute(call: { readonly name: string; readonly command: string }): Promise<Answer> {
    const config = await configOf(this.env);
    const parsed = parseWire(leaseCommand, JSON.parse(call.command));
    if (!parsed.ok) return refused('CTM_WITNESS_BODY_INVALID', describeFields(parsed.fields));
    const applied = this.#transaction(() => {
      const result = applyCommand(this.#load(call.name, config), parsed.value, now());
      storeRecord(this.ctx.storage.sql, result.record);
      return result;
    });
    if ('problem' in applied) return applied.problem;
    const { record, reply, events } = applied.value;
    await this.#arm(record);
    this.#push(record, events, this.ctx.getWebSockets(), config);
    return { status: reply.outcome.ok ? 200 : 409, body: JSON.stringify(reply) };
  }

  /** The lease as `region` sees it. Touches the storage, so that an object that was replaced notices and fails. */
  async read(call: { readonly name: string; readonly region: string }): Promise<Answer> {
    const config = await configOf(this.env);
    const observed = this.#transaction(() => this.#observe(call.name, config));
    if ('problem' in observed) return observed.problem;
    return { status: 200, body: JSON.stringify(viewLease(observed.value, regionId(call.region), now())) };
  }

  /** Opens a watch. The Worker has checked who asks. */
  override async fetch(request: Request): Promise<Response> {
    const config = await configOf(this.env);
    const watcher: Watcher = {
      name: request.headers.get(WATCH_HEADERS.lease) ?? '',
      region: request.headers.get(WATCH_HEADERS.region) ?? '',
      nonce: request.headers.get(WATCH_HEADERS.nonce) ?? '',
      openedMs: Date.now(),
    };
    const observed = this.#transaction(() => this.#observe(watcher.name, config));
    if ('problem' in observed) return new Response(observed.problem.body, { status: observed.problem.status });
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [watcher.region]);
    server.serializeAttachment(watcher);
    this.#closeSilentWatches(watcher.region);
    await this.#arm(observed.value);
    const { event } = stageOf(observed.value, now());
    if (event !== null) this.#push(observed.value, [event], [server], config);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async alarm(): Promise<void> {
    const config = await configOf(this.env);
    const watchers = this.ctx.getWebSockets();
    const name = watchers.map(watcherOf)[0]?.name;
    if (name === undefined) return;
    const observed = this.#transaction(() => this.#observe(name, config));
    if ('problem' in observed) return;
    const { event } = stageOf(observed.value, now());
    if (event !== null) this.#push(observed.value, [event], watchers, config);
    await this.#arm(observed.value);
  }

  override webSocketMessage(socket: WebSocket): void {
    socket.close(CLOSE_NOT_UNDERSTOOD, `a watch understands only ${PING}`);
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    log('info', 'watch closed', { ...watcherOf(socket), code });
  }

  override webSocketError(socket: WebSocket, error: unknown): void {
    log('info', 'watch failed', { ...watcherOf(socket), error: String(error) });
  }

  #load(name: string, config: Config): LeaseRecord {
    const stored = loadRecord(this.ctx.storage.sql, name);
    if (stored !== null) return stored;
    const restore = config.restore.get(name);
    const fresh = newLease(name, now());
    if (restore === undefined) return fresh;
    return { ...fresh, epoch: restore.epoch as LeaseRecord['epoch'], inSync: restore.inSync.map(regionId) };
  }

  /** Reads. When that shows an expiry, the clock is stored: who was told "expired" will not hear "renewed" later. */
  #observe(name: string, config: Config): LeaseRecord {
    const record = this.#load(name, config);
    const at = now();
    const expired = record.holder !== null && record.clockMs < record.expiresAtMs && at >= record.expiresAtMs;
    if (!expired) return record;
    const observed = { ...record, clockMs: at };
    storeRecord(this.ctx.storage.sql, observed);
    return observed;
  }

  #transaction<T>(body: () => T): { value: T } | { problem: Answer } {
    try {
      return { value: this.ctx.storage.transactionSync(body) };
    } catch (error) {
      if (!(error instanceof RecordCorruptError)) throw error;
      log('error', 'stored lease is corrupt', { code: error.code, detail: error.message });
      return { problem: refused(error.code, `${error.message}; nothing is granted until an operator restores it`) };
    }
  }

  /**
   * Sees to it that the alarm rings not later than the next deadline. An earlier alarm is left alone and looks again when it
   * rings, so that a renewal costs no second write. One in the past is set anew: workerd forgets it over a restart.
   */
  async #arm(record: LeaseRecord): Promise<void> {
    if (this.ctx.getWebSockets().length === 0) return;
    const { nextMs } = stageOf(record, now());
    if (nextMs === null) return;
    const set = await this.ctx.storage.getAlarm();
    if (set !== null && set > Date.now() && set <= nextMs) return;
    await this.ctx.storage.setAlarm(nextMs);
  }

  /** Tells each watcher, in the order of the changes, after the reply was handed over. */
  #push(record: LeaseRecord, events: readonly LeaseEventKind[], sockets: readonly WebSocket[], config: Config): void {
    if (events.length === 0 || sockets.length === 0) return;
    const at = now();
    this.#pushes = this.#pushes.then(async () => {
      for (const socket of sockets) {
        for (const event of events) await pushOne(socket, event, record, at, config);
      }
    });
    this.ctx.waitUntil(this.#pushes);
  }

  #closeSilentWatches(region: string): void {
    const lastHeardMs = (socket: WebSocket) =>
      Math.max(watcherOf(socket).openedMs, this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0);
    const sockets = this.ctx.getWebSockets(region).sort((a, b) => lastHeardMs(b) - lastHeardMs(a));
    for (const socket of sockets.slice(WATCHES_PER_REGION_MAX)) socket.close(CLOSE_REPLACED, 'replaced by newer watches');
  }
}

async function pushOne(
  socket: WebSocket,
  event: LeaseEventKind,
  record: LeaseRecord,
  at: WallMs,
  config: Config,
): Promise<void> {
  const { region, nonce } = watcherOf(socket);
  try {
    const push = JSON.stringify({ watch: nonce, event, view: viewLease(record, regionId(region), at) });
    socket.send(JSON.stringify(await signPush(config.signingKey, push)));
  } catch (error) {
    // A watcher that went away meanwhile. The others still hear, and it will look for itself when it is back.
    log('info', 'push not delivered', { region, event, error: String(error) });
  }
}

function stageOf(record: LeaseRecord, nowMs: WallMs): Stage {
  const deadlines = leaseDeadlines(record);
  if (deadlines === null) return { event: null, nextMs: null };
  const at = nowMs > record.clockMs ? nowMs : record.clockMs;
  if (at >= deadlines.expiresAtMs) return { event: 'expired', nextMs: null };
  if (at >= deadlines.overdueAtMs) return { event: 'overdue', nextMs: deadlines.expiresAtMs };
  return { event: null, nextMs: deadlines.overdueAtMs };
}

function watcherOf(socket: WebSocket): Watcher {
  return socket.deserializeAttachment() as Watcher;
}

function refused(code: ProblemCode, detail: string): Answer {
  const problem = toProblem(code, detail);
  return { status: problem.status, body: JSON.stringify(problem) };
}

function now(): WallMs {
  return wallMs(Date.now());
}

function log(level: 'info' | 'error', message: string, detail: Readonly<Record<string, unknown>>): void {
  console[level](JSON.stringify({ level, message, ...detail }));
}
