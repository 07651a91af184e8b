// What an operator reads when a takeover does not happen: every condition, its value, its limit, its source and its age.
// A refusal that says the wrong thing at four in the morning is a fault like any other, so the texts are compared whole.

import { test } from 'tap';
import type { Test } from 'tap';
import {
  contender,
  down,
  draftOf,
  held,
  lagReport,
  longAgoMs,
  policy,
  primary,
  r1,
  r2,
  released,
  STALLED,
  standby,
  start,
  START_MS,
  timings,
  unreachable,
} from '../../testing/controller.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import { epoch, lsn, monoMs } from '../types.ts';
import { takeoverConditions, targetConditions } from './conditions.ts';
import { initialState } from './decide.ts';
import { deriveFallback } from './fallback.ts';
import type { ControllerState, Precondition } from './state.ts';

const EPOCH_LIMIT = 'at least 5, which this region has accepted; restore the lease at the witness above it';
const REPLAY_LIMIT = 'known, at most 67108864 bytes, and steadily so';
const approval = { kind: 'takeover', force: null, atMs: start.monoMs } as const;
const force = { ...approval, force: { reason: 'r1 burns', estimatedLoss: '2 s' } } as const;
const mebibytes = (count: number) => lsn(`0/${(count * 1024 * 1024).toString(16)}`);

/** r2 in front of a lease that r1 gave back: everything allows a takeover. */
const ready = (changes: Partial<ControllerState> = {}): ControllerState => contender({ view: released, ...changes });

function line(condition: Precondition): string {
  const { name, ok, value, limit, source, ageMs } = condition;
  return `${ok ? 'yes' : 'NO '} ${name} | ${value} | ${limit} | ${source} | ${ageMs ?? '-'}`;
}

test('a standby that may take over, and how old its evidence is', async (t) => {
  const state = ready({ viewMs: monoMs(START_MS - 300), databaseMs: monoMs(START_MS - 200) });
  const { preconditions, ok } = takeoverConditions(draftOf(state));
  t.ok(ok);
  t.same(preconditions.map(line), [
    'yes lease-free | nobody, epoch 5 | free or expired | witness | 300',
    'yes in-sync | [r1, r2] | contains r2 | witness | 300',
    `yes epoch-not-behind | epoch 5 | ${EPOCH_LIMIT} | witness | 300`,
    'yes database-usable | standby, standby-shaped | a running standby, or a primary of its own | database | 200',
    `yes replay-lag | 0 bytes | ${REPLAY_LIMIT} | database | 200`,
    'yes gate-connected | connected | connected | gate | 0',
    'yes hold-down | 0 ms left | 0 ms | controller | 0',
    'yes mode | automatic | automatic, or an operator approved | specification | -',
  ]);
});

test('a region that knows nothing says so, and takes nothing', async (t) => {
  const { preconditions, ok } = takeoverConditions(draftOf(initialState({ ...policy, region: r2 }, { instance: 'b', epoch: 5 }, start)));
  t.notOk(ok);
  t.same(preconditions.map(line), [
    'NO  lease-free | unknown | free or expired | witness | -',
    'NO  in-sync | unknown | contains r2 | witness | -',
    `NO  epoch-not-behind | unknown | ${EPOCH_LIMIT} | witness | -`,
    'NO  database-usable | unknown | a running standby, or a primary of its own | database | -',
    `NO  replay-lag | unknown | ${REPLAY_LIMIT} | database | -`,
    'NO  gate-connected | not connected | connected | gate | 0',
    'yes hold-down | 0 ms left | 0 ms | controller | 0',
    'yes mode | automatic | automatic, or an operator approved | specification | -',
  ]);
});

