// Every scenario in test/scenarios gives the decisions that are written under its lines. CTM_REWRITE=1 writes them anew.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { runScenario } from './scenario.ts';

const folder = new URL('../../../test/scenarios/', import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
  test(`scenario ${file} decides as written`, (t) => {
    const path = new URL(file, folder);
    const written = readFileSync(path, 'utf8');
    const decided = runScenario(written);
    if (process.env['CTM_REWRITE'] === '1') writeFileSync(path, decided);
    else t.equal(decided, written);
    t.end();
  });
}

test('a scenario says what it does not understand', (t) => {
  t.throws(() => runScenario('run 1s\n'), /begins with "start"/);
  t.throws(() => runScenario('start\nrun soon\n'), /not a duration/);
  t.throws(() => runScenario('start\nkill r9\n'), /name a region/);
  t.throws(() => runScenario('start\ncut r1>moon\n'), /no link/);
  t.throws(() => runScenario('start\ndance\n'), /not a step/);
  t.end();
});
