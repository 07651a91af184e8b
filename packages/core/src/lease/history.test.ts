// The lease functions over random histories, against the promises of the lease (I1, I6, I8): three regions with two
// controllers each, clocks that jump both ways, lost replies (repeats), old numbers.

import fc from 'fast-check';
import t from 'tap';
import { applyCommand, newLease } from './lease.ts';
import type { LeaseCommand, LeaseRecord, LeaseReply } from './types.ts';
import { epoch, lsn, regionId, wallMs } from '../types.ts';
import type { RegionId } from '../types.ts';

const R1 = regionId('r1');
const R2 = regionId('r2');
const R3 = regionId('r3');
const START_MS = 1_000_000;
const TOKEN = { systemIdentifier: '7300000000000000001', timeline: 1, checkpointLsn: lsn('0/3000028') };

const region = fc.constantFrom(R1, R2, R3);
const inSync = fc.uniqueArray(region, { minLength: 1, maxLength: 3 });
const ttlMs = fc.integer({ min: 300, max: 2_000 });
const epochs = fc.integer({ min: -1, max: 1 });
const policyHash = fc.constantFrom('p', 'p', 'p', 'q');
const id = fc.constantFrom('s1', 's2');
const force = fc.option(fc.constant({ reason: 'drill', estimatedLoss: 'none' }), { freq: 8 });

/** A command with an epoch relative to the current one; the history makes it absolute. */
const action = fc.record({
  region,
  /** As the holder and its own controller, else as anybody: without this most histories are refusals only. */
  asHolder: fc.boolean(),
  instance: fc.constantFrom('a', 'a', 'a', 'b'),
  waitMs: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 400 }) }, fc.integer({ min: -3_000, max: 3_000 })),
  number: fc.oneof({ weight: 8, arbitrary: fc.constant('next') }, fc.constantFrom('same', 'older', 'repeat')),
  epochOff: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, epochs),
  body: fc.oneof(
    fc.record({ kind: fc.constant('acquire' as const), ttlMs, policyHash, force }),
    fc.record({ kind: fc.constant('renew' as const), ttlMs, policyHash }),
    fc.record({ kind: fc.constant('release' as const) }),
    fc.record({ kind: fc.constant('transfer' as const), to: region, id, token: fc.constant(TOKEN) }),
    fc.record({ kind: fc.constant('setInSync' as const), inSync }),
    fc.record({ kind: fc.constant('requestSwitchover' as const), id, from: region, to: region, validForMs: ttlMs }),
    fc.record({
      kind: fc.constant('answerSwitchover' as const),
      id,
      answer: fc.constantFrom('ready' as const, 'refused' as const, 'cancelled' as const),
      reasons: fc.constant([]),
    }),
  ),
});
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

function toCommand(record: LeaseRecord, sent: readonly LeaseCommand[], step: Action): LeaseCommand {
  const by = step.asHolder && record.holder !== null ? record.holder : step.region;
  const instance = step.asHolder ? (record.instance ?? step.instance) : step.instance;
  const seen = record.last[by]?.seq ?? 0;
  const repeated = sent.findLast((command) => command.region === by);
  if (step.number === 'repeat' && repeated !== undefined) return repeated;
  const seq = step.number === 'next' ? seen + 1 : Math.max(1, step.number === 'older' ? seen - 1 : seen);
  const at = epoch(Math.max(0, record.epoch + step.epochOff));
  const numbers = { seq, epoch: at, epochSeen: at };
  const command = { region: by, instance, ...numbers, ...step.body } as LeaseCommand;
  if (command.kind === 'requestSwitchover' && step.asHolder) return { ...command, from: by };
  if (command.kind === 'setInSync' && step.asHolder) return { ...command, inSync: [...command.inSync, by] };
  return command;
}

t.test('over any history', async (t) => {
  const reached = new Set<string>();
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 80 }), (steps) => {
      const sent: LeaseCommand[] = [];
      const grantedTo = new Map<number, RegionId>();
      let record = newLease('shop', wallMs(START_MS));
      let atMs = START_MS;
      let latestMs = START_MS;
      for (const step of steps) {
        atMs = Math.max(0, atMs + step.waitMs);
        latestMs = Math.max(latestMs, record.clockMs);
        const command = toCommand(record, sent, step);
        const before = deepFreeze(record);
        const { reply, record: after, events } = applyCommand(before, command, wallMs(atMs));
        sent.push(command);
        record = after;
        reached.add(reply.outcome.ok ? command.kind : reply.outcome.code);
        check(before, after, command, { reply, events, atMs: Math.max(atMs, latestMs), grantedTo });
      }
    }),
    { numRuns: 1_500, seed: 20_261_120 },
  );
  const every = [
    'acquire', 'renew', 'release', 'transfer', 'setInSync', 'requestSwitchover', 'answerSwitchover', 'held', 'expired',
    'epoch-stale', 'not-holder', 'instance-conflict', 'not-in-sync', 'policy-mismatch', 'seq-stale', 'seq-reused',
    'switchover-unknown', 'switchover-pending', 'invalid',
  ];
  t.same(every.filter((name) => !reached.has(name)), [], 'every command succeeded and every refusal was given once');
});

type Seen = {
  readonly reply: LeaseReply;
  readonly events: readonly string[];
  readonly atMs: number;
  readonly grantedTo: Map<number, RegionId>;
};

function check(before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, seen: Seen): void {
  const { view, outcome } = seen.reply;
  const rule = (holds: boolean, name: string) => {
    if (!holds) throw new Error(`${name}: ${JSON.stringify({ before, command, after, seen })}`);
  };
  rule(after.epoch >= before.epoch, 'I6: an epoch never goes down');
  rule(after.clockMs >= before.clockMs, 'the clock never runs backwards');
  if (after.epoch > before.epoch && after.holder !== null) {
    rule(!seen.grantedTo.has(after.epoch), 'I1: an epoch is granted once');
    seen.grantedTo.set(after.epoch, after.holder);
    const held = before.holder !== null && seen.atMs < before.expiresAtMs;
    rule(!held || (command.kind === 'transfer' && before.holder === command.region), 'a held lease is not granted');
    const forced = command.kind === 'acquire' && command.force !== null;
    rule(before.epoch === 0 || forced || before.inSync.includes(after.holder), 'I8: only in-sync regions take over');
    rule(after.inSync.length === 1 && after.inSync[0] === after.holder, 'after a grant only the holder is in sync');
  }
  if (after.expiresAtMs > before.expiresAtMs && after.epoch === before.epoch) {
    rule(command.kind === 'renew' && seen.atMs < before.expiresAtMs, 'only a renewal before expiry extends');
  }
  rule(view.remainingMs >= 0 && view.remainingMs <= after.ttlMs, 'the remaining time is within the ttl');
  rule(after.holder === null || after.inSync.includes(after.holder), 'the holder is in sync');
  rule(outcome.ok || (after.epoch === before.epoch && after.holder === before.holder), 'a refusal changes nobody');
  rule(!outcome.ok || before === after || after.revision === before.revision + 1, 'an accepted change has a revision');
  rule(outcome.ok || (after.revision === before.revision && seen.events.length === 0), 'a refusal is no event');
  const repeated = applyCommand(after, command, wallMs(seen.atMs + 1));
  const known = outcome.ok || (outcome.code !== 'seq-stale' && outcome.code !== 'seq-reused');
  rule(!known || JSON.stringify(repeated.reply.outcome) === JSON.stringify(outcome), 'a repeat is answered the same');
  rule(repeated.record === after && repeated.events.length === 0, 'a repeat changes nothing');
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
