// What is asked of the database in each state: promotion, for whom commits wait, demotion, rejoin. From the state alone, as in drive.test.ts.

import { test } from 'tap';
import {
  ask,
  command,
  contender,
  down,
  expired,
  givingHolder,
  handover,
  held,
  holder,
  lagReport,
  longAgoMs,
  mine,
  only,
  policy,
  primary,
  promoting,
  promotingContender,
  r1,
  r2,
  r3,
  released,
  STALLED,
  standby,
  start,
  START_MS,
  taken,
  theirs,
  three,
  timings,
  token,
  unreachable,
} from '../../testing/controller.ts';
import { epoch, monoMs } from '../types.ts';
import { deriveFallback } from './fallback.ts';
import type { ControllerState, Phase } from './state.ts';

const acquiring: Phase = { kind: 'acquiring' };
const releasing: Phase = { kind: 'releasing', reason: 'x' };
const withFallback = { ...policy, region: r2, fallback: deriveFallback(timings.ttlMs, []) };
const database = (state: ControllerState) => only(ask(state).actions, 'database')[0] ?? null;

test('a database is promoted under a grant, alone in the in-sync set, with the giver\'s token if it was handed over', async (t) => {
  const promote = { kind: 'promote', epoch: 6, token: null };
  t.match(database(promotingContender()), { action: promote, timeoutMs: timings.promoteBudgetMs });
  t.match(database(promotingContender({ view: { ...taken, handover } })), { action: { ...promote, token } });
  t.match(database(promotingContender({ view: { ...taken, handover }, phase: { ...promoting, returnable: false } })), { action: promote }, 'it served already: it is not that history any more');
  t.match(database(promotingContender({ view: { ...taken, handover }, phase: { ...promoting, returnable: null } })), { action: { ...promote, token } }, 'whether it served is not known');
  t.match(database(promotingContender({ view: { ...taken, handover: { ...handover, to: r3 } } })), { action: promote }, 'handed over to another');
  t.match(database(promotingContender({ database: { ...primary, epoch: 6 } })), { action: promote }, 'an epoch in the store is no promotion');
  for (const [name, changes] of [
    ['others may still be counted on', { view: { ...taken, inSync: [r1, r2] } }],
    ['only another is', { view: { ...taken, inSync: [r1] } }],
    ['the register is at another epoch', { view: { ...taken, epoch: epoch(7) } }],
    ['it is proved already', { database: { ...primary, epoch: 6, recordedEpoch: 6 } }],
    ['nothing is known of it', { database: null }],
    ['no grant', { grant: null }],
    ['run out', { grant: { epoch: epoch(6), validUntilMs: start.monoMs } }],
    ['not yet again', { retryDatabaseMs: monoMs(START_MS + 1) }],
    ['an action is under way', { databaseAction: { id: 7, action: { kind: 'prewarm' }, sinceMs: start.monoMs } }],
    ['nothing is known of the lease', { view: null }],
    ['fenced', { phase: { kind: 'fenced' } }],
    ['starting', { phase: { kind: 'starting' } }],
    ['the other region is not dark', { policy: withFallback, fallback: { ...promotingContender().fallback, takenFrom: r1 } }],
  ] as const satisfies readonly (readonly [string, Partial<ControllerState>])[]) t.equal(database(promotingContender(changes)), null, name);
  t.match(database(promotingContender({ database: { ...primary, epoch: 5 } })), { action: promote }, 'a primary of an older epoch');
  t.match(database(promotingContender({ database: { ...standby, epoch: 6, recordedEpoch: 6 } })), { action: promote }, 'a standby that knows the epoch');
});

