// How many senders are remembered, and which one is forgotten.

import { PROBERS_MAX, monoMs } from '@continuum/core';
import { test } from 'tap';
import { createProberMemory } from './prober-memory.ts';

const now = monoMs(1_000);

test('of more senders than are remembered the one that was heard of least lately is new again', async (t) => {
  const memory = createProberMemory();
  for (let index = 0; index < PROBERS_MAX; index++) memory.answered(`ns${index}`, now);
  memory.answered('ns0', now);
  memory.answered('one more', now);
  t.same(['ns0', 'ns2', 'one more', 'ns1'].map((source) => memory.admit(source, now)), [true, true, true, false]);
});

test('each sender has its own past', async (t) => {
  const memory = createProberMemory();
  for (const source of ['ns1', 'ns2']) memory.answered(source, now);
  memory.gaveUp('ns1');
  t.same(['ns1', 'ns2', 'ns1'].map((source) => memory.admit(source, now)), [false, true, true]);
});
