// The Pool Domain Manager's contract, and what its network and its mistakes become here.

import { test } from 'tap';
import type { Rrset } from '@continuum/core';
import { poolDomainManagerContract, startPoolDomainManager } from '../../../../test/rig/pool-domain-manager.ts';
import { freePort } from '../../../../test/rig/process.ts';
import { createPdmPublisher } from './publisher.ts';

const ZONE = 'pool.test';
const manager = await startPoolDomainManager([ZONE]);
const record: Rrset = { name: `a.${ZONE}.`, type: 'A', ttlSeconds: 5, records: ['192.0.2.9'] };
const change = { key: 'one', rrsets: [record] };
const { url, token } = manager;
const never = new AbortController().signal;

test('the contract', (t) => poolDomainManagerContract(t, manager, ZONE));

test('a manager that is silent costs its bound and no more', async (t) => {
  manager.fail('silence');
  t.match(await createPdmPublisher({ url, token, timeoutMs: 100 }).commit(ZONE, change, never), { ok: false, failure: { code: 'CTM_PDM_TIMEOUT', message: /may have been/ } });
  t.match(await createPdmPublisher({ url, token }).commit(ZONE, change, AbortSignal.abort()), { ok: false, failure: { code: 'CTM_PDM_TIMEOUT' } });
  const nobody = createPdmPublisher({ url: `http://127.0.0.1:${await freePort()}`, token });
  t.match(await nobody.commit(ZONE, change, never), { ok: false, failure: { code: 'CTM_PDM_UNREACHABLE' } });
});

test('problem documents are mapped by type, then by status; anything else is not believed', async (t) => {
  const cases: readonly (readonly [number, string, string])[] = [
    [400, JSON.stringify({ type: 'urn:pdm:conflict', detail: 'newer' }), 'CTM_PDM_CONFLICT'],
    [409, '{}', 'CTM_PDM_CONFLICT'],
    [429, '', 'CTM_PDM_BUSY'],
    [503, '<html>', 'CTM_PDM_BUSY'],
    [500, JSON.stringify({ type: 'about:blank', title: 'oops' }), 'CTM_PDM_ERROR'],
    [418, JSON.stringify({ type: 'x/constructor' }), 'CTM_PDM_ERROR'],
    [200, '{"id":1}', 'CTM_PDM_REPLY_INVALID'],
    [201, 'x'.repeat(70_000), 'CTM_PDM_REPLY_INVALID'],
  ];
  for (const [status, body, code] of cases) {
    manager.fail({ status, body });
    t.match(await createPdmPublisher({ url, token }).commit(ZONE, change, never), { ok: false, failure: { code } }, `${status} ${body.slice(0, 30)}`);
  }
});

test('a manager, or a proxy before it, that repeats the request does not get the token into a message', async (t) => {
  for (const [status, body] of [[403, JSON.stringify({ type: 'x', title: `you sent ${token}`, detail: token })], [200, `you sent ${token}`], [502, token]] as const) {
    manager.fail({ status, body });
    const made = await createPdmPublisher({ url, token }).commit(ZONE, change, never);
    t.notOk(made.ok);
    t.notMatch(JSON.stringify(made), new RegExp(token));
  }
});

test('a token that was rotated counts at the next commit', async (t) => {
  let now = 'the-one-of-yesterday';
  const publisher = createPdmPublisher({ url, token: () => now });
  t.match(await publisher.commit(ZONE, { ...change, key: 'rotated' }, never), { ok: false, failure: { code: 'CTM_PDM_UNAUTHORIZED' } });
  now = '';
  t.match(await publisher.commit(ZONE, { ...change, key: 'rotated' }, never), { ok: false, failure: { code: 'CTM_PDM_UNAUTHORIZED', message: /: the token is empty; use that of this manager$/ } });
  now = token;
  t.match(await publisher.commit(ZONE, { ...change, key: 'rotated' }, never), { ok: true });
});

test('the manager ends', (t) => manager.close().then(() => t.pass('ended')));
