// One timer for everything that is due some time: a thousand clusters at once a second are spread over its slots, and after a
// pause of this process what is overdue is started in portions, not all at once. It sleeps while nothing is due.

import type { MonoMs } from '@continuum/core';

/** One thing that is done again and again. Made once and set often: setting it leaves no garbage. */
export type Alarm = {
  /** Runs the task once, at `atMs` or a slot later, and not at the time it was set to before. */
  readonly set: (atMs: number) => void;
  readonly clear: () => void;
};

export type Wheel = {
  readonly alarm: <T>(task: (of: T) => void, of: T) => Alarm;
  readonly stop: () => void;
};

export type WheelOptions = {
  readonly now: () => MonoMs;
  readonly slotMs?: number;
  /** Tasks started in one turn of the event loop. */
  readonly burstMax?: number;
};

/** It looks no further ahead for the next thing to do. */
const SLEEP_SLOTS_MAX = 50;

export function createWheel({ now, slotMs = 10, burstMax = 64 }: WheelOptions): Wheel {
  const slots = new Map<number, Entry[]>();
  let next = Math.floor(now() / slotMs);
  let timer: NodeJS.Timeout | undefined;
  /** Where the timer wakes it. Nothing is before it while it turns; everything is while no timer runs. */
  let wakeSlot = Number.POSITIVE_INFINITY;
  let pending = 0;

  const turn = (): void => {
    wakeSlot = Number.NEGATIVE_INFINITY;
    const current = Math.floor(now() / slotMs);
    let started = 0;
    while (next <= current && started < burstMax) {
      const entries = slots.get(next) ?? [];
      for (let entry = entries.shift(); entry !== undefined; entry = entries.shift()) {
        pending--;
        if (entry.slot !== next) continue;
        entry.slot = null;
        entry.run();
        if (++started >= burstMax) break;
      }
      if (entries.length > 0) break;
      slots.delete(next);
      next++;
    }
    wakeSlot = Number.POSITIVE_INFINITY;
    if (next <= current) wake(next, 0);
    else if (pending > 0) sleep(current);
  };
  const sleep = (current: number): void => {
    let slot = next;
    while (slot < current + SLEEP_SLOTS_MAX && !slots.has(slot)) slot++;
    wake(slot, slot * slotMs - now());
  };
  const wake = (slot: number, delayMs: number): void => {
    clearTimeout(timer);
    wakeSlot = slot;
    timer = setTimeout(turn, Math.max(0, Math.ceil(delayMs)));
  };
  const put = (entry: Entry, atMs: number): void => {
    const nowMs = now();
    if (pending === 0) next = Math.floor(nowMs / slotMs);
    const slot = Math.max(Math.ceil(atMs / slotMs), next);
    if (entry.slot === slot) return;
    entry.slot = slot;
    const entries = slots.get(slot);
    if (entries === undefined) slots.set(slot, [entry]);
    else entries.push(entry);
    pending++;
    if (slot < wakeSlot) wake(slot, slot * slotMs - nowMs);
  };
  return {
    alarm: (task, of) => new Entry(put, task as (of: unknown) => void, of),
    stop: () => {
      clearTimeout(timer);
      wakeSlot = Number.POSITIVE_INFINITY;
      slots.clear();
      pending = 0;
    },
  };
}

type Put = (entry: Entry, atMs: number) => void;

/** A class: a prober has six of these a cluster. */
class Entry implements Alarm {
  readonly #put: Put;
  readonly #task: (of: unknown) => void;
  readonly #of: unknown;
  /** Where it counts; where it was put before it is passed over. Null: nowhere. */
  slot: number | null = null;

  constructor(put: Put, task: (of: unknown) => void, of: unknown) {
    this.#put = put;
    this.#task = task;
    this.#of = of;
  }

  set(atMs: number): void {
    this.#put(this, atMs);
  }

  clear(): void {
    this.slot = null;
  }

  run(): void {
    this.#task(this.#of);
  }
}
