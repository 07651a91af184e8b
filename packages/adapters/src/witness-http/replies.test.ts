// What may come back instead of the witness's answer. The adapter believes nothing that was not signed for exactly this
// request; everything else is a failure, which means *unknown*, and a later read shows what really happened.

import { createHash } from 'node:crypto';
import t from 'tap';
import { generateKeyPair, importSigningKey, InvalidFieldsError, signReply } from '@continuum/wire';
import { epoch, regionId } from '@continuum/core';
import type { LeaseCommand } from '@continuum/core';
import type { LeasePush } from '@continuum/ports';
import { freePort, waitFor } from '../../../../test/rig/process.ts';
import { ADDRESS, startFixture } from './fixture.ts';
import { httpPath, tcpPath } from './faulty-path.ts';
import type { Passing } from './faulty-path.ts';
import { createWitnessRegister } from './index.ts';
import { backOffMs } from './watch.ts';

const leases = Array.from({ length: 40 }, (_, index) => `lease-${index}`);
const fixture = await startFixture(leases);
t.teardown(() => fixture.witness().process.kill());

let used = 0;
const freshLease = (): string => leases[used++] ?? 'no-lease-left';
const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const target = (): string => fixture.witness().url;

const acquire: LeaseCommand = {
  kind: 'acquire',
  region: regionId('r1'),
  seq: 1,
  instance: 'a',
  epochSeen: epoch(0),
  ttlMs: 60_000,
  policyHash: 'p',
  force: null,
};

function redigested(reply: Passing, body: Buffer): Passing {
  const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
  return { ...reply, body, headers: { ...reply.headers, 'content-digest': digest, 'content-length': String(body.length) } };
}

const replaced = (reply: Passing, from: string, to: string): Buffer => Buffer.from(reply.body.toString().replace(from, to));
const without = (reply: Passing, name: string): Passing => ({
  ...reply,
  headers: Object.fromEntries(Object.entries(reply.headers).filter(([header]) => header !== name)),
});

t.test('a reply that was changed on the way is not believed', async (t) => {
  const changes: [string, (reply: Passing) => Passing][] = [
    ['the body', (reply) => ({ ...reply, body: replaced(reply, '"remainingMs":60000', '"remainingMs":99999') })],
    ['the body and its digest', (reply) => redigested(reply, replaced(reply, '"epoch":1', '"epoch":2'))],
    ['the status', (reply) => ({ ...reply, status: 409 })],
    ['the signature, taken off', (reply) => without(reply, 'signature')],
    ['what the signature covers', (reply) => ({
      ...reply,
      headers: { ...reply.headers, 'signature-input': reply.headers['signature-input']!.replace(/ "signature";req;key="continuum"/, '') },
    })],
    ['everything, by a page of its own', (reply) => ({ ...reply, headers: {}, body: Buffer.from('<html>all is well</html>') })],
    ['the place to ask', () => ({ status: 302, headers: { location: target() }, body: Buffer.alloc(0) })],
  ];
  for (const [what, change] of changes) {
    const lease = freshLease();
    const path = await httpPath(target, change);
    const register = await fixture.register(lease, 'r1', { url: path.url });
    t.match(await register.send(acquire, soon()), { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } }, what);
    await path.close();
    await register.close();
  }
});

t.test('a reply without an end is cut off when it is larger than any', async (t) => {
  const path = await httpPath(target, (_, response) => {
    response.writeHead(200).write(Buffer.alloc(200_000, 'x'));
    return null;
  });
  const register = await fixture.register(freshLease(), 'r1', { url: path.url });
  t.match(await register.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } });
  await path.close();
});

t.test('a refusal that was turned into a grant is not believed', async (t) => {
  const lease = freshLease();
  const holder = await fixture.register(lease, 'r1');
  await holder.send(acquire, soon());
  const path = await httpPath(target, (reply) => redigested({ ...reply, status: 200 }, Buffer.from('{"outcome":{"ok":true}}')));
  const contender = await fixture.register(lease, 'r2', { url: path.url });
  const reply = await contender.send({ ...acquire, region: regionId('r2') }, soon());
  t.match(reply, { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } });
  await path.close();
});

