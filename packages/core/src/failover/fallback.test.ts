// Hold and veto, one event at a time: what the resolvers may do, and what they must never do.

import { test } from 'tap';
import type { Test } from 'tap';
import type { QuorumOutcome } from '../dns/quorum.ts';
import type { LeaseView } from '../lease/types.ts';
import { deriveTimings } from '../policy.ts';
import type { DatabaseObservation } from '../replication/observation.ts';
import { epoch, lsn, monoMs, regionId, wallMs } from '../types.ts';
import type { Now } from '../types.ts';
import { takeoverConditions } from './conditions.ts';
import { actingEpoch, decide, initialState } from './decide.ts';
import { Draft } from './draft.ts';
import { darknessWindowMs, deriveFallback, fallbackProblem } from './fallback.ts';
import type { Action, ControllerEvent, ControllerState, Policy } from './state.ts';

const [r1, r2] = [regionId('r1'), regionId('r2')];
const timings = deriveTimings(12_000);
const { ttlMs } = timings;
const voters = [
  { name: '8.8.8.8', vendor: 'google' },
  { name: '9.9.9.9', vendor: 'quad9' },
];
const fallback = deriveFallback(ttlMs, voters);
const { holdMs, roundMs } = fallback;
const windowMs = darknessWindowMs(fallback);
const databases = { r1: '10.0.0.1:5432', r2: '10.0.0.2:5432' };
const primary: DatabaseObservation = {
  role: 'primary',
  shape: 'primary',
  systemIdentifier: '7',
  timeline: 1,
  lsn: lsn('0/100'),
  replayLsn: null,
  receiver: null,
  replayPaused: null,
  standbys: [{ region: 'r2', state: 'streaming', replayLagBytes: 0 } as DatabaseObservation['standbys'][number]],
  synchronous: ['r2'],
  epoch: 5,
  recordedEpoch: 5,
  problem: null,
};
const standby: DatabaseObservation = { ...primary, role: 'standby', shape: 'standby', replayLsn: lsn('0/100'), receiver: { source: databases.r1, streaming: true } as DatabaseObservation['receiver'] };
const held: LeaseView = {
  name: 'counter',
  revision: 10,
  epoch: epoch(5),
  holder: r1,
  instance: 'a',
  ttlMs,
  remainingMs: ttlMs,
  inSync: [r1, r2],
  policyHash: 'same',
  handover: null,
  intent: null,
  seq: 0,
};
const attested: QuorumOutcome = { kind: 'attested', region: r1, epoch: 5 };
const dark: QuorumOutcome = { kind: 'dark' };
const nobody: QuorumOutcome = { kind: 'abstain', reasons: [] };

/** A controller whose clock, register and resolvers the test plays. */
function play(region: typeof r1, observation: DatabaseObservation, given: Policy['fallback'] | null = fallback) {
  const base = { name: 'counter', region, regions: [r1, r2], databases, mode: 'automatic' as const, timings, hash: 'same' };
  const policy: Policy = given === null || given === undefined ? base : { ...base, fallback: given };
  let now: Now = { monoMs: monoMs(100_000), wallMs: wallMs(1_000_000) };
  let state: ControllerState = initialState(policy, { instance: region === r1 ? 'a' : 'b', epoch: 5 }, now);
  let actions: Action[] = [];
  const feed = (event: ControllerEvent): void => {
    const decision = decide(state, event, now);
    state = decision.state;
    actions.push(...decision.actions);
  };
  const scene = {
    feed,
    now: () => now.monoMs,
    state: () => state,
    acts: () => actingEpoch({ ...state, now }),
    leftMs: () => (state.grant === null ? 0 : state.grant.validUntilMs - now.monoMs),
    condition: (name: string) => takeoverConditions(new Draft({ ...state, now })).preconditions.find((one) => one.name === name),
    taken: () => {
      const all = actions;
      actions = [];
      return all;
    },
    /** Time passes; the database and the gate are seen as they were. */
    pass: (ms: number) => {
      now = { monoMs: monoMs(now.monoMs + ms), wallMs: wallMs(now.wallMs + ms) };
      feed({ kind: 'gate-observed', observation: { connected: true, held: 0, mode: state.gateDirective?.mode ?? null, epoch: state.gateDirective?.epoch ?? 0 } });
      feed({ kind: 'database-observed', startedMs: now.monoMs, observation });
    },
    /** Time passes and nothing is told of it. `sleptMs`: on the wall only, as a suspended machine sees it. */
    jump: (ms: number, sleptMs = 0) => {
      now = { monoMs: monoMs(now.monoMs + ms), wallMs: wallMs(now.wallMs + ms + sleptMs) };
    },
    answer: (view: LeaseView) => feed({ kind: 'register-answered', id: state.request?.id ?? -1, answer: { ok: true, reply: { outcome: { ok: true }, view } } }),
    refuse: (view: LeaseView) => feed({ kind: 'register-answered', id: state.request?.id ?? -1, answer: { ok: true, reply: { outcome: { ok: false, code: 'invalid', detail: 'no' }, view } } }),
    fail: (code = 'CTM_REGISTER_TIMEOUT') => feed({ kind: 'register-answered', id: state.request?.id ?? -1, answer: { ok: false, code, message: 'no answer' } }),
    round: (outcome: QuorumOutcome, startedMs = now.monoMs) => {
      const { pending } = state.fallback;
      if (pending === null) return false;
      feed({ kind: 'quorum-answered', id: pending.id, startedMs: monoMs(startedMs), outcome });
      return true;
    },
  };
  scene.pass(1);
  return scene;
}

