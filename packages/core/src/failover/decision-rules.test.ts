// What a decision keeps to whatever its parts did: clocks, a machine that slept, words that grow old, and the rules that end
// the process rather than let an action out that nobody has the right to (I2, I4, I8).

import { test } from 'tap';
import { contender, givingHolder, held, holder, later, only, policy, r1, r2, r3, records, start, START_MS, timings } from '../../testing/controller.ts';
import { epoch, monoMs, wallMs } from '../types.ts';
import { actingEpoch, decide, initialState } from './decide.ts';
import { deriveFallback } from './fallback.ts';
import type { ControllerState } from './state.ts';

const tick = { kind: 'tick' } as const;

test('a monotonic clock that runs back ends the process', async (t) => {
  t.throws(() => decide(holder(), tick, later(-1)), { code: 'CTM_ASSERT_CLOCK_MONOTONE', message: `CTM_ASSERT_CLOCK_MONOTONE: ${START_MS} -> ${START_MS - 1}` });
  t.ok(decide(holder(), tick, later(0)));
});

test('a controller that starts knows nothing, and nothing keeps it from asking', async (t) => {
  const state = initialState(policy, { instance: 'a', epoch: 7 }, start);
  t.match(state, {
    phase: { kind: 'starting' },
    instance: 'a',
    persistedEpoch: 7,
    promotedEpoch: 0,
    seq: 0,
    nextId: 1,
    view: null,
    grant: null,
    database: null,
    synchronous: null,
    streaming: { sinceMs: START_MS },
    gate: { connected: false, held: 0, mode: null, epoch: 0 },
    registerRefused: false,
    fallback: { pending: null, nextMs: START_MS, last: null, darkness: null, takenFrom: null, holding: false },
  });
  t.same([state.caughtUp, state.streaming.regions], [[], []], 'nobody had all, nobody streams');
  for (const waits of ['retryRequestMs', 'retryDatabaseMs', 'retryRejoinMs', 'retryTrafficMs', 'notBeforeMs', 'holdDownUntilMs'] as const) t.equal(state[waits], START_MS, waits);
  t.same(only(decide(state, tick, start).actions, 'register')[0]?.request, { kind: 'read' });
});

test('a wall clock that ran ahead by more than a second: the machine slept, and its validity is over', async (t) => {
  const waiting = { id: 7, request: { kind: 'read' }, sentMs: start.monoMs, inSyncSeen: [], holderSeen: null } as const;
  const state = holder({ request: waiting });
  const awake = decide(state, tick, later(10, 1_000));
  t.match(awake.state, { phase: { kind: 'active' }, request: { id: 7 }, lastRenewMs: START_MS }, 'a second is not yet a sleep that ends everything');
  t.notOk(records(awake.actions).includes('suspend-suspected'));
  const slept = decide(state, tick, later(10, 1_001));
  t.same(slept.actions[0], { kind: 'record', event: 'suspend-suspected', detail: { wallAheadMs: 1_001, epoch: 5 } });
  t.match(slept.state, { phase: { kind: 'fenced' }, lastRenewMs: null, grant: { epoch: 5, validUntilMs: START_MS + 10 } });
  t.match(slept.state.request?.request, { kind: 'renew' }, 'what was asked before is forgotten, and asked anew');
  t.same(decide(contender(), tick, later(10, 1_001)).actions[0], { kind: 'record', event: 'suspend-suspected', detail: { wallAheadMs: 1_001, epoch: null } });
  t.same(decide(holder(), tick, { monoMs: monoMs(START_MS), wallMs: wallMs(0) }).actions, [], 'a wall clock that is set back says nothing');
});

