// A signed zone as a validating resolver sees it: the records that follow a lease are signed when they are asked for, and the zone of
// the beacons below it is unsigned, so that nothing of it can be answered from what the resolver has learned of the zone above. To be
// reached without being told where, name servers need port 53; an account that may not use it sees all but the proofs used again.

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Packet } from 'dns2';
import { test } from 'tap';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuorum } from '@continuum/adapters/quorum/index';
import { monoMs, regionId, renderPlacement } from '@continuum/core';
import type { Rrset } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { locate } from '../../scripts/parts.mjs';
import { exchange, startBeacon } from '../rig/beacon.ts';
import { startAuthoritative, startRecursor } from '../rig/dns.ts';
import { startLeaseGates } from '../rig/lease-gates.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';

const [AUTHORITY, BEACON, RESOLVER] = ['127.52.0.1', '127.52.1.1', '127.52.8.8'];
/** Nothing listens there: the gates are asked over IPv4, and IPv6 names all regions. */
const V6 = ['fd00:52::1', 'fd00:52::2'];
const [R1, R2] = ['127.52.2.1', '127.52.2.2'];
const PARENT = 'app.test';
const ZONE = `attest.${PARENT}`;
const { TYPE, CLASS, RCODE } = Packet;
const folder = runFolder('dnssec');
const privileged = await mayUsePort53(AUTHORITY);
const dnsPort = privileged ? 53 : await freePort(AUTHORITY);
const [apiPort, gatePort] = [await freePort(AUTHORITY), await freePort(R1, R2)];
const home = join(folder, 'parent');
const settings = { 'gsqlite3-dnssec': 'yes', 'dnssec-key-cache-ttl': '0', 'zone-metadata-cache-ttl': '0' };
const authority = await startAuthoritative({ folder: home, region: 'ns', address: AUTHORITY, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: PARENT, nameServers: [{ region: 'ns', address: AUTHORITY }], settings });
const gates = await startLeaseGates([R1, R2], gatePort);
gates.open(R1);

const standby = renderPlacement({
  placement: 'active-hotstandby',
  version: '4.7',
  zone: PARENT,
  names: [`counter.${PARENT}`, `*.counter.${PARENT}`],
  regions: [{ region: 'r1', addresses: [R1, V6[0] ?? ''] }, { region: 'r2', addresses: [R2, V6[1] ?? ''] }],
  ttlSeconds: 1,
  lease: { name: 'counter', port: gatePort },
});
if (!standby.ok) throw new Error(JSON.stringify(standby.problems));
const delegation: Rrset[] = [
  { name: `r1.${ZONE}.`, type: 'NS', ttlSeconds: 60, records: [`ns.r1.${ZONE}.`] },
  { name: `ns.r1.${ZONE}.`, type: 'A', ttlSeconds: 60, records: [BEACON] },
];
const published = await authority.publisher.publish(PARENT, [...standby.value.lua, ...delegation], AbortSignal.timeout(10_000));
if (!published.ok) throw new Error(published.failure.message);

function pdnsutil(...args: readonly string[]): string {
  const part = locate('pdnsutil');
  const run = spawnSync(part.command, [`--config-dir=${home}`, ...args], { env: { ...process.env, ...part.env }, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`pdnsutil ${args.join(' ')}: ${run.stderr}`);
  return run.stdout;
}

pdnsutil('secure-zone', PARENT);
pdnsutil('rectify-zone', PARENT);
await authority.publisher.flush(PARENT, AbortSignal.timeout(5_000));
/** `<key tag> <algorithm> 2 <SHA-256 in hex>`. */
const anchor = / DS (\d+ \d+ 2 [0-9a-f]{64})/.exec(pdnsutil('export-zone-ds', PARENT))?.[1] ?? '';

const keys = await generateKeyPair();
const [controllerSocket, privateKeyFile] = [join(folder, 'gate.sock'), join(folder, 'key.pem')];
writeFileSync(privateKeyFile, keys.privateKey, { mode: 0o600 });
const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
if (!link.ok) throw new Error(link.failure.message);
link.value.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 600_000));
const beaconAt = { address: BEACON, port: privileged ? 53 : await freePort(BEACON), metricsPort: await freePort(BEACON) };
await startBeacon({ folder: join(folder, 'beacon'), region: 'r1', zone: ZONE, ...beaconAt, lease: 'counter', controllerSocket, privateKeyFile });

/** Validates from `trustAnchor` down. Told where the zones are only where port 53 is out of reach: of zones it is told of it uses no proof again. */
async function validating(name: string, trustAnchor: string): Promise<{ readonly address: string; readonly port: number }> {
  const at = { address: RESOLVER, port: await freePort(RESOLVER) };
  const [lua, hints] = [join(folder, `${name}.lua`), join(folder, 'hints')];
  writeFileSync(lua, `addTA('${PARENT}', '${trustAnchor}')\n`);
  writeFileSync(hints, `. 3600 IN NS ns.root.test.\nns.root.test. 3600 IN A ${AUTHORITY}\n`);
  const forward = privileged ? [] : [{ zone: PARENT, servers: [{ address: AUTHORITY, port: dnsPort }] }, { zone: `r1.${ZONE}`, servers: [beaconAt] }];
  const settings = { 'dnssec': 'validate', 'lua-config-file': lua, 'aggressive-nsec-cache-size': '10000', ...(privileged ? { 'hint-file': hints } : {}) };
  await startRecursor({ folder: join(folder, name), name, ...at, forward, delegatesTo: [AUTHORITY, BEACON], settings });
  return at;
}

