// What was found and mended on the way: each file in test/seeds has a sentence, the seed, and the few faults that led to it. The faults
// are let loose again on every commit, and find nothing.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { readBugs } from './bug-zoo.ts';
import type { PlannedRound } from './nemesis/index.ts';
import { runSeed } from './run.ts';

type Found = { found: string; plantedAs: string; invariant: string; seed: number; plan: readonly PlannedRound[] };

const root = fileURLToPath(new URL('../../../', import.meta.url));
const planted = new Set(readBugs(join(root, 'test/bugs')).map(({ name }) => name));

for (const file of readdirSync(join(root, 'test/seeds')).filter((name) => name.endsWith('.json'))) {
  const { found, plantedAs, seed, plan } = JSON.parse(readFileSync(join(root, 'test/seeds', file), 'utf8')) as Found;
  test(`mended: ${found}`, (t) => {
    t.equal(runSeed({ seed, hours: 1, plan }).violation, null);
    t.ok(planted.has(plantedAs), `${plantedAs} can be planted again`);
    t.end();
  });
}
