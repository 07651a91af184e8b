// Whole decisions, one event after the other: the sequences in which a wrong answer would act without the right to. The rules
// that they follow are tested one by one beside each part.

import { test } from 'tap';
import { contender, follower, held, holder, lagReport, policy, primary, r1, r2, released, STALLED, standby, start, taken, timings } from '../../testing/controller.ts';
import { Scene } from '../../testing/scene.ts';
import type { LeaseView } from '../lease/types.ts';
import { NO_EVIDENCE } from '../replication/member-evidence.ts';
import type { Verdict } from '../replication/verdict.ts';
import { epoch } from '../types.ts';
import { targetConditions } from './conditions.ts';
import { initialState } from './decide.ts';
import { Draft } from './draft.ts';
import type { Action, ControllerEvent, RegisterRequest } from './state.ts';

/** A lease that nobody ever held. */
const free: LeaseView = { ...released, revision: 0, epoch: epoch(0), instance: null, ttlMs: 0, inSync: [], policyHash: '' };
const first: LeaseView = { ...held, revision: 1, epoch: epoch(1), inSync: [r1] };
/** The answer to a renewal of `held`. */
const renewed: LeaseView = { ...held, revision: 11 };
const force = { reason: 'r2 burned down', estimatedLoss: 'some' };
const opens = (actions: readonly Action[]): boolean => actions.some((action) => action.kind === 'gate' && action.directive.mode === 'open');

/** r1, just started beside a running primary, with what it kept. */
function started(keptEpoch: number): Scene {
  const scene = new Scene(initialState(policy, { instance: 'a', epoch: keptEpoch }, start));
  scene.tick();
  scene.observeGate();
  scene.observe({ ...primary, standbys: [], synchronous: [], epoch: keptEpoch, recordedEpoch: keptEpoch });
  return scene;
}

test('the first lease: asked for by the region that has a primary, on disk before anything acts on it, valid from before it was asked for', async (t) => {
  const scene = started(0);
  t.same(scene.asked(), { kind: 'read' });
  scene.answer(free);
  t.match(scene.asked(), { kind: 'acquire', epochSeen: 0 });
  const sentMs = scene.now.monoMs;
  scene.jump(400);
  const actions = scene.answer(first);
  const kinds = actions.map((action) => action.kind).filter((kind) => kind !== 'record');
  t.equal(kinds[0], 'persist');
  t.ok(kinds.indexOf('database') > 0, 'the database is asked to be a primary after that');
  t.notOk(opens(actions), 'the gate stays shut until it is proved');
  t.equal(scene.state.grant?.validUntilMs, sentMs + timings.ttlMs - timings.guardMs);
  t.ok(opens(scene.done()), 'and opens then');
  t.equal(scene.acts(), 1);
});

test('past its validity the controller shuts the gate, whatever it was told last', async (t) => {
  const scene = new Scene(holder());
  const actions = scene.tick(timings.ttlMs - timings.guardMs);
  t.equal(scene.state.phase.kind, 'fenced');
  t.ok(actions.some((action) => action.kind === 'gate'), 'the gate is told');
  t.notOk(opens(actions));
});

test('a reply that was lost never extends validity', async (t) => {
  const scene = new Scene(holder());
  const untilMs = scene.state.grant?.validUntilMs;
  scene.tick(timings.renewMs);
  t.match(scene.asked(), { kind: 'renew' });
  scene.fail();
  t.equal(scene.state.grant?.validUntilMs, untilMs);
});

test('after a suspend the gate is shut, and an answer to a request from before it counts for nothing', async (t) => {
  const scene = new Scene(holder());
  scene.tick(timings.renewMs);
  const id = scene.state.request?.id;
  scene.tick(10, 60_000);
  t.equal(scene.acts(), 0);
  scene.answer(renewed, { ok: true }, id);
  t.equal(scene.acts(), 0, 'the sleep is missing in that time');
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer({ ...renewed, revision: 12 });
  t.equal(scene.acts(), 5, 'the witness says that it is still the holder');
});