/** A change that makes just this one condition fail; it names what an operator is told. */
const refusals: readonly [string, Partial<ControllerState>, string][] = [
  ['r1 still holds it', { view: held }, 'lease-free: r1, epoch 5'],
  ['r1 left alone in the in-sync set', { view: { ...released, inSync: [r1] } }, 'in-sync: [r1]'],
  ['the register forgot epochs', { view: { ...released, epoch: epoch(4) } }, 'epoch-not-behind: epoch 4'],
  ['the database knows a higher epoch', { database: { ...standby, epoch: 6 } }, 'epoch-not-behind: epoch 5'],
  ['the standby is down', { database: { ...standby, role: 'down' } }, 'database-usable: down, standby-shaped'],
  ['the standby is starting', { database: { ...standby, role: 'starting' } }, 'database-usable: starting, standby-shaped'],
  ['64 MiB and a byte to replay', { database: { ...standby, lsn: mebibytes(65), replayLsn: lsn('0/FFFFF') } }, 'replay-lag: 67108865 bytes: 67108865 bytes, at most 67108864 allowed'],
  ['replay was paused by somebody', { database: { ...standby, replayPaused: true } }, 'replay-lag: 0 bytes: somebody paused replay on this standby'],
  ['good, and only just', { evidence: NO_EVIDENCE }, 'replay-lag: 0 bytes, but not for long enough: not measured yet'],
  ['no replay position', { database: { ...standby, replayLsn: null } }, 'replay-lag: unknown'],
  ['no gate', { gate: { connected: false, held: 0, mode: null, epoch: 5 } }, 'gate-connected: not connected'],
  ['held down after a failover', { holdDownUntilMs: monoMs(START_MS + 40), notBeforeMs: longAgoMs }, 'hold-down: 40 ms left'],
  ['just gave up a grant', { holdDownUntilMs: longAgoMs, notBeforeMs: monoMs(START_MS + 30) }, 'hold-down: 30 ms left'],
  ['waits for approval', { policy: { ...policy, region: r2, mode: 'semi-automatic' } }, 'mode: semi-automatic'],
  ['only when told', { policy: { ...policy, region: r2, mode: 'manual' } }, 'mode: manual'],
];

test('each condition alone refuses, with its value', async (t) => {
  for (const [name, change, expected] of refusals) {
    const { preconditions, ok } = takeoverConditions(draftOf(ready(change)));
    t.notOk(ok, name);
    t.same(preconditions.filter((one) => !one.ok).map((one) => `${one.name}: ${one.value}`), [expected], name);
  }
});

/** Which refusals an operator's word lifts. Nothing lifts the others. */
test('an approval lifts the mode and the hold-down; force also what may cost data; neither makes the lease free', async (t) => {
  const lifted = (operator: ControllerState['operator']): string[] =>
    refusals.filter(([, change]) => takeoverConditions(draftOf(ready({ ...change, operator }))).ok).map(([name]) => name);
  const approved = ['held down after a failover', 'just gave up a grant', 'waits for approval', 'only when told'];
  t.same(lifted(null), []);
  t.same(lifted(approval), approved);
  t.same(lifted(force), [
    'r1 left alone in the in-sync set',
    'the standby is down',
    'the standby is starting',
    '64 MiB and a byte to replay',
    'replay was paused by somebody',
    'good, and only just',
    'no replay position',
    ...approved,
  ]);
  t.same(lifted({ kind: 'switchover', id: 's', to: r2, atMs: start.monoMs }), [], 'a wish to switch over approves no takeover');
});

test('a data directory that is a primary, or a member that runs; force adds a standby that does not run, and nothing makes an empty one do', async (t) => {
  const usable = (database: ControllerState['database'], operator: ControllerState['operator']): boolean =>
    takeoverConditions(draftOf(ready({ database, operator }))).preconditions.find((one) => one.name === 'database-usable')?.ok === true;
  t.ok(usable(unreachable, null), 'its own history, whether or not it was reached');
  t.ok(usable(down, null));
  t.ok(usable({ ...standby, role: 'primary' }, null), 'promoted a moment ago');
  for (const role of ['down', 'starting', 'unknown'] as const) {
    t.notOk(usable({ ...standby, role, shape: 'empty' }, null), role);
    t.notOk(usable({ ...standby, role, shape: 'empty' }, force), `${role}, forced`);
    t.ok(usable({ ...standby, role }, force), `${role} standby, forced`);
  }
  t.notOk(usable(null, force), 'nothing is known of it');
});

test('64 MiB to replay are just within the limit', async (t) => {
  t.ok(takeoverConditions(draftOf(ready({ database: { ...standby, lsn: mebibytes(64), replayLsn: mebibytes(0) } }))).ok);
});

test('the first lease of all asks for a primary, and for nothing that only an earlier holder could have promised', async (t) => {
  const never = { ...released, epoch: epoch(0), inSync: [] };
  const first = (changes: Partial<ControllerState> = {}): ControllerState =>
    ready({ view: never, persistedEpoch: 0, database: { ...primary, epoch: 0 }, policy: { ...policy, region: r2, mode: 'manual' }, ...changes });
  const { preconditions, ok } = takeoverConditions(draftOf(first()));
  t.ok(ok);
  t.same(preconditions.slice(1, 5).map(line), [
    'yes in-sync | [] | contains r2 | witness | 0',
    'yes epoch-not-behind | epoch 0 | at least 0, which this region has accepted; restore the lease at the witness above it | witness | 0',
    'yes database-first-primary | primary, primary-shaped | primary-shaped | database | 0',
    `yes replay-lag | its own history | ${REPLAY_LIMIT} | database | 0`,
  ]);
  t.notOk(takeoverConditions(draftOf(first({ database: { ...standby, epoch: 0 } }))).ok, 'a standby of nobody');
  t.notOk(takeoverConditions(draftOf(first({ operator: force, database: { ...standby, epoch: 0 } }))).ok, 'not by force either');
});

