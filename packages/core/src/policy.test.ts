// From the objective to the timings, and the sum that refuses what cannot be kept.

import { test } from 'tap';
import { CLOCK_RATE_ERROR, FENCE_MS, RTO_MS_MIN, checkTimings, deriveTimings, worstCase } from './policy.ts';

test('an objective of a minute gives the classic thirty and ten seconds', (t) => {
  const timings = deriveTimings(60_000);
  t.match(timings, { ttlMs: 30_000, renewMs: 10_000, dnsTtlSeconds: 10, promoteBudgetMs: 15_000, holdDownMs: 30_000 });
  t.equal(timings.guardMs, 30_000 * CLOCK_RATE_ERROR + FENCE_MS);
  t.end();
});

test('every timing of an objective, and of one so short that floors take over', (t) => {
  t.same(deriveTimings(60_000), {
    ttlMs: 30_000,
    renewMs: 10_000,
    guardMs: 350,
    commandMs: 5_000,
    promoteBudgetMs: 15_000,
    holdMsMax: 30_000,
    drainMs: 2_000,
    standbyLossMs: 10_000,
    standbyStableMs: 1_000,
    holdDownMs: 30_000,
    observationMaxAgeMs: 15_000,
    dnsTtlSeconds: 10,
  });
  t.same(deriveTimings(1_003), {
    ttlMs: 501,
    renewMs: 167,
    guardMs: 56,
    commandMs: 250,
    promoteBudgetMs: 250,
    holdMsMax: 5_000,
    drainMs: 2_000,
    standbyLossMs: 167,
    standbyStableMs: 167,
    holdDownMs: 501,
    observationMaxAgeMs: 1_000,
    dnsTtlSeconds: 0,
  });
  t.match(deriveTimings(60_000, { ttlMs: 12_000, drainMs: 7 }), { ttlMs: 12_000, renewMs: 4_000, drainMs: 7, promoteBudgetMs: 15_000 }, 'set by hand, the rest follows');
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

test('each relation holds up to its limit and not beyond, and says what it needs', (t) => {
  const base = deriveTimings(60_000);
  const said = (change: Parameters<typeof deriveTimings>[1], rtoMs = 60_000): string[] =>
    checkTimings({ ...base, ...change }, rtoMs).map(({ field, value, problem }) => `${field} ${value}: ${problem}`);
  const low = { ttlMs: 300, guardMs: 53, renewMs: 123, commandMs: 123 };
  t.same(said(low), [], 'each at its limit');
  t.same(said({ ...low, guardMs: 54 }), [], 'two renewals that fill the validity');
  t.same(said({ ...low, ttlMs: 299, renewMs: 120, commandMs: 120 }), ['ttlMs 299: must be at least 300 ms']);
  t.same(said({ ...low, guardMs: 52 }), ['guardMs 52: must be at least ttl x drift + time to fence = 53 ms']);
  t.same(said({ ...low, renewMs: 124 }), ['renewMs 124: two renewals must fit into the validity of 247 ms']);
  t.same(said({ ...low, commandMs: 124 }), ['commandMs 124: must not exceed the renewal interval of 123 ms']);
  t.same(said({ ...low, renewMs: 50, commandMs: 50 }), []);
  t.same(said({ ...low, renewMs: 49, commandMs: 49 }), ['renewMs 49: must be at least 50 ms']);
  t.same(said({ dnsTtlSeconds: 0 }), []);
  for (const dnsTtlSeconds of [-1, 0.5]) t.same(said({ dnsTtlSeconds }), [`dnsTtlSeconds ${dnsTtlSeconds}: must be whole seconds`]);
  const sum = 30_000 + 300 + 15_000 + 10_000;
  t.same(said({}, sum), []);
  t.same(said({}, sum - 1), [
    `objective.rto ${sum - 1}: the worst case is lease ttl 30000 ms + clock drift over the ttl 300 ms + promotion budget 15000 ms + DNS TTL 10000 ms = ${sum} ms, above the objective of ${sum - 1} ms`,
  ]);
  t.end();
});
