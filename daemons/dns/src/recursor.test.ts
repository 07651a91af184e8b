// The beacon through a recursor that does what public resolvers do: it asks label by label, and comes back over TCP when it is cut.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuorum } from '@continuum/adapters/quorum/index';
import { createQuestions } from '@continuum/adapters/quorum/questions';
import type { Vote } from '@continuum/core';
import { monoMs, regionId } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { test } from 'tap';
import { exchange, startBeacon } from '../../../test/rig/beacon.ts';
import { dnsMetric } from '../../../test/rig/dns-daemon.ts';
import { startRecursor } from '../../../test/rig/dns.ts';
import { freePort, runFolder, waitFor } from '../../../test/rig/process.ts';

const ZONE = 'attest.app.test';
const ADDRESS = '127.47.0.4';
const RECURSOR = '127.47.8.9';
const BURST = 40;
const folder = runFolder('dns-recursor');
const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };

test('a recursor that asks label by label gets the signed word, also while somebody floods the beacon in its name', async (t) => {
  const [controllerSocket, privateKeyFile] = [join(folder, 'gate.sock'), join(folder, 'key.pem')];
  writeFileSync(privateKeyFile, keys.r1.privateKey, { mode: 0o600 });
  const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
  if (!link.ok) throw new Error(link.failure.message);
  t.teardown(() => link.value.close());
  link.value.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 60_000));
  const at = { address: ADDRESS, port: await freePort(ADDRESS) };
  const metricsPort = await freePort(ADDRESS);
  const rateLimit = { perSecond: 1, burst: BURST };
  const beacon = await startBeacon({ folder: join(folder, 'beacon'), region: 'r1', zone: ZONE, ...at, metricsPort, lease: 'counter', controllerSocket, privateKeyFile, rateLimit });
  t.teardown(() => beacon.stop());
  const recursor = await startRecursor({ folder: join(folder, 'recursor'), name: 'one', address: RECURSOR, port: await freePort(RECURSOR), forward: [{ zone: `r1.${ZONE}`, servers: [at] }], settings: { 'qname-minimization': 'yes' } });
  t.teardown(() => recursor.started.stop());
  const voter = { name: 'one', vendor: 'some', address: RECURSOR, port: recursor.server.port ?? 53 };
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: regionId('r2'), voters: [voter], publicKeys: { 'r1/1': keys.r1.publicKey, 'r2/1': keys.r2.publicKey } });
  t.teardown(() => quorum.close());
  const vote = async (): Promise<Vote | undefined> => (await quorum.round(regionId('r1'), 2_000, new AbortController().signal))[0]?.vote;
  const sample = (name: string): Promise<number | null> => dnsMetric({ address: ADDRESS, metricsPort }, `continuum_beacon_${name}`);
  const answers = (kind: string, transport: string): Promise<number | null> => sample(`answers_total{kind="${kind}",transport="${transport}"}`);

  await waitFor('the word of the region', async () => (await vote())?.kind === 'attested');
  t.ok(((await answers('nodata', 'udp')) ?? 0) >= 1, 'it asked for the lease first');
  t.ok(((await answers('attested', 'udp')) ?? 0) >= 1);
  t.equal(await answers('attested', 'tcp'), null);

  // The recursor asks from 127.0.0.1, as this process does.
  const question = createQuestions(`counter.r1.${ZONE}`);
  let flooding = true;
  const flood = Array.from({ length: 4 }, async () => {
    while (flooding) await exchange(question.next().bytes, at);
  });
  await waitFor('its share to be used up', async () => ((await sample(`dropped_total{reason="rate-cut",transport="udp"}`)) ?? 0) > BURST);
  t.same(await vote(), { kind: 'attested', epoch: 4 });
  flooding = false;
  await Promise.all(flood);
  t.ok(((await answers('attested', 'tcp')) ?? 0) >= 1, 'over TCP');
});