test('with a quorum of resolvers the list says also whether the witness answers and whether the other region is dark', async (t) => {
  const withFallback = { ...policy, region: r2, fallback: deriveFallback(timings.ttlMs, []) };
  const { preconditions, ok } = takeoverConditions(draftOf(ready({ policy: withFallback, viewMs: monoMs(START_MS - 300) })));
  t.ok(ok);
  t.same(preconditions.slice(-2).map(line), [
    'yes witness-answers | answers | answers: nobody else can grant the lease. Bring the witness or the way to it back; its store keeps the epoch | witness | 300',
    'yes other-region-dark | not needed | dark for 2333 ms through two resolvers of two vendors that answer the control name | resolvers | -',
  ]);
});

test('a decision that waits for the hold-down is woken at its end', async (t) => {
  const draft = draftOf(ready({ holdDownUntilMs: monoMs(START_MS + 40), notBeforeMs: monoMs(START_MS + 30) }));
  takeoverConditions(draft);
  t.equal(draft.wakeMs, START_MS + 40);
});

function target(t: Test, name: string, changes: Partial<ControllerState>, expected: readonly string[]): void {
  const { preconditions, ok } = targetConditions(draftOf(contender(changes)));
  t.same(preconditions.map(line), expected, name);
  t.equal(ok, expected.every((text) => text.startsWith('yes')), name);
}

test('the target of a planned switchover streams, has replayed, and has its gate', async (t) => {
  const databaseMs = monoMs(START_MS - 200);
  target(t, 'ready', { databaseMs }, [
    'yes standby-streaming | streaming | streaming | database | 200',
    `yes replay-lag | 0 bytes | ${REPLAY_LIMIT} | database | 200`,
    'yes gate-connected | connected | connected | gate | 0',
  ]);
  target(t, 'knows nothing', { database: null, gate: { connected: false, held: 0, mode: null, epoch: 0 } }, [
    'NO  standby-streaming | unknown | streaming | database | -',
    `NO  replay-lag | unknown | ${REPLAY_LIMIT} | database | -`,
    'NO  gate-connected | not connected | connected | gate | 0',
  ]);
  const broken: readonly [string, ControllerState['database'], string][] = [
    ['a stream that broke', { ...standby, receiver: { streaming: false, source: null, messageAgeMs: null } }, 'standby, not streaming'],
    ['no receiver', { ...standby, receiver: null }, 'standby, not streaming'],
    ['a primary', { ...primary, receiver: { streaming: true, source: null, messageAgeMs: 10 } }, 'primary, not streaming'],
    ['a standby that is down', { ...standby, role: 'down' }, 'down, not streaming'],
  ];
  for (const [name, database, value] of broken) {
    const { preconditions, ok } = targetConditions(draftOf(contender({ database })));
    t.notOk(ok, name);
    t.match(preconditions[0], { name: 'standby-streaming', ok: false, value }, name);
  }
});

test('what a lag prober has against a target keeps it from being one, while it is heard', async (t) => {
  const shown = (state: ControllerState, ms = 0) => targetConditions(draftOf(state, ms)).preconditions.map(line).find((text) => text.includes('lag-prober'));
  t.equal(shown(contender()), undefined, 'no prober, no condition');
  const objecting = contender({ lagReport: lagReport(r2, STALLED) });
  t.equal(shown(objecting, 300), 'NO  lag-prober | not promotable (receiver-stalled: nothing moves) | no fresh objection | lag prober | 300');
  t.equal(shown(contender({ lagReport: lagReport(r2, { kind: 'promotable' }) })), 'yes lag-prober | nothing against it | no fresh objection | lag prober | 0');
  t.equal(shown(contender({ lagReport: lagReport(r1, STALLED) })), 'yes lag-prober | nothing against it | no fresh objection | lag prober | 0', 'said of another');
  t.match(shown(objecting, 2_500), /^yes lag-prober/, 'it fell silent');
  t.ok(takeoverConditions(draftOf(ready({ lagReport: lagReport(r2, STALLED) }))).ok, 'an unplanned takeover is not refused on it');
});

test('force does not lower what a planned switchover asks of its target', async (t) => {
  const { preconditions } = targetConditions(draftOf(contender({ operator: force, database: { ...standby, replayLsn: null } })));
  t.match(preconditions[1], { name: 'replay-lag', ok: false });
});
