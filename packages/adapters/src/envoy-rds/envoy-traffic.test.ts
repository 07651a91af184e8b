// The weights, on a real Envoy without a gate: nothing steers here but them.

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { epoch, regionId } from '@continuum/core';
import { trafficContract } from '@continuum/ports/contracts/traffic-contract';
import { Agent, request } from 'undici';
import t from 'tap';
import { startEchoApp } from '../../../../test/rig/echo-app.ts';
import type { Echo } from '../../../../test/rig/echo-app.ts';
import { startGateway } from '../../../../test/rig/gateway.ts';
import { freePort, runFolder, stopAll, waitFor } from '../../../../test/rig/process.ts';
import { createEnvoyTraffic } from './envoy-traffic.ts';

const [here, there] = ['127.44.1.1', '127.44.2.1'];
const folder = runFolder('envoy-rds');
const ports = await Promise.all(Array.from({ length: 5 }, () => freePort(here, there)));
const [port, adminPort, gatePort, gateMetricsPort, appPort] = ports as [number, number, number, number, number];
const app = await startEchoApp({ region: 'r1', address: here, port: appPort });
const gateway = await startGateway({
  folder,
  region: 'r1',
  address: here,
  port,
  adminPort,
  gatePort,
  gateMetricsPort,
  appPort,
  controllerSocket: join(folder, 'no.sock'),
  peers: [{ region: 'r2', address: there, port }],
  leaseName: 'shop',
  gated: false,
});
const { traffic, trafficOptions } = gateway;
const client = new Agent({ connections: 256 });
t.teardown(async () => {
  await Promise.all([client.destroy(), app.close(), stopAll()]);
});
const soon = (): AbortSignal => AbortSignal.timeout(5_000);

async function get(path: string, headers: Record<string, string> = {}): Promise<{ status: number; echo: Echo }> {
  const { statusCode, body } = await request(`${gateway.url}${path}`, { dispatcher: client, headers });
  const text = await body.text();
  return { status: statusCode, echo: text.startsWith('{"region') ? (JSON.parse(text) as Echo) : { region: text, path, headers: {} } };
}

t.test('before anybody set weights nobody is served by them', async (t) => {
  const { statusCode, headers, body } = await request(gateway.url, { dispatcher: client });
  t.equal(statusCode, 503);
  t.equal(headers['x-continuum-refused'], 'CTM_GATEWAY_NO_WEIGHTS');
  t.match(await body.json(), { code: 'CTM_GATEWAY_NO_WEIGHTS', status: 503 });
});

t.test('the contract of a gateway', async (t) => {
  const peerApp = await startEchoApp({ region: 'r2', address: there, port: appPort });
  t.teardown(() => peerApp.close());
  const peer = await startGateway({
    folder: join(folder, 'peer'),
    region: 'r2',
    address: there,
    port,
    adminPort,
    gatePort,
    gateMetricsPort,
    appPort,
    controllerSocket: join(folder, 'no.sock'),
    peers: [{ region: 'r1', address: here, port }],
    leaseName: 'shop',
    gated: false,
  });
  t.match(await peer.traffic.setWeights({ epoch: epoch(1), weights: { [regionId('r2')]: 1 } }, soon()), { ok: true });
  await trafficContract(t, {
    traffic,
    again: () => createEnvoyTraffic(trafficOptions),
    unreachable: createEnvoyTraffic({
      ...trafficOptions,
      routeFile: join(folder, 'unreachable.json'),
      admin: { address: here, port: await freePort(here) },
    }),
    regions: [regionId('r1'), regionId('r2')],
    serve: async (count) => new Set((await Promise.all(Array.from({ length: count }, () => get('/')))).map(({ echo }) => echo.region)),
    stateFile: gateway.paths.routeFile,
    occupy: async (count) => {
      const requests = Array.from({ length: count }, () => get('/slow'));
      await waitFor(`${count} requests to arrive`, () => app.waiting() === count);
      return async () => {
        app.release();
        await Promise.all(requests);
      };
    },
  });

  await t.test('a request that came from another region is not sent on', async (t) => {
    t.match(await traffic.setWeights({ epoch: epoch(30), weights: { [regionId('r2')]: 1 } }, soon()), { ok: true });
    const before = peerApp.served();
    const { statusCode, headers } = await request(gateway.url, { dispatcher: client, headers: { 'x-continuum-forwarded': 'r3' } });
    t.equal(statusCode, 503);
    t.equal(headers['x-continuum-refused'], 'CTM_GATEWAY_LOOP');
    t.equal(peerApp.served(), before);
  });

  await t.test('Envoy keeps the last good table over a damaged or removed file, and a restart of it keeps the weights', async (t) => {
    const whole = await readFile(gateway.paths.routeFile, 'utf8');
    await rm(gateway.paths.routeFile);
    t.equal((await get('/')).echo.region, 'r2');
    await writeFile(gateway.paths.routeFile, whole);
    await gateway.envoy.kill();
    await gateway.startEnvoy();
    t.equal((await get('/')).echo.region, 'r2');
    t.match(await traffic.setWeights({ epoch: epoch(30), weights: { [regionId('r2')]: 1 } }, soon()), { ok: true }, 'confirmed anew');
  });
});
