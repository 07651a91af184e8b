// One region's controller in standalone mode: `main.ts --config continuum.yaml`. It reads its configuration once, takes
// its state directory, opens its ports, and drives `decide`. Exit codes: 78 the configuration is wrong, 75 something
// that it needs is taken (another controller, a port), 70 a programming error.

import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from '@hono/node-server';
import { pino } from 'pino';
import type { Action, ControllerState, Epoch, MonoMs, Now } from '@continuum/core';
import { decide, initialState, monoMs } from '@continuum/core';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import type { GateLink } from '@continuum/adapters/gate-link/gate-link';
import { LockedError, openAudit, readStateFile, startLoop, StateFileError, systemClock, takeLock, writeStateFile } from '@continuum/runtime';
import type { AuditEntry, Loop } from '@continuum/runtime';
import type { ContinuumConfig } from '@continuum/wire/spec';
import { formatProblems, parseConfig } from '@continuum/wire/spec';
import { z } from 'zod';
import { createApi } from './api.ts';
import { createEffects } from './effects.ts';
import { createMetrics } from './metrics.ts';
import { openPorts } from './ports.ts';

const EXIT_CONFIG = 78;
const EXIT_TAKEN = 75;
const EXIT_BUG = 70;
const RECENT_MAX = 500;
/** How often the database is looked at. */
const OBSERVE_MS = 100;
const OBSERVE_TIMEOUT_MS = 1_000;

const savedState = z.strictObject({ instance: z.uuid(), epoch: z.number().int().nonnegative() });
type SavedState = z.infer<typeof savedState>;

const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime });

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (values.config === undefined) return fail(EXIT_CONFIG, 'CTM_CONFIG_MISSING', 'name the configuration: --config continuum.yaml');
  const parsed = parseConfig(readFileSync(values.config, 'utf8'));
  if (!parsed.ok) return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', formatProblems(values.config, parsed.problems));
  const { config, policy } = parsed;
  mkdirSync(config.local.stateDir, { recursive: true, mode: 0o700 });
  const unlock = lock(join(config.local.stateDir, 'controller.lock'));
  const saved = restore(config);
  const clock = systemClock;
  const audit = openAudit(join(config.local.stateDir, 'audit.jsonl'), policy.region, clock.now());
  const stopping = new AbortController();

  const feed = createFeed();
  const metrics = createMetrics(policy.name, policy.region);
  const record = (now: Now, event: string, detail: Readonly<Record<string, unknown>>): void => {
    feed.publish(audit.append(now, event, detail));
    metrics.recorded(event);
    metrics.auditLost(audit.lost());
    log.info({ event, ...detail });
  };
  const crash = (error: unknown): never => {
    log.fatal({ err: error }, 'a programming error: this process ends, its lease runs out and it is fenced');
    process.exit(EXIT_BUG);
  };

  const gates = createGateEffect();
  const link = await createGateLink({
    socketPath: config.local.gate.socket,
    onChange: () => loop.post({ kind: 'gate-observed', observation: gates.observe() }),
    onDropped: (reason) => log.warn({ reason }, 'gate connection dropped'),
  });
  if (!link.ok) return fail(EXIT_TAKEN, link.failure.code, link.failure.message);
  gates.use(link.value);
  const ports = await openPorts(config, log);

  const initial = initialState(policy, { instance: saved.instance, epoch: saved.epoch }, clock.now());
  const loop: Loop = startLoop({
    initial,
    decide,
    clock,
    onCrash: crash,
    onDecision: (state, now) => metrics.observe(state, now),
    perform: (action, now) => {
      if (action.kind === 'persist') persist(config, saved, action.epoch);
      else if (action.kind === 'gate') gates.direct(action, loop.state());
      else if (action.kind === 'record') record(now, action.event, action.detail);
      else effects.perform(action);
    },
  });
  const effects = createEffects({
    region: policy.region,
    databases: Object.fromEntries(config.spec.regions.map((one) => [one.name, one.database])),
    gatewayAddress: config.spec.regions.find((one) => one.name === policy.region)?.gateway.address ?? '',
    dnsName: config.spec.dns.name,
    ...ports,
    clock,
    post: (event) => loop.post(event),
    record: (event, detail) => record(clock.now(), event, detail),
    onCrash: crash,
    signal: stopping.signal,
  });
  record(clock.now(), 'started', { instance: saved.instance, epoch: saved.epoch, pid: process.pid });
  ports.register.watch((push) => loop.post({ kind: 'lease-pushed', ...push }), stopping.signal);
  const looking = observe(loop, ports.database, stopping.signal).catch(crash);

  const api = createApi({
    token: readFileSync(config.local.api.tokenFile, 'utf8').trim(),
    state: loop.state,
    now: clock.now,
    post: loop.post,
    newId: randomUUID,
    recent: feed.recent,
    follow: feed.follow,
    metrics: metrics.render,
  });
  const { address, port } = config.local.api;
  const server = serve({ fetch: api.fetch, hostname: address, port }, () => log.info({ address, port }, 'API ready'));
  server.on('error', (error: NodeJS.ErrnoException) => {
    unlock();
    fail(EXIT_TAKEN, 'CTM_API_LISTEN', `local.api ${address}:${port}: ${error.code === 'EADDRINUSE' ? 'the port is in use; stop what listens there or choose another' : error.message}`);
  });

  const shutDown = async (): Promise<void> => {
    log.info('stopping: the gate counts down what it has, the database stays as it is');
    loop.stop();
    stopping.abort();
    server.close();
    await looking;
    await link.value.close();
    await ports.close();
    unlock();
    process.exit(0);
  };
  process.once('SIGTERM', () => void shutDown().catch(crash));
  process.once('SIGINT', () => void shutDown().catch(crash));
}

