// `continuum events --verify`: whether the evidence on this machine's disk is still what was written. Asks no controller: the log is
// read where it lies, also when nothing runs any more.

import { join } from 'node:path';
import type { AuditEntry, ChainEnd } from '@continuum/runtime';
import { CHAIN_BROKEN, compareEnd, ENTRIES_MISSING, readAudit, readEnd, SEGMENT_DROPPED } from '@continuum/runtime';

export type Verdict = {
  readonly file: string;
  readonly ok: boolean;
  /** Why it is not believed; empty when it is. */
  readonly problems: readonly string[];
  readonly entries: number;
  readonly first: AuditEntry | null;
  readonly last: AuditEntry | null;
  /** What was noticed at starts, and what was given up for room. */
  readonly marks: readonly AuditEntry[];
};

export const auditFile = (stateDir: string): string => join(stateDir, 'audit.jsonl');

const END = /^(\d{1,15}):([0-9a-f]{64})$/;

/** `SEQ:HASH`, as the controller's own log has it beside every entry; null when it is not of that form. */
export function parseEnd(text: string): ChainEnd | null {
  const [, seq, hash] = END.exec(text) ?? [];
  return seq === undefined || hash === undefined ? null : { seq: Number(seq), hash };
}

/** Throws when the file cannot be read. `known` is an end that was kept elsewhere. */
export function verifyEvents(file: string, known: ChainEnd | null): Verdict {
  // Before the log: what is written in between is not missing.
  const ends = [readEnd(file), known];
  const { entries, broken } = readAudit(file);
  const differing = ends.map((end) => (end === null ? null : compareEnd(end, entries)));
  const nothing = entries.length === 0 ? 'there is no entry' : null;
  const problems = [...new Set(broken === null ? [...differing, nothing] : [broken])].filter((one) => one !== null);
  return {
    file,
    ok: problems.length === 0,
    problems,
    entries: entries.length,
    first: entries[0] ?? null,
    last: entries.at(-1) ?? null,
    marks: entries.filter(({ event }) => [CHAIN_BROKEN, ENTRIES_MISSING, SEGMENT_DROPPED].includes(event)),
  };
}

export function verdictText({ file, problems, entries, first, last, marks }: Verdict): string {
  const span = first === null || last === null ? '' : `, ${first.seq} (${first.at}) to ${last.seq} (${last.at})`;
  const marked = marks.map(({ seq, at, event, detail }) => `  entry ${seq} (${at}) ${event} ${JSON.stringify(detail)}`);
  const end = last === null ? '' : `\nits end, for --head: ${last.seq}:${last.hash}`;
  const verdict = problems.length === 0 ? 'one chain, and none is missing at its end' : `NOT WHOLE: ${problems.join('; ')}`;
  return [`${file}: ${entries} entries${span}`, verdict, ...marked].join('\n') + end;
}
