// Times from the grant to the answer, at a name server that answers what the test says.

import { Packet, UDPServer } from 'dns2';
import type { Resource } from 'dns2';
import { test } from 'tap';
import type { Test } from 'tap';
import { freePort, waitFor } from '../../../test/rig/process.ts';
import { watchFlips } from './flip-watch.ts';

const ADDRESS = '127.49.0.9';
const port = await freePort(ADDRESS);
let answered: readonly string[] = [];
let asked = 0;
const server = new UDPServer((request, send) => {
  asked += 1;
  const reply = Packet.createResponseFromRequest(request);
  reply.answers = answered.map((address) => ({ name: request.questions[0]?.name, type: Packet.TYPE.A, class: Packet.CLASS.IN, ttl: 0, address })) as Resource[];
  void send(reply);
});
await new Promise<void>((resolve) => server.bind(port, ADDRESS, resolve));

/** A watch of region r1, whose address is 192.0.2.1; its clock stands still until it is moved. */
function watch(t: Test) {
  const state = { followed: true, looks: 0, epoch: null as number | null, reads: 0, nowMs: 0, flips: [] as (number | null)[] };
  const ending = new AbortController();
  const running = watchFlips(
    {
      authority: { address: ADDRESS, port },
      asked: () => ((state.looks += 1), state.followed ? { name: 'shop.app.test', addresses: ['192.0.2.1'] } : null),
      heldEpoch: () => ((state.reads += 1), state.epoch),
      nowMs: () => state.nowMs,
      onFlip: (seconds) => state.flips.push(seconds),
    },
    ending.signal,
  );
  t.teardown(async () => {
    ending.abort();
    await running;
  });
  return state;
}
const looks = (more: number): Promise<unknown> => {
  const before = asked;
  return waitFor('more questions', () => asked >= before + more);
};
/** What the controller says from now on; the loop has come round and seen it. */
const says = (state: ReturnType<typeof watch>, epoch: number | null): Promise<unknown> => {
  state.epoch = epoch;
  const before = state.reads;
  return waitFor('the loop', () => state.reads >= before + 2);
};

test('from the grant until this region is named alone', async (t) => {
  const state = watch(t);
  answered = ['192.0.2.1', '192.0.2.2'];
  await says(state, 0);
  await says(state, 5);
  await looks(2);
  t.same(state.flips, [], 'both are named');
  state.nowMs = 1_500;
  answered = ['192.0.2.1'];
  await waitFor('the flip', () => state.flips.length > 0);
  t.same(state.flips, [1.5]);
  await says(state, 5);
  t.same(state.flips, [1.5], 'told once');
});

test('a lease that goes before DNS comes is told as missed', async (t) => {
  const state = watch(t);
  answered = ['192.0.2.2'];
  await says(state, 0);
  await says(state, 6);
  await looks(1);
  await says(state, 0);
  await waitFor('the word', () => state.flips.length > 0);
  t.same(state.flips, [null]);
});

test('a grant whose beginning nobody saw is not timed: at the start, or while the controller was not heard', async (t) => {
  const state = watch(t);
  answered = ['192.0.2.1'];
  await says(state, 7);
  await says(state, null);
  await says(state, 8);
  await says(state, 8);
  t.same(state.flips, []);
});

test('a specification that stops to follow the lease ends the timing, and the grant is not missed', async (t) => {
  const state = watch(t);
  answered = ['192.0.2.2'];
  await says(state, 0);
  await says(state, 6);
  await looks(1);
  const before = state.looks;
  state.followed = false;
  state.epoch = 0;
  await waitFor('the loop', () => state.looks >= before + 2);
  state.followed = true;
  await says(state, 0);
  t.same(state.flips, []);
});

test('the name server ends', async (t) => {
  await new Promise<void>((resolve) => server.close(() => resolve()));
  t.pass('ended');
});
