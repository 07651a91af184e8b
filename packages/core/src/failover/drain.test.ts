// The wait for the requests in flight, in the middle of a switchover: only the answer to the wait that runs now counts.

import { test } from 'tap';
import { givingHolder, only, start } from '../../testing/controller.ts';
import { decide } from './decide.ts';
import type { ControllerEvent, ControllerState, Decision } from './state.ts';

function begin(): { readonly id: number; readonly state: ControllerState } {
  const holding = givingHolder('holding', { gate: { connected: true, held: 4, mode: 'hold', epoch: 5 } });
  const { state, actions } = decide(holding, { kind: 'tick' }, start);
  return { id: only(actions, 'drain')[0]?.id ?? -1, state };
}

function answer(state: ControllerState, id: number, ok: boolean): Decision {
  const event: ControllerEvent = { kind: 'drained', id, ok, detail: ok ? 'none in flight' : '3 in flight after 2000 ms' };
  return decide(state, event, start);
}

test('the requests in flight are waited for once the gate holds, and then the database is demoted', async (t) => {
  const { id, state } = begin();
  t.match(state.phase, { kind: 'handing-over', step: 'draining' });
  const next = answer(state, id, true);
  t.match(next.state.phase, { kind: 'handing-over', step: 'demoting' });
  t.match(only(next.actions, 'database'), [{ action: { kind: 'demote', epoch: 5 } }]);
});

test('a wait of an earlier switchover that ends late neither ends nor gives up the one that runs', async (t) => {
  const { id, state } = begin();
  for (const ok of [true, false]) {
    const next = answer(state, id - 1, ok);
    t.match(next.state.phase, { kind: 'handing-over', id: 's1', step: 'draining' });
    t.same(next.actions, []);
  }
  t.match(answer(answer(state, id - 1, true).state, id, true).state.phase, { step: 'demoting' });
});

test('requests that do not end give the switchover up: the gate opens again', async (t) => {
  const { id, state } = begin();
  const next = answer(state, id, false);
  t.equal(next.state.phase.kind, 'active');
  t.match(next.state.lastSwitchover, { id: 's1', result: /^given up: requests in flight did not end: 3 in flight/ });
  t.match(only(next.actions, 'gate'), [{ directive: { mode: 'open', epoch: 5 } }]);
});
