// Requests that the witness must not carry out, sent to the real Worker in workerd. After each attack the lease is what it
// was, and the answer says which rule was broken, under a stable code and with the witness's signature.

import t from 'tap';
import type { Test } from 'tap';
import { COMMAND_BYTES_MAX, generateKeyPair } from '@continuum/wire';
import { regionId } from '@continuum/core';
import { freePort, runFolder } from '../../../test/rig/process.ts';
import { startWitness } from '../../../test/rig/witness.ts';
import { COMMANDS, LEASE, acquire, call, renew, signed, transmit } from './client.ts';
import type { Key, Plan, Tamper } from './client.ts';

const ADDRESS = '127.30.9.2';
const keys = { r1: await generateKeyPair(), r1next: await generateKeyPair(), r2: await generateKeyPair() };
const stranger = await generateKeyPair();
const port = await freePort(ADDRESS);

const r1: Key = { keyId: 'r1/a', privateKey: keys.r1.privateKey };
const r1next: Key = { keyId: 'r1/b', privateKey: keys.r1next.privateKey };
const r2: Key = { keyId: 'r2/a', privateKey: keys.r2.privateKey };

const folder = runFolder('witness-attacks');
const start = (r1Keys: Record<string, string>) =>
  startWitness({
    folder,
    address: ADDRESS,
    port,
    regions: [
      { region: 'r1', publicKeys: r1Keys },
      { region: 'r2', publicKeys: { a: keys.r2.publicKey } },
      { region: 'r3', publicKeys: { a: stranger.publicKey } },
    ],
    leases: ['spare'],
    variables: { LEASES: { shop: ['r1', 'r2'], spare: ['r1', 'r2'] } },
  });
let witness = await start({ a: keys.r1.publicKey, b: keys.r1next.publicKey });
t.teardown(() => witness.process.kill());

t.test('before the attacks r1 holds epoch 1, and has used the numbers 1 and 2', async (t) => {
  t.match(await call(witness, { body: acquire('r1', 1), key: r1 }), { status: 200, authentic: true });
  t.match(await call(witness, { body: renew('r1', 2), key: r1 }), { status: 200, reply: { view: { epoch: 1, revision: 2 } } });
});

async function untouched(test: Test): Promise<void> {
  const { view } = await call(witness, { key: r1 });
  test.match(view, { epoch: 1, holder: 'r1', revision: 2, seq: 2 }, 'the lease is untouched');
}

async function refused(test: Test, plan: Plan, status: number, code: string, authentic = true): Promise<void> {
  const answered = await call(witness, plan);
  test.match(answered, { status, authentic, contentType: 'application/problem+json', problem: { status, code } });
  await untouched(test);
}

const forge = renew('r1', 3, { ttlMs: 599_999 });

t.test('a signature by a key that nobody knows', async (t) => {
  const key = { keyId: 'r1/a', privateKey: stranger.privateKey };
  await refused(t, { body: forge, key }, 401, 'CTM_WITNESS_SIGNATURE_FORGED');
});

t.test('a key id that does not exist, or that is no key id', async (t) => {
  await refused(t, { body: forge, key: { ...r1, keyId: 'r1/zz' } }, 401, 'CTM_WITNESS_KEY_UNKNOWN');
  await refused(t, { body: forge, key: { ...r1, keyId: 'witness/1' } }, 401, 'CTM_WITNESS_KEY_UNKNOWN');
});

t.test('no signature at all', async (t) => {
  const bare = (name: string): Tamper => (sent) => {
    const { [name]: _, ...headers } = sent.headers;
    return { ...sent, headers };
  };
  await refused(t, { body: forge, key: r1, tamper: bare('signature') }, 401, 'CTM_WITNESS_SIGNATURE_MISSING', false);
  await refused(t, { body: forge, key: r1, tamper: bare('signature-input') }, 401, 'CTM_WITNESS_SIGNATURE_MISSING');
  await refused(t, { body: forge, key: r1, tamper: bare('content-digest') }, 401, 'CTM_WITNESS_SIGNATURE_MISSING');
});

t.test('a signature that does not cover the body', async (t) => {
  const tamper: Tamper = (sent) => ({
    ...sent,
    headers: { ...sent.headers, 'signature-input': sent.headers['signature-input']!.replace(' "content-digest"', '') },
  });
  await refused(t, { body: forge, key: r1, tamper }, 401, 'CTM_WITNESS_SIGNATURE_MALFORMED');
});

