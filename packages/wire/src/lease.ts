// The lease protocol as it travels: what a controller may say to the witness and what the witness answers.
//
// Commands are strict: the witness must never carry out a command of which it ignored a part. Answers are tolerant of
// fields this side does not know yet, so that a newer witness does not blind older controllers; values that decide
// something (outcome, epoch, holder, durations) are still checked to the letter. Everything has a bound.

import { z } from 'zod';
import type { LeaseCommand, LeaseEventKind, LeaseReply, LeaseView } from '@continuum/core';
import { epoch, lsn, regionId } from '@continuum/core';

export const LEASE_TTL_MS_MIN = 300;
export const LEASE_TTL_MS_MAX = 600_000;
export const SWITCHOVER_VALID_MS_MIN = 100;
export const SWITCHOVER_VALID_MS_MAX = 3_600_000;
export const REGIONS_PER_LEASE_MAX = 16;
export const REASONS_MAX = 16;
export const TEXT_LENGTH_MAX = 300;
/** Larger than the largest valid command: 16 reasons of 300 characters that JSON may write as six bytes each. */
export const COMMAND_BYTES_MAX = 32_768;
/** Larger than the largest reply: a view repeats the reasons and a handover. */
export const REPLY_BYTES_MAX = 65_536;

const REGION = /^[a-z0-9][a-z0-9-]{0,30}$/;
const LEASE_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const POLICY_HASH = /^[A-Za-z0-9+/=:._-]{0,128}$/;
const SYSTEM_IDENTIFIER = /^[0-9]{1,20}$/;
const LOG_POSITION = /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/;

export const regionName = z
  .string()
  .regex(REGION, 'use 1 to 31 of a-z, 0-9 and -, not starting with -')
  .transform(regionId);
export const leaseName = z.string().regex(LEASE_NAME, 'use 1 to 63 of a-z, 0-9 and -, not starting with -');

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const epochNumber = count.transform(epoch);
const identifier = z.string().regex(IDENTIFIER, 'use 1 to 64 of A-Z, a-z, 0-9, . _ : and -');
const policyHash = z.string().regex(POLICY_HASH, 'use a digest in hexadecimal or base64, at most 128 characters');
const text = z.string().min(1, 'say why').max(TEXT_LENGTH_MAX);
const ttlMs = z.number().int().min(LEASE_TTL_MS_MIN).max(LEASE_TTL_MS_MAX);

export const demotionToken = z.strictObject({
  systemIdentifier: z.string().regex(SYSTEM_IDENTIFIER, 'use the number that pg_controldata prints'),
  timeline: z.number().int().min(1).max(0xffff_ffff),
  checkpointLsn: z.string().regex(LOG_POSITION, 'use a log position such as 16/B374D848').transform(lsn),
});

const from = {
  region: regionName,
  /** +1 with every new command of the region; the same number again means the same command again. */
  seq: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  /** Which controller of the region speaks. */
  instance: identifier,
};

export const leaseCommand = z.discriminatedUnion('kind', [
  z.strictObject({
    ...from,
    kind: z.literal('acquire'),
    epochSeen: epochNumber,
    ttlMs,
    policyHash,
    force: z.strictObject({ reason: text, estimatedLoss: text }).nullable(),
  }),
  z.strictObject({ ...from, kind: z.literal('renew'), epoch: epochNumber, ttlMs, policyHash }),
  z.strictObject({ ...from, kind: z.literal('release'), epoch: epochNumber }),
  z.strictObject({
    ...from,
    kind: z.literal('transfer'),
    epoch: epochNumber,
    id: identifier,
    to: regionName,
    token: demotionToken,
  }),
  z.strictObject({
    ...from,
    kind: z.literal('setInSync'),
    epoch: epochNumber,
    inSync: z.array(regionName).min(1).max(REGIONS_PER_LEASE_MAX),
  }),
  z.strictObject({
    ...from,
    kind: z.literal('requestSwitchover'),
    id: identifier,
    from: regionName,
    to: regionName,
    validForMs: z.number().int().min(SWITCHOVER_VALID_MS_MIN).max(SWITCHOVER_VALID_MS_MAX),
  }),
  z.strictObject({
    ...from,
    kind: z.literal('answerSwitchover'),
    id: identifier,
    answer: z.enum(['ready', 'refused', 'cancelled']),
    reasons: z.array(text).max(REASONS_MAX),
  }),
]);

