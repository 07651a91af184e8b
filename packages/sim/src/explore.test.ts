// The small scope, searched breadth first over the real functions: whole for each fault alone, and far enough with two of them that the
// dangerous states occur. The 10^6 states are `simulate --explore 1000000`.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { epoch } from '@continuum/core';
import { test } from 'tap';
import { readBugs, searchAll } from './bug-zoo.ts';
import { EXPLORED_MARKS } from './explore-marks.ts';
import { FingerprintSet, fingerprint } from './explore-hash.ts';
import { moves } from './explore-moves.ts';
import { ScopeViolation, firstScope, put } from './explore-scope.ts';
import { explore, exploreAll } from './explore.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const none = { crashes: 0, pauses: 0, losses: 0, delays: 0, switchovers: 0, writes: 0 };
const STATES = 150_000;

for (const [what, budget] of [
  ['a crash', { ...none, writes: 1, crashes: 1 }],
  ['a pause', { ...none, writes: 1, pauses: 1 }],
  ['a loss', { ...none, writes: 1, losses: 1 }],
  ['a switchover', { ...none, writes: 1, switchovers: 1 }],
  ['a message or an operation that is held up', { ...none, delays: 1 }],
] as const) {
  test(`no order of events with ${what} breaks an invariant, and there is no other`, (t) => {
    const report = explore({ ...budget, statesMax: 30_000 });
    t.equal(report.violation, null);
    t.ok(report.exhausted, `${report.states} states, ${report.depth} moves deep`);
    t.end();
  });
}

test('two faults meet in every dangerous state, and nothing breaks', (t) => {
  const report = exploreAll(STATES);
  t.equal(report.violation, null);
  t.same(report.missingMarks, []);
  t.equal(report.states, STATES);
  t.end();
});

test('a search that came across nothing says what it lacks', (t) => {
  t.same(explore({ ...none, statesMax: 1_000 }).missingMarks, EXPLORED_MARKS);
  t.end();
});

/** Each lies within the first states. */
const QUICK = ['epoch-reused', 'relaxed-before-leaving', 'promoted-before-narrowing', 'weights-to-itself', 'persist-forgotten', 'gate-opened-before-promotion'];

test('planted faults are found, with the shortest path to each', async (t) => {
  const bugs = readBugs(join(root, 'test/bugs')).filter(({ name }) => QUICK.some((one) => name.endsWith(one)));
  t.equal(bugs.length, QUICK.length);
  for (const { name, violation, moves: path } of await searchAll(bugs, { root, threads: 2, statesMax: 5_000 })) {
    t.not(violation, null, `${name}: ${path} moves, ${violation}`);
  }
});

test('a promotion that must not be is one of the moves, and breaks its invariant when it is taken', (t) => {
  const action = { kind: 'promote' as const, epoch: epoch(1), token: null };
  const scope = put({ ...firstScope(none), acknowledged: [1] }, 1, { operation: { id: 1, action, late: false } });
  const promotion = moves(scope).find(({ label }) => label === 'promote of r2 succeeds');
  t.ok(promotion !== undefined, 'looking at what can happen breaks nothing');
  t.throws(() => promotion?.run(), new ScopeViolation('I3: r2 is promoted in epoch 1 without the acknowledged write 1'));
  t.notOk(moves(scope).some(({ label }) => label === 'time passes'), 'it can be done now, so time waits for it');
  t.end();
});

test('states that behave alike are one state: later, with other numbers, with messages in another order', (t) => {
  let scope = firstScope(none);
  for (let count = 0; count < 4; count++) scope = moves(scope)[0]?.run() ?? scope;
  const shifted = JSON.parse(JSON.stringify(scope, (key, value: unknown) => (typeof value === 'number' && key.endsWith('Ms') && value > 500_000 ? value + 60_000 : value))) as typeof scope;
  t.same(fingerprint(shifted), fingerprint(scope));
  const turned = { ...scope, messages: [...scope.messages].reverse() };
  t.same(fingerprint(turned), fingerprint(scope));
  t.notSame(fingerprint({ ...scope, nowMs: scope.nowMs + 1_000 }), fingerprint(scope));
  t.notSame(fingerprint({ ...scope, budget: { ...none, writes: 1 } }), fingerprint(scope));
  t.end();
});

test('a set of fingerprints keeps each once, also the one that looks like a free slot', (t) => {
  const set = new FingerprintSet(4);
  const prints = [{ high: 0, low: 0 }, { high: 7, low: 9 }, { high: 7, low: 10 }, { high: 4_294_967_295, low: 4_294_967_295 }];
  t.same(prints.map((one) => set.add(one)), [true, true, true, true]);
  t.same(prints.map((one) => set.add(one)), [false, false, false, false]);
  t.equal(set.size, 4);
  t.end();
});
