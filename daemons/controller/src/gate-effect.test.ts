// What the controller is told of its gates: only what stands now counts as what they do.

import { test } from 'tap';
import type { Action, GateDirective } from '@continuum/core';
import { epoch, monoMs } from '@continuum/core';
import { createGateEffect } from './gate-effect.ts';

const HOLD: GateDirective = { epoch: epoch(5), mode: 'hold', validUntilMs: monoMs(9_000), activeRegion: null, holdForwarded: false };

function direct(directive: GateDirective): Extract<Action, { kind: 'gate' }> {
  return { kind: 'gate', directive };
}

/** A link whose gates have applied what they are said to have. */
function fakeLink(): { set: () => number; observed: () => { connected: boolean; held: number; applied: number; epoch: number }; applied: number } {
  let version = 0;
  const link = { applied: 0, set: () => ++version, observed: () => ({ connected: true, held: 2, applied: link.applied, epoch: 4 }) };
  return link;
}

test('what gates do is told once they have the directive in force', async (t) => {
  const [gates, link] = [createGateEffect(), fakeLink()];
  t.match(gates.observed(), { kind: 'gate-observed', observation: { connected: false, held: 0, mode: null, epoch: 0 } }, 'no link yet');
  gates.use(link);
  t.match(gates.observed(), { observation: { connected: true, held: 2, mode: null, epoch: 0 } }, 'nothing was directed yet');
  gates.direct(direct(HOLD), 30_000);
  t.match(gates.observed(), { observation: { mode: null, epoch: 0 } }, 'not taken yet');
  link.applied = 1;
  t.match(gates.observed(), { observation: { connected: true, held: 2, mode: 'hold', epoch: 5 } });
});

test('an event that waited while the next directive was given says nothing of that one', async (t) => {
  const [gates, link] = [createGateEffect(), fakeLink()];
  gates.use(link);
  gates.direct(direct(HOLD), 30_000);
  link.applied = 1;
  // Posted while the gates held for the promotion; taken after they were told to open, and to hold once more for a switchover.
  const posted = gates.observed();
  t.match(posted, { observation: { mode: 'hold', epoch: 5 } });
  gates.direct(direct({ ...HOLD, mode: 'open' }), 30_000);
  gates.direct(direct(HOLD), 30_000);
  t.match(posted, { observation: { mode: null, epoch: 0 } });
  link.applied = 3;
  t.match(posted, { observation: { mode: 'hold', epoch: 5 } });
});

test('a link is given how long a request may wait, and a validity only for an open gate', async (t) => {
  const given: unknown[] = [];
  const gates = createGateEffect();
  gates.direct(direct(HOLD), 30_000);
  gates.use({ set: (...args) => given.push(args), observed: () => ({ connected: false, held: 0, applied: 0, epoch: 0 }) });
  gates.direct(direct(HOLD), 30_000);
  gates.direct(direct({ ...HOLD, mode: 'open' }), 30_000);
  const instruction = { epoch: 5, activeRegion: null, holdForwarded: false, holdMsMax: 30_000 };
  t.same(given, [
    [{ ...instruction, mode: 'hold' }, 0],
    [{ ...instruction, mode: 'open' }, 9_000],
  ]);
});