/** Looks at the database again and again, one look at a time. */
async function observe(loop: Loop, database: Awaited<ReturnType<typeof openPorts>>['database'], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startedMs = systemClock.now().monoMs;
    const observation = await database.observe(AbortSignal.any([signal, AbortSignal.timeout(OBSERVE_TIMEOUT_MS)]));
    loop.post({ kind: 'database-observed', startedMs, observation });
    const restMs = OBSERVE_MS - (systemClock.now().monoMs - startedMs);
    await new Promise<void>((resolve) => setTimeout(resolve, Math.max(10, restMs)));
  }
}

function lock(file: string): () => void {
  try {
    return takeLock(file);
  } catch (error) {
    if (error instanceof LockedError) return fail(EXIT_TAKEN, error.code, error.message);
    throw error;
  }
}

/** The identity and the highest epoch of an earlier run. A damaged file ends the start: an epoch must not be forgotten. */
function restore(config: ContinuumConfig): SavedState {
  const file = stateFile(config);
  try {
    const raw = readStateFile(file);
    if (raw !== null) {
      const parsed = savedState.safeParse(raw);
      if (!parsed.success) throw new StateFileError(file, `not this version's content (${parsed.error.issues[0]?.message ?? ''})`);
      return parsed.data;
    }
    const first = { instance: randomUUID(), epoch: 0 };
    writeStateFile(file, first);
    return first;
  } catch (error) {
    if (error instanceof StateFileError) return fail(EXIT_CONFIG, error.code, error.message);
    throw error;
  }
}

function persist(config: ContinuumConfig, saved: SavedState, granted: Epoch): void {
  writeStateFile(stateFile(config), { instance: saved.instance, epoch: granted });
}

function stateFile(config: ContinuumConfig): string {
  return join(config.local.stateDir, 'controller.json');
}

/** The gate directive that was given last, and which one each connected gate has in force. */
function createGateEffect(): {
  use: (link: GateLink) => void;
  direct: (action: Extract<Action, { kind: 'gate' }>, state: ControllerState) => void;
  observe: () => ControllerState['gate'];
} {
  const given = new Map<number, { mode: ControllerState['gate']['mode']; epoch: number }>();
  let link: GateLink | null = null;
  return {
    use: (opened) => {
      link = opened;
    },
    direct: ({ directive }, state) => {
      if (link === null) return;
      const { validUntilMs, ...rest } = directive;
      const validUntilMonoMs: MonoMs = directive.mode === 'open' ? validUntilMs : monoMs(0);
      const version = link.set({ ...rest, holdMsMax: state.policy.timings.holdMsMax }, validUntilMonoMs);
      given.set(version, { mode: directive.mode, epoch: directive.epoch });
      for (const old of given.keys()) if (old < version - 16) given.delete(old);
    },
    observe: () => {
      const seen = link?.observed() ?? { connected: false, held: 0, applied: 0, epoch: 0 };
      const inForce = given.get(seen.applied) ?? null;
      return { connected: seen.connected, held: seen.held, mode: inForce?.mode ?? null, epoch: inForce?.epoch ?? 0 };
    },
  };
}

/** The last entries, and those who follow. */
function createFeed(): {
  publish: (entry: AuditEntry) => void;
  recent: () => readonly AuditEntry[];
  follow: (listener: (entry: AuditEntry) => void) => () => void;
} {
  const recent: AuditEntry[] = [];
  const listeners = new Set<(entry: AuditEntry) => void>();
  return {
    publish: (entry) => {
      recent.push(entry);
      if (recent.length > RECENT_MAX) recent.shift();
      for (const listener of listeners) listener(entry);
    },
    recent: () => [...recent],
    follow: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function fail(exitCode: number, code: string, message: string): never {
  process.stderr.write(`${code}: ${message}\n`);
  process.exit(exitCode);
}