test('an active holder makes commits wait for all that the register promises, and for all that stream steadily', async (t) => {
  const { renewMs, standbyStableMs } = timings;
  const set = (standbys: readonly string[]) => ({ action: { kind: 'set-synchronous', epoch: 5, standbys }, timeoutMs: renewMs + 1_000 });
  const narrow = { ...held, inSync: [r1] };
  const streams = (...regions: string[]) => ({ streaming: { regions, sinceMs: longAgoMs } });
  const young = { streaming: { regions: [r2], sinceMs: monoMs(START_MS - standbyStableMs + 1) } };
  t.match(database(holder({ synchronous: [], caughtUp: [] })), set([r2]));
  t.match(database(holder({ synchronous: [], caughtUp: [], view: narrow })), set([r2]));
  t.match(database(holder({ synchronous: [r2], view: narrow, ...streams() })), set([]), 'gone, and nobody promised it');
  t.match(database(holder({ view: narrow, caughtUp: [] })), set([r2]), 'named is not enough: it must be seen to have had all');
  t.match(database(holder({ policy: three, synchronous: [r3], caughtUp: [r2] })), set([r2]), 'another than is promised');
  t.match(database(holder({ synchronous: [], ...streams() })), set([r2]), 'what is promised is kept, though it does not stream');
  t.match(database(holder({ synchronous: [], lagReport: lagReport(r2, STALLED) })), set([r2]), 'nor does an objection take it out');
  const order = holder({ policy: { ...three, regions: [r3, r2, r1] }, view: { ...held, inSync: [r1, r2, r3] }, synchronous: [r3, r2], caughtUp: [r2, r3] });
  for (const [name, state] of [
    ['as it is', holder()],
    ['promised, though it is not known that it had all', holder({ caughtUp: [] })],
    ['a stream that is young', holder({ synchronous: [], caughtUp: [], view: narrow, ...young })],
    ['nobody streams, nobody is promised', holder({ synchronous: [], caughtUp: [], view: narrow, ...streams() })],
    ['a lag prober objects', holder({ synchronous: [], caughtUp: [], view: narrow, lagReport: lagReport(r2, STALLED) })],
    ['a stranger', holder({ ...streams(r2, r3) })],
    ['in another order', order],
    ['not known for whom commits wait', holder({ synchronous: null })],
    ['the database is not known', holder({ synchronous: [], database: null })],
    ['no grant', holder({ synchronous: [], grant: null })],
    ['not yet again', holder({ synchronous: [], retryDatabaseMs: monoMs(START_MS + 1) })],
    ['fenced', holder({ synchronous: [], phase: { kind: 'fenced' } })],
    ['giving it back', holder({ synchronous: [], phase: releasing })],
  ] as const) t.equal(database(state), null, name);
  t.equal(database(holder({ synchronous: [r2], view: narrow, ...young })), null, 'one that commits wait for already is not dropped for its youth');
});

test('a region that the register may count on is one that it counts on', async (t) => {
  const widening = { seq: 22, regions: [r2] };
  const narrow = { ...held, inSync: [r1] };
  const gone = { streaming: { regions: [], sinceMs: longAgoMs } };
  t.match(database(holder({ view: narrow, ...gone })), { action: { kind: 'set-synchronous', standbys: [] } });
  t.equal(database(holder({ view: narrow, ...gone, widening })), null, 'commits go on waiting for it');
  t.match(database(holder({ view: narrow, ...gone, widening, synchronous: [] })), { action: { kind: 'set-synchronous', standbys: [r2] } });
  t.equal(command(holder({ view: narrow, ...gone, widening })), null, 'the next renewal will tell');
  const proving = promotingContender({ widening: { seq: 22, regions: [r1] } });
  t.equal(database(proving), null, 'nothing is promoted beside it');
  t.same(command(proving), { kind: 'setInSync', ...theirs, epoch: 6, inSync: [r2] }, 'it is taken out');
});

test('a region that has left the specification leaves the in-sync set first, and commits wait for it until then', async (t) => {
  const left = (changes: Partial<ControllerState> = {}): ControllerState =>
    holder({ view: { ...held, inSync: [r1, r2, r3] }, synchronous: [r2, r3], caughtUp: [r2, r3], streaming: { regions: [r2, r3], sinceMs: longAgoMs }, ...changes });
  const before = ask(left());
  t.same(only(before.actions, 'register')[0]?.request, { kind: 'setInSync', ...mine, epoch: 5, inSync: [r1, r2] });
  t.same(only(before.actions, 'database'), []);
  t.match(database(left({ view: held })), { action: { kind: 'set-synchronous', standbys: [r2] } });
  t.match(database(left({ synchronous: [r2] })), { action: { kind: 'set-synchronous', standbys: [r2, r3] } }, 'promised is promised');
});

