// Makes this member the primary. On the fast path (a running standby) nothing is waited for but PostgreSQL itself.

import { lsnBytes } from '@continuum/core';
import type { DemotionToken, Epoch, Lsn, RegionId } from '@continuum/core';
import { localHistory, readControlData, shapeOf } from './cluster.ts';
import type { Member } from './member.ts';
import { acceptInStore, acceptInTable, commitCanary, stale } from './fence.ts';
import { readServerState } from './server-state.ts';
import type { ServerState } from './server-state.ts';
import { replayTimeline } from './replay-timeline.ts';
import { ensureRunning, findPostmaster, stopHard } from './postmaster.ts';
import { DatabaseProblem } from './problem.ts';
import { relax } from './synchronous.ts';
import { pollUntil } from './wait.ts';

export type PromoteRequest = { readonly epoch: Epoch; readonly region: RegionId; readonly token: DemotionToken | null };

const POLL_MS = 5;

export async function promote(member: Member, request: PromoteRequest, signal: AbortSignal): Promise<{ timeline: number; lsn: Lsn }> {
  const { context, control } = member;
  await acceptInStore(context, request.epoch, 0);
  const running = (await findPostmaster(context)) !== null;
  const proved = running ? false : await provedByDirectory(member, request, signal);
  if (!running) member.step('starting the server');
  // It comes up with the standbys that it had: nobody is acknowledged without them before the epoch is checked.
  await ensureRunning(context, signal);

  member.step('reading the state before the promotion');
  const before = await readServerState(control, signal);
  await acceptInStore(context, request.epoch, before.epoch);
  if (running && !before.standby && before.epoch === request.epoch) return confirm(member, request, before, signal);

  if (before.standby) await promoteStandby(member, request, before, signal);
  // Recorded under this very epoch, it proved the token then, and may have served since.
  else if (request.token !== null && !proved && before.epoch !== request.epoch) await assertHasRun(member, request.token, before);

  // Before the record: a call that is cut off in between is not taken for complete when it is repeated.
  member.step('making commits wait for nobody');
  await relax(member, signal);
  return recordAndProve(member, request, signal);
}

/** This very promotion was completed before. Whom commits wait for has been decided since, and stays. */
async function confirm(member: Member, request: PromoteRequest, state: ServerState, signal: AbortSignal) {
  member.step('confirming that the primary accepts writes');
  const lsn = await acceptInTable(member.control, request.epoch, request.region, signal);
  return { timeline: state.timeline, lsn };
}

/** What the directory of a server that is down says of the token. False: only the running server can say. */
async function provedByDirectory(member: Member, { token }: PromoteRequest, signal: AbortSignal): Promise<boolean> {
  const { context } = member;
  const shape = await shapeOf(context);
  if (shape === 'empty') {
    throw new DatabaseProblem('CTM_DATABASE_EMPTY', `${context.dataDir} holds no usable cluster: rejoin this region first`);
  }
  if (shape === 'standby' || token === null) return false;
  const data = await readControlData(context, signal);
  assertSameCluster(token, data?.systemIdentifier ?? 'none');
  // A crash may have left the control file on the timeline before the last promotion, and at an older checkpoint.
  if (data?.state !== 'shut down') return false;
  assertContains(token, data.timeline, data.checkpointLsn, (await localHistory(context, data.timeline)).at(-1));
  return true;
}

async function promoteStandby(member: Member, request: PromoteRequest, before: ServerState, signal: AbortSignal): Promise<void> {
  const { control } = member;
  if (request.token !== null) await replayExactly(member, request.token, before, signal);
  member.step('promoting');
  await control.query(signal, 'SELECT pg_promote(false)');
  member.step('waiting for recovery to end (promotion was requested)');
  await pollUntil(signal, POLL_MS, async () => {
    const [row] = await control.query(signal, 'SELECT pg_is_in_recovery() AS standby', [], 'continuum-in-recovery');
    return row?.['standby'] === false ? true : null;
  });
}

