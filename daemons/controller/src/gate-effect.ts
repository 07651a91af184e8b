// The gate directive that was given last, and whether every connected gate has it in force.

import type { Action, ControllerEvent, GateMode, GateObservation, MonoMs } from '@continuum/core';
import { monoMs } from '@continuum/core';
import type { GateLink } from '@continuum/adapters/gate-link/gate-link';

export type GateEffect = {
  readonly use: (link: Pick<GateLink, 'set' | 'observed'>) => void;
  readonly direct: (action: Extract<Action, { kind: 'gate' }>, holdMsMax: number) => void;
  /**
   * The event that tells what the gates do. It is read when the event is taken, not when it is posted: it may wait behind the event
   * that gives the next directive, and a gate that held for the promotion does not hold for the switchover after it.
   */
  readonly observed: () => ControllerEvent;
};

export function createGateEffect(): GateEffect {
  let last: { readonly version: number; readonly mode: GateMode; readonly epoch: number } | null = null;
  let link: Pick<GateLink, 'set' | 'observed'> | null = null;
  const observe = (): GateObservation => {
    const seen = link?.observed() ?? { connected: false, held: 0, applied: 0, epoch: 0 };
    // An earlier directive that is still in force says nothing about the one that was given since.
    const inForce = last !== null && seen.applied === last.version ? last : null;
    return { connected: seen.connected, held: seen.held, mode: inForce?.mode ?? null, epoch: inForce?.epoch ?? 0 };
  };
  return {
    use: (opened) => {
      link = opened;
    },
    direct: ({ directive }, holdMsMax) => {
      if (link === null) return;
      const { validUntilMs, ...rest } = directive;
      const validUntilMonoMs: MonoMs = directive.mode === 'open' ? validUntilMs : monoMs(0);
      const version = link.set({ ...rest, holdMsMax }, validUntilMonoMs);
      last = { version, mode: directive.mode, epoch: directive.epoch };
    },
    observed: () => ({
      kind: 'gate-observed',
      get observation() {
        return observe();
      },
    }),
  };
}
