// From the objective to the timings, and the sum that refuses what cannot be kept.

import { test } from 'tap';
import { CLOCK_RATE_ERROR, FENCE_MS, RTO_MS_MIN, checkTimings, deriveTimings, worstCase } from './policy.ts';

test('an objective of a minute gives the classic thirty and ten seconds', (t) => {
  const timings = deriveTimings(60_000);
  t.match(timings, { ttlMs: 30_000, renewMs: 10_000, dnsTtlSeconds: 10, promoteBudgetMs: 15_000, holdDownMs: 30_000 });
  t.equal(timings.guardMs, 30_000 * CLOCK_RATE_ERROR + FENCE_MS);
  t.end();
});

test('every objective that may be stated gives timings without a problem', (t) => {
  for (let rtoMs = RTO_MS_MIN; rtoMs <= 120_000; rtoMs += 250) {
    const problems = checkTimings(deriveTimings(rtoMs), rtoMs);
    if (problems.length > 0) t.same(problems, [], `${rtoMs} ms`);
  }
  t.end();
});

test('a worst case above the objective is refused with its sum', (t) => {
  const timings = deriveTimings(10_000, { dnsTtlSeconds: 30 });
  const [problem] = checkTimings(timings, 10_000);
  t.equal(problem?.field, 'objective.rto');
  t.match(problem?.problem, /lease ttl 5000 ms \+ .* \+ DNS TTL 30000 ms = 37550 ms, above the objective of 10000 ms/);
  t.equal(worstCase(timings).sumMs, 37_550);
  t.end();
});

test('timings that contradict each other are named, all of them', (t) => {
  const fields = (change: Parameters<typeof deriveTimings>[1]): string[] =>
    checkTimings(deriveTimings(60_000, change), 60_000).map(({ field }) => field);
  t.same(fields({ guardMs: 10 }), ['guardMs']);
  t.same(fields({ renewMs: 16_000 }), ['renewMs']);
  t.same(fields({ commandMs: 11_000 }), ['commandMs']);
  t.same(fields({ dnsTtlSeconds: 1.5 }), ['dnsTtlSeconds']);
  t.same(fields({ renewMs: 40, commandMs: 30 }), ['renewMs']);
  t.end();
});
