// The wait for the requests in flight, in the middle of a switchover: only the answer to the wait that runs now counts.

import { test } from 'tap';
import type { LeaseView } from '../lease/types.ts';
import { deriveTimings } from '../policy.ts';
import { epoch, monoMs, regionId, wallMs } from '../types.ts';
import { decide, initialState } from './decide.ts';
import type { ControllerEvent, ControllerState, Decision, Policy } from './state.ts';

const [r1, r2] = [regionId('r1'), regionId('r2')];
const timings = deriveTimings(10_000);
const now = { monoMs: monoMs(1_000), wallMs: wallMs(1_000_000) };
const policy: Policy = {
  name: 'counter',
  region: r1,
  regions: [r1, r2],
  databases: { r1: '10.0.0.1:5432', r2: '10.0.0.2:5432' },
  mode: 'automatic',
  timings,
  hash: 'same',
};
const held: LeaseView = {
  name: 'counter',
  revision: 3,
  epoch: epoch(1),
  holder: r1,
  instance: 'a',
  ttlMs: timings.ttlMs,
  remainingMs: timings.ttlMs,
  inSync: [r1, r2],
  policyHash: 'same',
  handover: null,
  intent: { id: 's2', from: r1, to: r2, target: 'ready', reasons: [] },
  seq: 2,
};

/** The holder, whose gate has just begun to hold requests for switchover `s2`. */
function holding(): ControllerState {
  return {
    ...initialState(policy, { instance: 'a', epoch: 1 }, now),
    phase: { kind: 'handing-over', id: 's2', to: r2, step: 'holding', token: null, deadlineMs: monoMs(3_000) },
    view: held,
    viewMs: now.monoMs,
    grant: { epoch: epoch(1), validUntilMs: monoMs(9_000) },
    promotedEpoch: 1,
    persistedEpoch: 1,
    gate: { connected: true, held: 4, mode: 'hold', epoch: 1 },
  };
}

function begin(): { readonly id: number; readonly state: ControllerState } {
  const { state, actions } = decide(holding(), { kind: 'tick' }, now);
  const drain = actions.find((action) => action.kind === 'drain');
  return { id: drain?.id ?? -1, state };
}

function answer(state: ControllerState, id: number, ok: boolean): Decision {
  const event: ControllerEvent = { kind: 'drained', id, ok, detail: ok ? 'none in flight' : '3 in flight after 2000 ms' };
  return decide(state, event, now);
}

test('the requests in flight are waited for once the gate holds, and then the database is demoted', async (t) => {
  const { id, state } = begin();
  t.match(state.phase, { kind: 'handing-over', step: 'draining' });
  const next = answer(state, id, true);
  t.match(next.state.phase, { kind: 'handing-over', step: 'demoting' });
  t.match(next.actions.find((action) => action.kind === 'database'), { action: { kind: 'demote', epoch: 1 } });
});

test('a wait of an earlier switchover that ends late neither ends nor gives up the one that runs', async (t) => {
  const { id, state } = begin();
  for (const ok of [true, false]) {
    const next = answer(state, id - 1, ok);
    t.match(next.state.phase, { kind: 'handing-over', id: 's2', step: 'draining' });
    t.same(next.actions, []);
  }
  t.match(answer(answer(state, id - 1, true).state, id, true).state.phase, { step: 'demoting' });
});

test('requests that do not end give the switchover up: the gate opens again', async (t) => {
  const { id, state } = begin();
  const next = answer(state, id, false);
  t.equal(next.state.phase.kind, 'active');
  t.match(next.state.lastSwitchover, { id: 's2', result: /^given up: requests in flight did not end: 3 in flight/ });
  t.match(next.actions.find((action) => action.kind === 'gate'), { directive: { mode: 'open', epoch: 1 } });
});
