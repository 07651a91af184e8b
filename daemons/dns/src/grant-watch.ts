// What the beacon knows of its region's grant: what the controller said last, counted down from before it was asked. It attests the
// same validity that the gate serves under, learnt the same way, so that it never outlives it.

import { addMs, leftMs } from '@continuum/core';
import type { MonoMs, Now } from '@continuum/core';
import { createLinkClient } from '@continuum/adapters/gate-link/link-client';
import type { LinkClient } from '@continuum/adapters/gate-link/link-client';
import type { GateInstruction } from '@continuum/wire/gate-link';
import type { Held } from './beacon.ts';

export type GrantWatchOptions = {
  readonly controllerSocket: string;
  readonly askIntervalMs: number;
  readonly clock: () => Now;
  readonly random: () => number;
  readonly onConnected: () => void;
  readonly onDisconnected: (reason: string) => void;
};

export type GrantWatch = { readonly held: () => Held | null; readonly connected: () => boolean; readonly close: () => void };

export function watchGrant(options: GrantWatchOptions): GrantWatch {
  const count = createCountdown(options.clock);
  const link: LinkClient = createLinkClient({
    socketPath: options.controllerSocket,
    askIntervalMs: options.askIntervalMs,
    clock: options.clock,
    random: options.random,
    role: 'beacon',
    report: () => ({ held: 0, epoch: count.epochMax() }),
    onInstruction: count.take,
    onConnected: options.onConnected,
    onDisconnected: options.onDisconnected,
    onGarbage: () => options.onDisconnected('the controller sent something that is not of the protocol'),
  });
  return { held: count.held, connected: link.connected, close: link.close };
}

export type Countdown = {
  readonly take: (instruction: GateInstruction | null, asked: Now) => boolean;
  readonly held: () => Held | null;
  readonly epochMax: () => number;
};

/** An open gate's validity on this machine's monotonic clock; over after a sleep, and never under an epoch of the past. */
export function createCountdown(clock: () => Now): Countdown {
  let grant: { readonly epoch: number; readonly asked: Now; readonly untilMs: MonoMs } | null = null;
  let epochMax = 0;
  return {
    take: (instruction, asked) => {
      // A controller that is starting knows nothing yet: what it said before counts on.
      if (instruction === null) return false;
      if (instruction.epoch < epochMax) return false;
      epochMax = instruction.epoch;
      const { epoch, remainingMs } = instruction;
      grant = instruction.mode === 'open' && remainingMs > 0 ? { epoch, asked, untilMs: addMs(asked.monoMs, remainingMs) } : null;
      return true;
    },
    held: () => {
      const now = clock();
      if (grant === null) return null;
      const remainingMs = Math.floor(leftMs(grant.untilMs, grant.asked, now));
      return remainingMs > 0 ? { epoch: grant.epoch, remainingMs } : null;
    },
    epochMax: () => epochMax,
  };
}
