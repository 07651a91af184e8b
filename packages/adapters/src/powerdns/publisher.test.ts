// The publisher against a real PowerDNS.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'tap';
import type { Rrset } from '@continuum/core';
import { zoneRrsets } from '@continuum/core';
import { dnsPublisherContract } from '@continuum/ports/contracts/dns-contract';
import { startAuthoritative } from '../../../../test/rig/dns.ts';
import { hotStandbyRecord } from '../../../../test/rig/dns-records.ts';
import { freePort, runFolder, waitFor } from '../../../../test/rig/process.ts';
import { createPowerdnsPublisher } from './publisher.ts';

const ADDRESS = '127.43.1.1';
const KEY = 'a-secret-key-of-this-test';
const folder = runFolder('publisher');
const [dnsPort, apiPort] = [await freePort(ADDRESS), await freePort(ADDRESS)];
const authority = await startAuthoritative({
  folder,
  region: 'r1',
  address: ADDRESS,
  dnsPort,
  apiPort,
  apiKey: KEY,
  zone: 'app.test',
  nameServers: [{ region: 'r1', address: ADDRESS }],
});
const url = `http://${ADDRESS}:${apiPort}`;
const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const running = await authority.publisher.version(soon());
/** 4.7 answers 500; what came after waits for the lock itself, however long. */
const refusesWhileLocked = running.ok && running.value.startsWith('4.7.');

function lua(name: string, ttlSeconds = 1): Rrset {
  const regions = [{ region: 'r1', addresses: ['127.43.1.1'] }, { region: 'r2', addresses: ['127.43.2.1'] }];
  return hotStandbyRecord({ name, lease: 'counter', regions, port: 8_080, ttlSeconds });
}

test('the contract of a publisher', async (t) => {
  const zone = zoneRrsets({ zone: 'other.test', nameServers: [{ name: 'ns.other.test', addresses: [ADDRESS] }], ttlSeconds: 60 });
  await dnsPublisherContract(t, {
    publisher: createPowerdnsPublisher({ url, apiKey: KEY }),
    unreachable: createPowerdnsPublisher({ url: `http://${ADDRESS}:${await freePort(ADDRESS)}`, apiKey: KEY }),
    zone: 'other.test',
    zoneRrsets: zone.ok ? zone.value : [],
    first: lua('one.other.test'),
    second: lua('two.other.test'),
    invalid: { name: 'three.other.test.', type: 'A', ttlSeconds: 1, records: ['not an address'] },
  });
});

test('a wrong API key is told as such, writes nothing and is not repeated in the message', async (t) => {
  const wrong = createPowerdnsPublisher({ url, apiKey: 'wrong-key' });
  const before = await authority.publisher.serial('app.test', soon());
  const made = await wrong.publish('app.test', [lua('counter.app.test')], soon());
  t.match(made, { ok: false, failure: { code: 'CTM_DNS_UNAUTHORIZED' } });
  t.notMatch(JSON.stringify(made), /wrong-key/);
  t.same(await authority.publisher.serial('app.test', soon()), before);
  const empty = createPowerdnsPublisher({ url, apiKey: '' });
  t.match(await empty.flush('app.test', soon()), { ok: false, failure: { code: 'CTM_DNS_UNAUTHORIZED', message: /: the API key is empty; use that of this server$/ } });
  t.equal(empty.writes(), 0);
});

test('the key stands in no failure, whatever fails', async (t) => {
  const key = { apiKey: 'must-not-be-seen' };
  const port = await freePort(ADDRESS);
  const failures = [
    await createPowerdnsPublisher({ url: `http://${ADDRESS}:${port}`, ...key }).serial('app.test', soon()),
    await createPowerdnsPublisher({ url, ...key }).serial('app.test', AbortSignal.abort()),
    await createPowerdnsPublisher({ url, ...key }).serial('app.test', soon()),
    await createPowerdnsPublisher({ url: `${url}/elsewhere`, ...key }).serial('app.test', soon()),
  ];
  const { inspect } = await import('node:util');
  for (const failed of failures) {
    t.notOk(failed.ok);
    t.notMatch(inspect(failed, { depth: 10 }), /must-not-be-seen/);
  }
});