type Scene = ReturnType<typeof play>;

/** r1, active under epoch 5, the witness just gone. */
function holder(given: Policy['fallback'] | null = fallback): Scene {
  const scene = play(r1, primary, given);
  scene.answer(held);
  scene.answer({ ...held, revision: 11 });
  scene.pass(1);
  if (scene.state().phase.kind !== 'active') throw new Error(scene.state().phase.kind);
  return scene;
}

/** r2, a standby that hears the witness; r1's lease has `remainingMs` left. */
function contender(remainingMs = ttlMs): Scene {
  const scene = play(r2, standby);
  scene.answer({ ...held, remainingMs });
  scene.pass(1);
  return scene;
}

/** Passes `ms` in steps of a round, the witness failing each time, each round answered so. */
function spend(scene: Scene, ms: number, outcome: QuorumOutcome | null): void {
  for (let left = ms; left > 0; left -= roundMs) {
    scene.pass(Math.min(left, roundMs));
    if (scene.state().request !== null) scene.fail();
    if (outcome !== null) scene.round(outcome);
  }
}

test('a holder that is attested and hears nobody holds far past its ttl, never more than holdMs past its questions', async (t) => {
  const scene = holder();
  spend(scene, 5 * ttlMs, attested);
  t.equal(scene.acts(), 5);
  t.ok(scene.leftMs() <= holdMs, `${scene.leftMs()} ms`);
  t.ok(scene.taken().some((action) => action.kind === 'record' && action.event === 'held-by-quorum'));
  spend(scene, holdMs, nobody);
  t.equal(scene.acts(), 0, 'and ends when nobody attests it any more');
  t.equal(scene.state().phase.kind, 'fenced');
  spend(scene, ttlMs, attested);
  t.equal(scene.acts(), 0, 'what ran out is not revived');
});

test('without a fallback the same holder is fenced at its validity, and no round is ever asked for', async (t) => {
  const scene = holder(null);
  spend(scene, ttlMs, attested);
  t.equal(scene.acts(), 0);
  t.notOk(scene.taken().some((action) => action.kind === 'ask-quorum'));
});

test('only its own region and epoch, from before the questions were sent', async (t) => {
  for (const outcome of [dark, nobody, { ...attested, epoch: 4 }, { ...attested, epoch: 6 }, { ...attested, region: r2 }]) {
    const scene = holder();
    spend(scene, ttlMs, outcome);
    t.equal(scene.acts(), 0, JSON.stringify(outcome));
  }
  const scene = holder();
  spend(scene, ttlMs - timings.guardMs - 3 * roundMs, nobody);
  scene.pass(roundMs);
  const startedMs = scene.now();
  scene.pass(roundMs / 4);
  t.ok(scene.round(attested, startedMs));
  const untilMs = (scene.state().grant?.validUntilMs ?? 0) - startedMs;
  t.ok(untilMs < holdMs && untilMs > holdMs - 200, `${untilMs}`);
});

test('a refusal, an unbelievable answer and a newer epoch are not silence', async (t) => {
  const refused = holder();
  refused.pass(timings.renewMs);
  refused.refuse({ ...held, revision: 12, remainingMs: ttlMs - timings.renewMs });
  spend(refused, ttlMs, attested);
  t.equal(refused.acts(), 0, 'the last answer was a refusal');

  const forged = holder();
  for (let spent = 0; spent < ttlMs; spent += roundMs) {
    forged.pass(roundMs);
    if (forged.state().request !== null) forged.fail('CTM_REGISTER_REPLY_INVALID');
    forged.round(attested);
  }
  t.equal(forged.acts(), 0, 'somebody answered');

  const superseded = holder();
  spend(superseded, 2 * ttlMs, attested);
  superseded.feed({ kind: 'lease-pushed', event: 'granted', view: { ...held, revision: 20, epoch: epoch(6), holder: r2, inSync: [r2] } });
  t.equal(superseded.acts(), 0, 'somebody else was granted: at once');
  superseded.round(attested);
  t.equal(superseded.acts(), 0);
});

