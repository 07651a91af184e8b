// What the calls of the adapter share: the context, the kept connections, and what is being done right now.

import type { ControlData } from './cluster.ts';
import { createControlWatcher } from './cluster.ts';
import type { PostgresContext } from './options.ts';
import { createSession } from './session.ts';
import type { Session } from './session.ts';

export type Member = {
  readonly context: PostgresContext;
  /** For `observe` only, so that it never queues behind a call that waits. */
  readonly observer: Session;
  readonly control: Session;
  /** Commits like an application; may hang with it. */
  readonly canary: Session;
  readonly controlWatcher: (signal: AbortSignal) => Promise<ControlData | null>;
  /** Notes what is under way, for the failure that a deadline ends in. */
  readonly step: (doing: string) => void;
  readonly currentStep: () => string;
  /** Asks for a checkpoint and does not wait. Nothing depends on it: rejoin asks the source for one as well. */
  readonly checkpointInBackground: () => void;
  readonly close: () => void;
};

export const CANARY_NAME = 'continuum-canary';
const BACKGROUND_CHECKPOINT_MS_MAX = 60_000;

export function createMember(context: PostgresContext): Member {
  const [observer, control, canary, background] = [
    createSession(context, 'continuum-observe'),
    createSession(context, 'continuum-control'),
    createSession(context, CANARY_NAME),
    createSession(context, 'continuum-checkpoint'),
  ];
  let doing = 'starting';
  const checkpointInBackground = () => {
    const done = () => background.close();
    background.query(AbortSignal.timeout(BACKGROUND_CHECKPOINT_MS_MAX), 'CHECKPOINT').then(done, done);
  };
  return {
    context,
    observer,
    control,
    canary,
    controlWatcher: createControlWatcher(context),
    step: (next) => {
      doing = next;
    },
    currentStep: () => doing,
    checkpointInBackground,
    close: () => {
      for (const session of [observer, control, canary, background]) session.close();
    },
  };
}
