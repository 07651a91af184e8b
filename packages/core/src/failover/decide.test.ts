// Single decisions, one event at a time: the cases in which a wrong answer would act without the right to.

import { test } from 'tap';
import type { LeaseView } from '../lease/types.ts';
import { deriveTimings } from '../policy.ts';
import { DEFAULT_THRESHOLDS } from '../replication/debounce.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import { unknownReading } from '../replication/reading.ts';
import type { Verdict } from '../replication/verdict.ts';
import { epoch, lsn, monoMs, regionId, wallMs } from '../types.ts';
import type { Now } from '../types.ts';
import { actingEpoch, decide, initialState } from './decide.ts';
import { takeoverConditions, targetConditions } from './conditions.ts';
import { Draft } from './draft.ts';
import type { Action, ControllerEvent, ControllerState, Policy, RegisterRequest } from './state.ts';

const [r1, r2] = [regionId('r1'), regionId('r2')];
const timings = deriveTimings(10_000);
const policy: Policy = {
  name: 'counter',
  region: r1,
  regions: [r1, r2],
  databases: { r1: '10.0.0.1:5432', r2: '10.0.0.2:5432' },
  mode: 'automatic',
  timings,
  hash: 'same',
};
const primary: DatabaseObservation = {
  role: 'primary',
  shape: 'primary',
  systemIdentifier: '7',
  timeline: 1,
  lsn: lsn('0/100'),
  replayLsn: null,
  receiver: null,
  replayPaused: null,
  standbys: [],
  synchronous: [],
  epoch: 0,
  recordedEpoch: 0,
  problem: null,
};
const free: LeaseView = {
  name: 'counter',
  revision: 0,
  epoch: epoch(0),
  holder: null,
  instance: null,
  ttlMs: 0,
  remainingMs: 0,
  inSync: [],
  policyHash: '',
  handover: null,
  intent: null,
  seq: 0,
};

/** A controller whose clock and events the test plays. */
function play(restoredEpoch = 0) {
  let now: Now = { monoMs: monoMs(1_000), wallMs: wallMs(1_000_000) };
  let state: ControllerState = initialState(policy, { instance: 'a', epoch: restoredEpoch }, now);
  let actions: readonly Action[] = [];
  const feed = (event: ControllerEvent): readonly Action[] => {
    const decision = decide(state, event, now);
    state = decision.state;
    actions = decision.actions;
    return actions;
  };
  return {
    feed,
    state: () => state,
    pass: (monoDeltaMs: number, wallDeltaMs = monoDeltaMs) => {
      now = { monoMs: monoMs(now.monoMs + monoDeltaMs), wallMs: wallMs(now.wallMs + wallDeltaMs) };
    },
    observe: (observation: DatabaseObservation) => feed({ kind: 'database-observed', startedMs: now.monoMs, observation }),
    /** As often as a debouncer wants it before it believes. */
    observeSteadily: (observation: DatabaseObservation) => {
      for (let look = 0; look < DEFAULT_THRESHOLDS.up; look++) feed({ kind: 'database-observed', startedMs: monoMs(now.monoMs + look), observation });
    },
    gate: () => feed({ kind: 'gate-observed', observation: { connected: true, held: 0, mode: null, epoch: 0 } }),
    asked: (): RegisterRequest | null => state.request?.request ?? null,
    answer: (view: LeaseView, refusal: 'expired' | 'held' | null = null) =>
      feed({
        kind: 'register-answered',
        id: state.request?.id ?? -1,
        answer: { ok: true, reply: { outcome: refusal === null ? { ok: true } : { ok: false, code: refusal, detail: 'refused' }, view } },
      }),
    actions: () => actions,
  };
}

type Played = ReturnType<typeof play>;

