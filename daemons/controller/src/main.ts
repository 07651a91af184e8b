// One region's controller in standalone mode: `main.ts --config continuum.yaml`. It reads its configuration once, takes
// its directories and its addresses, and only then drives `decide`: a second controller never acts. Exit codes: 78 the
// configuration or the state file is wrong, 75 something that it needs is taken (another controller, a port), 74 the
// disk does not take its state, 70 a programming error.

import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from '@hono/node-server';
import type { ServerType } from '@hono/node-server';
import { pino } from 'pino';
import type { ControllerEvent, Epoch, Now } from '@continuum/core';
import { decide, initialState } from '@continuum/core';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createLagLink } from '@continuum/adapters/lag-link/lag-link';
import type { LagLink } from '@continuum/adapters/lag-link/lag-link';
import { LockedError, logLines, openAudit, readStateFile, startLoop, StateFileError, systemClock, takeLock, writeStateFile } from '@continuum/runtime';
import type { AuditEntry, Loop } from '@continuum/runtime';
import type { ContinuumConfig } from '@continuum/wire/spec';
import { formatProblems, parseConfig } from '@continuum/wire/spec';
import { z } from 'zod';
import { createApi } from './api.ts';
import { auditFile } from './verify-events.ts';
import { regionAddresses } from './dns-answers.ts';
import { createEffects } from './effects.ts';
import { createGateEffect } from './gate-effect.ts';
import { createMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import { openPorts } from './ports.ts';
import type { OpenPorts } from './ports.ts';

const EXIT_CONFIG = 78;
const EXIT_TAKEN = 75;
const EXIT_DISK = 74;
const EXIT_BUG = 70;
const RECENT_MAX = 500;
/** Of the API's token. A shorter one can be guessed, an empty one would be sent by everybody. */
const TOKEN_LENGTH_MIN = 16;
/** How often the database is looked at. */
const OBSERVE_MS = 100;
const OBSERVE_TIMEOUT_MS = 1_000;

const savedState = z.strictObject({ instance: z.uuid(), epoch: z.number().int().nonnegative() });
type SavedState = z.infer<typeof savedState>;

const clock = systemClock;
const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, logLines());

await main();

async function main(): Promise<void> {
  const { config, policy } = readConfig();
  const token = readToken(config);
  process.once('exit', lock(config));
  const saved = restore(config);
  const { feed, metrics, record } = openEvidence(config, policy.name);
  const ports = await open(config, metrics);
  let api: ReturnType<typeof createApi> | null = null;
  const server = await listen(config, (request) => api?.fetch(request) ?? new Response('starting\n', { status: 503 }));
  const prober = await listenToProber(config, policy.regions, metrics);
  const gates = createGateEffect();
  const link = await createGateLink({
    socketPath: config.local.gate.socket,
    // The clock that validity is counted on: another one has another origin.
    clock: clock.now,
    onChange: () => loop.post(gates.observed()),
    onDropped: (reason) => log.warn({ reason }, 'gate connection dropped'),
  });
  if (!link.ok) return fail(EXIT_TAKEN, link.failure.code, link.failure.message);
  gates.use(link.value);
  // From here on nothing is awaited: a gate that asks at once finds the loop.

  const stopping = new AbortController();
  const loop: Loop = startLoop({
    initial: initialState(policy, { instance: saved.instance, epoch: saved.epoch }, clock.now()),
    decide,
    clock,
    onCrash: crash,
    onDecision: (state, now) => metrics.observe(state, now),
    perform: (action, now) => {
      if (action.kind === 'persist') persist(config, saved, action.epoch);
      else if (action.kind === 'gate') gates.direct(action, policy.timings.holdMsMax);
      else if (action.kind === 'record') record(now, action.event, action.detail);
      else effects.perform(action);
    },
  });
  const effects = createEffects({
    region: policy.region,
    databases: Object.fromEntries(config.spec.regions.map((one) => [one.name, one.database])),
    addresses: regionAddresses(config),
    ...ports,
    onVotes: metrics.voted,
    clock,
    post: (event) => loop.post(event),
    record: (event, detail) => record(clock.now(), event, detail),
    onCrash: crash,
    signal: stopping.signal,
  });
  record(clock.now(), 'started', { instance: saved.instance, epoch: saved.epoch, pid: process.pid });
  ports.register.watch((push) => loop.post({ kind: 'lease-pushed', ...push }), stopping.signal);
  prober?.use(loop.post);
  const looking = observe(loop, ports.database, stopping.signal).catch(crash);
  const { recent, follow } = feed;
  api = createApi({ token, state: loop.state, now: clock.now, post: loop.post, newId: randomUUID, recent, follow, metrics: metrics.render });
  onStop(async () => {
    loop.stop();
    stopping.abort();
    server.close();
    await looking;
    await link.value.close();
    await prober?.close();
    await ports.close();
  });
}

