// Is the log of this member, up to a point, really the source's? Timeline numbers alone do not tell: two members that were
// promoted without knowing of each other chose the same number, and then neither the history files nor pg_rewind see a
// difference. The bytes do: every record carries its position, its predecessor and a checksum.

import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lsnBytes } from '@continuum/core';
import type { Lsn } from '@continuum/core';
import type { HistoryEntry } from './cluster.ts';
import { isMissing } from './files.ts';
import type { LocalEnd } from './local-end.ts';
import type { PostgresContext } from './options.ts';
import { endOnSource, readSourcePage } from './source.ts';
import type { LogPage, SourceAddress, SourceView } from './source.ts';

const PAGE_BYTES = 8_192n;

export type Parting = {
  /** Up to here both histories are the same, if their timelines' numbers mean the same. */
  readonly upTo: Lsn;
  /** This member has more than that. */
  readonly ahead: boolean;
};

/** Where the history of this member leaves the source's: on the newest timeline that both had. Null when there is none. */
export function findParting(source: SourceView, local: LocalEnd, history: readonly HistoryEntry[]): Parting | null {
  const end = endOnSource(source, local.timeline);
  if (end !== null) {
    // A record that starts before the end of its timeline is whole on both sides.
    const ahead = bytes(local.lastRecordLsn) >= bytes(end);
    return { upTo: ahead || bytes(local.endLsn) > bytes(end) ? end : local.endLsn, ahead };
  }
  for (const entry of [...history].reverse()) {
    const there = endOnSource(source, entry.timeline);
    if (there !== null) return { upTo: bytes(there) < bytes(entry.endLsn) ? there : entry.endLsn, ahead: true };
  }
  return null;
}

const bytes = (position: Lsn): bigint => lsnBytes(position) ?? 0n;

/** False as well when either side no longer has that part of its log: then nothing can be built on it either. */
export async function hasSameLog(
  context: PostgresContext,
  source: SourceAddress,
  at: { readonly timeline: number; readonly upTo: Lsn; readonly walSegmentBytes: number },
  signal: AbortSignal,
): Promise<boolean> {
  const page = lastPageBefore(at.upTo, at.walSegmentBytes);
  const here = await readLocalPage(context, at.timeline, page);
  if (here === null) return false;
  const there = await readSourcePage(context, source, page, signal);
  return there !== null && there.equals(here);
}

/** The part of the page before `upTo`. */
export function lastPageBefore(upTo: Lsn, walSegmentBytes: number): LogPage {
  const end = lsnBytes(upTo) ?? 0n;
  const size = BigInt(walSegmentBytes);
  const start = ((end - 1n) / PAGE_BYTES) * PAGE_BYTES;
  const perId = 0x1_0000_0000n / size;
  const number = start / size;
  const digits = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  return {
    segment: digits(number / perId) + digits(number % perId),
    offset: Number(start % size),
    length: Number(end - start),
  };
}

async function readLocalPage(context: PostgresContext, timeline: number, page: LogPage): Promise<Buffer | null> {
  const folder = join(context.dataDir, 'pg_wal');
  const newest = `${timeline.toString(16).toUpperCase().padStart(8, '0')}${page.segment}`;
  const names = (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name) && name.slice(8) === page.segment && name <= newest);
  const name = names.sort().at(-1);
  if (name === undefined) return null;
  try {
    const file = await open(join(folder, name), 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(page.length), 0, page.length, page.offset);
      return bytesRead === page.length ? buffer : null;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
