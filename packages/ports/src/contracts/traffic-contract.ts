// What every `TrafficPort` must do, tried on a real gateway that nobody has set weights on yet.

import { readFile, writeFile } from 'node:fs/promises';
import type { Epoch, RegionId } from '@continuum/core';
import { epoch, regionId } from '@continuum/core';
import type { Test } from 'tap';
import type { Result } from '../result.ts';
import type { TrafficPort } from '../traffic.ts';

export type TrafficSubject = {
  readonly traffic: TrafficPort;
  /** Another instance on the same gateway, as after a restart of the controller. */
  readonly again: () => TrafficPort;
  /** The gateway does not answer this one. */
  readonly unreachable: TrafficPort;
  readonly regions: readonly [RegionId, RegionId];
  /** Sends `count` requests through the gateway and says which regions served them. */
  readonly serve: (count: number) => Promise<ReadonlySet<string>>;
  /** Where the state is kept, to be damaged. */
  readonly stateFile: string;
  /** Opens `count` requests that the local application does not answer; the function returned answers them. */
  readonly occupy: (count: number) => Promise<() => Promise<void>>;
};

const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const code = (result: Result<unknown>): string => (result.ok ? 'ok' : result.failure.code);

export async function trafficContract(t: Test, subject: TrafficSubject): Promise<void> {
  const [one, two] = subject.regions;
  const { traffic, serve } = subject;
  const set = (at: number, shares: Readonly<Record<string, number>>): Promise<Result<null>> =>
    traffic.setWeights({ epoch: epoch(at), weights: shares }, soon());

  await t.test('nothing was ever written', async (t) => {
    t.same(await traffic.observe(), { ok: true, value: null });
  });

  await t.test('the next request after a change goes by the new weights', async (t) => {
    for (const [at, region] of [[1, one], [2, two], [3, one], [4, two], [5, one]] as const) {
      const other = region === one ? two : one;
      t.equal(code(await set(at, { [region]: 100, [other]: 0 })), 'ok');
      t.same([...(await serve(10))], [region], `epoch ${at}`);
    }
    t.equal(code(await set(6, { [one]: 1, [two]: 1 })), 'ok');
    t.same([...(await serve(60))].sort(), [one, two].sort(), 'both share');
    t.same(await traffic.observe(), { ok: true, value: { epoch: 6, weights: { [one]: 1, [two]: 1 } } });
  });

  await t.test('an epoch of the past is refused and changes nothing', async (t) => {
    await set(9, { [one]: 1 });
    t.equal(code(await set(8, { [two]: 1 })), 'CTM_EPOCH_STALE');
    t.equal(code(await subject.again().setWeights({ epoch: epoch(8), weights: { [two]: 1 } }, soon())), 'CTM_EPOCH_STALE');
    t.same(await traffic.observe(), { ok: true, value: { epoch: 9, weights: { [one]: 1 } } });
    t.same([...(await serve(10))], [one]);
    t.equal(code(await set(9, { [one]: 1 })), 'ok', 'the same again is done already');
    t.equal(code(await set(9, { [two]: 1 })), 'ok', 'the same epoch may change its mind');
    t.same([...(await serve(10))], [two]);
  });

  await t.test('weights that would serve nobody, or nobody knows, are refused', async (t) => {
    const bad = [{}, { [one]: 0 }, { [one]: 0, [two]: 0 }, { nowhere: 1 }, { [one]: 1, nowhere: 0 }, { [one]: -1, [two]: 2 }, { [one]: Number.NaN }];
    for (const weights of bad) t.equal(code(await set(10, weights)), 'CTM_WEIGHTS_INVALID', JSON.stringify(weights));
    t.same(await traffic.observe(), { ok: true, value: { epoch: 9, weights: { [two]: 1 } } });
    t.same([...(await serve(10))], [two]);
  });

  await t.test('two writers at once leave the higher epoch', async (t) => {
    const results = await Promise.all([12, 11, 13, 10].map((at) => set(at, { [one]: at })));
    t.equal(code(results[2] ?? results[0] as Result<null>), 'ok');
    t.match(await traffic.observe(), { ok: true, value: { epoch: 13, weights: { [one]: 13 } } });
  });

  await t.test('a gateway that does not answer is told within the deadline', async (t) => {
    const weights = { epoch: epoch(20) as Epoch, weights: { [regionId(one)]: 1 } };
    t.equal(code(await subject.unreachable.setWeights(weights, AbortSignal.timeout(200))), 'CTM_TRAFFIC_UNCONFIRMED');
    t.equal((await subject.unreachable.inFlight(AbortSignal.timeout(200))).ok, false);
  });

  await t.test('in flight counts what is not answered yet, exactly', async (t) => {
    await set(21, { [one]: 1 });
    t.same(await traffic.inFlight(soon()), { ok: true, value: 0 });
    for (const count of [1, 7, 150]) {
      const release = await subject.occupy(count);
      t.same(await traffic.inFlight(soon()), { ok: true, value: count });
      await release();
      t.same(await traffic.inFlight(soon()), { ok: true, value: 0 });
    }
  });

  await t.test('a damaged state is told, traffic goes on as it was', async (t) => {
    const whole = await readFile(subject.stateFile, 'utf8');
    for (const damaged of [whole.slice(0, whole.length / 2), '', 'null', whole.replace('epoch', 'epoxy')]) {
      await writeFile(subject.stateFile, damaged);
      t.equal(code(await traffic.observe()), 'CTM_TRAFFIC_STATE_CORRUPT');
      t.equal(code(await set(22, { [two]: 1 })), 'CTM_TRAFFIC_STATE_CORRUPT');
      t.same([...(await serve(5))], [one]);
    }
    await writeFile(subject.stateFile, whole);
    t.equal(code(await set(22, { [two]: 1 })), 'ok', 'mended');
    t.same([...(await serve(5))], [two]);
  });
}