test('a short sleep is time that has passed; less than 20 ms lies between two readings', async (t) => {
  const waiting = { id: 7, request: { kind: 'read' }, sentMs: start.monoMs, inSyncSeen: [], holderSeen: null } as const;
  const last = { target: r1, outcome: { kind: 'dark' }, startedMs: start.monoMs } as const;
  const state = holder({ request: waiting, fallback: { ...holder().fallback, last } });
  const validUntilMs = state.grant?.validUntilMs ?? 0;
  const read = decide(state, tick, later(0, 19)).state;
  t.match(read, { grant: { validUntilMs }, request: { sentMs: START_MS }, fallback: { last } });
  const slept = decide(state, tick, later(0, 20)).state;
  t.match(slept, { grant: { validUntilMs: validUntilMs - 20 }, request: { sentMs: START_MS - 20 } });
  t.equal(slept.fallback.last, null, 'a round may have ended in it');
  t.match(decide(contender(), tick, later(0, 20)).state, { grant: null, request: null });
});

test('after a sleep, or what may hide one, nothing of the resolvers counts', async (t) => {
  const fallback = {
    ...contender().fallback,
    last: { target: r1, outcome: { kind: 'dark' }, startedMs: start.monoMs },
    darkness: { target: r1, sinceMs: monoMs(START_MS - 9_000), lastMs: start.monoMs },
    pending: { id: 7, target: r1, askedMs: start.monoMs },
  } as const;
  const state = contender({ policy: { ...policy, region: r2, fallback: deriveFallback(timings.ttlMs, []) }, fallback });
  t.match(decide(state, tick, later(10, 5_000)).state.fallback, { last: null, darkness: null, pending: null });
  t.match(decide(state, tick, later(10, -19)).state.fallback, fallback, 'less than 20 ms lies between two readings');
  t.match(decide(state, tick, later(10, -20)).state.fallback, { last: null, darkness: null, pending: null }, 'a wall clock that was set back may hide one');
});

test('an operator\'s word is acted upon within a minute or not at all', async (t) => {
  const operator = { kind: 'takeover', force: null, atMs: start.monoMs } as const;
  t.equal(decide(contender({ operator }), tick, later(59_999)).state.operator, operator);
  t.equal(decide(contender({ operator }), tick, later(60_000)).state.operator, null);
  const stopped = decide(contender(), { kind: 'operator-asked', word: operator }, later(60_000));
  t.equal(stopped.state.operator, null, 'it waited for a process that was stopped');
  const asked = { kind: 'switchover', id: 's1', to: r2, atMs: start.monoMs } as const;
  const cancelled = decide(holder({ operator: asked }), { kind: 'operator-cancelled' }, later(60_000));
  t.same(cancelled.state.endedSwitchovers, ['s1'], 'what is taken back when it is too old has ended all the same: its request may have left');
  t.equal(decide(contender({ operator: { ...operator, atMs: monoMs(START_MS - 59_700) }, viewMs: start.monoMs }), tick, start).wakeMs, START_MS + 300);
});

/** States that no history leads to: what their decision would let out is caught. */
const broken: readonly [string, string, ControllerState][] = [
  ['an open gate in front of a database that was not proved', 'OPEN_BEFORE_VERIFIED: 4 5', givingHolder('preparing', { promotedEpoch: 4, gateDirective: null })],
  ['an open gate under another epoch than the grant', 'OPEN_IN_ANOTHER_EPOCH: 4 5', holder({ view: { ...held, epoch: epoch(4) }, gateDirective: null })],
];

test('a decision that nobody has the right to ends the process', async (t) => {
  for (const [name, message, state] of broken) t.throws(() => decide(state, tick, start), { message: `CTM_ASSERT_${message}` }, name);
});

test('the epoch that a controller acts under is that of its grant, until its validity ends', async (t) => {
  const state = holder({ grant: { epoch: epoch(5), validUntilMs: monoMs(START_MS + 1) } });
  t.equal(actingEpoch(state), 5);
  t.equal(actingEpoch({ ...state, now: later(1) }), 0);
  t.equal(actingEpoch(holder({ grant: null })), 0);
  t.equal(actingEpoch(holder({ view: { ...held, holder: r3 } })), 5, 'it is the grant that counts, not what is heard');
});
