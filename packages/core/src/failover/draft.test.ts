// A decision in the making: a private copy, numbered actions, and a wake-up for every deadline that was looked at.

import { test } from 'tap';
import { contender, draftOf, held, holder, only, policy, r1, r2, r3, START_MS, timings } from '../../testing/controller.ts';
import type { RegionId } from '../types.ts';
import { epoch, monoMs } from '../types.ts';

test('the state before is not touched', async (t) => {
  const before = Object.freeze(holder());
  const draft = draftOf(before);
  draft.state.seq = 99;
  draft.enter({ kind: 'fenced' });
  t.equal(before.seq, 20);
  t.equal(before.phase.kind, 'active');
});

test('a decision is woken at the earliest deadline that was compared and has not come, and after a second at the latest', async (t) => {
  const draft = draftOf(holder(), 100);
  t.equal(draft.nowMs, START_MS + 100);
  t.equal(draft.wakeMs, START_MS + 1_100);
  t.notOk(draft.due(monoMs(START_MS + 2_000)));
  t.equal(draft.wakeMs, START_MS + 1_100);
  t.notOk(draft.due(monoMs(START_MS + 400)));
  t.notOk(draft.due(monoMs(START_MS + 500)));
  t.equal(draft.wakeMs, START_MS + 400);
  t.ok(draft.due(monoMs(START_MS + 100)), 'a deadline that is now has come');
  t.ok(draft.due(monoMs(START_MS)));
  t.equal(draft.wakeMs, START_MS + 400, 'what has come wakes nobody');
});

test('a phase is recorded with where it came from; a step within it as a step', async (t) => {
  const draft = draftOf(contender());
  draft.enter({ kind: 'promoting', sinceMs: monoMs(1), returnable: true });
  draft.enter({ kind: 'promoting', sinceMs: monoMs(2), returnable: true });
  draft.record('plain');
  t.same(only(draft.actions, 'record'), [
    { kind: 'record', event: 'phase', detail: { from: 'standby', kind: 'promoting', sinceMs: 1, returnable: true } },
    { kind: 'record', event: 'phase-step', detail: { kind: 'promoting', sinceMs: 2, returnable: true } },
    { kind: 'record', event: 'plain', detail: {} },
  ]);
});

test('every action that is answered has a number of its own', async (t) => {
  const draft = draftOf(holder());
  draft.ask({ kind: 'read' });
  draft.run({ kind: 'prewarm' }, 700);
  draft.drain();
  t.same(draft.actions, [
    { kind: 'register', id: 100, request: { kind: 'read' }, timeoutMs: timings.commandMs },
    { kind: 'database', id: 101, action: { kind: 'prewarm' }, timeoutMs: 700 },
    { kind: 'drain', id: 102, timeoutMs: timings.drainMs },
  ]);
  t.match(draft.state, { nextId: 103, drainPending: 102, databaseAction: { id: 101, action: { kind: 'prewarm' }, sinceMs: START_MS } });
});

test('a request keeps what it was made on; only a command takes a sequence number', async (t) => {
  const draft = draftOf(holder(), 30);
  draft.ask({ kind: 'release', region: r1, seq: 21, instance: 'a', epoch: epoch(5) });
  t.equal(draft.state.seq, 21);
  t.match(draft.state.request, { id: 100, sentMs: START_MS + 30, inSyncSeen: held.inSync, holderSeen: r1 });
  const blind = draftOf(holder({ view: null }));
  blind.ask({ kind: 'read' });
  t.equal(blind.state.seq, 20);
  t.same(blind.state.request, { id: 100, request: { kind: 'read' }, sentMs: START_MS, inSyncSeen: [], holderSeen: null });
});

test('whom the register was asked to count on is remembered until it is known what came of it', async (t) => {
  const narrow = { ...held, inSync: [r1] };
  const ask = (draft: ReturnType<typeof draftOf>, seq: number, ...inSync: RegionId[]) => {
    draft.ask({ kind: 'setInSync', region: r1, seq, instance: 'a', epoch: epoch(5), inSync });
    return draft.state.widening;
  };
  const draft = draftOf(holder({ view: narrow }));
  t.same(ask(draft, 21, r1), null, 'nobody new');
  t.same(ask(draft, 22, r1, r2), { seq: 22, regions: [r2] });
  t.same(ask(draft, 23, r1, r3), { seq: 23, regions: [r2, r3] }, 'two of them');
  t.same(ask(draft, 24, r1), { seq: 24, regions: [r2, r3] }, 'taken back: which one the register took is not known either');
  t.same(ask(draftOf(holder()), 21, r1, r2), null, 'counted on already');
  t.same(ask(draftOf(holder({ view: null })), 21, r1), { seq: 21, regions: [r1] });
});

test('the database takes one action at a time, and rests after one that failed', async (t) => {
  t.ok(draftOf(holder()).databaseFree());
  t.notOk(draftOf(holder({ databaseAction: { id: 1, action: { kind: 'prewarm' }, sinceMs: monoMs(0) } })).databaseFree());
  const draft = draftOf(holder());
  draft.databaseFailed('why');
  t.match(draft.state, { databaseProblem: 'why', retryDatabaseMs: START_MS + 200 });
  t.notOk(draft.databaseFree());
  t.ok(draftOf(draft.state, 200).databaseFree());
});

test('what failed is tried again soon: a request within a fraction of the ttl, traffic after 200 ms', async (t) => {
  const retryMs = (ttlMs: number): number => {
    const draft = draftOf(holder({ policy: { ...policy, timings: { ...timings, ttlMs } } }));
    draft.requestFailed();
    return draft.state.retryRequestMs - START_MS;
  };
  t.equal(retryMs(30_000), 200);
  t.equal(retryMs(2_400), 100);
  t.equal(retryMs(2_401), 101);
  const draft = draftOf(holder());
  draft.trafficFailed();
  t.equal(draft.state.retryTrafficMs, START_MS + 200);
});

test('a switchover that ended is remembered when others end after it, sixteen of them at most', async (t) => {
  const draft = draftOf(holder());
  draft.endSwitchover('s1', 'given up: cancelled by an operator');
  draft.endSwitchover('s2', 'refused: switchover s1 to r2 is under way');
  t.same(draft.state.lastSwitchover, { id: 's2', result: 'refused: switchover s1 to r2 is under way' });
  t.same(draft.state.endedSwitchovers, ['s1', 's2']);
  draft.endSwitchover('s1', 'given up: late');
  t.same(draft.state.endedSwitchovers, ['s2', 's1'], 'once, and as the newest');
  for (let number = 3; number < 17; number++) draft.endSwitchover(`s${number}`, 'given up');
  t.equal(draft.state.endedSwitchovers.length, 16);
  t.equal(draft.state.endedSwitchovers[0], 's2');
  draft.endSwitchover('s17', 'given up');
  t.equal(draft.state.endedSwitchovers[0], 's1', 'the oldest is forgotten first');
  t.equal(draft.state.endedSwitchovers.length, 16);
});
