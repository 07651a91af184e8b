// What a controller and its gate say to each other over a unix socket: one JSON object per line, the gate asks.
//
// The gate counts validity down from *before it asked*, so neither delay nor a pause of the controller lengthens it.
// `changed` is only a hint to ask again at once; a lost hint costs one ask interval.

import { z } from 'zod';

/** gate -> controller, at least every `askIntervalMs` and right after `changed`. */
export const gateAsk = z.strictObject({
  /** Echoed in the answer; increases. */
  ask: z.number().int().nonnegative(),
  /** Requests held at this moment. */
  held: z.number().int().nonnegative(),
  /** `version` of the last instruction that is in force, 0 when none. */
  applied: z.number().int().nonnegative(),
  /** Highest epoch this gate has accepted, 0 when none. */
  epoch: z.number().int().nonnegative(),
  /** A beacon asks to attest, and holds no request: it is not one of the region's gates. Absent: a gate. */
  role: z.literal('beacon').optional(),
});

export const gateInstruction = z.strictObject({
  /** +1 on every change of anything but `remainingMs`. */
  version: z.number().int().positive(),
  epoch: z.number().int().nonnegative(),
  /**
   * open: serve locally while valid. hold: keep new requests waiting. forward: send to `activeRegion`. closed: 503.
   */
  mode: z.enum(['open', 'hold', 'forward', 'closed']),
  /** open: the gate may serve for so long, counted from before it asked. */
  remainingMs: z.number().nonnegative(),
  /** forward: the region that holds the lease. */
  activeRegion: z.string().nullable(),
  /** A request that another gateway already forwarded waits instead of being refused (a switchover is under way). */
  holdForwarded: z.boolean(),
  /** Longest time one request is held. */
  holdMsMax: z.number().positive(),
});

/** controller -> gate. `instruction: null`: the controller is starting; keep counting down what you have. */
export const gateAnswer = z.union([
  z.strictObject({ answer: z.number().int().nonnegative(), instruction: gateInstruction.nullable() }),
  z.strictObject({ changed: z.literal(true) }),
]);

export type GateAsk = z.infer<typeof gateAsk>;
export type GateInstruction = z.infer<typeof gateInstruction>;
export type GateAnswer = z.infer<typeof gateAnswer>;
