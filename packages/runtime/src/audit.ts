// The evidence: one JSON line per recorded event, each with the hash of the one before. A changed, removed or reordered
// line breaks the chain. Writing never blocks a decision: a full disk costs evidence, and is counted, not availability.

import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, statSync, truncateSync } from 'node:fs';
import type { Now } from '@continuum/core';

export type AuditEntry = {
  readonly seq: number;
  readonly region: string;
  /** Wall clock of this machine. */
  readonly at: string;
  readonly monoMs: number;
  readonly event: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly previous: string;
  readonly hash: string;
};

export type Audit = {
  readonly append: (now: Now, event: string, detail: Readonly<Record<string, unknown>>) => AuditEntry;
  /** Entries that could not be written. */
  readonly lost: () => number;
};

const GENESIS = '0'.repeat(64);

/** Continues the chain that is in `file`. A broken one is kept beside it, and a new chain starts by naming it. */
export function openAudit(file: string, region: string, now: Now): Audit {
  const { entries, broken } = readOrProblem(file);
  const keptAt = `${file}.broken-${now.wallMs}`;
  // Where not even that succeeds, nothing can be appended either, which is counted.
  if (broken !== null) attempt(() => renameSync(file, keptAt));
  const last = broken === null ? entries.at(-1) : undefined;
  let seq = last?.seq ?? 0;
  let previous = last?.hash ?? GENESIS;
  let lost = 0;
  const append: Audit['append'] = (at, event, detail) => {
    seq += 1;
    const when = new Date(at.wallMs).toISOString();
    const body = { seq, region, at: when, monoMs: at.monoMs, event, detail, previous };
    const entry = { ...body, hash: hashOf(body) };
    // The chain goes on from the last line that is there; one that was lost shows as a gap in the numbers.
    if (appendWhole(file, `${JSON.stringify(entry)}\n`)) previous = entry.hash;
    else lost += 1;
    return entry;
  };
  if (broken !== null) {
    append(now, 'audit-chain-broken', { problem: broken, keptAt, lastHash: entries.at(-1)?.hash ?? GENESIS });
  }
  return { append, lost: () => lost };
}

/** All of the line or nothing of it: on a full disk a part may have been written, and the next line must not be glued to it. */
function appendWhole(file: string, line: string): boolean {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (attempt(() => appendFileSync(file, line, { mode: 0o600 }))) return true;
  attempt(() => truncateSync(file, size));
  return false;
}

function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function readOrProblem(file: string): ReturnType<typeof readAudit> {
  try {
    return readAudit(file);
  } catch (error) {
    return { entries: [], broken: `it cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})` };
  }
}

/** Reads a chain and says where it breaks, if it does. A last line without its end (a crash) is a break as well. */
export function readAudit(file: string): { entries: AuditEntry[]; broken: string | null } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], broken: null };
    throw error;
  }
  const entries: AuditEntry[] = [];
  let previous = GENESIS;
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const entry = parse(line);
    if (entry === null) return { entries, broken: `line ${index + 1} is not an entry` };
    const { hash, ...body } = entry;
    if (entry.previous !== previous || hashOf(body) !== hash) {
      return { entries, broken: `line ${index + 1} (entry ${entry.seq}) does not follow from the one before` };
    }
    previous = hash;
    entries.push(entry);
  }
  if (text !== '' && !text.endsWith('\n')) return { entries, broken: 'the last line has no end' };
  return { entries, broken: null };
}

function parse(line: string): AuditEntry | null {
  try {
    return JSON.parse(line) as AuditEntry;
  } catch {
    return null;
  }
}

function hashOf(body: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}