/** Brings a fresh controller to `active` under epoch 1; its last renewal was sent `sentAgoMs` ago. */
function activate(scene: Played): void {
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observe(primary);
  scene.answer(free);
  scene.answer({ ...free, revision: 1, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  const promote = scene.actions().find((action) => action.kind === 'database');
  scene.feed({ kind: 'database-done', id: promote?.id ?? -1, result: { ok: true, token: null, detail: '' } });
}

test('the first lease is taken by the region that has a primary, and is on disk before anything acts on it', async (t) => {
  const scene = play();
  scene.feed({ kind: 'tick' });
  t.same(scene.asked(), { kind: 'read' });
  scene.gate();
  scene.observe(primary);
  scene.answer(free);
  t.match(scene.asked(), { kind: 'acquire', epochSeen: 0 });
  const actions = scene.answer({ ...free, revision: 1, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  const kinds = actions.map((action) => action.kind).filter((kind) => kind !== 'record');
  t.equal(kinds[0], 'persist');
  t.ok(kinds.indexOf('database') > 0, 'the database is asked to be a primary after that');
  t.notOk(actions.some((action) => action.kind === 'gate' && action.directive.mode === 'open'), 'the gate stays shut until it is proved');
});

test('validity counts from before the request was sent, less the guard', async (t) => {
  const scene = play();
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observe(primary);
  scene.answer(free);
  const sentMs = scene.state().now.monoMs;
  scene.pass(400);
  scene.answer({ ...free, revision: 1, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  t.equal(scene.state().grant?.validUntilMs, sentMs + timings.ttlMs - timings.guardMs);
});

test('past its validity the controller shuts the gate, whatever it was told last', async (t) => {
  const scene = play();
  activate(scene);
  t.equal(scene.state().phase.kind, 'active');
  t.equal(actingEpoch(scene.state()), 1);
  scene.pass(timings.ttlMs - timings.guardMs);
  const actions = scene.feed({ kind: 'tick' });
  t.equal(scene.state().phase.kind, 'fenced');
  t.notOk(actions.some((action) => action.kind === 'gate' && action.directive.mode === 'open'));
  t.ok(actions.some((action) => action.kind === 'gate'), 'the gate is told');
});

test('a reply that was lost never extends validity', async (t) => {
  const scene = play();
  activate(scene);
  const until = scene.state().grant?.validUntilMs;
  scene.pass(timings.renewMs);
  scene.feed({ kind: 'tick' });
  t.match(scene.asked(), { kind: 'renew' });
  scene.feed({ kind: 'register-answered', id: scene.state().request?.id ?? -1, answer: { ok: false, code: 'CTM_REGISTER_TIMEOUT', message: '' } });
  t.equal(scene.state().grant?.validUntilMs, until);
});

test('after a suspend the gate is shut, and an answer to a request from before it counts for nothing', async (t) => {
  const scene = play();
  activate(scene);
  scene.pass(timings.renewMs);
  scene.feed({ kind: 'tick' });
  const id = scene.state().request?.id ?? -1;
  scene.pass(10, 60_000);
  scene.feed({ kind: 'tick' });
  t.equal(actingEpoch(scene.state()), 0);
  const renewed = { ...free, revision: 2, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] };
  scene.feed({ kind: 'register-answered', id, answer: { ok: true, reply: { outcome: { ok: true }, view: renewed } } });
  t.equal(actingEpoch(scene.state()), 0, 'the sleep is missing in that time');
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer({ ...renewed, revision: 3 });
  t.equal(actingEpoch(scene.state()), 1, 'the witness says that it is still the holder');
});

test('short sleeps add up: each is time that has passed, for the grant and for the request under way', async (t) => {
  const scene = play();
  activate(scene);
  const until = scene.state().grant?.validUntilMs ?? 0;
  scene.pass(50, 950);
  scene.feed({ kind: 'tick' });
  scene.pass(50, 950);
  scene.feed({ kind: 'tick' });
  t.equal(scene.state().grant?.validUntilMs, until - 1_800);
  scene.pass(50, 69);
  scene.feed({ kind: 'tick' });
  t.equal(scene.state().grant?.validUntilMs, until - 1_800, 'two clocks are not read at one moment');
  scene.pass(timings.renewMs);
  scene.feed({ kind: 'tick' });
  const sentMs = scene.state().request?.sentMs ?? 0;
  scene.pass(10, 710);
  scene.feed({ kind: 'tick' });
  t.equal(scene.state().request?.sentMs, sentMs - 700);
  scene.answer({ ...free, revision: 2, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  t.equal(scene.state().grant?.validUntilMs, sentMs - 700 + timings.ttlMs - timings.guardMs);
});

test('a witness that forgot its epochs is not believed', async (t) => {
  const scene = play(7);
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observe({ ...primary, epoch: 7 });
  scene.answer(free);
  t.not(scene.asked()?.kind, 'acquire');
  const condition = takeoverConditions(new Draft(scene.state())).preconditions.find((one) => one.name === 'epoch-not-behind');
  t.match(condition, { ok: false, value: 'epoch 0' });
  scene.pass(timings.renewMs);
  scene.feed({ kind: 'tick' });
  scene.answer({ ...free, revision: 9, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer({ ...free, revision: 10, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  t.equal(scene.asked(), null, 'not at once again');
  t.equal(actingEpoch(scene.state()), 0, 'nothing is done under an epoch of the past');
});

test('a standby that is not known to have all is not promoted, and says why', async (t) => {
  const scene = play();
  const standby: DatabaseObservation = { ...primary, role: 'standby', shape: 'standby', replayLsn: null, receiver: { streaming: false, source: null, messageAgeMs: null } };
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observe(standby);
  scene.answer({ ...free, revision: 4, epoch: epoch(3), inSync: [r1, r2], policyHash: 'same' });
  t.not(scene.asked()?.kind, 'acquire');
  const failing = takeoverConditions(new Draft(scene.state())).preconditions.filter((one) => !one.ok);
  t.match(failing, [{ name: 'replay-lag', value: 'unknown' }]);
});

test("another region's expired lease, once granted, is acted upon at once where no quorum of resolvers is specified", async (t) => {
  const scene = play();
  const standby: DatabaseObservation = { ...primary, role: 'standby', shape: 'standby', replayLsn: lsn('0/100'), receiver: { streaming: true, source: '10.0.0.2:5432', messageAgeMs: 10 } };
  const taken = { ...free, revision: 5, epoch: epoch(4), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] };
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observeSteadily(standby);
  scene.answer({ ...free, revision: 4, epoch: epoch(3), holder: r2, instance: 'b', ttlMs: timings.ttlMs, inSync: [r1, r2], policyHash: 'same' });
  t.match(scene.asked(), { kind: 'acquire', epochSeen: 3 });
  scene.answer(taken);
  t.match(scene.actions().find((action) => action.kind === 'database'), { action: { kind: 'promote', epoch: 4 } });
});

const follower = { region: 'r2', state: 'streaming', syncState: 'sync', replayLsn: lsn('0/100'), replayLagBytes: 0 } as const;
const followed: DatabaseObservation = { ...primary, epoch: 1, standbys: [follower], synchronous: ['r2'] };
const NOT_SEEN = unknownReading('bytes', 'not measured', null);

/** A prober's word about r2. */
function reported(verdict: Verdict): ControllerEvent {
  const figures = { bytes: NOT_SEEN, milliseconds: NOT_SEEN, commits: NOT_SEEN };
  const standby = { name: 'r2', verdict, verdictForMs: null, syncState: null, lag: figures, loss: figures };
  return { kind: 'lag-reported', report: { cluster: 'counter', intervalMs: 1_000, primary: null, standbys: [standby] } };
}

const STALLED: Verdict = { kind: 'notPromotable', reason: 'receiver-stalled', detail: 'nothing moves' };

/** Active, commits wait for r2, which is not yet promised; every register request answered as asked. */
function nearlyInSync(): { scene: Played; view: () => LeaseView; settle: (report: ControllerEvent | null) => RegisterRequest | null } {
  const scene = play();
  activate(scene);
  let view = { ...free, revision: 5, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] };
  const next = (): RegisterRequest | null => {
    const request = scene.asked();
    if (request?.kind !== 'renew' && request?.kind !== 'read') return request;
    view = { ...view, revision: view.revision + 1 };
    scene.answer(view);
    return next();
  };
  return {
    scene,
    view: () => view,
    settle: (report) => {
      for (let ms = 0; ms < timings.standbyStableMs + 500; ms += 100) {
        scene.pass(100);
        if (report !== null) scene.feed(report);
        scene.observe(followed);
        const pending = scene.state().databaseAction;
        if (pending !== null) scene.feed({ kind: 'database-done', id: pending.id, result: { ok: true, token: null, detail: '' } });
        const asked = next();
        if (asked !== null) return asked;
      }
      return null;
    },
  };
}

test('a standby is admitted once it was steadily good; a fresh objection of the lag prober keeps it out, nothing else does', async (t) => {
  t.match(nearlyInSync().settle(null), { kind: 'setInSync', inSync: ['r1', 'r2'] }, 'without any prober');
  t.match(nearlyInSync().settle(reported({ kind: 'promotable' })), { kind: 'setInSync', inSync: ['r1', 'r2'] });
  t.match(nearlyInSync().settle(reported({ kind: 'unknown', reason: 'primary-silent', detail: '' })), { kind: 'setInSync' }, 'what it does not know is no objection');
  const { scene, settle } = nearlyInSync();
  t.equal(settle(reported(STALLED)), null, 'an objection');
  t.equal(settle(reported(STALLED)), null, 'that goes on');
  t.match(scene.state().synchronous, [], 'and no commit waits for it');
  t.match(settle(null) ?? settle(null), { kind: 'setInSync', inSync: ['r1', 'r2'] }, 'the prober fell silent: its word is void');
});

test('an objection takes nobody out, and does not begin a switchover', async (t) => {
  const { scene, settle, view } = nearlyInSync();
  settle(null);
  const both = { ...view(), revision: 90, inSync: [r1, r2] };
  scene.answer(both);
  t.equal(settle(reported(STALLED)), null, 'what is promised stays promised');
  const intent = { id: 's1', from: r1, to: r2, target: 'ready' as const, reasons: [], remainingMs: 60_000 };
  scene.feed({ kind: 'lease-pushed', event: 'intent', view: { ...both, revision: 99, intent } });
  t.equal(scene.state().phase.kind, 'active');
  t.match(scene.state().lastSwitchover, { id: 's1', result: /given up: the lag prober holds r2 not promotable: receiver-stalled, nothing moves/ });
  t.match(scene.asked(), { kind: 'answerSwitchover', answer: 'cancelled' }, 'the other side is told');
  scene.feed(reported({ kind: 'promotable' }));
  scene.answer({ ...both, revision: 100 });
  scene.feed({ kind: 'lease-pushed', event: 'intent', view: { ...both, revision: 101, intent: { ...intent, id: 's2' } } });
  t.equal(scene.state().phase.kind, 'handing-over', 'asked again without an objection');
});

test('the target of a switchover shows what the prober has against it; an unplanned takeover is not refused on it', async (t) => {
  const scene = play();
  const standby: DatabaseObservation = { ...primary, role: 'standby', shape: 'standby', replayLsn: lsn('0/100'), receiver: { streaming: true, source: '10.0.0.2:5432', messageAgeMs: 10 } };
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observeSteadily(standby);
  const about = (verdict: Verdict): ControllerEvent => {
    const event = reported(verdict);
    return event.kind === 'lag-reported' ? { ...event, report: { ...event.report, standbys: event.report.standbys.map((one) => ({ ...one, name: 'r1' })) } } : event;
  };
  const shown = () => targetConditions(new Draft(scene.state())).preconditions.find((one) => one.name === 'lag-prober');
  t.equal(shown(), undefined, 'no prober, no condition');
  scene.feed(about({ kind: 'promotable' }));
  t.match(shown(), { ok: true });
  scene.feed(about(STALLED));
  t.match(shown(), { ok: false, value: 'not promotable (receiver-stalled: nothing moves)', source: 'lag prober', ageMs: 0 });
  t.notOk(takeoverConditions(new Draft(scene.state())).preconditions.some((one) => one.name === 'lag-prober'));
});

test('a standby that answers now and then is not promoted at its one good look', async (t) => {
  const scene = play();
  const standby: DatabaseObservation = { ...primary, role: 'standby', shape: 'standby', replayLsn: lsn('0/100'), receiver: { streaming: true, source: '10.0.0.2:5432', messageAgeMs: 10 } };
  scene.feed({ kind: 'tick' });
  scene.gate();
  scene.observe(standby);
  scene.answer({ ...free, revision: 4, epoch: epoch(3), holder: r2, instance: 'b', ttlMs: timings.ttlMs, inSync: [r1, r2], policyHash: 'same' });
  t.not(scene.asked()?.kind, 'acquire');
  const failing = takeoverConditions(new Draft(scene.state())).preconditions.filter((one) => !one.ok);
  t.match(failing, [{ name: 'replay-lag', value: '0 bytes, but not for long enough: not measured yet' }]);
});

test('a forced takeover records what was measured of its cost, beside what the operator says', async (t) => {
  const scene = play();
  scene.feed({ kind: 'operator-asked', word: { kind: 'takeover', force: { reason: 'r2 burned down', estimatedLoss: 'some' }, atMs: scene.state().now.monoMs } });
  const record = scene.actions().find((action) => action.kind === 'record' && action.event === 'operator');
  t.match(record, { detail: { force: { estimatedLoss: 'some' }, measuredLoss: /^what would be lost is unknown: no lag prober/ } });
  scene.feed({ kind: 'operator-asked', word: { kind: 'takeover', force: null, atMs: scene.state().now.monoMs } });
  const plain = scene.actions().find((action) => action.kind === 'record' && action.event === 'operator');
  t.notOk(plain?.kind === 'record' && 'measuredLoss' in plain.detail);
});

test('a word to take over is used up when the region comes to hold the lease, by whatever way', async (t) => {
  const scene = play();
  activate(scene);
  const force = { reason: 'r2 burned down', estimatedLoss: 'some' };
  scene.feed({ kind: 'operator-asked', word: { kind: 'takeover', force, atMs: scene.state().now.monoMs } });
  t.match(scene.state().operator, { kind: 'takeover' });
  scene.pass(timings.renewMs);
  scene.feed({ kind: 'tick' });
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer({ ...free, revision: 2, epoch: epoch(1), holder: r1, instance: 'a', ttlMs: timings.ttlMs, remainingMs: timings.ttlMs, inSync: [r1] });
  t.equal(scene.state().operator, null, 'it must not force another takeover later');
});
