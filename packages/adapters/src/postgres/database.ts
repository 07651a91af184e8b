// The database port on a local PostgreSQL whose process and data directory belong to this controller (standalone mode).

import type { DatabasePort, Result } from '@continuum/ports';
import { demote } from './demote.ts';
import { createMember } from './member.ts';
import { observe } from './observe.ts';
import { resolveOptions } from './options.ts';
import type { PostgresOptions } from './options.ts';
import { asResult } from './problem.ts';
import { promote } from './promote.ts';
import { rejoin } from './rejoin.ts';
import { setSynchronous } from './synchronous.ts';
import { createTurnstile } from './wait.ts';
import { listWeakSettings } from './weak-settings.ts';
import type { WeakSetting } from './weak-settings.ts';

export type PostgresDatabase = DatabasePort & {
  /** Settings of roles and databases by which sessions commit without waiting for the standby. */
  readonly weakSettings: (signal: AbortSignal) => Promise<Result<readonly WeakSetting[]>>;
  /** Closes the connections. The server keeps running. */
  readonly close: () => void;
};

/** Throws when an option is wrong. Starts nothing by itself. */
export function createPostgresDatabase(options: PostgresOptions): PostgresDatabase {
  const member = createMember(resolveOptions(options));
  const { context, control, observer: session, controlWatcher, currentStep: step } = member;
  // Mutating calls never overlap: two of them at once on one directory could only do harm.
  const turn = createTurnstile();
  const call = <T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<Result<T>> =>
    asResult(`${name} (${context.region})`, signal, step, () => turn(signal, work));
  return {
    observe: async (signal) => {
      const observation = await observe({ context, session, control: controlWatcher }, signal);
      // A promotion must not begin with a handshake.
      if (observation.role === 'standby' || observation.role === 'primary') control.warm();
      return observation;
    },
    promote: (request, signal) => call('promote', signal, () => promote(member, request, signal)),
    demote: (request, signal) => call('demote', signal, () => demote(member, request, signal)),
    rejoin: (request, signal) => call('rejoin', signal, () => rejoin(member, request, signal)),
    setSynchronous: (request, signal) => call('setSynchronous', signal, () => setSynchronous(member, request, signal)),
    prewarm: (signal) =>
      asResult(`prewarm (${context.region})`, signal, () => 'checkpointing', async () => {
        await control.query(signal, 'CHECKPOINT');
        return null;
      }),
    weakSettings: (signal) =>
      asResult(`weakSettings (${context.region})`, signal, () => 'asking the server', () => listWeakSettings(control, signal)),
    close: member.close,
  };
}
