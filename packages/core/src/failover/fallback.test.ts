// Hold and veto, one event at a time: what the resolvers may do, and what they must never do.

import { test } from 'tap';
import { contender, held, holder, only, policy, r1, r2, records, released, taken, timings } from '../../testing/controller.ts';
import { Scene } from '../../testing/scene.ts';
import type { QuorumOutcome } from '../dns/quorum.ts';
import { epoch, monoMs } from '../types.ts';
import { darknessWindowMs, deriveFallback, fallbackProblem } from './fallback.ts';
import type { Action } from './state.ts';

const { ttlMs } = timings;
const voters = [
  { name: '8.8.8.8', vendor: 'google' },
  { name: '9.9.9.9', vendor: 'quad9' },
];
const fallback = deriveFallback(ttlMs, voters);
const { holdMs, roundMs } = fallback;
const windowMs = darknessWindowMs(fallback);
const attested: QuorumOutcome = { kind: 'attested', region: r1, epoch: 5 };
const dark: QuorumOutcome = { kind: 'dark' };
const nobody: QuorumOutcome = { kind: 'abstain', reasons: [] };
/** r2's, once it was granted. */
const granted = { ...taken, revision: 12 };

/** r1, active under epoch 5, the witness just gone. */
function unheard(): Scene {
  return new Scene(holder({ policy: { ...policy, fallback } }));
}

/** r2, a standby that hears the witness; r1's lease has `remainingMs` left. */
function waiting(remainingMs = ttlMs): Scene {
  const scene = new Scene(contender({ policy: { ...policy, region: r2, fallback }, view: { ...held, remainingMs } }));
  scene.pass(1);
  return scene;
}

/** r2, since one round in front of a lease that ran out. */
function sampling(outcome: QuorumOutcome = dark): Scene {
  const scene = waiting(1);
  scene.round(outcome);
  return scene;
}

const leftMs = ({ state, now }: Scene): number => (state.grant === null ? 0 : state.grant.validUntilMs - now.monoMs);
const promotes = (actions: readonly Action[]): boolean => actions.some((action) => action.kind === 'database' && action.action.kind === 'promote');

/** Passes `ms` in steps of a round, the witness failing each time, each round answered so. */
function spend(scene: Scene, ms: number, outcome: QuorumOutcome | null, code = 'CTM_REGISTER_TIMEOUT'): void {
  for (let left = ms; left > 0; left -= roundMs) {
    scene.pass(Math.min(left, roundMs));
    if (scene.state.request !== null) scene.fail(code);
    if (outcome !== null) scene.round(outcome);
  }
}

test('a holder that is attested and hears nobody holds far past its ttl, never more than holdMs past its questions', async (t) => {
  const scene = unheard();
  spend(scene, 5 * ttlMs, attested);
  t.equal(scene.acts(), 5);
  t.ok(leftMs(scene) <= holdMs, `${leftMs(scene)} ms`);
  t.ok(records(scene.taken()).includes('held-by-quorum'));
  spend(scene, holdMs, nobody);
  t.equal(scene.acts(), 0, 'and ends when nobody attests it any more');
  t.equal(scene.state.phase.kind, 'fenced');
  spend(scene, ttlMs, attested);
  t.equal(scene.acts(), 0, 'what ran out is not revived');
});

test('without a fallback the same holder is fenced at its validity, and no round is ever asked for', async (t) => {
  const scene = new Scene(holder());
  spend(scene, ttlMs, attested);
  t.equal(scene.acts(), 0);
  t.same(only(scene.taken(), 'ask-quorum'), []);
});

test('only its own region and epoch, from before the questions were sent', async (t) => {
  for (const outcome of [dark, nobody, { ...attested, epoch: 4 }, { ...attested, epoch: 6 }, { ...attested, region: r2 }]) {
    const scene = unheard();
    spend(scene, ttlMs, outcome);
    t.equal(scene.acts(), 0, JSON.stringify(outcome));
  }
  const scene = unheard();
  spend(scene, ttlMs - timings.guardMs - 3 * roundMs, nobody);
  scene.pass(roundMs);
  const startedMs = scene.now.monoMs;
  scene.pass(roundMs / 4);
  t.ok(scene.round(attested, startedMs));
  const untilMs = (scene.state.grant?.validUntilMs ?? 0) - startedMs;
  t.ok(untilMs < holdMs && untilMs > holdMs - 200, `${untilMs}`);
});

test('a refusal, an unbelievable answer and a newer epoch are not silence', async (t) => {
  const refused = unheard();
  refused.pass(timings.renewMs);
  refused.answer({ ...held, revision: 12, remainingMs: ttlMs - timings.renewMs }, { ok: false, code: 'invalid', detail: 'no' });
  spend(refused, ttlMs, attested);
  t.equal(refused.acts(), 0, 'the last answer was a refusal');

  const forged = unheard();
  spend(forged, ttlMs, attested, 'CTM_REGISTER_REPLY_INVALID');
  t.equal(forged.acts(), 0, 'somebody answered');

  const superseded = unheard();
  spend(superseded, 2 * ttlMs, attested);
  superseded.push({ ...taken, revision: 20 });
  t.equal(superseded.acts(), 0, 'somebody else was granted: at once');
  superseded.round(attested);
  t.equal(superseded.acts(), 0);
});

