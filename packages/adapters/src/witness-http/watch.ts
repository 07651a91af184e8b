// Pushed events of the witness over a WebSocket: authenticated both ways, kept alive by a heartbeat, reconnected for ever
// with a jittered, bounded back-off. Every push is signed by the witness and names the handshake that opened its stream, so
// one that was forged or recorded is dropped. Nothing depends on a push; a lost one costs the time until the next read.

import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, WebSocket, buildConnector } from 'undici';
import { failure } from '@continuum/ports';
import type { Failure, LeasePush } from '@continuum/ports';
import {
  NO_BODY,
  REPLY_BYTES_MAX,
  describeFields,
  leasePush,
  newNonce,
  parseWire,
  pushEnvelope,
  signRequest,
  verifyPush,
} from '@continuum/wire';
import type { SignedRequest } from '@continuum/wire';
import type { Checked, WitnessRegisterOptions } from './options.ts';

const HEARTBEAT_MS = 2_000;
const BACK_OFF_FIRST_MS = 100;
const BACK_OFF_MAX_MS = 2_000;
const CONNECT_MS_MAX = 5_000;
const PING = 'ping';
const PONG = 'pong';
/** An envelope is a push written as JSON text inside JSON: every quote doubles. */
const MESSAGE_CHARACTERS_MAX = REPLY_BYTES_MAX * 2;
/** Pushes that wait for their signature to be checked; more is a flood, and the connection is dropped. */
const UNCHECKED_PUSHES_MAX = 256;

type Watch = {
  readonly checked: Checked;
  readonly heartbeatMs: number;
  readonly onPush: (push: LeasePush) => void;
  readonly onProblem: (failure: Failure) => void;
  readonly signal: AbortSignal;
};

export function watchWitness(
  checked: Checked,
  options: WitnessRegisterOptions,
  onPush: (push: LeasePush) => void,
  signal: AbortSignal,
): void {
  const onProblem = options.onWatchProblem ?? (() => undefined);
  const watch = { checked, heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS, onPush, onProblem, signal };
  void keepWatching(watch, options.random ?? Math.random);
}

async function keepWatching(watch: Watch, random: () => number): Promise<void> {
  let failures = 0;
  while (!watch.signal.aborted) {
    const ended = await watchOnce(watch);
    if (watch.signal.aborted) return;
    watch.onProblem(ended.failure);
    failures = ended.livedMs > BACK_OFF_MAX_MS ? 0 : failures + 1;
    await pause(backOffMs(failures, random()), watch.signal);
  }
}

/** Doubles from 0.1 s to 2 s; the last half of each step is random, so that two regions do not come back in step. */
export function backOffMs(failures: number, random: number): number {
  const step = Math.min(BACK_OFF_FIRST_MS * 2 ** Math.min(failures, 10), BACK_OFF_MAX_MS);
  return step / 2 + (step / 2) * random;
}

/** `livedMs`: from its opening; a connection that is closed as soon as it is open must not be opened again at once. */
type Ended = { readonly livedMs: number; readonly failure: Failure };

/** One connection, from the handshake until it is over. */
async function watchOnce(watch: Watch): Promise<Ended> {
  const { checked, signal, heartbeatMs } = watch;
  const nonce = newNonce();
  const url = `${checked.origin}/v1/leases/${checked.lease}/watch`;
  const plain: SignedRequest = { method: 'GET', url, headers: [], body: NO_BODY };
  const headers = await signRequest(checked.key, plain, { nonce, createdSeconds: Date.now() / 1_000 });
  const connection = ownConnection();
  const socket = new WebSocket(url.replace(/^http/, 'ws'), { headers: { ...headers }, dispatcher: connection.agent });
  const receive = receiver(watch, nonce);
  const ended = Promise.withResolvers<Failure>();
  const end = (code: string, message: string) => ended.resolve(failure(code, message).failure);
  let openedAtMs = Number.POSITIVE_INFINITY;
  let heardAtMs = performance.now();
  const beat = setInterval(() => {
    if (performance.now() - heardAtMs > 2 * heartbeatMs) end('CTM_REGISTER_TIMEOUT', 'the watch fell silent');
    else if (socket.readyState === WebSocket.OPEN) socket.send(PING);
  }, heartbeatMs);
  const abort = () => end('CTM_REGISTER_TIMEOUT', 'the watch was ended');
  signal.addEventListener('abort', abort, { once: true });
  // It may have been ended while the handshake was signed, when nobody listened.
  if (signal.aborted) abort();
  socket.addEventListener('open', () => {
    openedAtMs = heardAtMs = performance.now();
  });
  socket.addEventListener('message', ({ data }) => {
    heardAtMs = performance.now();
    if (data !== PONG && !receive(data)) end('CTM_REGISTER_REPLY_INVALID', 'the watch was flooded');
  });
  socket.addEventListener('error', () => end('CTM_REGISTER_UNREACHABLE', 'the watch could not be opened, or broke'));
  socket.addEventListener('close', ({ code }) => end('CTM_REGISTER_UNREACHABLE', `the watch was closed (${code})`));
  const reason = await ended.promise;
  clearInterval(beat);
  signal.removeEventListener('abort', abort);
  connection.destroy();
  return { livedMs: performance.now() - openedAtMs, failure: reason };
}

/**
 * An agent for one connection that can be cut at any time. Closing the WebSocket waits for the other end, and destroying the
 * agent does not reach a connection that has become a WebSocket: neither helps against an end that no longer answers.
 */
function ownConnection(): { readonly agent: Agent; readonly destroy: () => void } {
  const connector = buildConnector({ timeout: CONNECT_MS_MAX });
  let raw: Socket | null = null;
  let destroyed = false;
  const agent = new Agent({
    connect: (options, callback) =>
      connector(options, (...[error, socket]) => {
        raw = socket;
        if (destroyed) raw?.destroy();
        if (error === null) callback(null, socket);
        else callback(error, null);
      }),
  });
  return {
    agent,
    destroy: () => {
      destroyed = true;
      raw?.destroy();
      void agent.destroy();
    },
  };
}

/** Checks messages one after the other, so that pushes keep their order. False when too many wait: a flood. */
function receiver(watch: Watch, nonce: string): (data: unknown) => boolean {
  let queue: Promise<void> = Promise.resolve();
  let waiting = 0;
  return (data) => {
    if (waiting >= UNCHECKED_PUSHES_MAX) return false;
    if (typeof data !== 'string' || data.length > MESSAGE_CHARACTERS_MAX) return false;
    waiting += 1;
    queue = queue.then(async () => {
      const push = await checkPush(watch.checked, nonce, data);
      waiting -= 1;
      if (watch.signal.aborted) return;
      if (typeof push === 'string') {
        watch.onProblem(failure('CTM_REGISTER_REPLY_INVALID', `a push is not believed: ${push}`).failure);
      } else {
        watch.onPush(push);
      }
    });
    return true;
  };
}

/** The push, or why it is not believed. */
async function checkPush(checked: Checked, nonce: string, data: string): Promise<LeasePush | string> {
  const envelope = parseWire(pushEnvelope, parseJson(data));
  if (!envelope.ok) return describeFields(envelope.fields);
  const verified = await verifyPush(checked.witnessKeys, envelope.value);
  if (!verified.ok) return `${verified.problem}: ${verified.detail}`;
  const push = parseWire(leasePush, parseJson(verified.value));
  if (!push.ok) return describeFields(push.fields);
  if (push.value.watch !== nonce) return 'it belongs to another watch';
  if (push.value.view.name !== checked.lease) return `it is about lease ${push.value.view.name}`;
  return { event: push.value.event, view: push.value.view };
}

async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
