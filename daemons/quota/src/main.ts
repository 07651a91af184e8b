// The gate daemon: Envoy asks it about every request, it asks its controller every `askIntervalMs` whether this region may
// serve. Start: `node daemons/quota/src/main.ts --config gate.yaml`. Exit codes: 0 stopped, 69 an address is taken,
// 78 the configuration or the epoch file is bad.

import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { epoch, regionId } from '@continuum/core';
import { logLines, serveMetrics, systemClock } from '@continuum/runtime';
import type { Epoch, Now, RegionId, TakenInstruction } from '@continuum/core';
import { createLinkClient } from '@continuum/adapters/gate-link/link-client';
import type { LinkClient } from '@continuum/adapters/gate-link/link-client';
import { formatProblems } from '@continuum/wire/config-file';
import type { GateInstruction } from '@continuum/wire/gate-link';
import { serveAuthorization } from './authorization-server.ts';
import type { AuthorizationServer } from './authorization-server.ts';
import { loadConfig } from './config.ts';
import type { GateConfig } from './config.ts';
import { readEpoch, writeEpoch } from './epoch-file.ts';
import { createGateRoom } from './gate-room.ts';
import type { Arrival, GateRoom } from './gate-room.ts';
import { createGateMetrics } from './metrics.ts';
import type { GateMetrics } from './metrics.ts';
import type { FinalVerdict } from './waiting-room.ts';

const EXIT_UNAVAILABLE = 69;
const EXIT_CONFIG = 78;
/** Long enough for verdicts under way; held requests are sent back to the gateway at once. */
const STOP_GRACE_MS = 1_000;

type Gate = {
  readonly region: RegionId;
  readonly room: GateRoom;
  readonly metrics: GateMetrics;
  readonly log: Logger;
  /** A controller of the past repeats itself every ask: it is logged once. */
  staleEpochLogged: Epoch | null;
};

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (values.config === undefined) return exit(EXIT_CONFIG, 'usage: main.ts --config gate.yaml');
  const loaded = loadConfig(values.config);
  if (!loaded.ok) return exit(EXIT_CONFIG, formatProblems(values.config, loaded.problems));
  const { config } = loaded;
  const saved = readEpoch(config.epochFile);
  if (!saved.ok) return exit(EXIT_CONFIG, `${saved.code}: ${saved.message}`);

  const log = pino({ level: config.logLevel, base: { region: config.region, lease: config.leaseName } }, logLines());
  const stop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const { gate, link, firstAnswer } = startGate(config, saved.epoch, log);
  const metricsServer = await listening('metricsListen', config.metricsListen, () =>
    serveMetrics(gate.metrics.registry, config.metricsListen),
  );
  // A restarted gate that answered before it had asked would refuse what it may serve.
  await Promise.race([firstAnswer, stop]);
  const server = await listening('listen', config.listen, () =>
    serveAuthorization({ ...config.listen, leaseName: config.leaseName, onCheck: (arrival) => admit(gate, arrival) }),
  );
  log.info({ listen: config.listen, epoch: saved.epoch }, 'gate listens');
  await stop;
  await shutDown(gate, link, server);
  metricsServer.close();
  metricsServer.closeAllConnections();
}

function startGate(
  config: GateConfig,
  epochMax: Epoch,
  log: Logger,
): { gate: Gate; link: LinkClient; firstAnswer: Promise<void> } {
  const region = regionId(config.region);
  const metrics = createGateMetrics({
    held: () => room.held(),
    waitingProbes: () => room.waitingProbes(),
    remainingMs: () => room.remainingMs(),
    epoch: () => room.state().epochMax,
    connected: () => link.connected(),
    mode: () => room.state().instruction?.mode ?? 'none',
  });
  const room: GateRoom = createGateRoom({
    region,
    heldMax: config.heldMax,
    holdMsLimit: config.holdMsLimit,
    epochMax,
    saveEpoch: (value) => writeEpoch(config.epochFile, value),
    onSaveFailed: (error) => {
      metrics.unsavedEpochs.inc();
      log.error({ err: error, epochFile: config.epochFile }, 'epoch not saved: the instruction does not count');
    },
    clock: systemClock,
  });
  const gate: Gate = { region, room, metrics, log, staleEpochLogged: null };
  const answered = Promise.withResolvers<void>();
  setTimeout(answered.resolve, config.firstAnswerMsMax).unref();
  const link = createLinkClient({
    socketPath: config.controllerSocket,
    askIntervalMs: config.askIntervalMs,
    clock: systemClock.now,
    random: Math.random,
    report: () => ({ held: room.held(), epoch: room.state().epochMax }),
    onInstruction: (instruction, asked) => {
      const taken = instruction !== null && takeInstruction(gate, instruction, asked);
      answered.resolve();
      return taken;
    },
    onConnected: () => {
      metrics.linkConnections.inc();
      log.info('controller connected');
    },
    onDisconnected: (reason) =>
      log.warn({ reason, remainingMs: Math.round(room.remainingMs()) }, 'controller lost: counting down what is left'),
    onGarbage: () => metrics.linkGarbage.inc(),
  });
  return { gate, link, firstAnswer: answered.promise };
}

/** One check: counts its verdict when it comes. Returns what to call when the client gives up. */
function admit({ region, room, metrics }: Gate, arrival: Arrival): () => void {
  const leave = room.enter({
    ...arrival,
    settle: (verdict) => {
      metrics.checks.inc({ verdict: label(verdict, region) });
      arrival.settle(verdict);
    },
  });
  return () => {
    if (leave()) metrics.cancelledHolds.inc();
  };
}

function label(verdict: FinalVerdict, region: RegionId): string {
  if (verdict.kind === 'deny') return verdict.code;
  return verdict.route === region ? 'allow' : 'forward';
}

/** Whether the instruction is now in force. One log line per change, none per request. */
function takeInstruction(gate: Gate, instruction: GateInstruction, asked: Now): boolean {
  const { room, metrics, log } = gate;
  const { remainingMs, ...rest } = instruction;
  const taken: TakenInstruction = {
    ...rest,
    epoch: epoch(rest.epoch),
    activeRegion: rest.activeRegion === null ? null : regionId(rest.activeRegion),
  };
  const result = room.instruct(taken, asked, remainingMs);
  if (result === 'changed') log.info({ ...taken, remainingMs: Math.round(remainingMs) }, 'instruction in force');
  if (result === 'epoch-stale') {
    metrics.staleInstructions.inc();
    if (gate.staleEpochLogged !== taken.epoch) log.warn({ epoch: taken.epoch, epochMax: room.state().epochMax }, 'instruction refused: its epoch is of the past');
    gate.staleEpochLogged = taken.epoch;
  }
  return result === 'changed' || result === 'extended';
}

async function shutDown({ room, log }: Gate, link: LinkClient, server: AuthorizationServer): Promise<void> {
  const closed = server.close(STOP_GRACE_MS);
  const sentBack = room.evict();
  log.info({ sentBack }, 'gate stops');
  await closed;
  link.close();
}

async function listening<T>(setting: string, at: { host: string; port: number }, serve: () => Promise<T>): Promise<T> {
  try {
    return await serve();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const fix = 'Stop what uses it, or choose another port';
    return exit(EXIT_UNAVAILABLE, `CTM_GATE_LISTEN: cannot listen on ${setting} ${at.host}:${at.port}: ${reason}. ${fix}.`);
  }
}

function exit(code: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

await main();
