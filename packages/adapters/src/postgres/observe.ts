// What the member looks like now. Asked every 100-250 ms: one statement on a kept connection, small reads from /proc and
// the directory. It never throws, and what cannot be learned in time is `unknown`, never "down" and never 0.

import type { DatabaseObservation } from '@continuum/core';
import { epochStore, shapeOf } from './cluster.ts';
import type { ControlData, Shape } from './cluster.ts';
import { highestEpoch, raiseEpoch } from './epoch-store.ts';
import type { PostgresContext } from './options.ts';
import { findPostmaster } from './postmaster.ts';
import { fromOutside } from './problem.ts';
import { parseStandbyList, readFileSetting } from './server-settings.ts';
import { readServerState } from './server-state.ts';
import type { Session } from './session.ts';
import { abortable } from './wait.ts';

export type Observer = {
  readonly context: PostgresContext;
  readonly session: Session;
  readonly control: (signal: AbortSignal) => Promise<ControlData | null>;
};

export async function observe(observer: Observer, callerSignal: AbortSignal): Promise<DatabaseObservation> {
  const signal = AbortSignal.any([callerSignal, AbortSignal.timeout(observer.context.observeTimeoutMs)]);
  try {
    return await abortable(signal, look(observer, signal));
  } catch (error) {
    if (!signal.aborted && fromOutside(error) === null) throw error;
    const problem = signal.aborted ? 'no answer in time' : (fromOutside(error)?.message ?? 'no answer');
    return { ...NOTHING_KNOWN, role: 'unknown', shape: await lastKnownShape(observer), problem };
  }
}

const NOTHING_KNOWN = {
  systemIdentifier: null,
  timeline: null,
  lsn: null,
  replayLsn: null,
  receiver: null,
  replayPaused: null,
  standbys: [],
  synchronous: [],
  epoch: 0,
  recordedEpoch: null,
} as const;

async function look(observer: Observer, signal: AbortSignal): Promise<DatabaseObservation> {
  const { context } = observer;
  const [shape, fileEpoch, postmaster] = await Promise.all([
    shapeOf(context),
    highestEpoch(epochStore(context)),
    findPostmaster(context),
  ]);
  if (postmaster === null) return whenDown(observer, shape, fileEpoch, signal);
  if (postmaster.paused) {
    return { ...NOTHING_KNOWN, role: 'unknown', shape, epoch: fileEpoch, problem: `the postmaster (pid ${postmaster.pid}) is paused` };
  }
  try {
    const { standby, ...state } = await readServerState(observer.session, signal);
    // Keeps the epoch that came with the log also for the time when the server is down.
    if (state.epoch > fileEpoch) await raiseEpoch(epochStore(context), state.epoch);
    return {
      ...state,
      role: standby ? 'standby' : 'primary',
      shape: standby ? 'standby' : 'primary',
      epoch: Math.max(fileEpoch, state.epoch),
      recordedEpoch: state.epoch,
      problem: null,
    };
  } catch (error) {
    const problem = fromOutside(error);
    if (signal.aborted || problem === null) throw error;
    const notYet = isNotYet(error) || postmaster.status !== 'ready';
    return { ...NOTHING_KNOWN, role: notYet ? 'starting' : 'unknown', shape, epoch: fileEpoch, problem: explain(error, problem.message) };
  }
}

async function whenDown(
  { context, control }: Observer,
  shape: Shape,
  fileEpoch: number,
  signal: AbortSignal,
): Promise<DatabaseObservation> {
  const problem = 'no postmaster runs in the data directory';
  if (shape === 'empty') return { ...NOTHING_KNOWN, role: 'down', shape, epoch: fileEpoch, problem: `${problem}, which holds no usable cluster` };
  const data = await control(signal);
  const setting = (await readFileSetting(context.dataDir, 'synchronous_standby_names')) ?? '';
  return {
    ...NOTHING_KNOWN,
    role: 'down',
    shape,
    systemIdentifier: data?.systemIdentifier ?? null,
    timeline: data?.timeline ?? null,
    lsn: data?.checkpointLsn ?? null,
    synchronous: parseStandbyList(setting),
    epoch: fileEpoch,
    problem: data === null ? problem : `${problem}; it was left "${data.state}"`,
  };
}

/** 57P03: starting up or shutting down. 57P01-57P02 and a broken connection: it is ending right now. */
const isNotYet = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && ['57P01', '57P02', '57P03', 'ECONNREFUSED', 'ECONNRESET'].includes(String(error.code))) ||
    error.message.startsWith('Connection terminated'));

function explain(error: unknown, message: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  if (code === '42P01' || code === '3F000') return `${message}: run the statements of setup.ts once on the primary`;
  return message;
}

/** Called after the deadline: only what the directory says at once. */
async function lastKnownShape({ context }: Observer): Promise<Shape> {
  try {
    return await shapeOf(context);
  } catch (error) {
    if (fromOutside(error) === null) throw error;
    return 'empty';
  }
}