test('an answer that arrives after the validity, before anybody has noticed its end, revives nothing', async (t) => {
  const scene = unheard();
  spend(scene, ttlMs / 2, nobody);
  scene.pass(roundMs);
  scene.fail();
  const askedMs = scene.now.monoMs;
  t.equal(scene.state.phase.kind, 'active');
  scene.state = { ...scene.state, grant: { epoch: epoch(5), validUntilMs: monoMs(askedMs + roundMs) } };
  scene.jump(roundMs + 1);
  t.ok(scene.round(attested, askedMs));
  t.equal(scene.acts(), 0);
  t.equal(scene.state.phase.kind, 'fenced');
});

test('a machine that slept forgets its round', async (t) => {
  const scene = unheard();
  spend(scene, ttlMs / 2, nobody);
  scene.pass(roundMs);
  scene.fail();
  const startedMs = scene.now.monoMs;
  scene.jump(10, 60_000);
  t.ok(scene.round(attested, startedMs));
  t.equal(scene.acts(), 0);
});

test('the witness comes back to a holder past its expiry: a new epoch, the database taught it, the gate held and not shut', async (t) => {
  const scene = unheard();
  spend(scene, 2 * ttlMs, attested);
  scene.taken();
  scene.pass(roundMs);
  t.match(scene.asked(), { kind: 'read' }, 'it keeps asking');
  scene.answer({ ...held, revision: 12, remainingMs: 0 });
  t.match(scene.asked(), { kind: 'acquire', epochSeen: 5, force: null });
  t.equal(scene.acts(), 5);
  scene.answer({ ...held, revision: 13, epoch: epoch(6), inSync: [r1] });
  t.match(scene.state.phase, { kind: 'promoting' });
  const actions = scene.taken();
  t.match(only(actions, 'database'), [{ action: { kind: 'promote', epoch: 6 } }]);
  t.notOk(only(actions, 'gate').some(({ directive }) => directive.mode === 'closed'));
});

test('no switchover begins while the holder lives on its attestations', async (t) => {
  const scene = unheard();
  const intent = { id: 's', from: r1, to: r2, target: 'ready' as const, reasons: [] };
  spend(scene, ttlMs + roundMs, attested);
  scene.push({ ...held, revision: 12, remainingMs: 0, intent }, 'intent');
  t.equal(scene.state.phase.kind, 'active');
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
  const { view, viewMs } = scene.state;
  if (view === null || scene.asked()?.kind !== 'read') return;
  scene.answer({ ...view, remainingMs: Math.max(0, viewMs + view.remainingMs - scene.now.monoMs) });
}

const acquires = (scene: Scene): boolean => scene.asked()?.kind === 'acquire';

/** r2, dark rounds until it asks for the lease. */
function asking(): Scene {
  const scene = sampling();
  for (let rounds = 0; !acquires(scene) && rounds < 20; rounds++) darken(scene, roundMs);
  return scene;
}

test('darkness is sampled from when the lease is overdue, and has passed when it expires', async (t) => {
  const scene = waiting();
  scene.pass(ttlMs / 2 - 10);
  t.equal(scene.state.fallback.pending, null, 'not overdue: nobody is asked');
  scene.pass(20);
  t.match(scene.state.fallback.pending, { target: r1 });
  let spentMs = 0;
  while (scene.condition('other-region-dark')?.ok !== true && spentMs < ttlMs) {
    darken(scene, roundMs);
    spentMs += roundMs;
  }
  t.ok(spentMs >= windowMs - roundMs && spentMs < ttlMs / 2, `${spentMs} ms of ${ttlMs / 2}: nothing is added to a failover`);
});

test('a contender acts after a whole window of darkness and not a round earlier', async (t) => {
  const scene = sampling();
  darken(scene, windowMs - roundMs);
  t.notOk(acquires(scene));
  t.match(scene.condition('other-region-dark'), { ok: false, source: 'resolvers', value: /^r1: dark for \d+ ms/ });
  darken(scene, roundMs);
  t.ok(acquires(scene));
});

test('one attested or undecided round, or a gap, starts the window anew', async (t) => {
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
      const startedMs = scene.now.monoMs;
      scene.jump(2.5 * roundMs);
      scene.round(dark, startedMs);
    },
  };
  for (const [name, once] of Object.entries(spoil)) {
    const scene = sampling();
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
  const free = waiting();
  free.push({ ...released, revision: 12 }, 'released');
  t.ok(acquires(free));
  t.match(free.condition('other-region-dark'), { ok: true, value: 'not needed' });
  const word = (scene: Scene, force: { reason: string; estimatedLoss: string } | null) =>
    scene.feed({ kind: 'operator-asked', word: { kind: 'takeover', force, atMs: scene.now.monoMs } });
  const forced = waiting(1);
  t.equal(forced.condition('other-region-dark')?.ok, false);
  word(forced, { reason: 'r1 burns', estimatedLoss: 'none' });
  t.ok(acquires(forced));
  const approved = waiting(1);
  word(approved, null);
  t.notOk(acquires(approved), 'an approval without force does not lift it');
});

