// A Pool Domain Manager small enough to read: what `POST /v1/commit` promises (all or none, once per idempotency key, problem
// documents), over a real HTTP socket, with faults on request. Stands in until a real one is at hand; the contract suite
// beside it is what a real one has to pass.

import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import type { Rrset } from '@continuum/core';
import { createPdmPublisher } from '@continuum/adapters/pdm/publisher';

export type PoolDomainManager = {
  readonly url: string;
  readonly token: string;
  readonly commits: () => number;
  readonly records: () => ReadonlyMap<string, readonly string[]>;
  /** The next request is carried out and its answer lost, answered with a status and body, or never answered. */
  readonly fail: (how: 'lose-reply' | 'silence' | { readonly status: number; readonly body: string }) => void;
  readonly close: () => Promise<void>;
};

type Body = { parentZone: string; names: string[]; records: { name: string; type: string; ttl: number; contents: string[] }[] };
type Fault = Parameters<PoolDomainManager['fail']>[0] | null;

export async function startPoolDomainManager(zones: readonly string[], token = 'a-token-of-this-test'): Promise<PoolDomainManager> {
  const records = new Map<string, readonly string[]>();
  const done = new Map<string, { id: string; serial: number }>();
  let [serial, fault] = [1, null as Fault];

  const commit = (key: string, body: Body): { status: number; json: object } => {
    if (!zones.includes(body.parentZone)) return trouble(404, 'zone-missing', `no zone ${body.parentZone}`);
    const outside = body.names.find((name) => name !== `${body.parentZone}.` && !name.endsWith(`.${body.parentZone}.`));
    if (outside !== undefined) return trouble(403, 'forbidden', `${outside} is not in ${body.parentZone}`);
    const bad = body.records.find((one) => one.type === 'A' && one.contents.some((content) => !/^\d+(\.\d+){3}$/.test(content)));
    if (bad !== undefined) return trouble(422, 'record-invalid', `${bad.name} A`);
    const known = done.get(key);
    if (known !== undefined) return { status: 200, json: { ...known, written: false } };
    for (const owned of [...records.keys()]) if (body.names.includes(owned.split(' ')[0] ?? '')) records.delete(owned);
    for (const one of body.records) records.set(`${one.name} ${one.type}`, one.contents);
    const made = { id: `c${(serial += 1)}`, serial };
    done.set(key, made);
    return { status: 201, json: { ...made, written: true } };
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const how = fault;
    fault = null;
    if (how === 'silence') return;
    if (how !== null && how !== 'lose-reply') return reply(response, how.status, how.body);
    const allowed = request.headers.authorization === `Bearer ${token}`;
    const key = String(request.headers['idempotency-key'] ?? '');
    const right = request.method === 'POST' && request.url === '/v1/commit';
    const made = !right ? trouble(404, 'no-such-path', '') : !allowed ? trouble(401, 'unauthorized', '') : key === '' ? trouble(400, 'key-missing', '') : commit(key, JSON.parse(Buffer.concat(chunks).toString('utf8')) as Body);
    if (how === 'lose-reply') return void request.socket.destroy();
    reply(response, made.status, JSON.stringify(made.json));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    commits: () => done.size,
    records: () => records,
    fail: (how) => {
      fault = how;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What every manager must do, tried with the adapter. */
export async function poolDomainManagerContract(t: Test, manager: PoolDomainManager, zone: string): Promise<void> {
  const { url, token } = manager;
  const publisher = createPdmPublisher({ url, token, timeoutMs: 300 });
  const never = (): AbortSignal => new AbortController().signal;
  const rrset = (label: string, content = '192.0.2.1'): Rrset => ({ name: `${label}.${zone}.`, type: 'A', ttlSeconds: 5, records: [content] });
  const refusal = (code: string) => ({ ok: false, failure: { code } });

  await t.test('a commit is carried out once, however often it is sent', async (t) => {
    const change = { key: 'first', rrsets: [rrset('a'), rrset('b')] };
    const made = await publisher.commit(zone, change, never());
    t.match(made, { ok: true, value: { written: true, serial: Number } });
    t.match(await publisher.commit(zone, change, never()), { ok: true, value: { written: false, serial: made.ok && made.value.serial } });
  });
  await t.test('a change that is taken back is a change', async (t) => {
    const at = `a.${zone}. A`;
    t.match(await publisher.commit(zone, { key: 'there', rrsets: [rrset('a', '192.0.2.2')] }, never()), { ok: true, value: { written: true } });
    t.match(await publisher.commit(zone, { key: 'back', rrsets: [rrset('a')] }, never()), { ok: true, value: { written: true } });
    t.same(manager.records().get(at), ['192.0.2.1']);
  });
  await t.test('a retired name answers no more; a name that was not named is left alone', async (t) => {
    t.match(await publisher.commit(zone, { key: 'retire', rrsets: [rrset('c')], retired: [`a.${zone}.`] }, never()), { ok: true, value: { written: true } });
    t.same([`a.${zone}. A`, `b.${zone}. A`, `c.${zone}. A`].map((at) => manager.records().has(at)), [false, true, true]);
  });
  await t.test('a reply that was lost is asked for again, and nothing is done twice', async (t) => {
    const before = manager.commits();
    const change = { key: 'lost', rrsets: [rrset('lost')] };
    manager.fail('lose-reply');
    t.match(await publisher.commit(zone, change, never()), refusal('CTM_PDM_UNREACHABLE'));
    t.match(await publisher.commit(zone, change, never()), { ok: true, value: { written: false } });
    t.equal(manager.commits(), before + 1);
  });
  await t.test('all or none', async (t) => {
    t.match(await publisher.commit(zone, { key: 'bad', rrsets: [rrset('good'), rrset('bad', 'no address')] }, never()), refusal('CTM_PDM_INVALID'));
    t.notOk(manager.records().has(`good.${zone}. A`));
  });
  await t.test('each refusal has its name', async (t) => {
    t.match(await publisher.commit('other.test', { key: 'other', rrsets: [rrset('a')] }, never()), refusal('CTM_PDM_ZONE_MISSING'));
    t.match(await publisher.commit(zone, { key: 'elsewhere', rrsets: [{ ...rrset('a'), name: 'a.elsewhere.test.' }] }, never()), refusal('CTM_PDM_FORBIDDEN'));
    const wrong = await createPdmPublisher({ url, token: 'not-the-token' }).commit(zone, { key: 'wrong', rrsets: [rrset('a')] }, never());
    t.match(wrong, refusal('CTM_PDM_UNAUTHORIZED'));
    t.notMatch(JSON.stringify(wrong), /not-the-token/);
  });
}

function trouble(status: number, type: string, detail: string): { status: number; json: object } {
  return { status, json: { type: `https://continuum.dev/problems/${type}`, title: type, status, detail } };
}

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': status < 300 ? 'application/json' : 'application/problem+json' }).end(body);
}