test('an answer that arrives after the validity, before anybody has noticed its end, revives nothing', async (t) => {
  const scene = holder();
  spend(scene, ttlMs / 2 + roundMs, nobody);
  scene.pass(roundMs);
  if (scene.state().request !== null) scene.fail();
  const askedMs = scene.now();
  scene.feed({ kind: 'tick' });
  t.equal(scene.state().phase.kind, 'active');
  t.ok(scene.leftMs() > 2 * roundMs);
  const grant = { epoch: epoch(5), validUntilMs: monoMs(askedMs + roundMs) };
  const late: Now = { monoMs: monoMs(askedMs + roundMs + 1), wallMs: wallMs(scene.state().now.wallMs + roundMs + 1) };
  const { pending } = scene.state().fallback;
  t.ok(pending !== null);
  const { state } = decide({ ...scene.state(), grant }, { kind: 'quorum-answered', id: pending?.id ?? -1, startedMs: askedMs, outcome: attested }, late);
  t.equal(actingEpoch(state), 0);
  t.equal(state.phase.kind, 'fenced');
});

test('a machine that slept forgets its round', async (t) => {
  const scene = holder();
  spend(scene, ttlMs / 2, nobody);
  scene.pass(roundMs);
  if (scene.state().request !== null) scene.fail();
  const { pending } = scene.state().fallback;
  t.ok(pending !== null);
  const asleep = scene.state();
  const later: Now = { monoMs: monoMs(scene.now() + 10), wallMs: wallMs(asleep.now.wallMs + 60_000) };
  const { state } = decide(asleep, { kind: 'quorum-answered', id: pending?.id ?? -1, startedMs: scene.now(), outcome: attested }, later);
  t.equal(actingEpoch(state), 0);
});

test('the witness comes back to a holder past its expiry: a new epoch, the database taught it, the gate held and not shut', async (t) => {
  const scene = holder();
  spend(scene, 2 * ttlMs, attested);
  scene.taken();
  scene.pass(roundMs);
  t.match(scene.state().request?.request, { kind: 'read' }, 'it keeps asking');
  scene.answer({ ...held, revision: 12, remainingMs: 0 });
  t.match(scene.state().request?.request, { kind: 'acquire', epochSeen: 5, force: null });
  t.equal(scene.acts(), 5);
  scene.answer({ ...held, revision: 13, epoch: epoch(6), inSync: [r1] });
  t.match(scene.state().phase, { kind: 'promoting' });
  const actions = scene.taken();
  t.ok(actions.some((action) => action.kind === 'database' && action.action.kind === 'promote' && action.action.epoch === 6));
  const modes = actions.flatMap((action) => (action.kind === 'gate' ? [action.directive.mode] : []));
  t.notOk(modes.includes('closed'), modes.join());
});

test('no switchover begins while the holder lives on its attestations', async (t) => {
  const scene = holder();
  const intent = { id: 's', from: r1, to: r2, target: 'ready' as const, reasons: [] };
  spend(scene, ttlMs + roundMs, attested);
  scene.feed({ kind: 'lease-pushed', event: 'intent', view: { ...held, revision: 12, remainingMs: 0, intent } });
  t.equal(scene.state().phase.kind, 'active');
});

/** Darkness for `ms`, the witness heard all the while. */
function darken(scene: Scene, ms: number, outcome: QuorumOutcome = dark): void {
  for (let left = ms; left > 0; left -= roundMs) {
    scene.pass(Math.min(left, roundMs));
    readAgain(scene);
    scene.round(outcome);
  }
}

/** The witness answers a read with what it said before, as much later as it is. */
function readAgain(scene: Scene): void {
  const { view, viewMs, request } = scene.state();
  if (view === null || request?.request.kind !== 'read') return;
  scene.answer({ ...view, remainingMs: Math.max(0, viewMs + view.remainingMs - scene.now()) });
}

function untilAcquire(scene: Scene): void {
  for (let rounds = 0; !acquires(scene) && rounds < 20; rounds++) darken(scene, roundMs);
}

const acquires = (scene: Scene): boolean => scene.state().request?.request.kind === 'acquire';

