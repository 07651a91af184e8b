// Runs inside a copy with a fault planted: seeds one after the other until an invariant breaks. Prints one line of JSON.

import type { WorldOptions } from './options.ts';
import { runSeed } from './run.ts';

const MS_PER_HOUR = 3_600_000;

const [firstSeed = 1, hoursMax = 100] = process.argv.slice(2, 4).map(Number);
const overrides = JSON.parse(process.argv[4] ?? '{}') as Partial<WorldOptions>;
let hours = 0;
let caught: { invariant: string; seed: number } | null = null;
for (let seed = firstSeed; hours < hoursMax && caught === null; seed++) {
  const result = runSeed({ seed, hours: 1, overrides });
  hours += result.simulatedMs / MS_PER_HOUR;
  if (result.violation !== null) caught = { invariant: result.violation.invariant, seed };
}
process.stdout.write(JSON.stringify({ hours, invariant: caught?.invariant ?? null, seed: caught?.seed ?? null }));