test('short sleeps add up: each is time that has passed, for the grant and for the request under way', async (t) => {
  const scene = new Scene(holder());
  const untilMs = scene.state.grant?.validUntilMs ?? 0;
  scene.tick(50, 900);
  scene.tick(50, 900);
  t.equal(scene.state.grant?.validUntilMs, untilMs - 1_800);
  scene.tick(50, 19);
  t.equal(scene.state.grant?.validUntilMs, untilMs - 1_800, 'two clocks are not read at one moment');
  scene.tick(timings.renewMs);
  const sentMs = scene.state.request?.sentMs ?? 0;
  scene.tick(10, 700);
  t.equal(scene.state.request?.sentMs, sentMs - 700);
  scene.answer(renewed);
  t.equal(scene.state.grant?.validUntilMs, sentMs - 700 + timings.ttlMs - timings.guardMs);
});

test('a witness that forgot its epochs is not believed', async (t) => {
  const scene = started(7);
  scene.answer(free);
  t.not(scene.asked()?.kind, 'acquire');
  t.match(scene.condition('epoch-not-behind'), { ok: false, value: 'epoch 0' });
  scene.tick(timings.renewMs);
  scene.answer({ ...first, revision: 9 });
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer({ ...first, revision: 10 });
  t.equal(scene.asked(), null, 'not at once again');
  t.equal(scene.acts(), 0, 'nothing is done under an epoch of the past');
});

test('a standby that is not known to have all is not promoted, and says why', async (t) => {
  const cut = { ...standby, replayLsn: null, receiver: { streaming: false, source: null, messageAgeMs: null } };
  const scene = new Scene(contender({ evidence: NO_EVIDENCE }));
  scene.observe(cut);
  scene.push(released, 'released');
  t.not(scene.asked()?.kind, 'acquire');
  t.match(scene.refusals(), [{ name: 'replay-lag', value: 'unknown' }]);
});

test('a standby that answers now and then is not promoted at its one good look', async (t) => {
  const scene = new Scene(contender({ evidence: NO_EVIDENCE }));
  scene.observe(standby);
  scene.push(released, 'released');
  t.not(scene.asked()?.kind, 'acquire');
  t.match(scene.refusals(), [{ name: 'replay-lag', value: '0 bytes, but not for long enough: not measured yet' }]);
});

test("another region's expired lease, once granted, is acted upon at once where no quorum of resolvers is specified", async (t) => {
  const scene = new Scene(contender());
  scene.push({ ...held, revision: 11, remainingMs: 0 }, 'expired');
  t.match(scene.asked(), { kind: 'acquire', epochSeen: 5 });
  const actions = scene.answer({ ...taken, revision: 12 });
  t.match(actions.find((action) => action.kind === 'database'), { action: { kind: 'promote', epoch: 6 } });
});

/** What a lag prober says of this region's standby now. */
function reported(verdict: Verdict, region = r2): ControllerEvent {
  return { kind: 'lag-reported', report: lagReport(region, verdict).report };
}

/** r1 serves alone; r2 streams, no commit waits for it, and it is promised nothing. */
function nearlyInSync() {
  let view = { ...held, inSync: [r1] };
  const scene = new Scene(holder({ view, synchronous: [], caughtUp: [], streaming: { regions: [], sinceMs: start.monoMs }, evidence: NO_EVIDENCE }));
  const next = (): RegisterRequest | null => {
    const request = scene.asked();
    if (request?.kind !== 'renew' && request?.kind !== 'read') return request;
    view = { ...view, revision: view.revision + 1 };
    scene.answer(view);
    return next();
  };
  /** The prober says so all the while; the first thing that the register is asked beyond its renewals. */
  const settle = (report: ControllerEvent | null): RegisterRequest | null => {
    for (let ms = 0; ms < timings.standbyStableMs + 500; ms += 100) {
      scene.jump(100);
      if (report !== null) scene.feed(report);
      scene.observe({ ...primary, standbys: [follower] });
      if (scene.state.databaseAction !== null) scene.done();
      const asked = next();
      if (asked !== null) return asked;
    }
    return null;
  };
  return { scene, settle, view: () => view };
}

