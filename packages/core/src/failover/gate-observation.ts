// What the gates do, from what they say they have in force and what they were told last.

import type { GateMode, GateObservation } from './state.ts';

/** A directive as it was given; each has a version of its own. */
export type GivenDirective = { readonly version: number; readonly mode: GateMode; readonly epoch: number };

/** What all gates together say: `held` requests wait in them, and each of them has version `applied` in force. */
export type GateWord = { readonly connected: boolean; readonly held: number; readonly applied: number };

/** `given`: the last directive; null when nothing was directed yet. */
export function gateObservation(given: GivenDirective | null, { connected, held, applied }: GateWord): GateObservation {
  // An earlier directive that is still in force says nothing about the one that was given since.
  const inForce = given?.version === applied ? given : null;
  return { connected, held, mode: inForce?.mode ?? null, epoch: inForce?.epoch ?? 0 };
}
