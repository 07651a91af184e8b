// The invariants themselves: each says yes to what is promised and no to the nearest thing that is not.

import { test } from 'tap';
import { areWeightsSound, isAnswerSound, isWithinValidity, mayEnterEpoch, mayTakeOver } from './invariants.ts';
import { regionId } from './types.ts';

const [r1, r2] = [regionId('r1'), regionId('r2')];

test('an epoch may stay or rise, and is a whole number (I2, I6)', (t) => {
  t.ok(mayEnterEpoch(3, 3));
  t.ok(mayEnterEpoch(3, 4));
  t.notOk(mayEnterEpoch(3, 2));
  t.notOk(mayEnterEpoch(3, 3.5));
  t.end();
});

test('validity has an end and no grace (I4)', (t) => {
  t.ok(isWithinValidity(999, 1_000));
  t.notOk(isWithinValidity(1_000, 1_000));
  t.end();
});

test('who may take over: the first, the forced, and those in sync (I8)', (t) => {
  const nobody = { region: r2, inSync: [r1], first: false, forced: false };
  t.notOk(mayTakeOver(nobody));
  t.ok(mayTakeOver({ ...nobody, inSync: [r1, r2] }));
  t.ok(mayTakeOver({ ...nobody, first: true }));
  t.ok(mayTakeOver({ ...nobody, forced: true }));
  t.end();
});

test('weights give something, and only to the region of their epoch (I9)', (t) => {
  t.ok(areWeightsSound({ r1: 100, r2: 0 }, 'r1'));
  t.notOk(areWeightsSound({ r1: 0, r2: 0 }, 'r1'));
  t.notOk(areWeightsSound({ r1: 90, r2: 10 }, 'r1'));
  t.notOk(areWeightsSound({ r1: 100, r2: -1 }, 'r1'));
  t.notOk(areWeightsSound({ r1: 100 }, null));
  t.end();
});

test('a DNS answer names somebody who is not known to be fenced (I5)', (t) => {
  t.ok(isAnswerSound(['r1'], ['r2']));
  t.ok(isAnswerSound(['r1', 'r2'], ['r2']));
  t.notOk(isAnswerSound([], []));
  t.notOk(isAnswerSound(['r2'], ['r2']));
  t.end();
});