type Evidence = {
  readonly feed: ReturnType<typeof createFeed>;
  readonly metrics: Metrics;
  /** Into the audit chain, to those who follow, to the metrics and to the log. */
  readonly record: (now: Now, event: string, detail: Readonly<Record<string, unknown>>) => void;
};

function openEvidence({ local }: ContinuumConfig, name: string): Evidence {
  const audit = openAudit(auditFile(local.stateDir), local.region, clock.now());
  const feed = createFeed(audit.earlier);
  const metrics = createMetrics(name, local.region);
  const record: Evidence['record'] = (now, event, detail) => {
    const entry = audit.append(now, event, detail);
    feed.publish(entry);
    metrics.recorded(event);
    metrics.auditLost(audit.lost());
    // Logs leave the machine: whoever rewrites the evidence here does not rewrite its hashes there.
    log.info({ event, audit: `${entry.seq}:${entry.hash}`, ...detail });
  };
  return { feed, metrics, record };
}

function onStop(close: () => Promise<void>): void {
  const stop = (): void => {
    log.info('stopping: the gate counts down what it has, the database stays as it is');
    void close().then(() => process.exit(0), crash);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function crash(error: unknown): never {
  log.fatal({ err: error }, 'a programming error: this process ends, its lease runs out and it is fenced');
  process.exit(EXIT_BUG);
}

/** Looks at the database again and again, one look at a time. */
async function observe(loop: Loop, database: Awaited<ReturnType<typeof openPorts>>['database'], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startedMs = clock.now().monoMs;
    const observation = await database.observe(AbortSignal.any([signal, AbortSignal.timeout(OBSERVE_TIMEOUT_MS)]));
    loop.post({ kind: 'database-observed', startedMs, observation });
    const restMs = OBSERVE_MS - (clock.now().monoMs - startedMs);
    await new Promise<void>((resolve) => setTimeout(resolve, Math.max(10, restMs)));
  }
}

function readConfig(): Extract<ReturnType<typeof parseConfig>, { ok: true }> {
  const file = readArguments().config;
  if (file === undefined) return fail(EXIT_CONFIG, 'CTM_CONFIG_MISSING', 'name the configuration: --config continuum.yaml');
  const parsed = parseConfig(readGiven('--config', file));
  return parsed.ok ? parsed : fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', formatProblems(file, parsed.problems));
}

function readArguments(): { config?: string | undefined } {
  try {
    return parseArgs({ options: { config: { type: 'string' } } }).values;
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_MISSING', `${(error as Error).message}. Use --config continuum.yaml`);
  }
}

function readToken(config: ContinuumConfig): string {
  const { tokenFile } = config.local.api;
  const token = readGiven('local.api.tokenFile', tokenFile).trim();
  // What a header cannot carry, nobody could ever send.
  if (!/^[\x21-\x7e]*$/.test(token)) return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', `local.api.tokenFile ${tokenFile}: use one line of ASCII characters without spaces`);
  if (token.length >= TOKEN_LENGTH_MIN) return token;
  return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', `local.api.tokenFile ${tokenFile}: its token has ${token.length} characters, use at least ${TOKEN_LENGTH_MIN}`);
}

function readGiven(field: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_UNREADABLE', `${field} ${file}: ${(error as Error).message}`);
  }
}

/** Its own state, and the cluster: two controllers with states of their own would rejoin one directory against each other. */
function lock({ local }: ContinuumConfig): () => void {
  const { stateDir, database } = local;
  const take = (field: string, directory: string, work: () => () => void): (() => void) => {
    try {
      return work();
    } catch (error) {
      if (error instanceof LockedError) return fail(EXIT_TAKEN, error.code, error.message);
      return fail(EXIT_CONFIG, 'CTM_CONFIG_UNREADABLE', `${field} ${directory}: ${(error as Error).message}`);
    }
  };
  const releaseState = take('local.stateDir', stateDir, () => {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    return takeLock(join(stateDir, 'controller.lock'));
  });
  process.once('exit', releaseState);
  return take('local.database.dataDir', database.dataDir, () => {
    // Beside it, because the directory itself comes and goes; by one name, whichever way leads there.
    const real = join(realpathSync(dirname(database.dataDir)), basename(database.dataDir));
    return takeLock(`${real}.controller`, 'data directory');
  });
}