test('a standby is admitted once it was steadily good; a fresh objection of the lag prober keeps it out, nothing else does', async (t) => {
  const admitted = { kind: 'setInSync', inSync: ['r1', 'r2'] };
  t.match(nearlyInSync().settle(null), admitted, 'without any prober');
  t.match(nearlyInSync().settle(reported({ kind: 'promotable' })), admitted);
  t.match(nearlyInSync().settle(reported({ kind: 'unknown', reason: 'primary-silent', detail: '' })), admitted, 'what it does not know is no objection');
  const { scene, settle } = nearlyInSync();
  t.equal(settle(reported(STALLED)), null, 'an objection');
  t.equal(settle(reported(STALLED)), null, 'that goes on');
  t.match(scene.state.synchronous, [], 'and no commit waits for it');
  t.match(settle(null) ?? settle(null), admitted, 'the prober fell silent: its word is void');
});

test('an objection takes nobody out, and does not begin a switchover', async (t) => {
  const { scene, settle, view } = nearlyInSync();
  settle(null);
  const both = { ...view(), revision: 90, inSync: [r1, r2] };
  scene.answer(both);
  t.equal(settle(reported(STALLED)), null, 'what is promised stays promised');
  const intent = { id: 's1', from: r1, to: r2, target: 'ready' as const, reasons: [] };
  scene.push({ ...both, revision: 99, intent }, 'intent');
  t.equal(scene.state.phase.kind, 'active');
  t.match(scene.state.lastSwitchover, { id: 's1', result: /given up: the lag prober holds r2 not promotable: receiver-stalled, nothing moves/ });
  t.match(scene.asked(), { kind: 'answerSwitchover', answer: 'cancelled' }, 'the other side is told');
  scene.feed(reported({ kind: 'promotable' }));
  scene.answer({ ...both, revision: 100 });
  scene.push({ ...both, revision: 101, intent: { ...intent, id: 's2' } }, 'intent');
  t.equal(scene.state.phase.kind, 'handing-over', 'asked again without an objection');
});

test('the target of a switchover shows what the prober has against it; an unplanned takeover is not refused on it', async (t) => {
  const scene = new Scene(contender());
  const shown = () => targetConditions(new Draft(scene.state)).preconditions.find((one) => one.name === 'lag-prober');
  t.equal(shown(), undefined, 'no prober, no condition');
  scene.feed(reported({ kind: 'promotable' }));
  t.match(shown(), { ok: true });
  scene.feed(reported(STALLED));
  t.match(shown(), { ok: false, value: 'not promotable (receiver-stalled: nothing moves)', source: 'lag prober', ageMs: 0 });
  t.equal(scene.condition('lag-prober'), undefined);
});

test('a forced takeover records what was measured of its cost, beside what the operator says', async (t) => {
  const scene = new Scene(contender());
  const said = (given: typeof force | null) =>
    scene.feed({ kind: 'operator-asked', word: { kind: 'takeover', force: given, atMs: scene.now.monoMs } }).find((action) => action.kind === 'record' && action.event === 'operator');
  t.match(said(force), { detail: { force: { estimatedLoss: 'some' }, measuredLoss: /^what would be lost is unknown: no lag prober/ } });
  const plain = said(null);
  t.notOk(plain?.kind === 'record' && 'measuredLoss' in plain.detail);
});

test('a word to take over is used up when the region comes to hold the lease, by whatever way', async (t) => {
  const scene = new Scene(holder({ operator: { kind: 'takeover', force, atMs: start.monoMs } }));
  scene.tick(timings.renewMs);
  t.match(scene.asked(), { kind: 'renew' });
  scene.answer(renewed);
  t.equal(scene.state.operator, null, 'it must not force another takeover later');
});
