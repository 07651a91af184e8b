// Every scenario in test/scenarios gives the decisions that are written under its lines. `simulate --scenario FILE --rewrite` writes
// them anew.

import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'tap';
import { runScenario } from './scenario.ts';

const folder = new URL('../../../test/scenarios/', import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
  test(`scenario ${file} decides as written`, (t) => {
    const written = readFileSync(new URL(file, folder), 'utf8');
    t.equal(runScenario(written), written, `npm run simulate -- --scenario test/scenarios/${file} --rewrite`);
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
