// 10^6 packets at the beacon's answers, and 10^4 at the socket of a running one. The nightly run throws ten times as many.

import { createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { monoMs } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { Prng } from '@continuum/sim/prng';
import { generateKeyPair } from '@continuum/wire';
import { test } from 'tap';
import { startBeacon } from '../../../test/rig/beacon.ts';
import { dnsMetric } from '../../../test/rig/dns-daemon.ts';
import { freePort, runFolder, waitFor } from '../../../test/rig/process.ts';
import { fuzzBeacon, fuzzBeaconSocket } from './beacon-fuzz.ts';

test('no packet ends the beacon or gets an answer that it should not', { timeout: 200_000 }, async (t) => {
  const prng = new Prng(20_261_121);
  const report = fuzzBeacon(1_000_000, () => prng.unit());
  t.comment(JSON.stringify({ ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
  t.ok(report.attested > 10_000 && report.plain > 10_000 && report.dropped > 10_000 && report.unparsed > 1_000, 'it saw all kinds');
});

test('no packet at its socket ends the daemon, and between them it answers what is asked properly', async (t) => {
  const [folder, address, keys] = [runFolder('beacon-fuzz'), '127.47.0.4', await generateKeyPair()];
  const [privateKeyFile, controllerSocket] = [join(folder, 'key.pem'), join(folder, 'gate.sock')];
  writeFileSync(privateKeyFile, keys.privateKey, { mode: 0o600 });
  const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
  if (!link.ok) throw new Error(link.failure.message);
  t.teardown(() => link.value.close());
  link.value.set({ epoch: 7, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 600_000));
  const at = { address, port: await freePort(address), metricsPort: await freePort(address) };
  const unlimited = { perSecond: 1_000_000, burst: 1_000_000 };
  const daemon = await startBeacon({ folder: join(folder, 'beacon'), region: 'r1', zone: 'attest.app.test', ...at, lease: 'counter', controllerSocket, privateKeyFile, rateLimit: unlimited });
  t.teardown(() => daemon.stop());
  await waitFor('the beacon to attest', async () => ((await dnsMetric(at, 'continuum_beacon_attests_seconds{lease="counter"}')) ?? 0) > 0);
  const prng = new Prng(20_261_122);
  const report = await fuzzBeaconSocket(at, createPublicKey(keys.privateKey), 10_000, () => prng.unit());
  t.comment(JSON.stringify({ ...report, wrong: report.wrong.length }));
  t.same(report.wrong.slice(0, 3), []);
  t.equal(report.good, 200, 'after each batch');
  t.ok(report.answered > 1_000, 'some of the packets are questions still');
  t.ok(daemon.running());
  for (const reason of ['malformed', 'length', 'not-a-question', 'name']) t.ok(((await dnsMetric(at, `continuum_beacon_dropped_total{reason="${reason}",transport="udp"}`)) ?? 0) > 0, reason);
});
