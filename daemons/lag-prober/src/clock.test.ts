// Time for ages: it counts sleeps, never goes back, and is cheap.

import { test } from 'tap';
import { createProberClock } from './clock.ts';

test('what the machine slept counts as soon as it was awake for a moment; nothing goes back', async (t) => {
  let [awakeMs, sleptMs, asked] = [1_000, 0, 0];
  const now = createProberClock({
    cheapMs: () => awakeMs,
    exactMs: () => {
      asked++;
      return awakeMs + 70_000 + sleptMs;
    },
  });
  const first = now();
  let last = first;
  for (let count = 0; count < 1_000; count++) {
    awakeMs += 1;
    // What the two readings are apart is no sleep, in neither direction.
    sleptMs = count % 20;
    const read = now();
    t.ok(read >= last);
    last = read;
  }
  t.equal(last - first, 1_000);
  t.ok(asked <= 21, `asked ${asked} times for a thousand readings`);
  sleptMs = 3_600_000;
  awakeMs += 50;
  t.equal(now() - last, 3_600_050);
  awakeMs += 60;
  sleptMs = 0;
  t.equal(now() - last, 3_600_110, 'it never goes back');
});

test('a process that loses the processor between the two readings has not slept', async (t) => {
  let [awakeMs, awayMs] = [1_000, 0];
  const now = createProberClock({
    cheapMs: () => awakeMs,
    exactMs: () => {
      awakeMs += awayMs;
      const countedMs = awakeMs + 70_000;
      awakeMs += awayMs;
      return countedMs;
    },
  });
  const first = now();
  awayMs = 400;
  awakeMs += 60;
  now();
  awayMs = 0;
  awakeMs += 60;
  t.equal(now() - first, 920);
});