const refusalCode = z.enum([
  'held',
  'expired',
  'epoch-stale',
  'not-holder',
  'instance-conflict',
  'not-in-sync',
  'policy-mismatch',
  'seq-stale',
  'seq-reused',
  'switchover-unknown',
  'switchover-pending',
  'invalid',
]);

/** Refusals quote names of at most 64 characters and a whole in-sync set; the witness's own text, never a caller's. */
const REFUSAL_DETAIL_LENGTH_MAX = 2_000;

export const outcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), code: refusalCode, detail: z.string().max(REFUSAL_DETAIL_LENGTH_MAX) }),
]);

export const leaseView = z.object({
  name: leaseName,
  revision: count,
  epoch: epochNumber,
  holder: regionName.nullable(),
  instance: identifier.nullable(),
  ttlMs: z.number().int().min(0).max(LEASE_TTL_MS_MAX),
  remainingMs: z.number().min(0).max(LEASE_TTL_MS_MAX),
  inSync: z.array(regionName).max(REGIONS_PER_LEASE_MAX),
  policyHash,
  handover: z.object({ id: identifier, from: regionName, to: regionName, token: demotionToken }).nullable(),
  intent: z
    .object({
      id: identifier,
      from: regionName,
      to: regionName,
      target: z.enum(['pending', 'ready', 'refused']),
      reasons: z.array(text).max(REASONS_MAX),
    })
    .nullable(),
  seq: count,
});

export const leaseReply = z.object({ outcome, view: leaseView });

export const leaseEventKind = z.enum([
  'granted',
  'renewed',
  'overdue',
  'expired',
  'released',
  'transferred',
  'in-sync',
  'intent',
]);

/** One pushed event. `watch` is the nonce of the handshake that opened the stream: a push of another stream is refused. */
export const leasePush = z.object({ watch: z.string().max(64), event: leaseEventKind, view: leaseView });

/** What goes over the watch's socket: the push as the text that was signed. */
export const pushEnvelope = z.object({
  keyId: z.string().max(96),
  signature: z.string().max(128),
  push: z.string().max(REPLY_BYTES_MAX),
});

/** RFC 9457. `code` is stable (`CTM_WITNESS_*`); `retryable` says whether the same request may succeed later. */
export const problem = z.object({
  type: z.string().max(200),
  title: z.string().max(200),
  status: z.number().int().min(400).max(599),
  detail: z.string().max(2_000),
  code: z.string().regex(/^CTM_[A-Z0-9_]{1,60}$/),
  retryable: z.boolean(),
  fields: z
    .array(z.object({ path: z.string().max(200), value: z.string().max(200), fix: z.string().max(400) }))
    .max(20)
    .optional(),
});
export type Problem = z.infer<typeof problem>;

// Drift between these schemas and the core's types is a compile error, in both directions.
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
true satisfies Same<z.infer<typeof leaseCommand>, Mutable<LeaseCommand>>;
true satisfies Same<z.infer<typeof leaseReply>, Mutable<LeaseReply>>;
true satisfies Same<z.infer<typeof leaseView>, Mutable<LeaseView>>;
true satisfies Same<z.infer<typeof leaseEventKind>, LeaseEventKind>;

type Mutable<T> = T extends string | number | boolean | null
  ? T
  : T extends readonly (infer Item)[]
    ? Mutable<Item>[]
    : { -readonly [Key in keyof T]: Mutable<T[Key]> };
