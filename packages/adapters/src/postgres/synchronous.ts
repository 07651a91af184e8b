// Whom commits wait for.
//
// A backend decides by a flag in shared memory ("are there synchronous standbys at all?"), not by the setting that it
// shows. Only the checkpointer writes that flag, when it handles SIGHUP, and no view shows it: until then a commit returns
// at once although every view says "sync". The proof used here is a barrier. After ALTER SYSTEM the checkpointer itself gets
// a SIGHUP (through the postmaster it might still be on its way), and then two CHECKPOINTs are requested one after the
// other and waited for. The checkpointer's loop handles a pending SIGHUP first and looks for requests second. The first
// checkpoint may have been picked up by a pass that was already between the two; the second one cannot have been.
// From then on every session waits. After that a canary commit returns only when every named standby has applied it,
// and with it everything that was committed before without waiting.

import pg from 'pg';
import type { Epoch, RegionId } from '@continuum/core';
import { acceptInStore, acceptInTable, commitCanary } from './fence.ts';
import { CANARY_NAME } from './member.ts';
import type { Member } from './member.ts';
import { readServerState } from './server-state.ts';
import { isStandbyName } from './options.ts';
import { findPostmaster } from './postmaster.ts';
import { DatabaseProblem } from './problem.ts';
import { sendSignal, viewProcess } from './proc.ts';
import { parseStandbyList, readFileSetting, standbyList } from './server-settings.ts';
import type { Session } from './session.ts';
import { pollUntil } from './wait.ts';

const POLL_MS = 5;

export type SynchronousRequest = { readonly epoch: Epoch; readonly standbys: readonly RegionId[] };

export async function setSynchronous(member: Member, request: SynchronousRequest, signal: AbortSignal): Promise<null> {
  const { context, control } = member;
  const invalid = request.standbys.filter((name) => !isStandbyName(name) || name === context.region);
  if (invalid.length > 0 || new Set(request.standbys).size !== request.standbys.length) {
    throw new DatabaseProblem(
      'CTM_DATABASE_STANDBY_NAME_INVALID',
      `standbys is [${request.standbys.join(', ')}]: name each other region once, 1 to 63 of A-Z a-z 0-9 . _ -`,
    );
  }
  member.step('checking the epoch');
  await acceptInStore(context, request.epoch, 0);
  const state = await readServerState(control, signal);
  if (state.standby) throw new DatabaseProblem('CTM_DATABASE_NOT_PRIMARY', 'this member is a standby: nothing commits here');
  await acceptInStore(context, request.epoch, state.epoch);
  await acceptInTable(control, request.epoch, context.region, signal);
  await endOldCanaries(control, signal);
  if (request.standbys.length === 0) {
    member.step('making commits wait for nobody');
    await relax(member, signal);
    await commitCanary(member.canary, signal);
    return null;
  }
  member.step('waiting for the standbys to have caught up before any commit waits for them');
  await pollUntil(signal, POLL_MS, async () => {
    const { standbys: seen } = await readServerState(control, signal);
    const missing = request.standbys.filter((name) => !seen.some((view) => view.region === name));
    if (missing.length === 0) return request.standbys.every((name) => seen.some((view) => view.region === name && view.state === 'streaming')) ? true : null;
    // Waiting for a standby that is not there would hang every commit.
    throw new DatabaseProblem('CTM_DATABASE_STANDBY_MISSING', `not connected here: ${missing.join(', ')}; nothing was changed`);
  });
  await tighten(member, request.standbys, signal);
  return null;
}

/** Returns when no commit waits for a standby any more. */
export async function relax({ context, control }: Member, signal: AbortSignal): Promise<void> {
  const [now] = await control.query(signal, 'SHOW synchronous_standby_names');
  // A call that was cut off may have left a name in the file that the next reload would bring into force.
  const inFile = (await readFileSetting(context.dataDir, 'synchronous_standby_names')) ?? '';
  if (now?.['synchronous_standby_names'] === '' && inFile === '') return;
  await applySetting(control, '', signal);
}

async function tighten(member: Member, standbys: readonly string[], signal: AbortSignal): Promise<void> {
  const { control } = member;
  member.step('putting the standbys into synchronous_standby_names');
  await applySetting(control, standbyList(standbys), signal);
  await wakeCheckpointer(member, signal);
  member.step('waiting for the checkpoint after which every session waits for the standbys');
  await control.query(signal, 'CHECKPOINT');
  await control.query(signal, 'CHECKPOINT');
  member.step('waiting for the standbys to be sync');
  await pollUntil(signal, POLL_MS, async () => {
    const { standbys: seen } = await readServerState(control, signal);
    return standbys.every((name) => seen.some((view) => view.region === name && view.syncState === 'sync')) ? true : null;
  });
  member.step('waiting for a commit to be applied by every standby');
  const canaryLsn = await commitCanary(member.canary, signal);
  const [row] = await control.query(
    signal,
    `SELECT count(DISTINCT application_name)::int AS caught_up FROM pg_stat_replication
     WHERE application_name = ANY($1) AND sync_state = 'sync' AND replay_lsn >= $2::pg_lsn`,
    [standbys, canaryLsn],
  );
  if (row?.['caught_up'] === standbys.length) return;
  throw new DatabaseProblem('CTM_DATABASE_STANDBY_MISSING', `a commit returned before ${standbys.join(', ')} had applied it: a standby was lost meanwhile`);
}

/** ALTER SYSTEM and reload; returns when this session, which is told like every other, has the new value. */
async function applySetting(control: Session, value: string, signal: AbortSignal): Promise<void> {
  await control.query(signal, `ALTER SYSTEM SET synchronous_standby_names = ${pg.escapeLiteral(value)}`);
  await control.query(signal, 'SELECT pg_reload_conf()');
  const wanted = parseStandbyList(value).join();
  await pollUntil(signal, POLL_MS, async () => {
    const [row] = await control.query(signal, 'SHOW synchronous_standby_names');
    return parseStandbyList(String(row?.['synchronous_standby_names'])).join() === wanted ? true : null;
  });
}

async function wakeCheckpointer({ context, control }: Member, signal: AbortSignal): Promise<void> {
  const [row] = await control.query(signal, `SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'`);
  const pid = Number(row?.['pid']);
  const postmaster = await findPostmaster(context);
  if (!Number.isInteger(pid) || postmaster === null || viewProcess(pid)?.parent !== postmaster.pid || !sendSignal(pid, 'SIGHUP')) {
    throw new DatabaseProblem('CTM_DATABASE_UNREACHABLE', 'the checkpointer is not there: the server is restarting; try again');
  }
}

/** A canary of an earlier call that still waits for a lost standby would hold its connection for ever. */
async function endOldCanaries(control: Session, signal: AbortSignal): Promise<void> {
  await control.query(
    signal,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = $1 AND usename = current_user AND wait_event = 'SyncRep'`,
    [CANARY_NAME],
  );
}
