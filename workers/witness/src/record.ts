// Where the lease is kept: one row in the object's own SQLite database. What cannot be read is an error and stays one:
// starting a new lease over it would start the epoch again at 0, and every fence downstream rests on the epoch.

import { z } from 'zod';
import type { LeaseRecord } from '@continuum/core';
import { epoch, wallMs } from '@continuum/core';
import { describeFields, fieldProblems, leaseView, outcome, regionName } from '@continuum/wire';

const FORMAT = 1;
const TABLE = 'lease';

const timeMs = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).transform(wallMs);
const view = leaseView.shape;

const leaseRecord: z.ZodType<LeaseRecord> = z
  .strictObject({
    name: view.name,
    revision: view.revision,
    epoch: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).transform(epoch),
    holder: view.holder,
    instance: view.instance,
    ttlMs: view.ttlMs,
    expiresAtMs: timeMs,
    clockMs: timeMs,
    inSync: view.inSync,
    policyHash: view.policyHash,
    handover: view.handover,
    intent: view.intent.unwrap().extend({ expiresAtMs: timeMs }).nullable(),
    last: z.record(
      regionName,
      z.strictObject({ seq: z.number().int().min(1), fingerprint: z.string().max(65_536), outcome }),
    ),
  })
  .refine((record) => record.holder === null || (record.epoch > 0 && record.ttlMs > 0), {
    error: 'a held lease has an epoch and a ttl',
  })
  .refine((record) => record.epoch === 0 || record.inSync.length > 0, { error: 'a granted lease has an in-sync set' });

const stored = z.strictObject({ format: z.literal(FORMAT), lease: leaseRecord });

/** The stored lease cannot be used. Only an operator can mend this; nobody is granted anything until then. */
export class RecordCorruptError extends Error {
  readonly code = 'CTM_WITNESS_RECORD_CORRUPT';
  constructor(name: string, detail: string) {
    super(`lease ${name}: ${detail}`);
    this.name = 'RecordCorruptError';
  }
}

/** The lease `name`; null when nothing was ever stored in this object. Throws `RecordCorruptError`. */
export function loadRecord(sql: SqlStorage, name: string): LeaseRecord | null {
  const tables = sql.exec('SELECT name FROM sqlite_master WHERE type = ? AND name = ?', 'table', TABLE).toArray();
  if (tables.length === 0) return null;
  const rows = sql.exec<{ record: string }>(`SELECT record FROM ${TABLE}`).toArray();
  if (rows.length !== 1) throw new RecordCorruptError(name, `${rows.length} records instead of one`);
  const parsed = stored.safeParse(parseText(name, rows[0]?.record));
  if (!parsed.success) {
    throw new RecordCorruptError(name, describeFields(fieldProblems(parsed.error.issues, null)));
  }
  const { lease } = parsed.data;
  if (lease.name !== name) throw new RecordCorruptError(name, `the record is of lease ${lease.name}`);
  return lease;
}

/** Stores `lease` in place of what is there. The caller is in a transaction with the load that it is based on. */
export function storeRecord(sql: SqlStorage, lease: LeaseRecord): void {
  sql.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL) STRICT`);
  const text = JSON.stringify({ format: FORMAT, lease });
  sql.exec(`INSERT INTO ${TABLE} (id, record) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record`, text);
}

function parseText(name: string, text: unknown): unknown {
  if (typeof text !== 'string') throw new RecordCorruptError(name, 'the record is not text');
  try {
    return JSON.parse(text);
  } catch {
    throw new RecordCorruptError(name, 'the record is not JSON');
  }
}
