// The rule by which clients without a common clock judge expiry, tried over random histories: clocks with any offset and
// rates that differ by up to the drift, lost questions and answers, updates that arrive long after they were sent, repeats of the same
// command, restarts that forget. What must never happen: two regions that both trust a lease at one moment.

import fc from 'fast-check';
import { test } from 'tap';
import { epoch, regionId } from '@continuum/core';
import type { LeaseCommand } from '@continuum/core';
import { observeAnswer, observeWrite, step, trusted, viewStored } from './observed-lease.ts';
import type { Observation } from './observed-lease.ts';
import { newStoredLease } from './record.ts';
import type { StoredLease } from './record.ts';

const DRIFT = 0.01;
const TTL_MS = 3_000;
const GUARD_MS = TTL_MS * 2.1 * DRIFT;
const REGIONS = ['r1', 'r2', 'r3'] as const;
type Rule = { readonly trusted: typeof trusted; readonly expiry: (seen: Observation) => number };
const OURS: Rule = { trusted, expiry: (seen) => seen.seenByMs };

/** One exchange of a region: what it wants, and what the network does to it. All times are real ones. */
type Turn = {
  readonly region: number;
  readonly gapMs: number;
  readonly kind: 'read' | 'claim' | 'repeat' | 'restart' | 'share';
  readonly readMs: number;
  readonly updateMs: number;
  readonly replyMs: number;
  readonly lost: 'nothing' | 'update' | 'reply' | 'late';
};

const turn: fc.Arbitrary<Turn> = fc.record({
  region: fc.nat(REGIONS.length - 1),
  gapMs: fc.oneof(fc.nat(200), fc.nat(2_000), fc.integer({ min: TTL_MS - 100, max: TTL_MS + 200 })),
  kind: fc.oneof({ weight: 8, arbitrary: fc.constant('claim' as const) }, { weight: 3, arbitrary: fc.constantFrom('read', 'repeat', 'share') as fc.Arbitrary<Turn['kind']> }, { weight: 1, arbitrary: fc.constant('restart' as const) }),
  readMs: fc.nat(400),
  updateMs: fc.nat(400),
  replyMs: fc.nat(400),
  lost: fc.oneof({ weight: 6, arbitrary: fc.constant('nothing' as const) }, { weight: 4, arbitrary: fc.constantFrom('update', 'reply', 'late') as fc.Arbitrary<Turn['lost']> }),
});

const clocks = fc.array(fc.record({ offset: fc.nat(1_000_000), rate: fc.double({ min: 1 - DRIFT / 2, max: 1 + DRIFT / 2, noNaN: true }) }), { minLength: REGIONS.length, maxLength: REGIONS.length });

type Client = { seen: Observation | null; seq: number; last: LeaseCommand | null; trustUntilRealMs: number; trustEpoch: number };
type Late = { readonly atMs: number; readonly expected: StoredLease; readonly next: StoredLease };
type Outcome = { readonly overlap: string | null; readonly grants: number; readonly takeovers: number };

