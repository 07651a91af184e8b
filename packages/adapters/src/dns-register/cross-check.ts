// What the outside world remembers of the record. The authority alone says what the lease is; resolvers cannot make that newer. But a
// state that two of them, of two vendors, have shown was at the authority before, so an authority that shows less afterwards is an
// old copy that was put back, or is not the authority that everybody else reaches. A region that lost its own memory of the lease
// would believe it.
//
// Staleness is what resolvers are for here: the record has a TTL, so that they still know it when its server does not any more. What
// they do not answer, or answer oddly, says nothing. One resolver alone says nothing either: the record is not signed for them.

import { Resolver } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Voter } from '@continuum/core';
import { VENDORS_NEEDED, VOTES_NEEDED } from '@continuum/core';
import { decodeLease, isOlder } from './record.ts';
import type { LeaseState } from './record.ts';

export type RegisterVoter = Voter & { readonly address: string; readonly port: number };

export type Showing = { readonly voter: Voter; readonly state: LeaseState };

export type Remembered = {
  readonly state: LeaseState;
  /** Names of those who showed it, or a newer one. */
  readonly by: readonly string[];
  /** A question to the authority that is sent later cannot be answered with an older state. */
  readonly learnedMs: number;
};

export type CrossCheck = {
  /** The highest that two have shown since the start; null before. */
  readonly remembered: () => Remembered | null;
  /** When every resolver was asked once, whatever came of it. */
  readonly firstRound: Promise<void>;
  readonly close: () => void;
};

export type CrossCheckOptions = {
  readonly voters: readonly RegisterVoter[];
  /** Of the record, without a final dot. */
  readonly name: string;
  readonly lease: string;
  readonly nowMs: () => number;
  /** How many showed the record in a round. */
  readonly onRound: (shown: number) => void;
  readonly everyMs?: number;
  readonly timeoutMs?: number;
};

const EVERY_MS = 10_000;
const TIMEOUT_MS = 1_500;

export function startCrossCheck(options: CrossCheckOptions): CrossCheck {
  const { voters, nowMs, onRound, everyMs = EVERY_MS } = options;
  const asking = voters.map((voter) => ({ voter, ask: createAsk(voter, options) }));
  const ended = new AbortController();
  let remembered: Remembered | null = null;

  const round = async (): Promise<void> => {
    const states = await Promise.all(asking.map(({ ask }) => ask()));
    const showings = asking.flatMap(({ voter }, index) => (states[index] === null || states[index] === undefined ? [] : [{ voter, state: states[index] }]));
    const supported = supportedBy(showings);
    if (supported !== null && (remembered === null || isOlder(remembered.state, supported.state))) remembered = { ...supported, learnedMs: nowMs() };
    onRound(showings.length);
  };
  const keep = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await delay(everyMs, undefined, { signal: ended.signal, ref: false }).catch((error: unknown) => {
        if (!ended.signal.aborted) throw error;
      });
      if (!ended.signal.aborted) await round();
    }
  };
  const firstRound = round();
  void firstRound.then(keep);
  return { remembered: () => remembered, firstRound, close: () => ended.abort() };
}

/** The highest state that enough voters of enough vendors show, or exceed. */
export function supportedBy(showings: readonly Showing[]): Omit<Remembered, 'learnedMs'> | null {
  const highestFirst = showings.toSorted((a, b) => (isOlder(a.state, b.state) ? 1 : isOlder(b.state, a.state) ? -1 : 0));
  for (const [index, { state }] of highestFirst.entries()) {
    const by = highestFirst.slice(0, index + 1).map(({ voter }) => voter);
    if (by.length >= VOTES_NEEDED && new Set(by.map(({ vendor }) => vendor)).size >= VENDORS_NEEDED) return { state, by: by.map(({ name }) => name) };
  }
  return null;
}

/** Null for everything that is not one record with a lease in it. */
function createAsk({ address, port }: RegisterVoter, { name, lease, timeoutMs = TIMEOUT_MS }: CrossCheckOptions): () => Promise<LeaseState | null> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`]);
  return async () => {
    try {
      const records = await resolver.resolveTxt(name);
      const decoded = records.length === 1 ? decodeLease((records[0] ?? []).join(''), lease) : null;
      return decoded?.ok === true ? { epoch: decoded.lease.epoch, change: decoded.lease.change } : null;
    } catch (error) {
      // Every failure of a question has a code; anything else is a mistake here.
      if (error instanceof Error && 'code' in error) return null;
      throw error;
    }
  };
}
