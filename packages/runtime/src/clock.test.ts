// A machine whose clocks the test has in its hands: what it sleeps must count, and nothing else may.

import fc from 'fast-check';
import { test } from 'tap';
import { createClock, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';

type Machine = { monotonicMs: number; sleptMs: number; wallMs: number; readingTakesMs: number };

/** Its time since boot began `aheadMs` before its monotonic clock, and is shown as Linux shows it. */
function machine(aheadMs = 0): { it: Machine; clock: Clock } {
  const it: Machine = { monotonicMs: 5_000.3, sleptMs: aheadMs, wallMs: 1e12, readingTakesMs: 0 };
  const clock = createClock({
    monotonicMs: () => it.monotonicMs,
    wallMs: () => it.wallMs,
    bootMs: () => {
      const shown = Math.floor((it.monotonicMs + it.sleptMs) / 10) * 10;
      it.monotonicMs += it.readingTakesMs;
      return shown;
    },
  });
  return { it, clock };
}

test('a machine that is awake has its own monotonic clock, whatever the rounding and whenever it is asked', async (t) => {
  const steps = fc.array(fc.record({ passMs: fc.double({ min: 0, max: 5_000, noNaN: true }), readingTakesMs: fc.constantFrom(0, 0.01, 3, 400) }), { maxLength: 30 });
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), steps, (aheadMs, all) => {
      const { it, clock } = machine(aheadMs);
      return all.every(({ passMs, readingTakesMs }) => {
        it.monotonicMs += passMs;
        it.readingTakesMs = readingTakesMs;
        return clock.now().monoMs === it.monotonicMs;
      });
    }),
    { numRuns: 2_000 },
  );
  t.pass('2000 machines');
});

test('every sleep counts, short ones too, also when the wall clock is set back meanwhile', async (t) => {
  const sleeps = fc.array(fc.record({ awakeMs: fc.double({ min: 0, max: 900, noNaN: true }), sleepMs: fc.double({ min: 0, max: 3_000, noNaN: true }) }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), sleeps, (aheadMs, all) => {
      const { it, clock } = machine(aheadMs);
      const [first, startMs, startSleptMs] = [clock.now().monoMs, it.monotonicMs, it.sleptMs];
      let last = first as number;
      return all.every(({ awakeMs, sleepMs }) => {
        it.monotonicMs += awakeMs;
        it.sleptMs += sleepMs;
        it.wallMs -= 60_000;
        const now = clock.now().monoMs as number;
        const passedMs = it.monotonicMs - startMs + it.sleptMs - startSleptMs;
        const forward = now >= last;
        last = now;
        // Together never less than what passed by more than the smallest sleep that can be seen, never much more.
        return forward && now - first > passedMs - 40 && now - first < passedMs + 25;
      });
    }),
    { numRuns: 2_000 },
  );
  t.pass('2000 machines');
});

test('a sleep is never counted shorter than it was', async (t) => {
  const time = fc.double({ min: 0, max: 10_000, noNaN: true });
  fc.assert(
    fc.property(time, time, fc.double({ min: 40, max: 3_000, noNaN: true }), (aheadMs, awakeMs, sleepMs) => {
      const { it, clock } = machine(aheadMs);
      const [first, startMs] = [clock.now().monoMs, it.monotonicMs];
      it.monotonicMs += awakeMs;
      it.sleptMs += sleepMs;
      return clock.now().monoMs - first >= it.monotonicMs - startMs + sleepMs - 1e-6;
    }),
    { numRuns: 2_000 },
  );
  t.pass('2000 sleeps');
});

test('a grant runs out in a sleep of 300 ms', async (t) => {
  const { it, clock } = machine();
  const validUntilMs = clock.now().monoMs + 300;
  it.sleptMs += 300;
  t.ok(clock.now().monoMs >= validUntilMs);
});

test('where there is no such clock it is the monotonic one', async (t) => {
  const clock = createClock({ monotonicMs: () => 7, wallMs: () => 9, bootMs: null });
  t.same(clock.now(), { monoMs: 7, wallMs: 9 });
});

test('on this machine, awake, it is the monotonic clock', async (t) => {
  const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;
  const within = Array.from({ length: 1_000 }, () => {
    const before = monotonicMs();
    const { monoMs } = systemClock.now();
    return monoMs >= before && monoMs <= monotonicMs();
  });
  t.ok(within.every(Boolean));
});

test('a process that loses the processor between two readings has not slept', async (t) => {
  const away = fc.array(fc.constantFrom(0, 0, 0, 0, 0, 40, 900), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(away, (pauses) => {
      let [timeMs, turn] = [1_000, 0];
      // Each reading takes as long as the list says; never four in a row are disturbed.
      const pass = (): void => {
        timeMs += turn % 12 < 6 ? (pauses[turn % pauses.length] ?? 0) : 0.01;
        turn += 1;
      };
      const reading = (): number => {
        pass();
        return timeMs;
      };
      const clock = createClock({ monotonicMs: reading, wallMs: reading, bootMs: () => Math.floor(reading() / 10) * 10 });
      let last = clock.now();
      for (let count = 0; count < 50; count++) {
        const now = clock.now();
        if (now.wallMs - last.wallMs - (now.monoMs - last.monoMs) > 4) return false;
        last = now;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.pass('500 busy machines');
});
