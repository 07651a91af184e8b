// The beacons as the rest of the world reaches them: nobody is told where they are; the parent zone delegates to them by NS and glue,
// and real recursors follow. A delegation always leads to port 53, so this needs an account that may use it; an account that may not
// sees the referral itself.

import { writeFileSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { Packet } from 'dns2';
import { test } from 'tap';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuorum } from '@continuum/adapters/quorum/index';
import { monoMs, regionId } from '@continuum/core';
import type { Rrset } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { exchange, startBeacon } from '../rig/beacon.ts';
import { PUBLIC_RESOLVERS, startAuthoritative, startResolvers } from '../rig/dns.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';

const PARENT = 'app.test';
const ZONE = `attest.${PARENT}`;
const AUTHORITY = '127.51.0.1';
const BEACONS = { r1: '127.51.1.1', r2: '127.51.2.1' } as const;
const REGIONS = ['r1', 'r2'] as const;
const DNS_PORT = 53;
const folder = runFolder('delegation');
const [dnsPort, apiPort] = [await freePort(AUTHORITY), await freePort(AUTHORITY)];
const authority = await startAuthoritative({ folder: join(folder, 'parent'), region: 'parent', address: AUTHORITY, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: PARENT, nameServers: [{ region: 'parent', address: AUTHORITY }] });

/** As the README of the daemon says. */
const delegations = REGIONS.flatMap((region): Rrset[] => [
  { name: `${region}.${ZONE}.`, type: 'NS', ttlSeconds: 60, records: [`ns.${region}.${ZONE}.`] },
  { name: `ns.${region}.${ZONE}.`, type: 'A', ttlSeconds: 60, records: [BEACONS[region]] },
]);
const published = await authority.publisher.publish(PARENT, delegations, AbortSignal.timeout(5_000));
if (!published.ok) throw new Error(published.failure.message);

test('the parent refers to the beacon: its name server with its address, and nothing of its own', async (t) => {
  for (const region of REGIONS) {
    const question = new Packet();
    question.header = new Packet.Header({ id: 7, rd: 0 });
    question.questions = [new Packet.Question(`abc.counter.${region}.${ZONE}`, Packet.TYPE.TXT, Packet.CLASS.IN)];
    const bytes = await exchange(question.toBuffer(), { address: AUTHORITY, port: dnsPort }, 2_000);
    const reply = Packet.parse(bytes ?? Buffer.alloc(0));
    t.match(reply.header, { rcode: 0, aa: 0 });
    t.same(reply.answers, []);
    t.match(reply.authorities, [{ name: `${region}.${ZONE}`, type: Packet.TYPE.NS, ns: `ns.${region}.${ZONE}` }]);
    t.match(reply.additionals, [{ name: `ns.${region}.${ZONE}`, type: Packet.TYPE.A, address: BEACONS[region] }]);
  }
});

test('three real recursors follow the delegation, and the quorum votes by it', async (t) => {
  if (!(await mayUsePort(BEACONS.r1))) return t.comment('this account may not use port 53: the referral above is all it can see');
  const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };
  const links = await Promise.all(
    REGIONS.map(async (region) => {
      const home = join(folder, region);
      const [controllerSocket, privateKeyFile] = [join(folder, `${region}.sock`), join(folder, `${region}.pem`)];
      writeFileSync(privateKeyFile, keys[region].privateKey, { mode: 0o600 });
      const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
      if (!link.ok) throw new Error(link.failure.message);
      const at = { address: BEACONS[region], port: DNS_PORT, metricsPort: await freePort(BEACONS[region]) };
      const beacon = await startBeacon({ folder: home, region, zone: ZONE, ...at, lease: 'counter', controllerSocket, privateKeyFile });
      return { link: link.value, beacon };
    }),
  );
  const port = await freePort(...PUBLIC_RESOLVERS.map(({ address }) => address));
  const forward = [{ zone: PARENT, servers: [{ address: AUTHORITY, port: dnsPort }] }];
  const recursors = await startResolvers({ folder: join(folder, 'resolvers'), port, forward, delegatesTo: Object.values(BEACONS) });
  for (const { server } of recursors) {
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`${server.address}:${port}`]);
    t.same(await resolver.resolveNs(`r1.${ZONE}`), [`ns.r1.${ZONE}`]);
    t.match(await resolver.resolveSoa(`r2.${ZONE}`), { nsname: `ns.r2.${ZONE}` });
  }
  const voters = recursors.map(({ server }, index) => ({ name: server.name, vendor: ['google', 'cloudflare', 'quad9'][index] ?? '', address: server.address, port }));
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: regionId('r2'), voters, publicKeys: { 'r1/1': keys.r1.publicKey, 'r2/1': keys.r2.publicKey } });
  const votes = async (): Promise<string[]> => (await quorum.round(regionId('r1'), 2_000, new AbortController().signal)).map(({ vote }) => vote.kind);
  const [r1, r2] = links;
  t.same(await votes(), ['silent', 'silent', 'silent'], 'nobody holds it, and each reaches the asking region');
  r1?.link.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 60_000));
  await waitFor('three attestations', async () => (await votes()).every((kind) => kind === 'attested'));
  await r1?.beacon.kill();
  t.same(await votes(), ['silent', 'silent', 'silent'], 'it is gone, and each still reaches the asking region');
  await r2?.beacon.kill();
  t.same(await votes(), ['abstain', 'abstain', 'abstain'], 'who reaches nothing knows nothing');
  await Promise.all([quorum.close(), ...links.map(({ link }) => link.close())]);
});

test('the servers end', async (t) => {
  await stopAll();
  t.notOk(authority.started.running());
});

function mayUsePort(address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EACCES' ? resolve(false) : reject(error)));
    socket.bind(DNS_PORT, address, () => socket.close(() => resolve(true)));
  });
}
