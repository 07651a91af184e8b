// What is believed of the gates: only what they have in force of the last directive.

import { test } from 'tap';
import { gateObservation } from './gate-observation.ts';

const given = { version: 7, mode: 'hold', epoch: 5 } as const;
const word = { connected: true, held: 2, applied: 7 };

test('gates do what they were told last once all of them have it in force', async (t) => {
  t.same(gateObservation(given, word), { connected: true, held: 2, mode: 'hold', epoch: 5 });
});

test('what is in force of an earlier or an unknown directive says nothing of the last one', async (t) => {
  const unknown = { connected: true, held: 2, mode: null, epoch: 0 };
  for (const applied of [0, 6, 8]) t.same(gateObservation(given, { ...word, applied }), unknown);
  t.same(gateObservation(null, word), unknown, 'nothing was directed');
  t.same(gateObservation(null, { connected: false, held: 0, applied: 0 }), { connected: false, held: 0, mode: null, epoch: 0 }, 'nor is anybody there');
});
