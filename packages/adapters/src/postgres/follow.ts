// A running standby: points it to its source and waits until it streams, or until it is certain that it never will.

import pg from 'pg';
import { lsnBytes } from '@continuum/core';
import type { Member } from './member.ts';
import { readServerState } from './server-state.ts';
import { replayTimeline } from './replay-timeline.ts';
import { peerConnection } from './server-settings.ts';
import { endOnSource, readSource } from './source.ts';
import type { SourceAddress } from './source.ts';
import { pollUntil } from './wait.ts';

export type FollowOutcome =
  | { readonly kind: 'streaming' }
  /** It has log that the source's history has not. */
  | { readonly kind: 'forked' }
  /** The source has dropped the log that this standby needs next. */
  | { readonly kind: 'log-gone' };

const POLL_MS = 20;
/** A healthy standby streams within milliseconds; only one that does not is worth the question why. */
const SUSPICION_MS = 600;

/** Streaming counts once it is on `timeline`: on the way there the receiver ends and starts again. */
export async function followRunning(member: Member, source: SourceAddress, timeline: number, signal: AbortSignal): Promise<FollowOutcome> {
  const { control } = member;
  member.step('pointing the standby to its source');
  await pointTo(member, source, signal);
  member.step('waiting for the standby to stream');
  const wanted = `${source.host}:${source.port}`;
  let askAtMs = performance.now() + SUSPICION_MS;
  return pollUntil(signal, POLL_MS, async (): Promise<FollowOutcome | null> => {
    const state = await readServerState(control, signal);
    const streams = state.receiver?.streaming === true && state.receiver.source === wanted;
    if (streams && state.timeline >= timeline) return { kind: 'streaming' };
    if (performance.now() < askAtMs) return null;
    askAtMs = performance.now() + SUSPICION_MS;
    return whyNot(member, source, signal);
  });
}

/** Null: nothing stands in its way, it may still come. */
async function whyNot(member: Member, address: SourceAddress, signal: AbortSignal): Promise<FollowOutcome | null> {
  // The standby first: what it has by then the source had before.
  const state = await readServerState(member.control, signal);
  if (state.lsn === null) return null;
  const timeline = await replayTimeline(member, state, signal);
  const source = await readSource(member.context, address, signal);
  const end = endOnSource(source, timeline);
  if (end === null || (lsnBytes(state.lsn) ?? 0n) > (lsnBytes(end) ?? 0n)) return { kind: 'forked' };
  return (lsnBytes(state.replayLsn ?? state.lsn) ?? 0n) < (lsnBytes(source.oldestLsn) ?? 0n) ? { kind: 'log-gone' } : null;
}

export async function pointTo({ context, control }: Member, source: SourceAddress, signal: AbortSignal): Promise<void> {
  const wanted = { primary_conninfo: peerConnection(context, source, {}), synchronous_standby_names: '' };
  let changed = false;
  for (const [name, value] of Object.entries(wanted)) {
    const [row] = await control.query(signal, 'SELECT current_setting($1) AS value', [name]);
    if (row?.['value'] === value) continue;
    await control.query(signal, `ALTER SYSTEM SET ${name} = ${pg.escapeLiteral(value)}`);
    changed = true;
  }
  if (changed) await control.query(signal, 'SELECT pg_reload_conf()');
}
