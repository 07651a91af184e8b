// The register as a Cloudflare Worker, over HTTP. Nothing that comes back is believed before its signature was verified
// under a pinned key of the witness and found to answer exactly this request: what is not verified is *unknown*.
//
// Not retried here. The controller repeats a command of unknown outcome under the same number, and the witness answers a
// number that it has seen without executing it again.

import { Agent, request } from 'undici';
import type { LeaseCommand, LeaseReply, LeaseView } from '@continuum/core';
import { failure, success } from '@continuum/ports';
import type { RegisterPort, Result } from '@continuum/ports';
import {
  NO_BODY,
  REPLY_BYTES_MAX,
  describeFields,
  leaseReply,
  leaseView,
  newNonce,
  parseWire,
  problem,
  signRequest,
  verifyReply,
} from '@continuum/wire';
import type { SignedReply, SignedRequest } from '@continuum/wire';
import { checkOptions } from './options.ts';
import type { Checked, WitnessRegisterOptions } from './options.ts';
import { watchWitness } from './watch.ts';

export type WitnessRegister = RegisterPort & {
  /** Closes the connections. Watches end by their own signals. */
  close(): Promise<void>;
};

/** A reply that is the witness's own, of a status that carries a result. */
type Genuine = { readonly status: number; readonly json: unknown };

const KEEP_ALIVE_MS = 60_000;
const CONNECTIONS_MAX = 8;
/** A bound for callers whose signal has none; every caller in this project brings a shorter deadline. */
const ANSWER_MS_MAX = 30_000;

/** Throws `InvalidFieldsError` with every problem of the options. */
export async function createWitnessRegister(options: WitnessRegisterOptions): Promise<WitnessRegister> {
  const checked = await checkOptions(options);
  const agent = new Agent({
    connections: CONNECTIONS_MAX,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
    maxResponseSize: REPLY_BYTES_MAX,
  });
  const path = `/v1/leases/${checked.lease}`;

  return {
    async send(command, signal) {
      const body = new TextEncoder().encode(JSON.stringify(command));
      const answered = await exchange(checked, agent, { method: 'POST', path: `${path}/commands`, body }, signal);
      return answered.ok ? toReply(answered.value, checked.lease, command) : answered;
    },
    async read(signal) {
      const answered = await exchange(checked, agent, { method: 'GET', path, body: NO_BODY }, signal);
      return answered.ok ? toView(answered.value.json, checked.lease) : answered;
    },
    watch(onPush, signal) {
      watchWitness(checked, options, onPush, signal);
    },
    close: () => agent.close(),
  };
}

type Call = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body: Uint8Array<ArrayBuffer> };

async function exchange(checked: Checked, agent: Agent, call: Call, signal: AbortSignal): Promise<Result<Genuine>> {
  const sent = await sign(checked, call);
  let reply: SignedReply;
  try {
    reply = await transmit(agent, call, sent, signal);
  } catch (error) {
    return transportFailure(error, signal);
  }
  const verified = await verifyReply(checked.witnessKeys, reply, sent);
  if (!verified.ok) return unverified(reply.status, `${verified.problem}: ${verified.detail}`);
  const json = parseJson(reply.body);
  if (json === undefined) return invalid('it is not JSON');
  if (reply.status === 200 || reply.status === 409) return success({ status: reply.status, json });
  return rejection(reply.status, json);
}

async function sign(checked: Checked, { method, path, body }: Call): Promise<SignedRequest> {
  const plain: SignedRequest = { method, url: `${checked.origin}${path}`, headers: [], body };
  const freshness = { nonce: newNonce(), createdSeconds: Date.now() / 1_000 };
  return { ...plain, headers: Object.entries(await signRequest(checked.key, plain, freshness)) };
}

async function transmit(agent: Agent, call: Call, sent: SignedRequest, signal: AbortSignal): Promise<SignedReply> {
  const headers = Object.fromEntries(sent.headers);
  const response = await request(sent.url, {
    dispatcher: agent,
    method: call.method,
    signal,
    ...(call.method === 'POST'
      ? { headers: { ...headers, 'content-type': 'application/json' }, body: sent.body }
      : { headers }),
  });
  const body = new Uint8Array(await response.body.arrayBuffer());
  const fields = Object.entries(response.headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value] as const],
  );
  return { status: response.statusCode, headers: fields, body };
}

function toReply({ status, json }: Genuine, lease: string, command: LeaseCommand): Result<LeaseReply> {
  const parsed = parseWire(leaseReply, json);
  if (!parsed.ok) return invalid(describeFields(parsed.fields));
  const { outcome, view } = parsed.value;
  if (view.name !== lease) return invalid(`it is about lease ${view.name}, not ${lease}`);
  if (outcome.ok !== (status === 200)) return invalid(`its status ${status} contradicts its outcome`);
  if (view.seq < command.seq && outcome.ok) return invalid(`it does not know command ${command.seq}`);
  return success(parsed.value);
}

function toView(json: unknown, lease: string): Result<LeaseView> {
  const parsed = parseWire(leaseView, json);
  if (!parsed.ok) return invalid(describeFields(parsed.fields));
  if (parsed.value.name !== lease) return invalid(`it is about lease ${parsed.value.name}, not ${lease}`);
  return success(parsed.value);
}

/** A genuine answer in which the witness says that it did not look at the lease, or does not know what became of it. */
function rejection(status: number, json: unknown): ReturnType<typeof failure> {
  const parsed = parseWire(problem, json);
  if (!parsed.ok) return invalid(`status ${status} without a problem: ${describeFields(parsed.fields)}`);
  const { code, title, detail, retryable } = parsed.value;
  const message = `${code}: ${title}: ${detail}`;
  return retryable
    ? failure('CTM_REGISTER_UNREACHABLE', `the witness answers ${message}`, parsed.value)
    : failure('CTM_REGISTER_REJECTED', message, parsed.value);
}

/** Somebody else answered: what stands before the witness and cannot reach it, or somebody who must not be believed. */
function unverified(status: number, why: string): ReturnType<typeof failure> {
  return status >= 500
    ? failure('CTM_REGISTER_UNREACHABLE', `status ${status} from something in front of the witness (${why})`)
    : invalid(why);
}

function invalid(why: string): ReturnType<typeof failure> {
  return failure('CTM_REGISTER_REPLY_INVALID', `the reply is not believed: ${why}`);
}

const NOT_THE_PROTOCOL = new Set(['UND_ERR_RES_EXCEEDED_MAX_SIZE', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);
const TOO_LATE = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT']);

function transportFailure(error: unknown, signal: AbortSignal): ReturnType<typeof failure> {
  const { code = '', message } = error as { code?: string; message: string };
  if (signal.aborted || TOO_LATE.has(code)) {
    return failure('CTM_REGISTER_TIMEOUT', 'no answer of the witness before the deadline', error);
  }
  if (NOT_THE_PROTOCOL.has(code) || code.startsWith('HPE_')) return invalid(message);
  return failure('CTM_REGISTER_UNREACHABLE', `no answer of the witness: ${code} ${message}`.trim(), error);
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}
