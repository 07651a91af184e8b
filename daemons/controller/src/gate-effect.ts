// The gate directive that was given last, and whether every connected gate has it in force.

import type { Action, ControllerEvent, GivenDirective, MonoMs } from '@continuum/core';
import { gateObservation, monoMs } from '@continuum/core';
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

const UNHEARD = { connected: false, held: 0, applied: 0 };

export function createGateEffect(): GateEffect {
  let last: GivenDirective | null = null;
  let link: Pick<GateLink, 'set' | 'observed'> | null = null;
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
        return gateObservation(last, link?.observed() ?? UNHEARD);
      },
    }),
  };
}
