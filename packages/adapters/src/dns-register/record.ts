// The lease as one TXT record: JSON in base64url, so that no quoting rule of any name server or tool touches it and the
// value that is compared is, byte for byte, the value that was read.

import { Buffer } from 'node:buffer';
import { epoch, regionId } from '@continuum/core';
import type { LeaseEventKind } from '@continuum/core';
import { demotionToken, leaseEventKind, leaseName, outcome, REASONS_MAX, regionName, REGIONS_PER_LEASE_MAX, TEXT_LENGTH_MAX } from '@continuum/wire';
import { z } from 'zod';

/** Events that a poller who looks rarely must still hear: a switchover makes five within a second. */
export const JOURNAL_MAX = 12;
/** Larger than the largest lease; a name server takes 64 KiB in one message, and an update holds the value twice. */
export const RECORD_LENGTH_MAX = 24_000;
/** Nobody who decides reads through a cache; resolvers shall remember it so long, see `cross-check.ts`. */
export const RECORD_TTL_SECONDS = 60;

const PREFIX = 'ctm1.';
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const SHORT_TEXT_MAX = 128;
const FINGERPRINT_MAX = 8_000;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const shortText = z.string().max(SHORT_TEXT_MAX);
const durationMs = z.number().min(0).max(86_400_000);

const storedLease = z.strictObject({
  name: leaseName,
  /** +1 with every write of this record, so that no two of its values are ever alike (a compare-and-set needs that). */
  change: count,
  /** +1 whenever the ttl begins anew. */
  renewal: count,
  revision: count,
  epoch: count.transform(epoch),
  holder: regionName.nullable(),
  instance: shortText.nullable(),
  ttlMs: durationMs,
  inSync: z.array(regionName).max(REGIONS_PER_LEASE_MAX).readonly(),
  policyHash: shortText,
  handover: z.strictObject({ id: shortText, from: regionName, to: regionName, token: demotionToken }).nullable(),
  intent: z
    .strictObject({
      id: shortText,
      from: regionName,
      to: regionName,
      target: z.enum(['pending', 'ready', 'refused']),
      reasons: z.array(z.string().max(TEXT_LENGTH_MAX)).max(REASONS_MAX).readonly(),
      /** Counted by each client from when it saw the intent first. */
      validForMs: durationMs,
    })
    .nullable(),
  last: z.record(regionName, z.strictObject({ seq: count, fingerprint: z.string().max(FINGERPRINT_MAX), outcome })),
  /** The last events, for those who poll. */
  journal: z.array(z.strictObject({ revision: count, event: leaseEventKind })).max(JOURNAL_MAX),
});

export type StoredLease = z.infer<typeof storedLease>;
/** What orders the states of one lease. */
export type LeaseState = { readonly epoch: number; readonly change: number };

export function isOlder(one: LeaseState, other: LeaseState): boolean {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.change < other.change);
}

export type JournalEntry = { readonly revision: number; readonly event: LeaseEventKind };

/**
 * A lease that nobody has held since `floor`: its next grant has epoch `floor + 1`. Above 0 it takes the place of one that
 * was lost, and `inSync` are the regions that have all the data: nobody else may acquire it.
 */
export function newStoredLease(name: string, floor: { readonly epoch: number; readonly inSync: readonly string[] } = { epoch: 0, inSync: [] }): StoredLease {
  if (floor.epoch > 0 && floor.inSync.length === 0) throw new RangeError('a lease with a history needs a region that has its data');
  return {
    name,
    change: 0,
    renewal: 0,
    revision: 0,
    epoch: epoch(floor.epoch),
    holder: null,
    instance: null,
    ttlMs: 0,
    inSync: floor.inSync.map(regionId),
    policyHash: '',
    handover: null,
    intent: null,
    last: {},
    journal: [],
  };
}

/** Null when it would be larger than a register may hold. */
export function encodeLease(lease: StoredLease): string | null {
  const text = PREFIX + Buffer.from(JSON.stringify(lease), 'utf8').toString('base64url');
  return text.length > RECORD_LENGTH_MAX ? null : text;
}

export type Decoded = { readonly ok: true; readonly lease: StoredLease } | { readonly ok: false; readonly problem: string };

export function decodeLease(text: string, name: string): Decoded {
  const body = text.slice(PREFIX.length);
  if (!text.startsWith(PREFIX) || text.length > RECORD_LENGTH_MAX || !BASE64URL.test(body)) {
    return { ok: false, problem: `it is not a lease of this version (it begins with ${JSON.stringify(text.slice(0, 12))})` };
  }
  const parsed = storedLease.safeParse(parseJson(Buffer.from(body, 'base64url').toString('utf8')));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { ok: false, problem: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a lease'}` };
  }
  if (parsed.data.name !== name) return { ok: false, problem: `it is about lease ${parsed.data.name}, not ${name}` };
  return { ok: true, lease: parsed.data };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
