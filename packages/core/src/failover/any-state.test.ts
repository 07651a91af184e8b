// Whatever is known, also what should not be: no decision throws, the phases settle, and what was decided stands until
// something new is heard. States are drawn at random, most of them such as no history leads to.

import fc from 'fast-check';
import { test } from 'tap';
import { contender, databases, holder, later, longAgoMs, only, primary, r1, r2, r3, START_MS, timings, token } from '../../testing/controller.ts';
import type { LeaseView } from '../lease/types.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import { epoch, lsn, monoMs } from '../types.ts';
import { decide } from './decide.ts';
import { deriveFallback } from './fallback.ts';
import type { ControllerState, Phase } from './state.ts';

const soon = fc.constantFrom(longAgoMs, monoMs(START_MS - 1_999), monoMs(START_MS), monoMs(START_MS + 700));
const region = fc.constantFrom(r1, r2);
const epochs = fc.constantFrom(5, 6).map(epoch);
/** r3 is of no specification here: it was, when the set was made. */
const inSync = fc.constantFrom([r1], [r2], [r1, r2], [r1, r2, r3]);
const step = fc.constantFrom('preparing', 'holding', 'draining', 'demoting', 'transferring', 'returning');

const phase: fc.Arbitrary<Phase> = fc.oneof(
  fc.record({ kind: fc.constantFrom('starting', 'standby', 'acquiring', 'active', 'fenced', 'rejoining') }),
  fc.record({ kind: fc.constant('promoting'), sinceMs: soon, returnable: fc.constantFrom(true, false, null) }),
  fc.record({ kind: fc.constant('releasing'), reason: fc.constant('x') }),
  fc.record({ kind: fc.constant('handing-over'), id: fc.constant('s1'), to: fc.constant(r2), step, token: fc.constantFrom(token, null), deadlineMs: soon }),
);
const view: fc.Arbitrary<LeaseView> = fc.record({
  name: fc.constant('shop'),
  revision: fc.constant(10),
  epoch: epochs,
  holder: fc.constantFrom(r1, r2, null),
  instance: fc.constantFrom('a', 'b', null),
  ttlMs: fc.constant(timings.ttlMs),
  remainingMs: fc.constantFrom(0, 600, 3_000, 6_000),
  inSync,
  policyHash: fc.constant('p'),
  handover: fc.option(fc.record({ id: fc.constant('s1'), from: region, to: region, token: fc.constant(token) })),
  intent: fc.option(fc.record({ id: fc.constantFrom('s1', 's2'), from: region, to: region, target: fc.constantFrom('pending', 'ready', 'refused'), reasons: fc.constant([]) })),
  seq: fc.constant(0),
});
const database: fc.Arbitrary<DatabaseObservation> = fc.record({
  role: fc.constantFrom('primary', 'standby', 'down', 'starting', 'unknown'),
  shape: fc.constantFrom('primary', 'standby', 'empty'),
  replayLsn: fc.constantFrom(lsn('0/100'), null),
  receiver: fc.option(fc.record({ streaming: fc.boolean(), source: fc.constantFrom(databases.r1, databases.r2, null), messageAgeMs: fc.constant(10) })),
  epoch: fc.constantFrom(0, 4, 5, 6),
  recordedEpoch: fc.constantFrom(null, 4, 5, 6),
}).map((drawn) => ({ ...primary, ...drawn }));

const known = fc.record({
  own: region,
  phase,
  view,
  database: fc.option(database),
  granted: fc.boolean(),
  validUntilMs: fc.constantFrom(START_MS - 1, START_MS, START_MS + 500, START_MS + 5_000).map(monoMs),
  promotedEpoch: fc.constantFrom(0, 5, 6),
  lastSwitchover: fc.option(fc.constant({ id: 's1', result: 'given up' })),
  endedSwitchovers: fc.subarray(['s0', 's1']),
  regions: inSync,
  since: soon,
  synchronous: fc.constantFrom(null, [], [r1], [r2]),
  gateMode: fc.constantFrom('open', 'hold', 'closed', null),
  connected: fc.boolean(),
  drainPending: fc.constantFrom(7, null),
  quorum: fc.boolean(),
  problem: fc.constantFrom(null, 'CTM_REGISTER_TIMEOUT'),
});
type Known = typeof known extends fc.Arbitrary<infer K> ? K : never;

/** A grant is of the epoch that is known and of no other region's: an answer grants nothing else, and a newer view ends it. */
function stateOf(drawn: Known): ControllerState {
  const { own, granted, validUntilMs, regions, since, gateMode, connected, quorum, problem, ...rest } = drawn;
  const base = own === r1 ? holder() : contender();
  return {
    ...base,
    ...rest,
    // A hand-over goes to another region: the register refuses any other.
    phase: drawn.phase.kind === 'handing-over' ? { ...drawn.phase, to: own === r1 ? r2 : r1 } : drawn.phase,
    policy: { ...base.policy, ...(quorum ? { fallback: deriveFallback(timings.ttlMs, []) } : {}) },
    // It was active before, under this epoch.
    promotedEpoch: drawn.phase.kind === 'handing-over' ? drawn.view.epoch : drawn.promotedEpoch,
    grant: granted && (drawn.view.holder === own || drawn.view.holder === null) ? { epoch: drawn.view.epoch, validUntilMs } : null,
    streaming: { regions: regions.filter((one) => one !== own), sinceMs: since },
    databaseBadSinceMs: drawn.database?.role === 'unknown' ? since : null,
    gate: { connected, held: 0, mode: gateMode, epoch: 5 },
    registerProblem: problem,
    gateDirective: null,
  };
}

test('no state makes a decision throw, and the phases settle in every one', async (t) => {
  fc.assert(
    fc.property(known, (drawn) => {
      const first = decide(stateOf(drawn), { kind: 'tick' }, later(0));
      const again = decide(first.state, { kind: 'tick' }, later(0));
      return again.state.phase === first.state.phase && again.actions.length === 0;
    }),
    { numRuns: 1_000, seed: 20_261_121 },
  );
  t.pass();
});

test('no state opens a gate, touches a database as its primary or gives weight to itself without the right to', async (t) => {
  fc.assert(
    fc.property(known, (drawn) => {
      const { state, actions } = decide(stateOf(drawn), { kind: 'tick' }, later(0));
      const valid = state.grant !== null && state.grant.validUntilMs > START_MS;
      const proved = valid && state.promotedEpoch === state.grant?.epoch;
      const opens = only(actions, 'gate').some(({ directive }) => directive.mode === 'open');
      const writes = only(actions, 'database').some(({ action }) => ['promote', 'demote', 'set-synchronous'].includes(action.kind));
      const toItself = only(actions, 'traffic').some(({ weights }) => (weights.weights[drawn.own] ?? 0) > 0);
      return (!opens || proved) && (!writes || valid) && (!toItself || proved) && (state.phase.kind !== 'active' || proved);
    }),
    { numRuns: 1_000, seed: 20_261_121 },
  );
  t.pass();
});
