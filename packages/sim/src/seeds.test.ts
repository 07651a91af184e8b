// What was found and mended on the way: each file in test/seeds has a sentence, the seed, and the few faults that led to it. The faults
// are let loose again on every commit, and find nothing; with the mistake planted again they must find it, or the seed has gone stale.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import type { Found } from './bug-zoo.ts';
import { readBugs, replayPlanted } from './bug-zoo.ts';
import { runSeed } from './run.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const files = readdirSync(join(root, 'test/seeds')).filter((name) => name.endsWith('.json'));
const kept = files.map((file) => JSON.parse(readFileSync(join(root, 'test/seeds', file), 'utf8')) as Found);

for (const { found, seed, plan } of kept) {
  test(`mended: ${found}`, (t) => {
    t.equal(runSeed({ seed, hours: 1, plan }).violation, null);
    t.end();
  });
}

test('with its mistake planted again, each breaks the same invariant', async (t) => {
  const broken = await replayPlanted(kept, readBugs(join(root, 'test/bugs')), root);
  for (const { found, plantedAs, invariant } of kept) {
    t.equal(broken.get(found), invariant, `${plantedAs}; when this fails, find a new seed: npm run simulate -- --bugs`);
  }
});
