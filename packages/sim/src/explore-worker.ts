// Runs inside a copy with a fault planted: searches the small scope for it. Prints one line of JSON.

import { exploreAll } from './explore.ts';

const [statesMax = 100_000] = process.argv.slice(2).map(Number);
const { states, violation } = exploreAll(statesMax);
process.stdout.write(JSON.stringify({ states, violation: violation?.detail ?? null, moves: violation === null ? null : violation.path.length - 1 }));