/** The ports open nothing that is waited for: what they throw is about their options, keys and files. */
async function open(config: ContinuumConfig, metrics: Metrics): Promise<OpenPorts> {
  try {
    return await openPorts(config, log, metrics);
  } catch (error) {
    return fail(EXIT_CONFIG, 'CTM_CONFIG_INVALID', (error as Error).message);
  }
}

/** Returns once the API's address is this process's own: whoever has it acts, a second controller ends here. */
function listen(config: ContinuumConfig, answer: (request: Request) => Response | Promise<Response>): Promise<ServerType> {
  const { address, port } = config.local.api;
  return new Promise((resolve) => {
    const server = serve({ fetch: answer, hostname: address, port }, () => {
      log.info({ address, port }, 'API ready');
      resolve(server);
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is in use; stop what listens there or choose another' : error.message;
      fail(EXIT_TAKEN, 'CTM_API_LISTEN', `local.api ${address}:${port}: ${why}`);
    });
  });
}

/** The identity and the highest epoch of an earlier run. A damaged file ends the start: an epoch must not be forgotten. */
function restore(config: ContinuumConfig): SavedState {
  const file = stateFile(config);
  try {
    const raw = readStateFile(file);
    if (raw !== null) {
      const parsed = savedState.safeParse(raw);
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      if (issue?.code === 'unrecognized_keys') {
        return fail(EXIT_CONFIG, 'CTM_STATE_FILE_NEWER', `${file}: written by a newer version (this one does not know ${issue.keys.join(', ')}); start that version again. Nothing was changed`);
      }
      throw new StateFileError(file, `not this version's content (${issue?.message ?? ''})`);
    }
    const first = { instance: randomUUID(), epoch: 0 };
    writeStateFile(file, first);
    return first;
  } catch (error) {
    if (error instanceof StateFileError) return fail(EXIT_CONFIG, error.code, error.message);
    return fail(EXIT_DISK, 'CTM_STATE_FILE_WRITE', `${file} cannot be written: ${(error as Error).message}; make room, or make it writable for this user`);
  }
}

/** An epoch that is not on disk does not count: the process ends before anything is done under it, and its lease runs out. */
function persist(config: ContinuumConfig, saved: SavedState, granted: Epoch): void {
  const file = stateFile(config);
  try {
    writeStateFile(file, { instance: saved.instance, epoch: granted });
  } catch (error) {
    log.fatal({ err: error }, `${file} cannot be written: make room, or make it writable for this user. Epoch ${granted} was not acted under`);
    fail(EXIT_DISK, 'CTM_STATE_FILE_WRITE', `${file} cannot be written: ${(error as Error).message}; make room, or make it writable for this user`);
  }
}

function stateFile(config: ContinuumConfig): string {
  return join(config.local.stateDir, 'controller.json');
}

/**
 * The ear for the lag prober beside this controller; null when the specification names none. What comes before the loop runs
 * is passed over: the next report is an interval away.
 */
async function listenToProber(config: ContinuumConfig, regions: readonly string[], metrics: Metrics): Promise<(LagLink & { readonly use: (post: (event: ControllerEvent) => void) => void }) | null> {
  const socketPath = config.local.lag?.socket;
  if (socketPath === undefined) return null;
  let post: (event: ControllerEvent) => void = () => undefined;
  let refused = '';
  const opened = await createLagLink({
    socketPath,
    cluster: config.metadata.name,
    regions,
    onReport: (report) => {
      metrics.reported(true);
      post({ kind: 'lag-reported', report });
    },
    onRefused: (problem) => {
      metrics.reported(false);
      // It comes back and says the same: once is enough.
      if (problem !== refused) log.warn({ problem }, 'a lag report was refused');
      refused = problem;
    },
  });
  if (!opened.ok) return fail(EXIT_TAKEN, opened.failure.code, opened.failure.message);
  return {
    ...opened.value,
    use: (given) => {
      post = given;
    },
  };
}

/** The last entries, those of an earlier run too, and those who follow. */
function createFeed(earlier: readonly AuditEntry[]): {
  publish: (entry: AuditEntry) => void;
  recent: () => readonly AuditEntry[];
  follow: (listener: (entry: AuditEntry) => void) => () => void;
} {
  const recent: AuditEntry[] = earlier.slice(-RECENT_MAX);
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
