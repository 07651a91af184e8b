// Who waits for a verdict: judged when they come, again whenever somebody asks for it, and when their time is up. A timer only wakes
// the judge; what the clock says then decides.

import type { GateVerdict, MonoMs, Now } from '@continuum/core';
import type { Clock } from '@continuum/runtime';

export type FinalVerdict = Exclude<GateVerdict, { kind: 'wait' }>;

export type Visitor = {
  /** `waits`: has a place already. */
  readonly judge: (waits: boolean, now: Now) => GateVerdict;
  /** Called once, maybe before `enter` returns; never after the visitor left. */
  readonly settle: (verdict: FinalVerdict) => void;
};

export type WaitingRoom<T extends Visitor> = {
  /** Returns how to leave early; that says whether the visitor was still waiting. */
  readonly enter: (visitor: T, now: Now) => () => boolean;
  /** In the order in which they came, the first of them at once, each by what is true in its turn. */
  readonly judgeAll: () => void;
  /** Everybody leaves without a verdict. */
  readonly leaveAll: () => readonly T[];
  readonly size: () => number;
};

/** What is settled in one turn of the event loop leaves at its end: in smaller lots the first do not wait for the last. */
export const JUDGED_AT_ONCE = 16;

export function createWaitingRoom<T extends Visitor>(clock: Clock): WaitingRoom<T> {
  const inside = new Map<T, NodeJS.Timeout>();
  /** While there are any, their turn is set. */
  let toJudge: T[] = [];

  const leave = (visitor: T): boolean => {
    clearTimeout(inside.get(visitor));
    return inside.delete(visitor);
  };

  const wakeAt = (visitor: T, untilMonoMs: MonoMs, now: Now): void => {
    clearTimeout(inside.get(visitor));
    inside.set(visitor, setTimeout(judgeAgain, Math.max(1, Math.ceil(untilMonoMs - now.monoMs)), visitor));
  };

  const judgeAgain = (visitor: T): void => {
    const now = clock.now();
    const verdict = visitor.judge(true, now);
    if (verdict.kind === 'wait') wakeAt(visitor, verdict.untilMonoMs, now);
    else if (leave(visitor)) visitor.settle(verdict);
  };

  const judgeSome = (): void => {
    for (const visitor of toJudge.splice(0, JUDGED_AT_ONCE)) if (inside.has(visitor)) judgeAgain(visitor);
    if (toJudge.length > 0) setImmediate(judgeSome);
  };

  return {
    enter: (visitor, now) => {
      const verdict = visitor.judge(false, now);
      if (verdict.kind === 'wait') wakeAt(visitor, verdict.untilMonoMs, now);
      else visitor.settle(verdict);
      return () => leave(visitor);
    },
    judgeAll: () => {
      const turnIsSet = toJudge.length > 0;
      toJudge = [...inside.keys()];
      if (!turnIsSet) judgeSome();
    },
    leaveAll: () => [...inside.keys()].filter(leave),
    size: () => inside.size,
  };
}