function play(turns: readonly Turn[], rates: readonly { offset: number; rate: number }[], rule: Rule): Outcome {
  let [stored, realMs, grants, takeovers] = [newStoredLease('a'), 0, 0, 0];
  let late: Late[] = [];
  const clients: Client[] = REGIONS.map(() => ({ seen: null, seq: 0, last: null, trustUntilRealMs: 0, trustEpoch: 0 }));
  const local = (region: number, atMs: number): number => (rates[region]?.offset ?? 0) + atMs * (rates[region]?.rate ?? 1);
  const real = (region: number, localMs: number): number => (localMs - (rates[region]?.offset ?? 0)) / (rates[region]?.rate ?? 1);
  /** Updates on their way arrive, each if the value is still the one it expects. */
  const until = (atMs: number): void => {
    for (const one of late.filter((other) => other.atMs <= atMs).sort((a, b) => a.atMs - b.atMs)) if (stored === one.expected) stored = one.next;
    late = late.filter((one) => one.atMs > atMs);
    realMs = atMs;
  };
  for (const one of turns) {
    until(realMs + one.gapMs);
    const client = clients[one.region] as Client;
    if (one.kind === 'restart') {
      clients[one.region] = { ...client, seen: null, last: null, seq: client.seq };
      continue;
    }
    const askedReal = realMs;
    until(realMs + one.readMs);
    const shown = stored;
    until(realMs + one.replyMs);
    client.seen = observeAnswer(client.seen, shown, local(one.region, askedReal), local(one.region, realMs));
    if (one.kind === 'read') continue;
    const sentReal = realMs;
    const command = one.kind === 'repeat' && client.last !== null ? client.last : next(client, REGIONS[one.region] as string, one.kind);
    client.last = command;
    const judged = { ...client.seen, seenByMs: rule.expiry(client.seen) };
    const made = step(judged, command, local(one.region, realMs), DRIFT);
    if (made.next === null) {
      if (made.reply.outcome.ok) learn(client, one.region, command, rule.trusted(client.seen, command, made.reply, local(one.region, realMs)).view.remainingMs, askedReal);
      continue;
    }
    if (one.lost === 'late') {
      late.push({ atMs: realMs + one.updateMs * 20, expected: shown, next: made.next });
      continue;
    }
    until(realMs + one.updateMs);
    if (one.lost === 'update' || stored !== shown) continue;
    if (made.next.holder !== shown.holder && shown.holder !== null) takeovers++;
    stored = made.next;
    if (one.lost === 'reply') continue;
    until(realMs + one.replyMs);
    client.seen = observeWrite(client.seen, made.next, local(one.region, sentReal), local(one.region, realMs));
    learn(client, one.region, command, rule.trusted(client.seen, command, made.reply, local(one.region, realMs)).view.remainingMs, askedReal);
    grants++;
    const holding = clients.map((other, index) => ({ index, until: other.trustUntilRealMs, epoch: other.trustEpoch })).filter(({ until: end }) => end > realMs);
    if (new Set(holding.map(({ epoch: at }) => at)).size > 1) return { overlap: JSON.stringify({ realMs, holding }), grants, takeovers };
  }
  return { overlap: null, grants, takeovers };

  /** As a controller counts: from before its own question, the smaller of the ttl and what remains, less the guard. */
  function learn(client: Client, region: number, command: LeaseCommand, remainingMs: number, askedReal: number): void {
    if (command.kind !== 'acquire' && command.kind !== 'renew') return;
    const { seen } = client;
    if (remainingMs === 0 || seen === null || seen.stored.holder !== REGIONS[region]) return;
    const validUntilMs = local(region, askedReal) + Math.min(TTL_MS, remainingMs) - GUARD_MS;
    client.trustUntilRealMs = Math.max(client.trustEpoch === seen.stored.epoch ? client.trustUntilRealMs : 0, real(region, validUntilMs));
    client.trustEpoch = seen.stored.epoch;
  }
}

/** What a controller would send on what it sees: renew what it holds, claim what it does not, keep all others in sync. */
function next(client: Client, region: string, kind: Turn['kind']): LeaseCommand {
  const stored = (client.seen as Observation).stored;
  client.seq = Math.max(client.seq, stored.last[regionId(region)]?.seq ?? 0) + 1;
  const from = { region: regionId(region), seq: client.seq, instance: region };
  if (stored.holder === region && kind === 'share') return { ...from, kind: 'setInSync', epoch: stored.epoch, inSync: REGIONS.map(regionId) };
  if (stored.holder === region) return { ...from, kind: 'renew', epoch: stored.epoch, ttlMs: TTL_MS, policyHash: 'p' };
  const force = { reason: 'test', estimatedLoss: 'none' };
  return { ...from, kind: 'acquire', epochSeen: stored.epoch, ttlMs: TTL_MS, policyHash: 'p', force };
}

const history = fc.tuple(fc.array(turn, { minLength: 20, maxLength: 80 }), clocks);

test('two regions never trust the lease at one moment, whatever clocks and network do', (t) => {
  let [grants, takeovers] = [0, 0];
  fc.assert(
    fc.property(history, ([turns, rates]) => {
      const outcome = play(turns, rates, OURS);
      grants += outcome.grants;
      takeovers += outcome.takeovers;
      return outcome.overlap === null;
    }),
    { numRuns: 4_000 },
  );
  t.ok(grants > 10_000, `${grants} grants and renewals`);
  t.ok(takeovers > 1_000, `${takeovers} takeovers: the histories are not idle`);
  t.end();
});