t.test('a recorded reply answers no other request, not even the same command or the same question', async (t) => {
  const lease = freshLease();
  let recording: Passing | null = null;
  const path = await httpPath(target, (reply) => (recording ??= reply));
  const register = await fixture.register(lease, 'r1', { url: path.url });
  t.match(await register.read(soon()), { ok: true, value: { epoch: 0 } });
  t.match(await register.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } });
  recording = null;
  t.match(await register.send(acquire, soon()), { ok: true, value: { outcome: { ok: true } } });
  t.match(await register.send(acquire, soon()), { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } });
  await path.close();
});

t.test('a witness with another key is not believed', async (t) => {
  const { publicKey } = await generateKeyPair();
  const register = await fixture.register(freshLease(), 'r1', { witnessPublicKeys: { 'witness/1': publicKey } });
  t.match(await register.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } });
});

t.test('a reply of a genuine key that contradicts itself or the question is not believed', async (t) => {
  const pair = await generateKeyPair();
  const key = await importSigningKey('witness/odd', pair.privateKey);
  const edit = (reply: Passing, from: string, to: string) => ({ ...reply, body: replaced(reply, from, to) });
  const unchanged = (reply: Passing) => reply;
  const odd: [string, (reply: Passing) => Passing][] = [
    ['another lease', (reply) => edit(reply, '"name":"lease', '"name":"peace')],
    ['a refusal with the status of a grant', (reply) => edit(reply, '"ok":true', '"ok":false,"code":"held","detail":"x"')],
    ['a grant with the status of a refusal', (reply) => ({ ...reply, status: 409 })],
    ['a success without the number of the command', (reply) => edit(reply, '"seq":1', '"seq":0')],
    ['no JSON', (reply) => ({ ...reply, body: Buffer.from('ok') })],
    ['a status that is no part of the protocol', (reply) => ({ ...reply, status: 418 })],
  ];
  for (const [what, change] of [...odd, ['nothing', unchanged] as const]) {
    const path = await httpPath(target, async (reply, _, sent) => {
      const { status, body } = change(reply);
      const headers = await signReply(key, { status, headers: [], body: new Uint8Array(body) }, sent);
      return { status, headers: { ...headers }, body };
    });
    const witnessPublicKeys = { 'witness/odd': pair.publicKey };
    const register = await fixture.register(freshLease(), 'r1', { url: path.url, witnessPublicKeys });
    const expected = what === 'nothing' ? { ok: true } : { ok: false, failure: { code: 'CTM_REGISTER_REPLY_INVALID' } };
    t.match(await register.send(acquire, soon()), expected, what);
    await path.close();
  }
});

t.test('a lost reply is unknown; a read shows what happened, and a repeat is answered', async (t) => {
  const lease = freshLease();
  let losing = true;
  const path = await httpPath(target, (reply, response) => {
    if (!losing) return reply;
    response.destroy();
    return null;
  });
  const register = await fixture.register(lease, 'r1', { url: path.url });
  t.match(await register.send(acquire, soon()), { ok: false, failure: { code: 'CTM_REGISTER_UNREACHABLE' } });
  t.equal(path.forwarded(), 1);
  losing = false;
  t.match(await register.read(soon()), { ok: true, value: { holder: 'r1', epoch: 1, seq: 1 } });
  t.match(await register.send(acquire, soon()), { ok: true, value: { outcome: { ok: true }, view: { epoch: 1, revision: 1 } } });
  await path.close();
});

t.test('a reply that never comes ends with the deadline', async (t) => {
  const path = await httpPath(target, () => null);
  const register = await fixture.register(freshLease(), 'r1', { url: path.url });
  const failed = await register.send(acquire, AbortSignal.timeout(150));
  t.match(failed, { ok: false, failure: { code: 'CTM_REGISTER_TIMEOUT' } });
  const aborted = await register.read(AbortSignal.abort());
  t.match(aborted, { ok: false, failure: { code: 'CTM_REGISTER_TIMEOUT' } });
  await path.close();
});

