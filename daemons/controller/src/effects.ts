// Carries out the controller's actions on the real ports and brings their outcomes back as events. No decision is made
// here: what fails is reported, and asked for again or not by `decide`.

import type { Action, CastVote, ControllerEvent, DatabaseAction, DemotionToken, MonoMs, QuorumOutcome, RegionId } from '@continuum/core';
import { tally } from '@continuum/core';
import type { DatabasePort, Failure, QuorumPort, RegisterPort, Result, TrafficPort } from '@continuum/ports';
import type { Clock } from '@continuum/runtime';
import { setTimeout as delay } from 'node:timers/promises';
import type { DnsQuestion, RegionAddresses } from './dns-answers.ts';
import { confirmNames } from './dns-confirm.ts';

/** Between two looks at the requests in flight; two empty looks in a row mean drained. */
const DRAIN_POLL_MS = 10;
/** How long the DNS answer is looked at after a takeover. Nothing waits for it. */
const DNS_CONFIRM_MS = 30_000;

export type Effects = {
  readonly perform: (action: Exclude<Action, { kind: 'persist' | 'gate' | 'record' }>) => void;
};

export type EffectOptions = {
  readonly region: RegionId;
  readonly databases: Readonly<Record<string, { host: string; port: number }>>;
  readonly addresses: RegionAddresses;
  readonly register: RegisterPort;
  readonly database: DatabasePort;
  readonly traffic: TrafficPort;
  readonly questions: readonly DnsQuestion[];
  /** Null when the specification has no attestation: then no round is ever asked for. */
  readonly quorum: QuorumPort | null;
  /** Every round, for the metrics. */
  readonly onVotes: (votes: readonly CastVote[], outcome: QuorumOutcome) => void;
  readonly clock: Clock;
  readonly post: (event: ControllerEvent) => void;
  readonly record: (event: string, detail: Readonly<Record<string, unknown>>) => void;
  /** A promise that must never reject did: a programming error. */
  readonly onCrash: (error: unknown) => void;
  readonly signal: AbortSignal;
};

export function createEffects(options: EffectOptions): Effects {
  const { post, register, signal } = options;
  const within = (timeoutMs: number): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);

  const ask = async (action: Extract<Action, { kind: 'register' }>): Promise<void> => {
    const deadline = within(action.timeoutMs);
    const { request, id } = action;
    if (request.kind === 'read') {
      const result = await register.read(deadline);
      const answer = result.ok ? { ok: true as const, reply: { outcome: { ok: true as const }, view: result.value } } : failed(result.failure);
      return post({ kind: 'register-answered', id, answer });
    }
    const result = await register.send(request, deadline);
    post({ kind: 'register-answered', id, answer: result.ok ? { ok: true, reply: result.value } : failed(result.failure) });
  };

  const change = async (action: Extract<Action, { kind: 'database' }>): Promise<void> => {
    const result = await changeDatabase(options, action.action, within(action.timeoutMs));
    post({ kind: 'database-done', id: action.id, result: result.ok ? { ok: true, ...result.value } : failed(result.failure) });
  };

  const drain = async (id: number, timeoutMs: number): Promise<void> => {
    const deadline = within(timeoutMs);
    let empty = 0;
    let last = 'never seen';
    while (!deadline.aborted) {
      const result = await options.traffic.inFlight(deadline);
      last = result.ok ? `${result.value} in flight` : result.failure.message;
      empty = result.ok && result.value === 0 ? empty + 1 : 0;
      if (empty === 2) return post({ kind: 'drained', id, ok: true, detail: last });
      await delay(DRAIN_POLL_MS);
    }
    post({ kind: 'drained', id, ok: false, detail: `${last} after ${timeoutMs} ms` });
  };

  const weigh = async (action: Extract<Action, { kind: 'traffic' }>): Promise<void> => {
    const result = await options.traffic.setWeights(action.weights, within(5_000));
    const detail = result.ok ? 'in force' : describe(result.failure);
    post({ kind: 'traffic-done', id: action.id, ok: result.ok, detail });
  };

  const confirm = async (epoch: number): Promise<void> => {
    const startedMs = options.clock.now().monoMs;
    const { confirmed, waitingFor } = await confirmNames(options.questions, options.region, options.addresses, within(DNS_CONFIRM_MS));
    const afterMs = elapsed(startedMs);
    if (waitingFor.length === 0) options.record('dns-confirmed', { epoch, afterMs, answers: confirmed });
    else options.record('dns-unconfirmed', { epoch, afterMs, waitingFor });
  };
  const elapsed = (sinceMs: MonoMs): number => Math.round(options.clock.now().monoMs - sinceMs);

  return {
    perform: (action) => {
      const done =
        action.kind === 'register'
          ? ask(action)
          : action.kind === 'database'
            ? change(action)
            : action.kind === 'drain'
              ? drain(action.id, action.timeoutMs)
              : action.kind === 'traffic'
                ? weigh(action)
                : action.kind === 'ask-quorum'
                  ? vote(options, action)
                  : confirm(action.epoch);
      done.catch(options.onCrash);
    },
  };
}

async function vote(options: EffectOptions, { id, target, timeoutMs }: Extract<Action, { kind: 'ask-quorum' }>): Promise<void> {
  if (options.quorum === null) throw new Error('a round was asked for without a quorum');
  const startedMs = options.clock.now().monoMs;
  const votes = await options.quorum.round(target, timeoutMs, options.signal);
  const outcome = tally(target, votes);
  options.onVotes(votes, outcome);
  options.post({ kind: 'quorum-answered', id, startedMs, outcome });
}

async function changeDatabase(
  options: EffectOptions,
  action: DatabaseAction,
  signal: AbortSignal,
): Promise<Result<{ token: DemotionToken | null; detail: string }>> {
  const { database, region } = options;
  switch (action.kind) {
    case 'promote': {
      const result = await database.promote({ epoch: action.epoch, region, token: action.token }, signal);
      return result.ok ? { ok: true, value: { token: null, detail: `timeline ${result.value.timeline} at ${result.value.lsn}` } } : result;
    }
    case 'prewarm': {
      const result = await database.prewarm(signal);
      return result.ok ? { ok: true, value: { token: null, detail: 'checkpoint done' } } : result;
    }
    case 'demote': {
      const result = await database.demote({ epoch: action.epoch }, signal);
      return result.ok ? { ok: true, value: { token: result.value, detail: `shut down at ${result.value.checkpointLsn}` } } : result;
    }
    case 'rejoin': {
      const at = options.databases[action.source];
      if (at === undefined) return { ok: false, failure: { code: 'CTM_REGION_UNKNOWN', message: `no database address for region ${action.source}` } };
      const source = { region: action.source, host: at.host, port: at.port };
      const result = await database.rejoin({ epoch: action.epoch, source, preserve: action.preserve }, signal);
      return result.ok ? { ok: true, value: { token: null, detail: JSON.stringify(result.value) } } : result;
    }
    case 'set-synchronous': {
      const result = await database.setSynchronous({ epoch: action.epoch, standbys: action.standbys }, signal);
      const detail = action.standbys.length > 0 ? `commits wait for ${action.standbys.join(', ')}` : 'commits wait for nobody';
      return result.ok ? { ok: true, value: { token: null, detail } } : result;
    }
  }
}

function failed(failure: Failure): { ok: false; code: string; message: string } {
  return { ok: false, code: failure.code, message: failure.message };
}

function describe(failure: Failure): string {
  return `${failure.code}: ${failure.message}`;
}
