// The small scope, searched breadth first over the real functions; the 10^6 states are `simulate --explore 1000000`.

import { test } from 'tap';
import { explore } from './explore.ts';

const none = { crashes: 0, pauses: 0, losses: 0, switchovers: 0 };

for (const [what, budget] of [
  ['a crash', { ...none, crashes: 1 }],
  ['a pause', { ...none, pauses: 1 }],
  ['two losses', { ...none, losses: 2 }],
  ['a switchover', { ...none, switchovers: 1 }],
  ['one of everything', { crashes: 1, pauses: 1, losses: 1, switchovers: 1 }],
] as const) {
  test(`no order of events with ${what} breaks an invariant`, (t) => {
    const report = explore({ ...budget, statesMax: 20_000 });
    t.equal(report.violation, null);
    t.ok(report.exhausted || report.states === 20_000, `${report.states} states, ${report.depth} moves deep`);
    t.end();
  });
}