test('darkness is sampled from when the lease is overdue, and has passed when it expires', async (t) => {
  const scene = contender(ttlMs);
  scene.pass(ttlMs / 2 - 10);
  t.equal(scene.state().fallback.pending, null, 'not overdue: nobody is asked');
  scene.pass(20);
  t.match(scene.state().fallback.pending, { target: r2 === r1 ? '' : r1 });
  let spentMs = 0;
  while (scene.condition('other-region-dark')?.ok !== true && spentMs < ttlMs) {
    darken(scene, roundMs);
    spentMs += roundMs;
  }
  t.ok(spentMs >= windowMs - roundMs && spentMs < ttlMs / 2, `${spentMs} ms of ${ttlMs / 2}: nothing is added to a failover`);
});

test('a contender acts after a whole window of darkness and not a round earlier', async (t) => {
  const scene = contender(1);
  scene.pass(1);
  t.ok(scene.round(dark));
  darken(scene, windowMs - roundMs);
  t.notOk(acquires(scene));
  t.match(scene.condition('other-region-dark'), { ok: false, source: 'resolvers', value: /^r1: dark for \d+ ms/ });
  darken(scene, roundMs);
  t.ok(acquires(scene));
});

test('one attested or undecided round, or a gap, starts the window anew', async (t: Test) => {
  const spoil: Record<string, (scene: Scene) => void> = {
    attested: (scene) => darken(scene, roundMs, attested),
    undecided: (scene) => darken(scene, roundMs, nobody),
    gap: (scene) => {
      scene.pass(3 * roundMs);
      readAgain(scene);
    },
    sleep: (scene) => scene.jump(1, 60_000),
    'sleep that a clock hides': (scene) => scene.jump(1, -60_000),
    late: (scene) => {
      scene.pass(roundMs);
      const startedMs = scene.now();
      scene.jump(2.5 * roundMs);
      scene.round(dark, startedMs);
    },
  };
  for (const [name, once] of Object.entries(spoil)) {
    const scene = contender(1);
    scene.pass(1);
    scene.round(dark);
    darken(scene, windowMs - roundMs);
    once(scene);
    t.notOk(acquires(scene), name);
    if (name !== 'late') darken(scene, 2 * roundMs);
    t.notOk(acquires(scene), name);
    darken(scene, windowMs + 2 * roundMs);
    t.ok(acquires(scene), `${name}, and then a whole window`);
  }
});

test('the first grant, a released lease, its own lease and a forced takeover need no darkness', async (t) => {
  const released = contender(ttlMs);
  released.feed({ kind: 'lease-pushed', event: 'released', view: { ...held, revision: 12, holder: null, remainingMs: 0 } });
  t.ok(acquires(released) || released.condition('other-region-dark')?.ok === true);
  t.match(released.condition('other-region-dark'), { ok: true, value: 'not needed' });
  const forced = contender(1);
  forced.pass(1);
  t.equal(forced.condition('other-region-dark')?.ok, false);
  forced.feed({ kind: 'operator-asked', word: { kind: 'takeover', force: { reason: 'r1 burns', estimatedLoss: 'none' }, atMs: monoMs(forced.now()) } });
  t.ok(acquires(forced));
  const approved = contender(1);
  approved.feed({ kind: 'operator-asked', word: { kind: 'takeover', force: null, atMs: monoMs(approved.now()) } });
  t.notOk(acquires(approved), 'an approval without force does not lift it');
});

test('the witness pushes the grant before it answers: what was seen of the darkness still counts', async (t) => {
  const granted = { ...held, revision: 12, epoch: epoch(6), holder: r2, instance: 'b', inSync: [r2] };
  const scene = contender(1);
  scene.pass(1);
  scene.round(dark);
  untilAcquire(scene);
  scene.feed({ kind: 'lease-pushed', event: 'granted', view: granted });
  t.notOk(scene.taken().some((action) => action.kind === 'database'), 'the news alone is no grant');
  scene.answer(granted);
  t.ok(scene.taken().some((action) => action.kind === 'database' && action.action.kind === 'promote'), 'promoted at once');
});

test('a grant whose answer was lost, or slept through, is not acted upon before the other region was looked at again', async (t) => {
  const granted = { ...held, revision: 12, epoch: epoch(6), holder: r2, instance: 'b', inSync: [r2] };
  const promotes = (scene: Scene): boolean => scene.taken().some((action) => action.kind === 'database' && action.action.kind === 'promote');
  const lost: Record<string, (scene: Scene) => void> = {
    lost: (scene) => scene.fail(),
    'slept through': (scene) => {
      scene.jump(1, 2_000);
      scene.answer(granted);
    },
  };
  for (const [name, losing] of Object.entries(lost)) {
    const scene = contender(1);
    scene.pass(1);
    scene.round(dark);
    untilAcquire(scene);
    scene.feed({ kind: 'lease-pushed', event: 'granted', view: granted });
    losing(scene);
    scene.pass(roundMs);
    scene.round(nobody);
    t.match(scene.state().request?.request, { kind: 'renew', epoch: 6 }, name);
    scene.answer({ ...granted, revision: 13 });
    t.match(scene.state(), { phase: { kind: 'promoting' }, grant: { epoch: 6 } }, name);
    t.notOk(promotes(scene), name);
    darken(scene, windowMs + 2 * roundMs);
    t.ok(promotes(scene), `${name}, and then a whole window`);
  }
});

