// A failing seed becomes the few faults that matter, and they still fail the same way.

import { test } from 'tap';
import { ALL_DEFENCES } from './options.ts';
import { runSeed } from './run.ts';
import { fewer, renderShrunk, shrink } from './shrink.ts';

test('what is left out is only what does not matter', (t) => {
  const items = Array.from({ length: 40 }, (_, index) => index);
  t.same(fewer(items, (some) => some.includes(7) && some.includes(31)), [7, 31]);
  t.end();
});

test('a run without its gate fence shrinks to a handful of faults', (t) => {
  const overrides = { defences: { ...ALL_DEFENCES, gateFence: false }, resolvers: null, names: null };
  const seed = [1, 2, 3, 4, 5, 6, 7, 8].find((one) => runSeed({ seed: one, hours: 1, overrides }).violation !== null);
  if (seed === undefined) throw new Error('no seed fails without the fence');
  const options = { seed, hours: 1, overrides };
  const shrunk = shrink(options);
  if (shrunk === null) throw new Error(`seed ${seed} does not fail twice`);
  const faults = shrunk.plan.flatMap((round) => round.faults);
  t.ok(faults.length <= 4, `${faults.length} faults`);
  t.equal(runSeed({ ...options, plan: shrunk.plan }).violation?.invariant, 'I2');
  t.match(renderShrunk(seed, shrunk), /faults lead to I2/);
  t.end();
});

test('a seed that does not fail has nothing to shrink', (t) => {
  t.equal(shrink({ seed: 1, hours: 0.2 }), null);
  t.end();
});
