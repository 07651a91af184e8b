// The daemon's one loop. Callbacks put events into the mailbox and return; the loop drains it, one decision at a time,
// and carries out the actions in their order. No decision is made anywhere else, and none is made twice at once.

import type { Action, ControllerEvent, ControllerState, Decision, Now } from '@continuum/core';
import type { Clock } from './clock.ts';

export type LoopOptions = {
  readonly initial: ControllerState;
  readonly decide: (state: ControllerState, event: ControllerEvent, now: Now) => Decision;
  readonly clock: Clock;
  /** Starts the action; its outcome comes back through `post`. Durable actions are done when it returns. */
  readonly perform: (action: Action, now: Now) => void;
  readonly onDecision: (state: ControllerState, now: Now) => void;
  /** A programming error, in a decision or in an effect. The process must end: its lease runs out and it is fenced. */
  readonly onCrash: (error: unknown) => void;
};

export type Loop = {
  readonly post: (event: ControllerEvent) => void;
  readonly state: () => ControllerState;
  readonly stop: () => void;
};

/** More waiting events than this mean that the loop cannot keep up: a process that is not in control ends. */
const MAILBOX_MAX = 10_000;

export function startLoop(options: LoopOptions): Loop {
  const { clock, decide } = options;
  const mailbox: ControllerEvent[] = [];
  let state = options.initial;
  let draining = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const take = (event: ControllerEvent): void => {
    const now = clock.now();
    const decision = decide(state, event, now);
    state = decision.state;
    for (const action of decision.actions) options.perform(action, now);
    options.onDecision(state, now);
    clearTimeout(timer);
    timer = setTimeout(() => post({ kind: 'tick' }), Math.max(0, Math.ceil(decision.wakeMs - clock.now().monoMs)));
  };
  const drain = (): void => {
    draining = false;
    try {
      for (let event = mailbox.shift(); event !== undefined && !stopped; event = mailbox.shift()) take(event);
    } catch (error) {
      stopped = true;
      options.onCrash(error);
    }
  };
  const post = (event: ControllerEvent): void => {
    if (stopped) return;
    if (mailbox.length >= MAILBOX_MAX) {
      stopped = true;
      options.onCrash(new Error(`more than ${MAILBOX_MAX} events wait`));
      return;
    }
    mailbox.push(event);
    if (draining) return;
    draining = true;
    setImmediate(drain);
  };
  post({ kind: 'tick' });
  return {
    post,
    state: () => state,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