async function recordAndProve(member: Member, request: PromoteRequest, signal: AbortSignal) {
  const { context, control } = member;
  member.step('recording the epoch');
  try {
    await acceptInTable(control, request.epoch, request.region, signal);
  } catch (error) {
    if (!(error instanceof DatabaseProblem) || error.code !== 'CTM_EPOCH_STALE') throw error;
    // The log that was replayed last carried a higher epoch: this server must not serve at all.
    await stopHard(context, signal);
    throw stale(request.epoch, 'a higher one, and was stopped');
  }
  member.step('proving that a commit returns');
  const lsn = await commitCanary(control, signal);
  const { timeline } = await readServerState(control, signal);
  // pg_rewind of the other region reads the timeline from this server's last checkpoint; nothing here waits for it.
  member.checkpointInBackground();
  return { timeline, lsn };
}

/** Waits for replay to reach the token's position, and refuses everything that is not exactly that history. */
async function replayExactly(member: Member, token: DemotionToken, before: ServerState, signal: AbortSignal): Promise<void> {
  assertSameCluster(token, before.systemIdentifier);
  member.step(`waiting for replay to pass ${token.checkpointLsn}`);
  const state = await pollUntil(signal, POLL_MS, async () => {
    const now = await readServerState(member.control, signal);
    assertNothingAfter(token, now.lsn ?? token.checkpointLsn);
    return bytes(now.replayLsn) > bytes(token.checkpointLsn) ? now : null;
  });
  const timeline = await replayTimeline(member, state, signal);
  if (timeline === token.timeline) return;
  throw mismatch(token, `this member has replayed timeline ${timeline}`);
}

async function assertHasRun(member: Member, token: DemotionToken, state: ServerState): Promise<void> {
  assertSameCluster(token, state.systemIdentifier);
  assertContains(token, state.timeline, state.lsn, (await localHistory(member.context, state.timeline)).at(-1));
}

/** A primary's history holds the token: it is the one that gave it, still on its own timeline, or it branched off right there. */
function assertContains(token: DemotionToken, timeline: number, end: Lsn | null, last: { timeline: number; endLsn: Lsn } | undefined): void {
  const position = bytes(token.checkpointLsn);
  if (timeline === token.timeline && position >= bytes(last?.endLsn ?? null) && bytes(end) >= position) return;
  if (last === undefined || last.timeline !== token.timeline || bytes(last.endLsn) <= position) {
    throw mismatch(token, last === undefined ? `this member ends at ${end} of timeline ${timeline}` : `it branched off ${last.timeline} at ${last.endLsn}`);
  }
  assertNothingAfter(token, last.endLsn);
}

function assertSameCluster(token: DemotionToken, systemIdentifier: string): void {
  if (token.systemIdentifier !== systemIdentifier) throw mismatch(token, `this cluster is ${systemIdentifier}`);
}

const WAL_PAGE_BYTES = 8_192n;
/** A checkpoint record is 120 or 128 bytes (PostgreSQL 15 to 18) and the smallest record after it 24. */
const CHECKPOINT_RECORD_BYTES_MAX = 128n;
const WAL_PAGE_HEADER_BYTES_MAX = 40n;

/** The shutdown checkpoint was the last record of the old primary; whatever follows it is another history. */
function assertNothingAfter(token: DemotionToken, end: Lsn): void {
  const start = bytes(token.checkpointLsn);
  const crossesPage = (start % WAL_PAGE_BYTES) + CHECKPOINT_RECORD_BYTES_MAX > WAL_PAGE_BYTES;
  const limit = start + CHECKPOINT_RECORD_BYTES_MAX + (crossesPage ? WAL_PAGE_HEADER_BYTES_MAX : 0n);
  if (bytes(end) > limit) throw mismatch(token, `this member has log up to ${end}, past that shutdown`);
}

const bytes = (position: Lsn | null): bigint => (position === null ? -1n : (lsnBytes(position) ?? -1n));

const mismatch = (token: DemotionToken, found: string): DatabaseProblem =>
  new DatabaseProblem(
    'CTM_DATABASE_TOKEN_MISMATCH',
    `the token says cluster ${token.systemIdentifier}, timeline ${token.timeline}, shut down at ${token.checkpointLsn}, but ${found}`,
  );