test('the witness pushes the grant before it answers: what was seen of the darkness still counts', async (t) => {
  const scene = asking();
  t.notOk(promotes(scene.push(granted)), 'the news alone is no grant');
  t.ok(promotes(scene.answer(granted)), 'promoted at once');
});

test('a grant whose answer was lost, or slept through, is not acted upon before the other region was looked at again', async (t) => {
  const losses: Record<string, (scene: Scene) => void> = {
    lost: (scene) => scene.fail(),
    'slept through': (scene) => {
      scene.jump(1, 2_000);
      scene.answer(granted);
    },
  };
  for (const [name, lose] of Object.entries(losses)) {
    const scene = asking();
    scene.push(granted);
    lose(scene);
    scene.pass(roundMs);
    scene.round(nobody);
    t.match(scene.asked(), { kind: 'renew', epoch: 6 }, name);
    scene.answer({ ...granted, revision: 13 });
    t.match(scene.state, { phase: { kind: 'promoting' }, grant: { epoch: 6 } }, name);
    t.notOk(promotes(scene.taken()), name);
    darken(scene, windowMs + 2 * roundMs);
    t.ok(promotes(scene.taken()), `${name}, and then a whole window`);
  }
});

test('a region that reappears between the grant and the promotion gets it back', async (t) => {
  t.ok(promotes(asking().answer(granted)), 'still dark: promoted at once');
  const late = asking();
  darken(late, roundMs, nobody);
  t.notOk(promotes(late.answer(granted)), 'undecided: not promoted');
  darken(late, roundMs, attested);
  t.match(late.state.phase, { kind: 'releasing', reason: /r1 is still seen serving/ });
  // Given back, it is nobody's: whoever was seen must still be dark before it is asked for again.
  late.answer({ ...granted, revision: 13, holder: null, instance: null, remainingMs: 0 });
  t.match(late.condition('other-region-dark'), { ok: false });
});

test('a region that the world sees serve is forwarded to, although its lease has run out here', async (t) => {
  const scene = sampling(attested);
  t.match(scene.state.gateDirective, { mode: 'forward', activeRegion: r1 });
  darken(scene, 4 * roundMs, nobody);
  t.match(scene.state.gateDirective, { mode: 'forward', activeRegion: r1 }, 'a resolver that fails turns no request away');
  darken(scene, 3 * roundMs, nobody);
  t.not(scene.state.gateDirective?.mode, 'forward', 'longer than it may hold on by what was seen');
});

test('one dark round ends the forwarding to a region that was seen to serve', async (t) => {
  const scene = sampling(attested);
  darken(scene, roundMs, dark);
  t.not(scene.state.gateDirective?.mode, 'forward');
});

test('without a witness nothing is taken over, whatever the resolvers say', async (t) => {
  const scene = waiting();
  spend(scene, 3 * ttlMs, dark);
  t.equal(scene.condition('other-region-dark')?.ok, true);
  t.match(scene.condition('witness-answers'), { ok: false, value: 'CTM_REGISTER_TIMEOUT', limit: /Bring the witness/ });
  t.notOk(acquires(scene));
  t.equal(scene.acts(), 0);
});

test('in calm times a round is made now and then, and changes nothing', async (t) => {
  const scene = unheard();
  let asked = 0;
  for (let seconds = 0; seconds < 60; seconds++) {
    scene.pass(1_000);
    if (scene.asked() !== null) scene.answer({ ...held, revision: 20 + seconds });
    const before = scene.state.grant;
    if (scene.round(attested)) asked += 1;
    t.same(scene.state.grant, before);
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
  const scene = waiting(1);
  const lost = scene.state.fallback.pending;
  if (lost === null) throw new Error('nobody was asked');
  scene.pass(lost.askedMs + 4 * roundMs - 1 - scene.now.monoMs);
  t.same(scene.state.fallback.pending, lost);
  scene.pass(1);
  t.match(scene.state.fallback.pending, { target: r1, askedMs: lost.askedMs + 4 * roundMs });
  t.ok((scene.state.fallback.pending?.id ?? 0) > lost.id);
  scene.feed({ kind: 'quorum-answered', id: lost.id, startedMs: lost.askedMs, outcome: dark });
  t.equal(scene.state.fallback.last, null, 'the late answer to it counts for nothing');
});
