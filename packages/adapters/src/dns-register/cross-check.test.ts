// The register beside real recursors that remember it: an old copy of the zone is refused by a region that has no memory of its own,
// and nothing that resolvers lack, have late, or say alone stops the register.

import { test } from 'tap';
import { epoch, regionId } from '@continuum/core';
import type { LeaseCommand } from '@continuum/core';
import { PUBLIC_RESOLVERS, startResolvers } from '../../../../test/rig/dns.ts';
import { freePort, runFolder, stopAll, waitFor } from '../../../../test/rig/process.ts';
import { startRegisterAuthority } from '../../../../test/rig/register-authority.ts';
import { supportedBy } from './cross-check.ts';
import type { RegisterVoter, Showing } from './cross-check.ts';

const ADDRESS = '127.44.3.1';
const ZONE = 'register.test';
const [dnsPort, apiPort, port] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(...PUBLIC_RESOLVERS.map(({ address }) => address))];
const authority = await startRegisterAuthority({ folder: runFolder('cross-check'), address: ADDRESS, dnsPort, apiPort, zone: ZONE, regions: ['r1', 'r2'], leases: ['restored', 'alone', 'stale'] });
const recursors = await startResolvers({ folder: runFolder('cross-check-resolvers'), port, forward: [{ zone: ZONE, servers: [{ address: ADDRESS, port: dnsPort }] }] });
const vendors = ['google', 'cloudflare', 'quad9'];
const voters: RegisterVoter[] = recursors.map(({ server }, index) => ({ name: server.name, vendor: vendors[index] ?? '', address: server.address, port }));
const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const acquire = (region: string, seq: number, seen: number, ttlMs: number): LeaseCommand => ({ region: regionId(region), seq, instance: `${region}-a`, kind: 'acquire', epochSeen: epoch(seen), ttlMs, policyHash: 'p', force: null });

/** A client that has never seen the lease, and `rounds` of its resolvers. */
function stranger(lease: string, among: readonly RegisterVoter[] = voters) {
  const shown: number[] = [];
  const register = authority.register(lease, 'r2', { crossCheck: { voters: among, everyMs: 50, onRound: (count) => shown.push(count) } });
  return { register, shown };
}

async function stored(lease: string): Promise<string> {
  const compared = await authority.publisher.compare(ZONE, [], soon());
  return (compared.ok ? compared.value.contents({ name: `${lease}.${ZONE}.`, type: 'TXT' })[0] : undefined) ?? '';
}
const putBack = (lease: string, content: string) => authority.publisher.publish(ZONE, [{ name: `${lease}.${ZONE}.`, type: 'TXT', ttlSeconds: 60, records: [content] }], soon());

/** Two grants; what was stored after the first one is returned. */
async function grantTwice(lease: string): Promise<string> {
  const register = authority.register(lease, 'r1');
  mustWork(await register.send(acquire('r1', 1, 0, 300), soon()));
  const old = await stored(lease);
  await waitFor('expiry', async () => {
    const view = await register.read(soon());
    return view.ok && view.value.remainingMs === 0;
  });
  mustWork(await register.send(acquire('r1', 2, 1, 60_000), soon()));
  return old;
}
function mustWork(result: { readonly ok: boolean }): void {
  if (!result.ok) throw new Error(JSON.stringify(result));
}

test('a copy that was put back is refused by a region that lost its memory, as long as two resolvers remember', async (t) => {
  const old = await grantTwice('restored');
  const before = stranger('restored');
  t.match(await before.register.read(soon()), { ok: true, value: { epoch: 2 } });
  t.equal(before.shown[0], 3, 'all three have it now');
  await before.register.close();
  t.match(await putBack('restored', old), { ok: true });
  t.match(await authority.register('restored', 'r2').read(soon()), { ok: true, value: { epoch: 1 } }, 'without resolvers it would be believed');
  const after = stranger('restored');
  const refused = { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /epoch 1, .*(8\.8\.8\.8|1\.1\.1\.1|9\.9\.9\.9) have seen epoch 2.*led to another server.*at least 2/s } };
  t.match(await after.register.read(soon()), refused);
  t.match(await after.register.send(acquire('r2', 1, 1, 1_000), soon()), refused, 'and epoch 2 is not granted a second time');
  t.equal(await stored('restored'), old);
  await after.register.close();
});

test('one resolver alone, or two of one vendor, stop nobody', async (t) => {
  const old = await grantTwice('alone');
  const [one, two] = voters as [RegisterVoter, RegisterVoter];
  const twins = [one, { ...two, vendor: one.vendor }];
  const knowing = stranger('alone', twins);
  t.match(await knowing.register.read(soon()), { ok: true, value: { epoch: 2 } });
  t.equal(knowing.shown[0], 2);
  await knowing.register.close();
  t.match(await putBack('alone', old), { ok: true });
  for (const among of [[one], twins]) {
    const { register } = stranger('alone', among);
    t.match(await register.read(soon()), { ok: true, value: { epoch: 1 } }, `${among.length}`);
    await register.close();
  }
});

test('what resolvers have late says nothing, and neither does their silence', async (t) => {
  const first = authority.register('stale', 'r1');
  mustWork(await first.send(acquire('r1', 1, 0, 300), soon()));
  const { register, shown } = stranger('stale');
  t.match(await register.read(soon()), { ok: true, value: { epoch: 1 } });
  await waitFor('expiry', async () => {
    const view = await register.read(soon());
    return view.ok && view.value.remainingMs === 0;
  });
  t.match(await register.send(acquire('r2', 1, 1, 60_000), soon()), { ok: true, value: { outcome: { ok: false, code: 'not-in-sync' } } });
  t.match(await first.send(acquire('r1', 2, 1, 60_000), soon()), { ok: true, value: { view: { epoch: 2 } } });
  t.match(await register.read(soon()), { ok: true, value: { epoch: 2 } }, 'the resolvers still have epoch 1');
  await Promise.all(recursors.map((one) => one.started.kill()));
  await waitFor('a round without an answer', () => shown.at(-1) === 0);
  t.match(await register.read(soon()), { ok: true, value: { epoch: 2 } });
  const late = stranger('stale');
  t.match(await late.register.read(soon()), { ok: true, value: { epoch: 2 } }, 'nor does a start wait for ever');
  await Promise.all([register.close(), late.register.close()]);
});

test('two of two vendors carry a state; more than it counts as it', (t) => {
  const shows = (vendor: string, at: number, change: number): Showing => ({ voter: { name: vendor, vendor }, state: { epoch: at, change } });
  t.equal(supportedBy([]), null);
  t.equal(supportedBy([shows('a', 9, 1)]), null);
  t.equal(supportedBy([shows('a', 9, 1), shows('a', 9, 1)]), null, 'one vendor');
  t.match(supportedBy([shows('a', 9, 1), shows('b', 3, 7), shows('c', 3, 6)]), { state: { epoch: 3, change: 7 }, by: ['a', 'b'] });
  t.match(supportedBy([shows('a', 3, 6), shows('a', 9, 1), shows('b', 3, 7)]), { state: { epoch: 3, change: 7 } });
  t.end();
});

test('the servers end', async (t) => {
  await stopAll();
  t.notOk(authority.process.running());
});
