// A name server's probe that waits at the gate for the next change of the lease: real Envoys, real gates, real PowerDNS.

import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import t from 'tap';
import { startAuthoritative } from '../rig/dns.ts';
import { hotStandbyRecord } from '../rig/dns-records.ts';
import { WELL_KNOWN, startGatewayPair } from '../rig/gateway-pair.ts';
import type { GatewayRegion, Reply } from '../rig/gateway-pair.ts';
import { freePort, runFolder, waitFor } from '../rig/process.ts';

const [R1, R2] = ['127.45.1.1', '127.45.2.1'];
const NAME = 'shop.app.test';
const LONG_MS = 3_600_000;
const pair = await startGatewayPair('waiting-probe', [R1, R2]);
const { r1, r2 } = pair;
t.teardown(() => pair.close());

const waiting = (region: GatewayRegion): Promise<number> => region.metric('continuum_gate_waiting_probes');
const probe = (region: GatewayRegion, waitMs = 2_000): Promise<Reply> => region.get(`${WELL_KNOWN}?wait=${waitMs}`);

/** A probe that is at the gate and waits. Soon after a change the gate answers at once, so it is asked until it waits. */
async function probeThatWaits(region: GatewayRegion): Promise<Promise<Reply>[]> {
  const asked: Promise<Reply>[] = [];
  await waitFor(`a probe to wait at ${region.name}`, async () => {
    asked.splice(0, asked.length, probe(region));
    await Promise.race([asked[0], new Promise((resolve) => setTimeout(resolve, 100))]);
    return (await waiting(region)) === 1;
  });
  return asked;
}

t.test('with no change it is answered when its wait is over; one that asks for no wait is answered meanwhile', async (t) => {
  await r1.tell({ mode: 'open' }, LONG_MS);
  await (await probeThatWaits(r1))[0];
  const askedMs = performance.now();
  const waits = probe(r1, 600);
  await waitFor('it to wait', async () => (await waiting(r1)) === 1, { everyMs: 5 });
  t.equal((await r1.get(WELL_KNOWN)).status, 200);
  t.equal(await waiting(r1), 1, 'the other one still waits');
  const { status, text, atMs } = await waits;
  t.same([status, text], [200, 'active region=r1\n']);
  t.ok(atMs - askedMs >= 600, 'not before');
});

t.test('it is answered at the change, in both directions', async (t) => {
  const [up] = await probeThatWaits(r1);
  await r1.tell({ mode: 'closed' });
  t.equal((await up)?.status, 503);
  const [down] = await probeThatWaits(r1);
  await r1.tell({ mode: 'open' }, LONG_MS);
  t.equal((await down)?.status, 200);
});

t.test('with the controller silent it is answered when the validity ends, and never "active" after', async (t) => {
  await r1.tell({ mode: 'open' }, LONG_MS);
  await (await probeThatWaits(r1))[0];
  const endsMs = performance.now() + 1_000;
  await r1.tell({ mode: 'open' }, 1_000);
  await r1.link().close();
  const replies = await Promise.all([0, 100, 200].map((lateMs) => new Promise<Reply>((resolve) => setTimeout(() => resolve(probe(r1)), lateMs))));
  for (const { status, atMs } of replies) t.ok(status === 503 && atMs >= endsMs - 50, `${status}, ${Math.round(atMs - endsMs)} ms after the end`);
  await r1.openLink();
});

t.test('one that waits at a stopping gate is answered by the next gate process', async (t) => {
  await r1.tell({ mode: 'open' }, LONG_MS);
  const [waits] = await probeThatWaits(r1);
  await r1.gateway.gate?.stop();
  await r1.gateway.startGate();
  t.equal((await waits)?.status, 200);
});

t.test('a name follows flip after flip with probes that wait, and is never without a region', async (t) => {
  await Promise.all([r1.tell({ mode: 'open' }, LONG_MS), r2.tell({ mode: 'closed' })]);
  const at = { address: R1, dnsPort: await freePort(R1), apiPort: await freePort(R1) };
  const authority = await startAuthoritative({ ...at, folder: join(runFolder('waiting-probe-dns'), 'pdns'), region: 'r1', apiKey: 'key', zone: 'app.test', nameServers: [{ region: 'r1', address: R1 }] });
  const regions = [{ region: 'r1', addresses: [R1] }, { region: 'r2', addresses: [R2] }];
  const record = hotStandbyRecord({ name: NAME, lease: 'shop', port: Number(new URL(r1.gateway.url).port), ttlSeconds: 1, regions });
  t.ok((await authority.publisher.publish('app.test', [record], AbortSignal.timeout(5_000))).ok);
  const resolver = new Resolver({ timeout: 3_000, tries: 1 });
  resolver.setServers([`${R1}:${at.dnsPort}`]);
  const named = async (address: string): Promise<boolean> => {
    const answer = await resolver.resolve4(NAME);
    t.ok(answer.length > 0 && answer.every((one) => one === R1 || one === R2), answer.join());
    return answer.join() === address;
  };
  const tookMs: number[] = [];
  await waitFor('r1 named', () => named(R1));
  let [holder, other, address] = [r1, r2, R2];
  for (let flip = 0; flip < 6; flip++) {
    await waitFor('both probes to wait', async () => (await waiting(r1)) + (await waiting(r2)) === 2, { everyMs: 20 });
    const flippedMs = performance.now();
    await Promise.all([holder.tell({ mode: 'closed' }), other.tell({ mode: 'open' }, LONG_MS)]);
    await waitFor(`${other.name} named`, () => named(address), { everyMs: 5 });
    tookMs.push(Math.round(performance.now() - flippedMs));
    [holder, other, address] = [other, holder, address === R1 ? R2 : R1];
  }
  t.comment(`flips seen after ${tookMs.join(', ')} ms`);
  await authority.started.stop();
});
