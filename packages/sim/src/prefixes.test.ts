// A failover, a rejoin and a switchover, cut before each of their actions, find their way back with nothing lost.

import { test } from 'tap';
import { cutEveryPrefix } from './prefixes.ts';

for (const course of ['failover', 'rejoin', 'switchover'] as const) {
  test(`every interrupted prefix of a ${course} converges`, (t) => {
    for (const seed of [1, 2, 3, 4]) {
      const { actions, broken } = cutEveryPrefix(course, seed);
      t.ok(actions > 10, `${actions} actions`);
      t.same(broken, []);
    }
    t.end();
  });
}
