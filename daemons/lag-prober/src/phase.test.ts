// When in its interval a cluster is looked at.

import { test } from 'tap';
import { phaseOf } from './fleet.ts';

const phases = (clusters: number, intervalMs: number): number[] => {
  const found = Array.from({ length: clusters }, (_, index) => phaseOf(`cluster-${index}`, intervalMs, clusters));
  return [...new Set(found)].sort((a, b) => a - b);
};

test('a few together, many over the whole interval, none outside of it', async (t) => {
  t.same(phases(12, 1_000), [0], 'one portion: one wake-up');
  t.same(phases(64, 1_000), [0, 250, 500, 750]);
  const many = phases(1_000, 1_000);
  t.ok(many.length > 55, `${many.length} of 63`);
  t.ok(many.every((phaseMs) => phaseMs >= 0 && phaseMs < 1_000));
  t.same(phases(5_000, 50), [0, 10, 20, 30, 40], 'no finer than the wheel');
  t.equal(phaseOf('shop', 1_000, 640), phaseOf('shop', 1_000, 640), 'after a restart too');
});
