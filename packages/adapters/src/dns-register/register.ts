// The register as one TXT record set on an authoritative PowerDNS outside all regions, for a site without a Worker. The same
// lease functions run in every client; the name server only compares and sets (RFC 2136 with a prerequisite on the whole
// value), one writer at a time. Who lost a race reads again and decides again. What was not answered is unknown.
//
// Whoever has the key of one region can write any value: unlike the Worker, the server does not check whose command it is.

import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseCommand, LeaseReply, LeaseView } from '@continuum/core';
import { failure, success } from '@continuum/ports';
import type { RegisterPort, Result } from '@continuum/ports';
import { describeFields, leaseCommand, parseWire } from '@continuum/wire';
import { readLease, updateRefused, view, writeLease } from './client.ts';
import type { Client } from './client.ts';
import { startCrossCheck } from './cross-check.ts';
import { encodeTextUpdate, RCODE } from './message.ts';
import { step, trusted } from './observed-lease.ts';
import { checkOptions } from './options.ts';
import type { DnsRegisterOptions } from './options.ts';
import { encodeLease, newStoredLease, RECORD_TTL_SECONDS } from './record.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';
import { watchRecord } from './watch.ts';

export type DnsRegister = RegisterPort & {
  /** Makes the record of a lease that does not exist yet. `floor`: it replaces one that was lost. False when there is one. */
  create(signal: AbortSignal, floor?: { readonly epoch: number; readonly inSync: readonly string[] }): Promise<Result<boolean>>;
  close(): Promise<void>;
};

/** A bound for callers whose signal has none; every caller in this project brings a shorter deadline. */
const ANSWER_MS_MAX = 30_000;
/** Each lost race means that somebody else won one: with so many in a row something else is wrong. */
const RACES_MAX = 200;
const RACE_PAUSE_MS_MAX = 20;

/** Throws `InvalidFieldsError` with every problem of the options. */
export function createDnsRegister(options: DnsRegisterOptions): DnsRegister {
  const checked = checkOptions(options);
  const { crossCheck: outside } = options;
  const crossCheck = outside === undefined ? null : startCrossCheck({ ...outside, name: checked.name.replace(/\.$/, ''), lease: checked.lease, nowMs: checked.nowMs });
  const client: Client = { checked, seen: null, crossCheck };
  const bounded = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]);
  return {
    send: (command, signal) => inSession(client, (session) => send(client, session, command, bounded(signal))),
    read: (signal) =>
      inSession(client, async (session): Promise<Result<LeaseView>> => {
        const seen = await readLease(client, session, bounded(signal));
        return seen.ok ? success(view(client, seen.value)) : seen;
      }),
    watch: (onPush, signal) => watchRecord(client, options, onPush, signal),
    create: (signal, floor) => inSession(client, (session) => create(client, session, floor, bounded(signal))),
    close: async () => crossCheck?.close(),
  };
}

async function inSession<T>(client: Client, use: (session: Session) => Promise<T>): Promise<T> {
  const session = openSession(client.checked.authority);
  try {
    return await use(session);
  } finally {
    session.close();
  }
}

async function send(client: Client, session: Session, command: LeaseCommand, signal: AbortSignal): Promise<Result<LeaseReply>> {
  const { checked } = client;
  const parsed = parseWire(leaseCommand, command);
  if (!parsed.ok) return failure('CTM_REGISTER_REJECTED', describeFields(parsed.fields));
  if (command.region !== checked.region) return failure('CTM_REGISTER_REJECTED', `region ${command.region}: this client speaks for ${checked.region}`);
  for (let race = 0; race < RACES_MAX; race++) {
    const seen = await readLease(client, session, signal);
    if (!seen.ok) return seen;
    const { reply, next } = step(seen.value.observation, command, checked.nowMs(), checked.drift);
    if (next === null) return success(reply);
    const written = await writeLease(client, session, seen.value, next, signal);
    if (!written.ok) return written;
    if (written.value !== null) return success(trusted(written.value.observation, command, reply, checked.nowMs()));
    await pause(checked.random() * RACE_PAUSE_MS_MAX, signal);
  }
  return failure('CTM_REGISTER_UNREACHABLE', `${RACES_MAX} writes in a row came after somebody else's`);
}

async function create(
  client: Client,
  session: Session,
  floor: { readonly epoch: number; readonly inSync: readonly string[] } | undefined,
  signal: AbortSignal,
): Promise<Result<boolean>> {
  const { checked } = client;
  const next = encodeLease(newStoredLease(checked.lease, floor));
  if (next === null) return failure('CTM_REGISTER_REJECTED', 'too many regions for one record');
  const update = { zone: checked.zone, name: checked.name, expected: null, next, ttlSeconds: RECORD_TTL_SECONDS };
  const answered = await session.exchange(encodeTextUpdate({ id: randomInt(0x1_0000), ...update }), signal);
  if (!answered.ok) return answered;
  const { rcode } = answered.value;
  if (rcode === RCODE.YXRRSET) return success(false);
  return rcode === RCODE.NOERROR ? success(true) : updateRefused(checked, rcode);
}

/** Ends early with the signal: the next exchange says so. */
async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
