// What one region's controller knows, what can happen to it, and what it can ask to be done. Plain data: it can be
// stored, hashed, printed and replayed.

import type { DemotionToken, Force, LeaseCommand, LeaseEventKind, LeaseReply, LeaseView } from '../lease/types.ts';
import type { Mode, Timings } from '../policy.ts';
import type { MemberEvidence } from '../replication/member-evidence.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import type { GivenReport, LagReport } from '../replication/reported.ts';
import type { QuorumOutcome, Voter } from '../dns/quorum.ts';
import type { Epoch, MonoMs, Now, RegionId } from '../types.ts';

/** What never changes while the controller runs. */
export type Policy = {
  readonly name: string;
  readonly region: RegionId;
  readonly regions: readonly RegionId[];
  /** `host:port` of each region's database, as a standby names its source. */
  readonly databases: Readonly<Record<string, string>>;
  readonly mode: Mode;
  readonly timings: Timings;
  /** Hash of the specification; both regions must have the same for an unforced takeover. */
  readonly hash: string;
  /** What is done while the witness is out of reach; without it a holder's validity just ends. */
  readonly fallback?: Fallback;
};

/**
 * - `starting`: nothing is known yet; the gate keeps counting down what an earlier run gave it.
 * - `standby`: another region holds the lease, or nobody does.
 * - `acquiring`: the lease is free and this region asks for it.
 * - `promoting`: it holds the lease; the database becomes, or is confirmed as, a primary that accepts writes.
 * - `active`: the gate is open while the grant is valid.
 * - `handing-over`: a planned switchover, on the side that gives.
 * - `releasing`: it gives the lease back because it cannot serve.
 * - `fenced`: its validity ran out; nothing is let through; its database may still be a primary.
 * - `rejoining`: another region is the holder; the database becomes its standby.
 */
export type Phase =
  | { readonly kind: 'starting' | 'standby' | 'acquiring' | 'active' | 'fenced' | 'rejoining' }
  | {
      readonly kind: 'promoting';
      readonly sinceMs: MonoMs;
      /** This database has not served under the grant: a planned switchover can still be given back. Null: not known yet. */
      readonly returnable: boolean | null;
    }
  | { readonly kind: 'releasing'; readonly reason: string }
  | HandingOver;

export type HandingOver = {
  readonly kind: 'handing-over';
  readonly id: string;
  readonly to: RegionId;
  /** `returning`: the target could not promote and gives the lease back with the same token. */
  readonly step: 'preparing' | 'holding' | 'draining' | 'demoting' | 'transferring' | 'returning';
  readonly token: DemotionToken | null;
  /** Before demotion: past it the switchover is given up and the gate opens again. */
  readonly deadlineMs: MonoMs;
};

/** The right to act: an epoch, and the holder's own deadline for it. */
export type Grant = { readonly epoch: Epoch; readonly validUntilMs: MonoMs };

export type RegisterRequest = LeaseCommand | { readonly kind: 'read' };

export type PendingRequest = {
  readonly id: number;
  readonly request: RegisterRequest;
  readonly sentMs: MonoMs;
  /** The in-sync set that the request was made on, for the record. */
  readonly inSyncSeen: readonly string[];
  /** Whose lease it was when the request was made. */
  readonly holderSeen: RegionId | null;
};

export type DatabaseAction =
  | { readonly kind: 'promote'; readonly epoch: Epoch; readonly token: DemotionToken | null }
  | { readonly kind: 'prewarm' }
  | { readonly kind: 'demote'; readonly epoch: Epoch }
  | {
      readonly kind: 'rejoin';
      readonly epoch: Epoch;
      readonly source: RegionId;
      /** Only start or re-point it: never rewind or copy over a member that is promised to be in sync. */
      readonly preserve: boolean;
    }
  | { readonly kind: 'set-synchronous'; readonly epoch: Epoch; readonly standbys: readonly RegionId[] };

export type PendingDatabase = { readonly id: number; readonly action: DatabaseAction; readonly sinceMs: MonoMs };