test('during a hand-over: prewarmed, then demoted, each in its step', async (t) => {
  t.match(database(givingHolder('preparing')), { action: { kind: 'prewarm' }, timeoutMs: 30_000 });
  t.match(database(givingHolder('demoting')), { action: { kind: 'demote', epoch: 5 }, timeoutMs: timings.promoteBudgetMs });
  for (const step of ['holding', 'draining', 'transferring', 'returning'] as const) t.equal(database(givingHolder(step)), null, step);
});

test('a member that rejoins follows the holder; it is rebuilt only when it is not promised to be in sync', async (t) => {
  const rejoin = { kind: 'rejoin', epoch: 5, source: r1, preserve: true };
  const joining = (changes: Partial<ControllerState> = {}): ControllerState => contender({ phase: { kind: 'rejoining' }, ...changes });
  const narrow = { ...held, inSync: [r1] };
  t.match(database(joining()), { action: rejoin, timeoutMs: 600_000 });
  t.match(database(joining({ view: narrow })), { action: { ...rejoin, preserve: false } });
  t.match(database(joining({ view: narrow, database: primary })), { action: { ...rejoin, preserve: false } }, 'a primary has a history of its own');
  t.equal(database(joining({ database: primary })), null, 'and is counted on: that comes first');
  t.match(database(joining({ database: { ...primary, shape: 'empty', role: 'down' } })), { action: { ...rejoin, preserve: false } }, 'nothing is given up');
  t.match(database(joining({ database: { ...standby, role: 'down' } })), { action: rejoin });
  t.match(database(joining({ grant: null, retryRejoinMs: start.monoMs })), { action: rejoin });
  for (const [name, changes] of [
    ['nobody holds it', { view: released }],
    ['the holder has run out', { view: expired }],
    ['nothing is known of the lease', { view: null }],
    ['it could not be asked', { database: { ...standby, role: 'unknown' } }],
    ['it could not be asked, and would come up as a primary that nobody counts on', { database: unreachable, view: narrow }],
    ['nothing is known of it', { database: null }],
    ['it was started just now', { retryRejoinMs: monoMs(START_MS + 1) }],
    ['it failed just now', { retryDatabaseMs: monoMs(START_MS + 1) }],
    ['an action is under way', { databaseAction: { id: 7, action: { kind: 'prewarm' }, sinceMs: start.monoMs } }],
  ] as const satisfies readonly (readonly [string, Partial<ControllerState>])[]) t.equal(database(joining(changes)), null, name);
});

test('a standby that is down and is counted on is started, also when nobody holds the lease', async (t) => {
  const lame = (changes: Partial<ControllerState> = {}): ControllerState =>
    contender({ view: released, database: { ...standby, role: 'down' }, ...changes });
  const started = { action: { kind: 'rejoin', epoch: 5, source: r1, preserve: true }, timeoutMs: 600_000 };
  t.match(database(lame()), started);
  t.match(database(lame({ phase: { kind: 'fenced' } })), started);
  t.match(database(lame({ view: expired })), started);
  for (const [name, changes] of [
    ['it runs', { database: standby }],
    ['it is a primary', { database: down }],
    ['nothing is known of it', { database: null }],
    ['somebody holds it', { view: held }],
    ['it is not counted on', { view: { ...released, inSync: [r1] } }],
    ['there is no other region', { policy: { ...policy, region: r2, regions: [r2] } }],
    ['not yet again', { retryDatabaseMs: monoMs(START_MS + 1) }],
    ['acquiring', { phase: acquiring }],
  ] as const satisfies readonly (readonly [string, Partial<ControllerState>])[]) t.equal(database(lame(changes)), null, name);
});