type Heard = { readonly rcode: number; readonly validated: boolean; readonly types: readonly number[]; readonly addresses: readonly string[] };

async function ask(at: { readonly address: string; readonly port: number }, name: string, type: number): Promise<Heard> {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 7, rd: 1 });
  packet.questions = [new Packet.Question(name, type, CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: 4_096, doFlag: true })];
  const bytes = (await exchange(packet.toBuffer(), at, 3_000)) ?? Buffer.alloc(0);
  const { header, answers } = Packet.parse(bytes);
  return { rcode: header.rcode, validated: ((bytes[3] ?? 0) & 0x20) !== 0, types: answers.map((one) => one.type), addresses: answers.flatMap(({ address }) => (typeof address === 'string' ? [address] : [])) };
}

const RRSIG = 46;
const good = await validating('good', anchor);

test('a validating resolver proves every record that follows the lease: both families, a name and a wildcard', async (t) => {
  t.match(anchor, /^\d+ \d+ 2 /);
  const names = [`counter.${PARENT}`, `any.counter.${PARENT}`, `other.counter.${PARENT}`];
  for (const holder of [R1, R2]) {
    gates.open(holder);
    await waitFor(`${holder} alone, proven`, async () => (await Promise.all(names.map((name) => ask(good, name, TYPE.A)))).every((heard) => heard.validated && heard.addresses.join() === holder));
    for (const name of names) {
      const [four, six] = [await ask(good, name, TYPE.A), await ask(good, name, TYPE.AAAA)];
      t.match(four, { rcode: RCODE.NOERROR, validated: true, addresses: [holder] }, `${name} A`);
      t.ok(four.types.includes(RRSIG));
      t.match(six, { rcode: RCODE.NOERROR, validated: true }, `${name} AAAA`);
      t.ok(six.addresses.length > 0 && six.types.includes(RRSIG), 'with addresses and their signature');
    }
  }
  t.match(await ask(good, `missing.${PARENT}`, TYPE.A), { rcode: RCODE.NXDOMAIN, validated: true, addresses: [] }, 'and that a name is not there');
});

test('one that trusts another key gives no answer at all', async (t) => {
  const wrong = await validating('wrong', anchor.replace(/[0-9a-f]{8}$/, '00000000'));
  for (const type of [TYPE.A, TYPE.AAAA]) t.match(await ask(wrong, `counter.${PARENT}`, type), { rcode: RCODE.SERVFAIL, addresses: [] });
});

test('the beacons live in an unsigned zone below it: what is known to be missing above denies no nonce', async (t) => {
  // Names around the beacon's that are not there: each proof covers a range of names, which the resolver may use for others (RFC 8198).
  const missing = [`a.${ZONE}`, `r0.${ZONE}`, `r2.${ZONE}`, `counter.r2.${ZONE}`, `zzz.${ZONE}`, `aaaa.${PARENT}`, `b.${PARENT}`];
  for (const name of missing) t.match(await ask(good, name, TYPE.TXT), { rcode: RCODE.NXDOMAIN, validated: true }, name);
  const questions = () => authority.publisher.statistic('udp-queries', AbortSignal.timeout(2_000));
  const before = await questions();
  t.match(await ask(good, `r0x.${ZONE}`, TYPE.TXT), { rcode: RCODE.NXDOMAIN, validated: true });
  if (privileged) t.same(await questions(), before, 'denied by the proofs that it has: nobody was asked');
  const voter = { name: 'one', vendor: 'one', ...good };
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: regionId('r2'), voters: [voter], publicKeys: { 'r1/1': keys.publicKey } });
  t.teardown(() => quorum.close());
  for (let round = 0; round < 20; round++) {
    const [cast] = await quorum.round(regionId('r1'), 2_000, new AbortController().signal);
    t.same(cast?.vote, { kind: 'attested', epoch: 4 }, `round ${round}`);
  }
  const soa = await ask(good, `r1.${ZONE}`, TYPE.SOA);
  t.match(soa, { rcode: RCODE.NOERROR, validated: false, types: [TYPE.SOA] }, 'not proven, and not refused: the zone above says that it is unsigned');
});

test('the servers end', async (t) => {
  await Promise.all([link.value.close(), gates.close(), stopAll()]);
  t.notOk(authority.started.running());
});

function mayUsePort53(address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EACCES' ? resolve(false) : reject(error)));
    socket.bind(53, address, () => socket.close(() => resolve(true)));
  });
}
