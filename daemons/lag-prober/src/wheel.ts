// One timer for everything that is due some time: a thousand clusters at once a second are spread over its slots, and after a
// pause of this process what is overdue is started in portions, not all at once.

import type { MonoMs } from '@continuum/core';

export type Wheel = {
  /** Runs `task` at `atMs`, or a slot later. Returns the way to take it back. */
  readonly schedule: (atMs: number, task: () => void) => () => void;
  readonly stop: () => void;
};

export type WheelOptions = {
  readonly now: () => MonoMs;
  readonly slotMs?: number;
  /** Tasks started in one turn of the event loop. */
  readonly burstMax?: number;
};

type Entry = { task: (() => void) | null };

export function createWheel({ now, slotMs = 10, burstMax = 64 }: WheelOptions): Wheel {
  const slots = new Map<number, Entry[]>();
  let next = Math.floor(now() / slotMs);
  let timer: NodeJS.Timeout | undefined;
  let pending = 0;

  const turn = (): void => {
    timer = undefined;
    const current = Math.floor(now() / slotMs);
    let started = 0;
    while (next <= current && started < burstMax) {
      const entries = slots.get(next) ?? [];
      for (let entry = entries.shift(); entry !== undefined; entry = entries.shift()) {
        pending--;
        if (entry.task === null) continue;
        entry.task();
        if (++started >= burstMax) break;
      }
      if (entries.length > 0) break;
      slots.delete(next);
      next++;
    }
    arm(next <= current ? 0 : slotMs);
  };
  const arm = (delayMs: number): void => {
    if (timer === undefined && pending > 0) timer = setTimeout(turn, delayMs);
  };

  return {
    schedule: (atMs, task) => {
      if (pending === 0) next = Math.floor(now() / slotMs);
      const slot = Math.max(Math.ceil(atMs / slotMs), next);
      const entry: Entry = { task };
      const entries = slots.get(slot);
      if (entries === undefined) slots.set(slot, [entry]);
      else entries.push(entry);
      pending++;
      arm(slotMs);
      return () => {
        entry.task = null;
      };
    },
    stop: () => {
      clearTimeout(timer);
      timer = undefined;
      slots.clear();
      pending = 0;
    },
  };
}
