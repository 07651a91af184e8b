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
  const overrides = { defences: { ...ALL_DEFENCES, gateFence: false } };
  const options = { seed: 3, hours: 1, overrides };
  const shrunk = shrink(options);
  if (shrunk === null) throw new Error('seed 3 does not fail without the fence');
  const faults = shrunk.plan.flatMap((round) => round.faults);
  t.ok(faults.length <= 4, `${faults.length} faults`);
  t.equal(runSeed({ ...options, plan: shrunk.plan }).violation?.invariant, 'I2');
  t.match(renderShrunk(3, shrunk), /faults lead to I2/);
  t.end();
});

test('a seed that does not fail has nothing to shrink', (t) => {
  t.equal(shrink({ seed: 1, hours: 0.2 }), null);
  t.end();
});
