// The beacon's countdown: what it attests ends when the controller said, whatever happens to controller, clock or machine.

import { join } from 'node:path';
import { monoMs, wallMs } from '@continuum/core';
import type { Now } from '@continuum/core';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import type { GateInstruction } from '@continuum/wire/gate-link';
import { test } from 'tap';
import { runFolder, waitFor } from '../../../test/rig/process.ts';
import { createCountdown, watchGrant } from './grant-watch.ts';

const open: GateInstruction = { version: 1, epoch: 5, mode: 'open', remainingMs: 1_000, activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 };
const at = (mono: number, slept = 0): Now => ({ monoMs: monoMs(mono), wallMs: wallMs(1_000_000 + mono + slept) });

function counting(start = 0) {
  let now = at(start);
  return { ...createCountdown(() => now), at: (mono: number, slept = 0) => (now = at(mono, slept)) };
}

test('validity counts from before the question, and ends', async (t) => {
  const count = counting();
  t.equal(count.held(), null, 'nothing is known at first');
  count.at(400);
  count.take(open, at(100));
  t.same(count.held(), { epoch: 5, remainingMs: 700 });
  count.take(null, at(400));
  t.same(count.held(), { epoch: 5, remainingMs: 700 }, 'a controller that is starting changes nothing');
  count.at(1_099.5);
  t.equal(count.held(), null, 'less than a millisecond is nothing');
});

test('only an open gate of the highest epoch is attested', async (t) => {
  for (const mode of ['hold', 'forward', 'closed'] as const) {
    const count = counting();
    count.take(open, at(0));
    count.take({ ...open, mode, remainingMs: 500 }, at(1));
    t.equal(count.held(), null, mode);
  }
  const count = counting();
  count.take({ ...open, epoch: 6 }, at(0));
  t.equal(count.take(open, at(1)), false, 'a controller of the past is not believed');
  t.match(count.held(), { epoch: 6 });
  count.take({ ...open, epoch: 7, mode: 'forward' }, at(2));
  t.equal(count.held(), null);
});

test('after a sleep nothing is attested until the controller says so again', async (t) => {
  const count = counting();
  count.take(open, at(0));
  count.at(10, 30_000);
  t.equal(count.held(), null);
  count.take({ ...open, version: 2 }, at(10, 30_000));
  t.match(count.held(), { epoch: 5 });
});

test('over a real link, as a beacon: renewed while the controller lives, counted down when it is gone', async (t) => {
  const socketPath = join(runFolder('grant-watch'), 'gate.sock');
  const clock = (): Now => ({ monoMs: monoMs(performance.now()), wallMs: wallMs(Date.now()) });
  const made = await createGateLink({ socketPath, clock });
  if (!made.ok) throw new Error(made.failure.message);
  const { version: _version, remainingMs: _remainingMs, ...instruction } = open;
  made.value.set(instruction, monoMs(performance.now() + 600));
  const watch = watchGrant({ controllerSocket: socketPath, askIntervalMs: 20, clock, random: () => 0, onConnected: () => undefined, onDisconnected: () => undefined });
  t.teardown(() => watch.close());
  await waitFor('a grant', () => watch.held() !== null);
  t.equal(made.value.observed().connected, false, 'it is not one of the gates');
  made.value.set(instruction, monoMs(performance.now() + 1_500));
  await waitFor('the longer one', () => (watch.held()?.remainingMs ?? 0) > 700);
  await made.value.close();
  await waitFor('the controller to be missed', () => !watch.connected());
  t.ok(watch.held() !== null, 'what was said still counts');
  await waitFor('its end', () => watch.held() === null);
});