t.test('a body that was changed on the way', async (t) => {
  const body = new TextEncoder().encode(JSON.stringify(renew('r1', 3, { ttlMs: 300 })));
  await refused(t, { body: forge, key: r1, tamper: (sent) => ({ ...sent, body }) }, 401, 'CTM_WITNESS_DIGEST_MISMATCH');
});

t.test('a body that was changed, with a digest to fit', async (t) => {
  const body = renew('r1', 3, { ttlMs: 300 });
  const other = await signed(witness, { body, key: { ...r1, privateKey: stranger.privateKey } });
  const tamper: Tamper = (sent) => ({
    ...sent,
    body: other.body,
    headers: { ...sent.headers, 'content-digest': other.headers['content-digest']! },
  });
  await refused(t, { body: forge, key: r1, tamper }, 401, 'CTM_WITNESS_SIGNATURE_FORGED');
});

t.test('a signature that was made for another lease, another method or another query', async (t) => {
  const to = (path: string): Tamper => (sent) => ({ ...sent, path });
  await refused(t, { body: forge, key: r1, tamper: to('/v1/leases/spare/commands') }, 401, 'CTM_WITNESS_SIGNATURE_FORGED');
  await refused(t, { body: forge, key: r1, tamper: to(`${COMMANDS}?x=1`) }, 401, 'CTM_WITNESS_SIGNATURE_FORGED');
  await refused(t, { path: LEASE, key: r1, tamper: to('/v1/leases/spare') }, 401, 'CTM_WITNESS_SIGNATURE_FORGED');
});

t.test('a signature that was made for another witness', async (t) => {
  const sent = await signed({ ...witness, url: 'http://staging.example.net' }, { body: forge, key: r1 });
  t.match(await transmit(witness, sent), { status: 401, problem: { code: 'CTM_WITNESS_SIGNATURE_FORGED' } });
  await untouched(t);
});

t.test('a recording of a command, word for word: answered again, not carried out again', async (t) => {
  const body = acquire('r2', 1, { epochSeen: 1 as never });
  const recording = await signed(witness, { body, key: r2 });
  t.match(await transmit(witness, recording), { status: 409, reply: { outcome: { code: 'held' }, view: { seq: 1 } } });
  t.match(await transmit(witness, recording), { status: 409, authentic: true, reply: { outcome: { code: 'held' } } });
  const renewal = await signed(witness, { body: renew('r1', 2), key: r1 });
  t.match(await transmit(witness, renewal), { status: 200, reply: { outcome: { ok: true }, view: { revision: 2 } } });
  t.match(await transmit(witness, renewal), { status: 200, reply: { outcome: { ok: true }, view: { revision: 2 } } });
  await untouched(t);
});

t.test('an older command after a newer one', async (t) => {
  const late = await call(witness, { body: acquire('r1', 1), key: r1 });
  t.match(late, { status: 409, reply: { outcome: { ok: false, code: 'seq-stale' } } });
  await untouched(t);
});

t.test('a request that was signed an hour ago is stale, one of a region whose clock is a minute off is not', async (t) => {
  const now = Date.now() / 1_000;
  await refused(t, { body: forge, key: r1, createdSeconds: now - 3_600 }, 401, 'CTM_WITNESS_SIGNATURE_STALE');
  await refused(t, { body: forge, key: r1, createdSeconds: now + 3_600 }, 401, 'CTM_WITNESS_SIGNATURE_STALE');
  for (const offSeconds of [-60, 60]) {
    t.match(await call(witness, { key: r1, createdSeconds: now + offSeconds }), { status: 200, authentic: true });
  }
});

t.test('a key of one region for a command of another, or for a lease that is not its own', async (t) => {
  await refused(t, { body: forge, key: r2 }, 403, 'CTM_WITNESS_REGION_FORBIDDEN');
  const r3 = { keyId: 'r3/a', privateKey: stranger.privateKey };
  await refused(t, { body: acquire('r3', 1), key: r3 }, 403, 'CTM_WITNESS_REGION_FORBIDDEN');
  await refused(t, { key: r3 }, 403, 'CTM_WITNESS_REGION_FORBIDDEN');
  await refused(t, { path: `${LEASE}/watch`, key: r3 }, 403, 'CTM_WITNESS_REGION_FORBIDDEN');
});

