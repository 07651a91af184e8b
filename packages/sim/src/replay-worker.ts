// Runs inside a copy with a fault planted: the kept seeds of that fault, each of which must break an invariant again, or it proves
// nothing any more. Prints one line of JSON.

import type { Found } from './bug-zoo.ts';
import { runSeed } from './run.ts';

const kept = JSON.parse(process.argv[2] ?? '[]') as Found[];
const broken = kept.map(({ found, seed, plan }) => [found, runSeed({ seed, hours: 1, plan }).violation?.invariant ?? null]);
process.stdout.write(JSON.stringify(broken));
