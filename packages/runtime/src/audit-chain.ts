// Reads the evidence back: a chain of hashes over several files, the closed ones first. Says where it breaks, if it does.

import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

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

/** Where a chain ends: the next entry names this hash. */
export type ChainEnd = Pick<AuditEntry, 'seq' | 'hash'>;

export type Chain = { readonly entries: AuditEntry[]; readonly broken: string | null };

export const GENESIS = '0'.repeat(64);
/** First entries of these kinds may stand without what was before them: they name it. */
export const CHAIN_BROKEN = 'audit-chain-broken';
export const SEGMENT_DROPPED = 'audit-segment-dropped';
/** The end that was written down is not in the log. */
export const ENTRIES_MISSING = 'audit-entries-missing';
/** More than the longest line: its end is read back from a file's end. */
const TAIL_BYTES = 262_144;

/** Reads a whole chain, its closed files too. A last line without its end (a crash) is a break as well. */
export function readAudit(file: string): Chain {
  const entries: AuditEntry[] = [];
  for (const part of [...closedSegments(file).map(({ path }) => path), file]) {
    const known = entries.length > 0;
    const read = readSegment(part, known ? (entries.at(-1)?.hash ?? GENESIS) : null);
    entries.push(...read.entries);
    const where = part === file ? '' : `${basename(part)}: `;
    if (read.broken !== null) return { entries, broken: `${where}${read.broken}` };
  }
  const [first] = entries;
  if (first === undefined || startsItself(first) || wasDropped(first.previous, entries)) return { entries, broken: null };
  return { entries: [], broken: `line 1 (entry ${first.seq}) does not follow from the one before` };
}

/** What is wrong between a chain and the last end of it that somebody wrote down elsewhere; null when nothing is. */
export function compareEnd({ seq, hash }: ChainEnd, entries: readonly AuditEntry[]): string | null {
  const last = entries.at(-1);
  if (last === undefined || last.seq < seq) return `entry ${seq} was written, and the log ends with entry ${last?.seq ?? 0}`;
  if (seq < (entries[0]?.seq ?? 0)) return null;
  const there = entries.find((entry) => entry.seq === seq);
  return there?.hash === hash ? null : `entry ${seq} is not the one that was written`;
}

/** A file that was closed, and the highest number that had been given by then. */
export type ClosedSegment = { readonly path: string; readonly seq: number };

/** The closed files of a chain, the oldest first. */
export function closedSegments(file: string): ClosedSegment[] {
  const { folder, pattern } = namesOf(file);
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder).flatMap((name) => {
    const seq = pattern.exec(name)?.[1];
    return seq === undefined ? [] : [{ path: join(folder, name), seq: Number(seq) }];
  });
  return found.sort((a, b) => a.seq - b.seq);
}

/** The name under which a file is closed after entry `seq`: `audit-41.jsonl` beside `audit.jsonl`. */
export function closedName(file: string, seq: number): string {
  const { folder, stem } = namesOf(file);
  return join(folder, `${stem}-${seq}.jsonl`);
}

function namesOf(file: string): { folder: string; stem: string; pattern: RegExp } {
  const stem = basename(file, '.jsonl');
  return { folder: dirname(file), stem, pattern: new RegExp(`^${stem}-(\\d+)\\.jsonl$`) };
}

/** One file of a chain. `previous` is the hash that its first entry must name; null when nobody knows. */
export function readSegment(file: string, previous: string | null): Chain {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], broken: null };
    throw error;
  }
  const entries: AuditEntry[] = [];
  let expected = previous;
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const entry = parse(line);
    if (entry === null) return { entries, broken: `line ${index + 1} is not an entry` };
    const { hash, ...body } = entry;
    const follows = expected === null || entry.previous === expected || (entries.length === 0 && entry.event === CHAIN_BROKEN);
    if (!follows || hashOf(body) !== hash) {
      return { entries, broken: `line ${index + 1} (entry ${entry.seq}) does not follow from the one before` };
    }
    expected = hash;
    entries.push(entry);
  }
  if (text !== '' && !text.endsWith('\n')) return { entries, broken: 'the last line has no end' };
  return { entries, broken: null };
}

/** The last entry of a file, without reading the rest of it; null when its end is not whole. */
export function lastEntry(file: string): AuditEntry | null {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(descriptor, tail, 0, tail.length, size - tail.length);
    const lines = tail.toString('utf8').split('\n');
    const entry = lines.at(-1) === '' ? parse(lines.at(-2) ?? '') : null;
    if (entry === null) return null;
    const { hash, ...body } = entry;
    return hashOf(body) === hash ? entry : null;
  } finally {
    closeSync(descriptor);
  }
}

export const startsItself = (entry: AuditEntry): boolean => entry.previous === GENESIS || entry.event === CHAIN_BROKEN;

/** A file that was given up for room is named, with the hash that it ended with, before it goes. */
const wasDropped = (hash: string, entries: readonly AuditEntry[]): boolean =>
  entries.some(({ event, detail }) => event === SEGMENT_DROPPED && detail['lastHash'] === hash);

function parse(line: string): AuditEntry | null {
  try {
    const entry = JSON.parse(line) as AuditEntry | null;
    return entry !== null && typeof entry === 'object' && Number.isSafeInteger(entry.seq) ? entry : null;
  } catch {
    return null;
  }
}

export function hashOf(body: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}