test('a server, or a proxy before it, that repeats the request does not get the key into a message', async (t) => {
  const apiKey = 'must-not-be-seen';
  const echo = createServer((request, response) => response.writeHead(request.method === 'GET' ? 403 : 502).end(JSON.stringify(request.headers)));
  const port = await freePort(ADDRESS);
  await new Promise<void>((resolve) => echo.listen(port, ADDRESS, resolve));
  t.teardown(() => echo.close());
  const publisher = createPowerdnsPublisher({ url: `http://${ADDRESS}:${port}`, apiKey, tries: 1 });
  for (const failed of [await publisher.serial('app.test', soon()), await publisher.flush('app.test', soon())]) {
    t.match(failed, { ok: false, failure: { message: /x-api-key/ } });
    t.notMatch(JSON.stringify(failed), /must-not-be-seen/);
  }
});

test('a key that was rotated counts at the next exchange', async (t) => {
  let apiKey = 'the-one-of-yesterday';
  const publisher = createPowerdnsPublisher({ url, apiKey: () => apiKey });
  t.match(await publisher.version(soon()), { ok: false, failure: { code: 'CTM_DNS_UNAUTHORIZED' } });
  apiKey = KEY;
  t.match(await publisher.version(soon()), { ok: true });
});

test('a database that is locked for a moment is waited for', async (t) => {
  const lock = new DatabaseSync(join(folder, 'zone.sqlite3'));
  lock.exec('BEGIN IMMEDIATE');
  const publisher = createPowerdnsPublisher({ url, apiKey: KEY, retryMs: 20, tries: 40 });
  const made = publisher.publish('app.test', [lua('locked.app.test')], AbortSignal.timeout(20_000));
  await waitFor('it to meet the lock', () => publisher.writes() >= (refusesWhileLocked ? 2 : 1));
  lock.exec('ROLLBACK');
  lock.close();
  t.match(await made, { ok: true, value: { written: true } });
  t.comment(`${publisher.writes()} tries`);
});

test('a database that stays locked is a failure after bounded tries, or at the deadline', async (t) => {
  const lock = new DatabaseSync(join(folder, 'zone.sqlite3'));
  lock.exec('BEGIN IMMEDIATE');
  t.teardown(() => lock.close());
  const publisher = createPowerdnsPublisher({ url, apiKey: KEY, retryMs: 1, tries: 3 });
  const made = await publisher.publish('app.test', [lua('stuck.app.test')], AbortSignal.timeout(refusesWhileLocked ? 20_000 : 1_000));
  if (refusesWhileLocked) t.match(made, { ok: false, failure: { code: 'CTM_DNS_SERVER_ERROR', message: /3 times/ } });
  else t.match(made, { ok: false, failure: { code: 'CTM_DNS_TIMEOUT' } });
  t.equal(publisher.writes(), refusesWhileLocked ? 3 : 1);
  const patient = createPowerdnsPublisher({ url, apiKey: KEY, retryMs: 60_000, tries: 3 });
  const late = await patient.publish('app.test', [lua('stuck.app.test')], AbortSignal.timeout(1_000));
  t.match(late, { ok: false, failure: { code: 'CTM_DNS_TIMEOUT' } });
  lock.exec('ROLLBACK');
});

test('version and counters of the server', async (t) => {
  t.match(await authority.publisher.version(soon()), { ok: true, value: /^\d+\.\d+/ });
  t.match(await authority.publisher.statistic('udp-queries', soon()), { ok: true, value: Number });
  t.match(await authority.publisher.statistic('no-such-counter', soon()), { ok: true, value: null });
});

test('a server that is alive and silent is a failure at the deadline', async (t) => {
  process.kill(authority.started.pid, 'SIGSTOP');
  t.teardown(() => process.kill(authority.started.pid, 'SIGCONT'));
  const made = await authority.publisher.publish('app.test', [lua('silent.app.test')], AbortSignal.timeout(300));
  t.match(made, { ok: false, failure: { code: 'CTM_DNS_TIMEOUT' } });
});

test('the server ends', async (t) => {
  await authority.started.stop();
  t.match(await authority.publisher.serial('app.test', soon()), { ok: false, failure: { code: 'CTM_DNS_UNREACHABLE' } });
});
