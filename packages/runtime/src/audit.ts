// The evidence: one JSON line per recorded event, each with the hash of the one before. A changed, removed or reordered
// line breaks the chain. Writing never blocks a decision: a full disk costs evidence, and is counted, not availability.
//
// The file has a bound: full, it is closed under another name and the chain goes on in a new one; the oldest goes when there are too
// many, after an entry has named it. The chain's end is also kept beside, because lines cut off its end break nothing.

import { appendFileSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Now } from '@continuum/core';
import { CHAIN_BROKEN, closedName, closedSegments, compareEnd, ENTRIES_MISSING, GENESIS, hashOf, lastEntry, readSegment, SEGMENT_DROPPED, startsItself } from './audit-chain.ts';
import type { AuditEntry, Chain, ChainEnd } from './audit-chain.ts';

export type Audit = {
  readonly append: (now: Now, event: string, detail: Readonly<Record<string, unknown>>) => AuditEntry;
  /** Entries that could not be written. */
  readonly lost: () => number;
  /** What an earlier run wrote last, as far as it stands in the file that is open now. */
  readonly earlier: readonly AuditEntry[];
};

export type AuditBounds = { readonly segmentBytesMax: number; readonly segmentsMax: number };

/** Ten thousand entries a file, and with the open one 68 MiB in all. */
const BOUNDS: AuditBounds = { segmentBytesMax: 4 * 1024 * 1024, segmentsMax: 16 };

/** Continues the chain that is in `file`. A broken one is kept beside it, and a new chain starts by naming it. */
export function openAudit(file: string, region: string, now: Now, bounds: AuditBounds = BOUNDS): Audit {
  const found = findEnd(file, bounds);
  let { seq, hash: previous } = found.end;
  let lost = 0;
  const write = (at: Now, event: string, detail: AuditEntry['detail']): AuditEntry => {
    seq += 1;
    const when = new Date(at.wallMs).toISOString();
    const body = { seq, region, at: when, monoMs: at.monoMs, event, detail, previous };
    const entry = { ...body, hash: hashOf(body) };
    // The chain goes on from the last line that is there; one that was lost shows as a gap in the numbers.
    if (appendWhole(file, `${JSON.stringify(entry)}\n`)) {
      previous = entry.hash;
      attempt(() => writeFileSync(endFile(file), `${JSON.stringify({ seq, hash: previous })}\n`, { mode: 0o600 }));
    } else lost += 1;
    return entry;
  };
  const dropOldest = (at: Now): void => {
    for (const path of tooMany(file, bounds)) {
      const before = lost;
      write(at, SEGMENT_DROPPED, { file: basename(path), lastHash: lastEntry(path)?.hash ?? null });
      if (lost === before) rmSync(path);
    }
  };
  const append: Audit['append'] = (at, event, detail) => {
    if ((sizeOf(file) ?? 0) >= bounds.segmentBytesMax && attempt(() => renameSync(file, closedName(file, seq)))) {
      attempt(() => dropOldest(at));
    }
    return write(at, event, detail);
  };
  if (found.broken !== null) {
    const keptAt = `${file}.broken-${now.wallMs}`;
    // Where not even that succeeds, nothing can be appended either, which is counted.
    attempt(() => renameSync(file, keptAt));
    write(now, CHAIN_BROKEN, { problem: found.broken, keptAt, lastHash: found.end.hash });
  }
  if (found.missing !== null) write(now, ENTRIES_MISSING, { problem: found.missing });
  return { append, lost: () => lost, earlier: found.entries };
}

/** The end of the chain that was written down last; null when there is none that can be read. */
export function readEnd(file: string): ChainEnd | null {
  try {
    const { seq, hash } = JSON.parse(readFileSync(endFile(file), 'utf8')) as Partial<ChainEnd>;
    return Number.isSafeInteger(seq) && typeof hash === 'string' ? { seq: seq as number, hash } : null;
  } catch {
    return null;
  }
}

type Found = {
  readonly entries: readonly AuditEntry[];
  readonly end: ChainEnd;
  readonly broken: string | null;
  /** Entries that were written and are not there. */
  readonly missing: string | null;
};

/** Where the chain goes on. Only the open file is read; of the closed one before it, the last line. */
function findEnd(file: string, bounds: AuditBounds): Found {
  const { before, entries, broken, numbered } = readOpen(file, bounds);
  const written = readEnd(file);
  const last = entries.at(-1) ?? before ?? { seq: 0, hash: GENESIS };
  const seen = entries.length > 0 || before === null ? entries : [before];
  const missing = written === null || broken !== null ? null : compareEnd(written, seen);
  // A number that was used is not used again.
  const seq = Math.max(last.seq, numbered, written?.seq ?? 0);
  return { entries, end: { seq, hash: last.hash }, broken, missing };
}

type Open = Chain & {
  /** The last entry of the closed file before it. */
  readonly before: AuditEntry | null;
  /** The highest number in the names of closed files. */
  readonly numbered: number;
};

function readOpen(file: string, bounds: AuditBounds): Open {
  let before: AuditEntry | null = null;
  let numbered = 0;
  const open = (chain: Chain): Open => ({ ...chain, before, numbered });
  try {
    const closed = closedSegments(file).at(-1);
    if (closed !== undefined) {
      numbered = closed.seq;
      before = lastEntry(closed.path);
    }
    // Of an earlier version, which knew no bound: it is closed before the next entry.
    if ((sizeOf(file) ?? 0) > 2 * bounds.segmentBytesMax) {
      const last = lastEntry(file);
      return open(last === null ? { entries: [], broken: 'the last line is not whole' } : { entries: [last], broken: null });
    }
    const chain = readSegment(file, before?.hash ?? null);
    const [first] = chain.entries;
    if (closed !== undefined && before === null && first?.event !== CHAIN_BROKEN) {
      return open({ entries: [], broken: `the end of ${basename(closed.path)} is not whole` });
    }
    if (before !== null || first === undefined || startsItself(first)) return open(chain);
    return open({ entries: [], broken: `line 1 (entry ${first.seq}) does not follow from the one before` });
  } catch (error) {
    return open({ entries: [], broken: `it cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})` });
  }
}

/** The closed files that have no room any more. */
function tooMany(file: string, bounds: AuditBounds): string[] {
  const closed = closedSegments(file);
  return closed.slice(0, Math.max(0, closed.length - bounds.segmentsMax)).map(({ path }) => path);
}

const endFile = (file: string): string => file.replace(/(\.jsonl)?$/, '.end');

/** All of the line or nothing of it: on a full disk a part may have been written, and the next line must not be glued to it. */
function appendWhole(file: string, line: string): boolean {
  const size = sizeOf(file);
  if (attempt(() => appendFileSync(file, line, { mode: 0o600 }))) return true;
  if (size !== null) attempt(() => truncateSync(file, size));
  return false;
}

/** Null when it cannot be told. */
function sizeOf(file: string): number | null {
  try {
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return null;
  }
}

function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