t.test('an error of something in front of the witness, and nobody there at all, are unreachable', async (t) => {
  const path = await httpPath(target, () => ({ status: 503, headers: {}, body: Buffer.from('no upstream') }));
  const register = await fixture.register(freshLease(), 'r1', { url: path.url });
  t.match(await register.send(acquire, soon()), { ok: false, failure: { code: 'CTM_REGISTER_UNREACHABLE' } });
  await path.close();
  const alone = await fixture.register(freshLease(), 'r1', { url: `http://${ADDRESS}:${await freePort(ADDRESS)}` });
  t.match(await alone.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_UNREACHABLE' } });
});

t.test('what the witness itself refuses to look at is final, and says why', async (t) => {
  const unknownLease = await fixture.register('nobodys', 'r1');
  const rejected = await unknownLease.read(soon());
  t.match(rejected, { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /CTM_WITNESS_LEASE_UNKNOWN/ } });
  const unknownKey = await fixture.register(freshLease(), 'r1', { keyId: 'r1/old' });
  t.match(await unknownKey.read(soon()), { ok: false, failure: { code: 'CTM_REGISTER_REJECTED', message: /KEY_UNKNOWN/ } });
});

t.test('a push that was changed on the way is dropped, the next one is heard', async (t) => {
  const lease = freshLease();
  let changing = true;
  const path = await tcpPath(target, (bytes) => {
    const text = bytes.toString('latin1');
    return changing ? Buffer.from(text.replace(/"holder\\":\\"r1/, '"holder\\":\\"r2'), 'latin1') : bytes;
  });
  const problems: string[] = [];
  const watcher = await fixture.register(lease, 'r2', {
    url: path.url,
    onWatchProblem: ({ code, message }) => problems.push(`${code} ${message}`),
  });
  const pushes: LeasePush[] = [];
  const ended = new AbortController();
  watcher.watch((push) => pushes.push(push), ended.signal);
  const holder = await fixture.register(lease, 'r1');
  let seq = 1;
  await holder.send(acquire, soon());
  const renew = () =>
    holder.send({ kind: 'renew', region: regionId('r1'), seq: ++seq, instance: 'a', epoch: epoch(1), ttlMs: 60_000, policyHash: 'p' }, soon());
  await waitFor('a push that is not believed', async () => {
    await renew();
    return problems.find((problem) => problem.includes('forged'));
  });
  t.same(pushes, []);
  changing = false;
  await waitFor('a push that is believed', async () => {
    await renew();
    return pushes.length > 0;
  });
  t.equal(pushes[0]?.view.holder, 'r1');
  ended.abort();
  await path.close();
});

t.test('a push that was recorded from another watch is dropped', async (t) => {
  const lease = freshLease();
  let recording: Buffer | null = null;
  let replaying = false;
  const path = await tcpPath(target, (bytes) => {
    if (bytes.includes('renewed')) recording = bytes;
    return replaying && recording !== null && bytes.includes('pong') ? Buffer.concat([bytes, recording]) : bytes;
  });
  const problems: string[] = [];
  const watcher = await fixture.register(lease, 'r2', {
    url: path.url,
    heartbeatMs: 100,
    onWatchProblem: ({ message }) => problems.push(message),
  });
  const pushes: LeasePush[] = [];
  const ended = new AbortController();
  watcher.watch((push) => pushes.push(push), ended.signal);
  const holder = await fixture.register(lease, 'r1');
  await holder.send(acquire, soon());
  let seq = 1;
  await waitFor('a push to record', async () => {
    const numbers = { seq: ++seq, epoch: epoch(1), ttlMs: 60_000 };
    await holder.send({ kind: 'renew', region: regionId('r1'), instance: 'a', policyHash: 'p', ...numbers }, soon());
    return pushes.length > 0 && recording !== null;
  });
  replaying = true;
  path.cut();
  await waitFor('the replay', () => problems.some((problem) => problem.includes('another watch')));
  const live = pushes.length;
  await waitFor('one more replay', () => problems.filter((problem) => problem.includes('another watch')).length > 1);
  t.equal(pushes.length, live);
  ended.abort();
  await path.close();
});

t.test('a quiet watch keeps its one connection', async (t) => {
  let pongs = 0;
  const path = await tcpPath(target, (bytes) => {
    if (bytes.includes('pong')) pongs += 1;
    return bytes;
  });
  const watcher = await fixture.register(freshLease(), 'r2', { url: path.url, heartbeatMs: 400 });
  const ended = new AbortController();
  watcher.watch(() => undefined, ended.signal);
  await waitFor('three heartbeats, more than a silent one is given', () => pongs >= 3);
  t.equal(path.connections(), 1);
  ended.abort();
  await path.close();
});

t.test('a connection that falls silent without closing is given up and opened again', async (t) => {
  const lease = freshLease();
  const path = await tcpPath(target);
  const problems: string[] = [];
  const watcher = await fixture.register(lease, 'r2', {
    url: path.url,
    heartbeatMs: 100,
    onWatchProblem: ({ message }) => problems.push(message),
  });
  const pushes: LeasePush[] = [];
  const ended = new AbortController();
  watcher.watch((push) => pushes.push(push), ended.signal);
  await waitFor('the watch', () => path.connections() === 1);
  path.mute = true;
  await waitFor('the silence to be noticed', () => problems.includes('the watch fell silent'));
  path.mute = false;
  const holder = await fixture.register(lease, 'r1');
  let seq = 0;
  await waitFor('a push on the new connection', async () => {
    await holder.send({ ...acquire, seq: ++seq }, soon());
    const renewal = { kind: 'renew' as const, region: regionId('r1'), seq: ++seq, instance: 'a', epoch: epoch(1), ttlMs: 60_000, policyHash: 'p' };
    await holder.send(renewal, soon());
    return pushes.length > 0;
  });
  t.ok(path.connections() >= 2);
  ended.abort();
  await waitFor('the connection to be closed', () => path.open() === 0);
  await path.close();
});

t.test('a watch that is ended before it is open leaves nothing behind', async (t) => {
  const path = await tcpPath(target);
  const watcher = await fixture.register(freshLease(), 'r2', { url: path.url });
  const ended = new AbortController();
  watcher.watch(() => undefined, ended.signal);
  ended.abort();
  const later = new AbortController();
  watcher.watch(() => undefined, later.signal);
  await waitFor('the second watch', () => path.open() > 0);
  later.abort();
  await waitFor('all to be closed', () => path.open() === 0);
  t.ok(path.connections() <= 2);
  await path.close();
});

t.test('reconnects wait longer and longer, never at the same time, never for more than two seconds', async (t) => {
  for (let failures = 0; failures < 40; failures++) {
    const [least, most] = [backOffMs(failures, 0), backOffMs(failures, 0.999_999)];
    t.ok(least >= 50 && most > least && most <= 2_000);
    t.ok(backOffMs(failures + 1, 0) >= least);
  }
});

t.test('wrong options are reported together, and no key is quoted', async (t) => {
  const { privateKey } = fixture.keys['r1']!;
  const good = { url: target(), lease: 'shop', region: 'r1', keyId: 'r1/a', privateKey, witnessPublicKeys: fixture.witness().publicKeys };
  const paths = async (change: Partial<typeof good>) => {
    const error = await createWitnessRegister({ ...good, ...change }).then(() => null, (thrown: unknown) => thrown);
    if (!(error instanceof InvalidFieldsError)) throw new Error('accepted', { cause: error });
    t.notMatch(error.message, /PRIVATE KEY-----|MC4C/);
    t.equal(error.code, 'CTM_REGISTER_OPTIONS_INVALID');
    return error.fields.map(({ path }) => path);
  };
  t.same(await paths({ url: 'http://witness.example.net', lease: 'Shop', region: 'r_1' }), ['url', 'lease', 'region', 'keyId']);
  t.same(await paths({ url: 'https://witness.example.net/path' }), ['url']);
  t.same(await paths({ keyId: 'r2/a' }), ['keyId']);
  t.same(await paths({ keyId: 'r1' }), ['keyId']);
  t.same(await paths({ privateKey: privateKey.replace('MC4C', 'MC4D') }), ['privateKey']);
  t.same(await paths({ witnessPublicKeys: {} }), ['witnessPublicKeys']);
  t.same(await paths({ witnessPublicKeys: { 'witness/1': 'short' } }), ['witnessPublicKeys']);
});
