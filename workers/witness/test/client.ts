// A caller of the witness that can do everything wrong: signs what it is told to, and sends something else.

import { Readable } from 'node:stream';
import { request } from 'undici';
import { NO_BODY, importKeyRing, importSigningKey, newNonce, signRequest, verifyReply } from '@continuum/wire';
import type { Problem, SignedRequest } from '@continuum/wire';
import type { LeaseCommand, LeaseReply, LeaseView } from '@continuum/core';
import { epoch, regionId } from '@continuum/core';
import type { Witness } from '../../../test/rig/witness.ts';

export type Key = { readonly keyId: string; readonly privateKey: string };
export type Tamper = (request: Sendable) => Sendable;
export type Plan = {
  readonly method?: string;
  readonly path?: string;
  readonly body?: unknown;
  readonly key: Key;
  readonly createdSeconds?: number;
  /** Changes the signed request on its way. */
  readonly tamper?: Tamper;
};
export type Sendable = { method: string; path: string; headers: Record<string, string>; body: Uint8Array<ArrayBuffer> };
export type Answered = {
  readonly status: number;
  readonly contentType: string;
  /** Whether the reply was signed by the witness and fits the request as it was sent. */
  readonly authentic: boolean;
  readonly problem: Problem;
  readonly reply: LeaseReply;
  readonly view: LeaseView;
};

export const COMMANDS = '/v1/leases/shop/commands';
export const LEASE = '/v1/leases/shop';

export async function signed(witness: Witness, plan: Plan): Promise<Sendable> {
  const body = bytes(plan.body);
  const method = plan.method ?? (plan.body === undefined ? 'GET' : 'POST');
  const path = plan.path ?? (plan.body === undefined ? LEASE : COMMANDS);
  const key = await importSigningKey(plan.key.keyId, plan.key.privateKey);
  const plain: SignedRequest = { method, url: `${witness.url}${path}`, headers: [], body };
  const createdSeconds = plan.createdSeconds ?? Date.now() / 1_000;
  const headers = { ...(await signRequest(key, plain, { nonce: newNonce(), createdSeconds })) };
  const sendable = { method, path, headers, body };
  return plan.tamper === undefined ? sendable : plan.tamper(sendable);
}

export async function transmit(witness: Witness, { method, path, headers, body }: Sendable, chunked = false): Promise<Answered> {
  const url = `${witness.url}${path}`;
  // With chunks there is no length in front: what a caller does who does not want to be found out early.
  const content = chunked ? Readable.from([body]) : body;
  const hasBody = body.byteLength > 0;
  const response = await request(url, { method: method as 'GET', headers, ...(hasBody ? { body: content } : {}) });
  const raw = new Uint8Array(await response.body.arrayBuffer());
  const ring = await importKeyRing(witness.publicKeys);
  const fields = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
  const sent = { method, url, headers: Object.entries(headers), body };
  const verified = await verifyReply(ring, { status: response.statusCode, headers: fields, body: raw }, sent);
  const json = JSON.parse(new TextDecoder().decode(raw)) as unknown;
  return {
    status: response.statusCode,
    contentType: String(response.headers['content-type']),
    authentic: verified.ok,
    problem: json as Problem,
    reply: json as LeaseReply,
    view: json as LeaseView,
  };
}

export async function call(witness: Witness, plan: Plan): Promise<Answered> {
  return transmit(witness, await signed(witness, plan));
}

export function acquire(region: string, seq: number, body: Partial<Extract<LeaseCommand, { kind: 'acquire' }>> = {}) {
  const command: LeaseCommand = {
    kind: 'acquire',
    region: regionId(region),
    seq,
    instance: `${region}-a`,
    epochSeen: epoch(0),
    ttlMs: 60_000,
    policyHash: 'p',
    force: null,
    ...body,
  };
  return command;
}

export function renew(region: string, seq: number, body: Partial<Extract<LeaseCommand, { kind: 'renew' }>> = {}) {
  const command: LeaseCommand = {
    kind: 'renew',
    region: regionId(region),
    seq,
    instance: `${region}-a`,
    epoch: epoch(1),
    ttlMs: 60_000,
    policyHash: 'p',
    ...body,
  };
  return command;
}

function bytes(body: unknown): Uint8Array<ArrayBuffer> {
  if (body === undefined) return NO_BODY;
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body));
}