t.test('a command that would hand the lease to a region outside it', async (t) => {
  const { epoch: at, instance, region } = renew('r1', 3) as Extract<ReturnType<typeof renew>, { kind: 'renew' }>;
  const from = { region, instance, seq: 3, epoch: at };
  const r3 = regionId('r3');
  const token = { systemIdentifier: '1', timeline: 1, checkpointLsn: '0/1' };
  const bodies = [
    { kind: 'setInSync', ...from, inSync: ['r1', r3] },
    { kind: 'transfer', ...from, id: 's', to: r3, token },
    { kind: 'requestSwitchover', region, instance, seq: 3, id: 's', from: 'r1', to: r3, validForMs: 1_000 },
  ];
  for (const body of bodies) await refused(t, { body, key: r1 }, 403, 'CTM_WITNESS_REGION_FORBIDDEN');
});

t.test('a lease or a route that does not exist', async (t) => {
  await refused(t, { path: '/v1/leases/other', key: r1 }, 404, 'CTM_WITNESS_LEASE_UNKNOWN');
  await refused(t, { path: '/v1/leases/other/commands', body: forge, key: r1 }, 404, 'CTM_WITNESS_LEASE_UNKNOWN');
  await refused(t, { path: '/v1/leases/constructor', key: r1 }, 404, 'CTM_WITNESS_LEASE_UNKNOWN');
  await refused(t, { path: '/v1/everything', key: r1 }, 404, 'CTM_WITNESS_ROUTE_UNKNOWN');
  await refused(t, { path: COMMANDS, key: r1 }, 404, 'CTM_WITNESS_ROUTE_UNKNOWN');
});

t.test('a body that is too large, with and without a length in front', async (t) => {
  const body = JSON.stringify({ ...forge, filler: 'x'.repeat(COMMAND_BYTES_MAX) });
  const answered = await call(witness, { body, key: r1 });
  t.match(answered, { status: 413, authentic: true, problem: { code: 'CTM_WITNESS_BODY_TOO_LARGE' } });
  const chunked = await transmit(witness, await signed(witness, { body, key: r1 }), true);
  t.match(chunked, { status: 413, authentic: true, problem: { code: 'CTM_WITNESS_BODY_TOO_LARGE' } });
  await untouched(t);
});

t.test('a body that is not JSON', async (t) => {
  await refused(t, { body: '{"kind":', key: r1 }, 400, 'CTM_WITNESS_BODY_INVALID');
  const latin1 = { ...acquire('r1', 3), force: { reason: 'd\u00e9sastre', estimatedLoss: 'none' } };
  await refused(t, { body: Buffer.from(JSON.stringify(latin1), 'latin1'), key: r1 }, 400, 'CTM_WITNESS_BODY_INVALID');
  await refused(t, { path: COMMANDS, method: 'POST', key: r1 }, 400, 'CTM_WITNESS_BODY_INVALID');
  await refused(t, { body: 'null', key: r1 }, 400, 'CTM_WITNESS_BODY_INVALID');
});

t.test('a body that is not a command names each field, its value and what to do', async (t) => {
  const body = { ...forge, seq: 0, ttlMs: 299, extra: true, region: 'R1' };
  const { problem } = await call(witness, { body, key: r1 });
  t.equal(problem.code, 'CTM_WITNESS_BODY_INVALID');
  const fields = new Map((problem.fields ?? []).map(({ path, value, fix }) => [path, { value, fix }]));
  t.match(fields.get('seq'), { value: '0', fix: /1/ });
  t.match(fields.get('ttlMs'), { value: '299', fix: /300/ });
  t.match(fields.get('region'), { value: '"R1"', fix: /a-z/ });
  t.match([...fields.values()].find(({ fix }) => fix.includes('extra')), { fix: /extra/ });
  await untouched(t);
});

t.test('a watch without an upgrade', async (t) => {
  await refused(t, { path: `${LEASE}/watch`, key: r1 }, 426, 'CTM_WITNESS_UPGRADE_REQUIRED');
});

t.test('health needs no signature and tells nothing', async (t) => {
  const response = await fetch(`${witness.url}/healthz`);
  t.equal(response.status, 200);
  t.same(await response.json(), { status: 'ok' });
});

t.test('two keys of a region count while one replaces the other; a key that was taken out no longer does', async (t) => {
  t.match(await call(witness, { key: r1next }), { status: 200, authentic: true });
  await witness.process.kill();
  witness = await start({ b: keys.r1next.publicKey });
  t.match(await call(witness, { key: r1next }), { status: 200, view: { epoch: 1, holder: 'r1', seq: 2 } });
  const revoked = await call(witness, { body: forge, key: r1 });
  t.match(revoked, { status: 401, authentic: true, problem: { code: 'CTM_WITNESS_KEY_UNKNOWN' } });
  t.match(await call(witness, { body: renew('r1', 3), key: r1next }), { status: 200, reply: { outcome: { ok: true } } });
});
