// The write-ahead log as an immutable chain: a member's state is one link of it, a copy is a pointer, and two members have diverged
// exactly when neither link is an ancestor of the other. PostgreSQL itself sees only numbers (timeline, position); the
// model keeps both, so that a mistake that the numbers hide is still seen.

import type { Lsn } from '@continuum/core';
import { lsn, lsnBytes } from '@continuum/core';

export type LogEntry = {
  readonly parent: LogEntry | null;
  readonly index: number;
  readonly timeline: number;
  /** Epoch recorded in the log up to here. */
  readonly epoch: number;
  /** The client write that this entry commits; 0 for none. */
  readonly writeId: number;
  readonly systemIdentifier: string;
  /** Where it lies, as PostgreSQL prints it: every look at a member asks for it. */
  readonly lsn: Lsn;
};

const BYTES_PER_ENTRY = 0x100;

export function newHistory(systemIdentifier: string): LogEntry {
  return { parent: null, index: 1, timeline: 1, epoch: 0, writeId: 0, systemIdentifier, lsn: lsnAt(1) };
}

export function append(parent: LogEntry, change: { timeline?: number; epoch?: number; writeId?: number }): LogEntry {
  const index = parent.index + 1;
  return {
    parent,
    index,
    timeline: change.timeline ?? parent.timeline,
    epoch: change.epoch ?? parent.epoch,
    writeId: change.writeId ?? 0,
    systemIdentifier: parent.systemIdentifier,
    lsn: lsnAt(index),
  };
}

export function lagBytes(ahead: LogEntry, behind: LogEntry): number {
  return (ahead.index - behind.index) * BYTES_PER_ENTRY;
}

/** The entry of this chain at that index; null when the chain is shorter. */
export function entryAt(head: LogEntry, index: number): LogEntry | null {
  if (head.index < index) return null;
  let entry: LogEntry | null = head;
  while (entry !== null && entry.index > index) entry = entry.parent;
  return entry;
}

/** The entry of this chain at that position; null when there is none. */
export function entryOf(head: LogEntry, position: Lsn): LogEntry | null {
  return entryAt(head, Number(lsnBytes(position) ?? 0n) / BYTES_PER_ENTRY);
}

export function contains(head: LogEntry, entry: LogEntry): boolean {
  return entryAt(head, entry.index) === entry;
}

/** Last entry before the newest timeline began; null when there was only one. */
export function branchOf(head: LogEntry): LogEntry | null {
  let entry: LogEntry | null = head;
  while (entry !== null && entry.timeline === head.timeline) entry = entry.parent;
  return entry;
}

/** Last entry that both have. */
export function fork(a: LogEntry, b: LogEntry): LogEntry | null {
  let left: LogEntry | null = entryAt(a, Math.min(a.index, b.index));
  let right: LogEntry | null = entryAt(b, Math.min(a.index, b.index));
  while (left !== right) {
    left = left?.parent ?? null;
    right = right?.parent ?? null;
  }
  return left;
}

/** What PostgreSQL checks when a standby connects: numbers only. */
export function canStream(source: LogEntry, standby: LogEntry): boolean {
  if (source.systemIdentifier !== standby.systemIdentifier) return false;
  const same = entryAt(source, standby.index);
  return same !== null && same.timeline === standby.timeline;
}

function lsnAt(index: number): Lsn {
  return lsn(`0/${(index * BYTES_PER_ENTRY).toString(16).toUpperCase()}`);
}