export type GateMode = 'open' | 'hold' | 'forward' | 'closed';

/** What the gate is to do; null: keep what it has. */
export type GateDirective = {
  readonly epoch: Epoch;
  readonly mode: GateMode;
  /** open: the end of validity on this machine's monotonic clock. */
  readonly validUntilMs: MonoMs;
  readonly activeRegion: RegionId | null;
  readonly holdForwarded: boolean;
};

export type GateObservation = {
  readonly connected: boolean;
  readonly held: number;
  readonly mode: GateMode | null;
  readonly epoch: number;
};

/** What is done while the witness is out of reach: see `fallback.ts`. */
export type Fallback = {
  /** How far one attested round carries a holder, and how long darkness must last. At most ttl / 3. */
  readonly holdMs: number;
  /** Between two rounds, and the deadline of one. */
  readonly roundMs: number;
  readonly voters: readonly Voter[];
};

export type FallbackState = {
  readonly pending: { readonly id: number; readonly target: RegionId; readonly askedMs: MonoMs } | null;
  readonly nextMs: MonoMs;
  readonly last: { readonly target: RegionId; readonly outcome: QuorumOutcome; readonly startedMs: MonoMs } | null;
  /** The last round that found the target serving; a round that found it dark ends it, one without an outcome does not. */
  readonly attested: { readonly target: RegionId; readonly epoch: number; readonly startedMs: MonoMs } | null;
  /** Unbroken darkness: when its first and its last round began. */
  readonly darkness: { readonly target: RegionId; readonly sinceMs: MonoMs; readonly lastMs: MonoMs } | null;
  /** Whose lease had run out when this region was granted it; until this region serves under it, or another region is the holder. */
  readonly takenFrom: RegionId | null;
  readonly holding: boolean;
};

export type Weights = { readonly epoch: Epoch; readonly weights: Readonly<Record<string, number>> };

/** One condition of a decision, with everything that an operator needs to judge it. */
export type Precondition = {
  readonly name: string;
  readonly ok: boolean;
  readonly value: string;
  readonly limit: string;
  readonly source: string;
  /** Age of the evidence; null when there is none. */
  readonly ageMs: number | null;
};

/** An operator's word. It is void after `OPERATOR_WORD_MS`. */
export type OperatorWord =
  | { readonly kind: 'switchover'; readonly id: string; readonly to: RegionId; readonly atMs: MonoMs }
  | { readonly kind: 'takeover'; readonly force: Force | null; readonly atMs: MonoMs };

export type ControllerState = {
  policy: Policy;
  instance: string;
  phase: Phase;
  now: Now;
  view: LeaseView | null;
  /** When the view was learned: its `remainingMs` counts from here at the latest. */
  viewMs: MonoMs;
  grant: Grant | null;
  /** Epoch under which this database was last proved to accept writes. */
  promotedEpoch: number;
  seq: number;
  nextId: number;
  request: PendingRequest | null;
  lastRenewMs: MonoMs | null;
  retryRequestMs: MonoMs;
  database: DatabaseObservation | null;
  databaseMs: MonoMs;
  databaseAction: PendingDatabase | null;
  retryDatabaseMs: MonoMs;
  retryRejoinMs: MonoMs;
  databaseProblem: string | null;
  databaseBadSinceMs: MonoMs | null;
  /** Standby: since when it has not been streaming from the holder. */
  streamLostSinceMs: MonoMs | null;
  /** What the observations so far prove of this member as a standby, and of the standbys behind it. */
  evidence: MemberEvidence;
  /** What a lag prober said last. It makes this controller more careful, never less. */
  lagReport: GivenReport | null;
  /** Holder: the standbys that may be counted on by that evidence, and since when it has been just these. */
  streaming: { readonly regions: readonly string[]; readonly sinceMs: MonoMs };
  /** The standbys that commits are known to wait for; null until known. */
  synchronous: readonly string[] | null;
  /** The standbys that had all when commits began to wait for them. Being named is not enough: what was acknowledged before may be missing. */
  caughtUp: readonly string[];
  /** Regions that the register was asked to count on, and the number of the last command that asked: until it has taken that one or a later one, it may. */
  widening: { readonly seq: number; readonly regions: readonly RegionId[] } | null;
  gate: GateObservation;
  gateDirective: GateDirective | null;
  /** The wait for the requests in flight that runs now; what an earlier one says counts no more. */
  drainPending: number | null;
  weights: Weights | null;
  trafficPending: { readonly id: number; readonly weights: Weights } | null;
  retryTrafficMs: MonoMs;
  operator: OperatorWord | null;
  /** After this region gave up a grant: no automatic attempt before. */
  notBeforeMs: MonoMs;
  holdDownUntilMs: MonoMs;
  /** Who held the lease last, as far as it was seen here; the lease may be free since. */
  lastHolder: RegionId | null;
  persistedEpoch: number;
  lastSwitchover: { readonly id: string; readonly result: string } | null;
  /** Switchovers that ended here, oldest first: the other region may ask the register for one of them once more. */
  endedSwitchovers: readonly string[];
  registerProblem: string | null;
  /** The register's last answer refused something: it was reached, and it did not agree. */
  registerRefused: boolean;
  fallback: FallbackState;
};