test('the two shortcuts that look right are caught by the same histories', (t) => {
  const shortcuts: Readonly<Record<string, Rule>> = {
    'trust counted from when a repeated command was found carried out': {
      ...OURS,
      trusted: (seen, command, reply, nowMs) => ({ ...reply, view: viewStored(seen, command.region, nowMs, DRIFT) }),
    },
    'expiry counted from when it could have been written': { ...OURS, expiry: (seen) => seen.notBeforeMs ?? seen.seenByMs },
  };
  for (const [name, rule] of Object.entries(shortcuts)) {
    const run = fc.check(fc.property(history, ([turns, rates]) => play(turns, rates, rule).overlap === null), { numRuns: 20_000 });
    t.ok(run.failed, `${name}: seen after ${run.numRuns} histories`);
  }
  t.end();
});

const LONG_AGO: StoredLease = { ...newStoredLease('a'), change: 7, renewal: 5, revision: 7, epoch: epoch(3), holder: regionId('r1'), instance: 'r1-a', ttlMs: TTL_MS, inSync: [regionId('r1'), regionId('r2')] };
const from = (region: string, seq: number) => ({ region: regionId(region), seq, instance: `${region}-a` });

test('a client that just started waits a whole ttl, however long the holder has been gone', (t) => {
  const seen = observeAnswer(null, LONG_AGO, 10_000, 10_050);
  const acquire: LeaseCommand = { ...from('r2', 1), kind: 'acquire', epochSeen: epoch(3), ttlMs: TTL_MS, policyHash: '', force: null };
  t.match(step(seen, acquire, 10_050 + TTL_MS, DRIFT).reply.outcome, { ok: false, code: 'held' });
  t.match(step(seen, acquire, 10_050 + TTL_MS * (1 + DRIFT), DRIFT), { reply: { outcome: { ok: true } }, next: { epoch: 4, holder: 'r2' } });
  t.end();
});

test('other changes of the record do not extend it, a refused command changes nothing', (t) => {
  const first = observeAnswer(null, LONG_AGO, 0, 50);
  const acquire: LeaseCommand = { ...from('r2', 1), kind: 'acquire', epochSeen: epoch(3), ttlMs: TTL_MS, policyHash: '', force: null };
  t.equal(step(first, acquire, 1_000, DRIFT).next, null);
  const later = observeAnswer(first, { ...LONG_AGO, change: 8, revision: 8, inSync: [regionId('r1')] }, 2_000, 2_050);
  t.equal(later.seenByMs, 50);
  t.end();
});

test('a controller that starts again renews what it holds, and a repeated command trusts nothing it cannot know', (t) => {
  const seen = observeAnswer(null, LONG_AGO, 0, 50);
  const renew: LeaseCommand = { ...from('r1', 9), kind: 'renew', epoch: epoch(3), ttlMs: TTL_MS, policyHash: '' };
  const made = step(seen, renew, 100, DRIFT);
  t.match(made, { reply: { outcome: { ok: true } }, next: { renewal: 6, change: 8 } });
  const found = observeAnswer(null, made.next as StoredLease, 500, 600);
  t.match(step(found, renew, 600, DRIFT), { next: null, reply: { outcome: { ok: true }, view: { remainingMs: 0 } } });
  const knew = observeAnswer(seen, made.next as StoredLease, 500, 600);
  t.match(step(knew, renew, 600, DRIFT), { next: null, reply: { outcome: { ok: true }, view: { remainingMs: TTL_MS - 600 } } }, 'from the last answer that showed the renewal before');
  t.end();
});

test('an intent that ran out is removed by the next write, and not by a client that cannot know', (t) => {
  const intent = { id: 's1', from: regionId('r1'), to: regionId('r2'), target: 'ready' as const, reasons: [], validForMs: 500 };
  const seen = observeAnswer(null, { ...LONG_AGO, intent }, 0, 50);
  const renew: LeaseCommand = { ...from('r1', 9), kind: 'renew', epoch: epoch(3), ttlMs: TTL_MS, policyHash: '' };
  t.match(step(seen, renew, 400, DRIFT).next, { intent: { id: 's1', validForMs: 500 } });
  t.equal(step(seen, renew, 600, DRIFT).next?.intent, null);
  t.end();
});