test('a region that reappears between the grant and the promotion gets it back', async (t) => {
  const granted = (): Scene => {
    const scene = contender(1);
    scene.pass(1);
    scene.round(dark);
    untilAcquire(scene);
    scene.answer({ ...held, revision: 12, epoch: epoch(6), holder: r2, instance: 'b', inSync: [r2] });
    return scene;
  };
  const sure = granted();
  t.ok(sure.taken().some((action) => action.kind === 'database' && action.action.kind === 'promote'), 'still dark: promoted at once');
  const late = contender(1);
  late.pass(1);
  late.round(dark);
  untilAcquire(late);
  darken(late, roundMs, nobody);
  late.answer({ ...held, revision: 12, epoch: epoch(6), holder: r2, instance: 'b', inSync: [r2] });
  t.notOk(late.taken().some((action) => action.kind === 'database' && action.action.kind === 'promote'), 'undecided: not promoted');
  darken(late, roundMs, attested);
  t.match(late.state().phase, { kind: 'releasing', reason: /r1 is still seen serving/ });
  // Given back, it is nobody's: whoever was seen must still be dark before it is asked for again.
  late.answer({ ...held, revision: 13, epoch: epoch(6), holder: null, instance: null, inSync: [r2], remainingMs: 0 });
  t.match(late.condition('other-region-dark'), { ok: false });
});

test('a region that the world sees serve is forwarded to, although its lease has run out here', async (t) => {
  const scene = contender(1);
  scene.pass(1);
  scene.round(attested);
  t.match(scene.state().gateDirective, { mode: 'forward', activeRegion: r1 });
  darken(scene, 4 * roundMs, nobody);
  t.not(scene.state().gateDirective?.mode, 'forward');
});

test('without a witness nothing is taken over, whatever the resolvers say', async (t) => {
  const scene = contender(ttlMs);
  spend(scene, 3 * ttlMs, dark);
  t.equal(scene.condition('other-region-dark')?.ok, true);
  t.match(scene.condition('witness-answers'), { ok: false, value: 'CTM_REGISTER_TIMEOUT', limit: /Bring the witness/ });
  t.notOk(acquires(scene));
  t.equal(scene.acts(), 0);
});

test('in calm times a round is made now and then, and changes nothing', async (t) => {
  const scene = holder();
  scene.taken();
  let asked = 0;
  for (let seconds = 0; seconds < 60; seconds++) {
    scene.pass(1_000);
    const { request } = scene.state();
    if (request !== null) scene.answer({ ...held, revision: 20 + seconds });
    const before = scene.state().grant;
    if (scene.round(attested)) asked += 1;
    t.same(scene.state().grant, before);
  }
  t.ok(asked >= 3 && asked <= 4, `${asked} rounds in a minute`);
  t.equal(scene.acts(), 5);
});

test('timings that a round or a ttl does not bear are named', async (t) => {
  t.equal(fallbackProblem(fallback, ttlMs), null);
  t.match(fallbackProblem(deriveFallback(ttlMs, voters, ttlMs / 2), ttlMs), /at most a third/);
  t.match(fallbackProblem(deriveFallback(1_000, voters), 1_000), /at least 600 ms/);
});

test('an answer that never came is given up after four rounds, and asked for anew', async (t) => {
  const scene = contender(1);
  scene.pass(1);
  const lost = scene.state().fallback.pending;
  if (lost === null) throw new Error('nobody was asked');
  scene.pass(lost.askedMs + 4 * roundMs - 1 - scene.now());
  t.same(scene.state().fallback.pending, lost);
  scene.pass(1);
  t.match(scene.state().fallback.pending, { target: r1, askedMs: lost.askedMs + 4 * roundMs });
  t.ok((scene.state().fallback.pending?.id ?? 0) > lost.id);
  scene.feed({ kind: 'quorum-answered', id: lost.id, startedMs: lost.askedMs, outcome: dark });
  t.equal(scene.state().fallback.last, null, 'the late answer to it counts for nothing');
});
