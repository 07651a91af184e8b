// The lease protocol's values, shared by the Durable Object, the controllers and the simulator.

import type { Epoch, Lsn, RegionId, WallMs } from '../types.ts';

/** What the old holder proves when it hands over: where its history ended. Modelled on CNPG's demotion token. */
export type DemotionToken = {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Position of the shutdown checkpoint. The new primary must have replayed it. */
  readonly checkpointLsn: Lsn;
};

/** A planned hand-over that took place; kept until the next change of epoch. */
export type Handover = {
  readonly id: string;
  readonly from: RegionId;
  readonly to: RegionId;
  readonly token: DemotionToken;
};

/** A wish to switch over that both controllers see. */
export type SwitchoverIntent = {
  readonly id: string;
  readonly from: RegionId;
  readonly to: RegionId;
  /** The target's own preflight: `pending` until it answered. */
  readonly target: 'pending' | 'ready' | 'refused';
  /** Why the target refused; empty otherwise. */
  readonly reasons: readonly string[];
  /** Witness clock. Past it the intent is void. */
  readonly expiresAtMs: WallMs;
};

/** The last command a region had answered, so that a repeated one is answered again and not executed again. */
export type LastCommand = { readonly seq: number; readonly fingerprint: string; readonly outcome: Outcome };

/** What the witness stores, one per lease. All times are on the witness's clock. */
export type LeaseRecord = {
  readonly name: string;
  /** +1 on every accepted change, renewals included: orders observations. */
  readonly revision: number;
  readonly epoch: Epoch;
  readonly holder: RegionId | null;
  /** Which controller of the holder's region: a second controller of the same region is not the holder. */
  readonly instance: string | null;
  readonly ttlMs: number;
  readonly expiresAtMs: WallMs;
  /** The latest time this record has seen; the clock never runs below it. */
  readonly clockMs: WallMs;
  readonly inSync: readonly RegionId[];
  readonly policyHash: string;
  readonly handover: Handover | null;
  readonly intent: SwitchoverIntent | null;
  readonly last: Readonly<Record<string, LastCommand>>;
};

/** What leaves the witness: durations instead of times, and only the asking region's sequence number. */
export type LeaseView = {
  readonly name: string;
  readonly revision: number;
  readonly epoch: Epoch;
  readonly holder: RegionId | null;
  readonly instance: string | null;
  readonly ttlMs: number;
  /** Until expiry, from the moment the witness answered; 0 when free or expired. */
  readonly remainingMs: number;
  readonly inSync: readonly RegionId[];
  readonly policyHash: string;
  readonly handover: Handover | null;
  readonly intent: Omit<SwitchoverIntent, 'expiresAtMs'> | null;
  /** Highest sequence number accepted from the asking region; 0 when none. */
  readonly seq: number;
};

/** An operator's override: recorded, and never implied. */
export type Force = { readonly reason: string; readonly estimatedLoss: string };

type From = { readonly region: RegionId; readonly seq: number; readonly instance: string };

export type LeaseCommand =
  | (From & {
      readonly kind: 'acquire';
      readonly epochSeen: Epoch;
      readonly ttlMs: number;
      readonly policyHash: string;
      readonly force: Force | null;
    })
  | (From & { readonly kind: 'renew'; readonly epoch: Epoch; readonly ttlMs: number; readonly policyHash: string })
  | (From & { readonly kind: 'release'; readonly epoch: Epoch })
  | (From & {
      readonly kind: 'transfer';
      readonly epoch: Epoch;
      readonly id: string;
      readonly to: RegionId;
      readonly token: DemotionToken;
    })
  | (From & { readonly kind: 'setInSync'; readonly epoch: Epoch; readonly inSync: readonly RegionId[] })
  | (From & {
      readonly kind: 'requestSwitchover';
      readonly id: string;
      readonly from: RegionId;
      readonly to: RegionId;
      readonly validForMs: number;
    })
  | (From & {
      readonly kind: 'answerSwitchover';
      readonly id: string;
      readonly answer: 'ready' | 'refused' | 'cancelled';
      readonly reasons: readonly string[];
    });

export type LeaseCommandKind = LeaseCommand['kind'];

export type RefusalCode =
  | 'held'
  | 'expired'
  | 'epoch-stale'
  | 'not-holder'
  | 'instance-conflict'
  | 'not-in-sync'
  | 'policy-mismatch'
  | 'seq-stale'
  | 'seq-reused'
  | 'switchover-unknown'
  | 'switchover-pending'
  | 'invalid';

export type Outcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: RefusalCode; readonly detail: string };

export type LeaseReply = { readonly outcome: Outcome; readonly view: LeaseView };

/** What the witness pushes to watchers. Nothing depends on its arrival. */
export type LeaseEventKind =
  | 'granted'
  | 'renewed'
  | 'overdue'
  | 'expired'
  | 'released'
  | 'transferred'
  | 'in-sync'
  | 'intent';