export type ControllerEvent =
  | { readonly kind: 'tick' }
  | {
      readonly kind: 'register-answered';
      readonly id: number;
      readonly answer:
        | { readonly ok: true; readonly reply: LeaseReply }
        | { readonly ok: false; readonly code: string; readonly message: string };
    }
  | { readonly kind: 'lease-pushed'; readonly event: LeaseEventKind; readonly view: LeaseView }
  | { readonly kind: 'database-observed'; readonly startedMs: MonoMs; readonly observation: DatabaseObservation }
  | {
      readonly kind: 'database-done';
      readonly id: number;
      readonly result:
        | { readonly ok: true; readonly token: DemotionToken | null; readonly detail: string }
        | { readonly ok: false; readonly code: string; readonly message: string };
    }
  /** From a lag prober that sits beside this controller. */
  | { readonly kind: 'lag-reported'; readonly report: LagReport }
  | { readonly kind: 'gate-observed'; readonly observation: GateObservation }
  | { readonly kind: 'drained'; readonly id: number; readonly ok: boolean; readonly detail: string }
  | { readonly kind: 'traffic-done'; readonly id: number; readonly ok: boolean; readonly detail: string }
  | { readonly kind: 'operator-asked'; readonly word: OperatorWord }
  | { readonly kind: 'operator-cancelled' }
  /** `startedMs`: read before the first question was sent. */
  | { readonly kind: 'quorum-answered'; readonly id: number; readonly startedMs: MonoMs; readonly outcome: QuorumOutcome };

/**
 * Carried out in list order. `persist` is durable (fsync) before anything after it starts; a persist that fails ends the
 * process. Every action is idempotent; its failure comes back as an event.
 */
export type Action =
  | { readonly kind: 'persist'; readonly epoch: Epoch }
  | { readonly kind: 'register'; readonly id: number; readonly request: RegisterRequest; readonly timeoutMs: number }
  | { readonly kind: 'database'; readonly id: number; readonly action: DatabaseAction; readonly timeoutMs: number }
  | { readonly kind: 'gate'; readonly directive: GateDirective }
  | { readonly kind: 'drain'; readonly id: number; readonly timeoutMs: number }
  | { readonly kind: 'traffic'; readonly id: number; readonly weights: Weights }
  | { readonly kind: 'confirm-dns'; readonly epoch: Epoch }
  | { readonly kind: 'ask-quorum'; readonly id: number; readonly target: RegionId; readonly timeoutMs: number }
  | { readonly kind: 'record'; readonly event: string; readonly detail: Readonly<Record<string, unknown>> };

export type Decision = {
  readonly state: ControllerState;
  readonly actions: readonly Action[];
  /** Feed a `tick` at this time at the latest. */
  readonly wakeMs: MonoMs;
};
