// The command line says everything that is wrong at once, with the fix.

import { test } from 'tap';
import { readArguments } from './arguments.ts';

test('defaults, a seed alone, and a profile', (t) => {
  t.match(readArguments([]), { options: { seeds: 100, hours: 1, seed: 1, only: null } });
  t.match(readArguments(['--seed', '9']), { options: { seeds: 1, seed: 9 } });
  t.match(readArguments(['--profile', 'merge', '--swarm']), { options: { seeds: 2_000, hours: 6, profile: 'merge' } });
  t.match(readArguments(['--only', 'partition,clog', '--explore', '500']), { options: { only: ['partition', 'clog'], explore: 500 } });
  t.match(readArguments(['--bugs']), { options: { bugs: true, hours: 400 } });
  t.match(readArguments(['--upgrade']), { options: { upgrade: true, hours: 20 } });
  t.match(readArguments(['--bugs', '--hours', '40']), { options: { bugs: true, hours: 40 } });
  t.match(readArguments(['--seed', '9', '--shrink', '--html', 'a']), { options: { seeds: 1, shrink: true, html: 'a' } });
  t.match(readArguments(['--scenario', 'a.txt', '--rewrite']), { options: { scenario: 'a.txt', rewrite: true } });
  t.end();
});

test('what is of one run is not asked of many', (t) => {
  t.same(readArguments(['--seeds', '5', '--trace', 'a', '--shrink', '--rewrite']), {
    problems: ['--trace and --shrink with 5 seeds: give --seed S, and no other number of seeds than 1', '--rewrite is without a scenario; give --scenario FILE'],
  });
  t.end();
});

test('every problem is named', (t) => {
  const read = readArguments(['--seeds', 'many', '--hours', '-1', '--profile', 'daily', '--only', 'earthquake', '--color', 'file']);
  t.match(read, { problems: [/--color is not an option/, /"file"/, /--profile is "daily"; choose test/, /"earthquake"; choose from region-kill/, /--seeds is "many"/, /--hours is "-1"/] });
  t.end();
});
