// The command line against everything that may answer in a controller's place. Each ends in one line and one exit code.

import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { callApi, checkApi, followEvents } from './api-client.ts';
import type { Quit } from './api-client.ts';

const TOKEN = 'a-token-for-this-test-only';
const quit: Quit = (kind, message) => {
  throw new Error(`${kind} ${message}`);
};

const EVENTS = { 'content-type': 'text/event-stream' };
const event = (seq: number): string => `id: ${seq}\nevent: granted\ndata: {"seq":${seq}}\n\n`;
const flood = (response: ServerResponse): void => {
  const more = (): void => {
    while (!response.destroyed && response.write('x'.repeat(65_536))) continue;
  };
  response.on('drain', more);
  more();
};
const ANSWERS: Record<string, (response: ServerResponse) => void> = {
  page: (response) => response.end('<html>a page</html>'),
  null: (response) => response.end('null'),
  list: (response) => response.end('[{"phase":1}]'),
  other: (response) => response.end('{"hello":"world"}'),
  redirect: (response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
  'bad-gateway': (response) => response.writeHead(502).end('upstream'),
  half: (response) => void response.writeHead(200, { 'content-length': '100' }).write('{"phase":', () => response.destroy()),
  cut: (response) => response.destroy(),
  flood: (response) => flood(response.writeHead(200, EVENTS)),
  refusal: (response) => response.writeHead(401).end('{"code":"CTM_API_UNAUTHORIZED","detail":"send the token"}'),
  good: (response) => response.end('{"phase":{"kind":"active"}}'),
  some: (response) => void response.writeHead(200, EVENTS).write(`${event(1)}event: keep-alive\ndata: \n\n${event(2).slice(0, 20)}`, () => response.write(event(2).slice(20))),
  ending: (response) => response.writeHead(200, EVENTS).end(event(1)),
};

const server = createServer((request, response) => ANSWERS[request.url?.split('/')[1] ?? '']?.(response)).listen(0, '127.0.0.1');
await once(server, 'listening');
t.teardown(() => {
  server.closeAllConnections();
  server.close();
});
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const at = (name: string) => ({ url: `${origin}/${name}`, token: TOKEN });

const call = (name: string, method: 'GET' | 'POST' = 'GET') => callApi<{ phase: unknown }>(at(name), quit, method, '/v1/status', 'phase');
const NOT_OURS = { message: /^unreachable what answers at .* is not a controller of this version \(status \d+\)/ };

t.test('an answer is taken when it is the one that was asked for', async (t) => {
  t.same(await call('good'), { phase: { kind: 'active' } });
});

t.test('anything else is said in a line', async (t) => {
  for (const name of ['page', 'null', 'list', 'other', 'redirect', 'bad-gateway']) await t.rejects(call(name), NOT_OURS, name);
  for (const name of ['half', 'cut', 'flood']) await t.rejects(call(name), { message: /^unreachable no controller at .*: [^;]+$/ }, name);
  await t.rejects(call('refusal'), { message: 'refused CTM_API_UNAUTHORIZED: send the token' });
});

t.test('of what was asked for and not answered nobody knows whether it was taken', async (t) => {
  for (const name of ['half', 'cut']) await t.rejects(call(name, 'POST'), { message: /^unreachable .*it may have been asked all the same: see "continuum status"$/ }, name);
  const nobody = { url: 'http://127.0.0.1:1', token: TOKEN };
  await t.rejects(callApi(nobody, quit, 'POST', '/v1/failover', 'accepted' as never), { message: /^unreachable .*ECONNREFUSED[^;]*$/ }, 'unless nobody was there');
});

t.test('a stream of events is read to where it is quiet, and what is none is no empty list', async (t) => {
  const seen: number[] = [];
  const follow = (name: string, forEver: boolean) => followEvents(at(name), quit, forEver, ({ seq }) => seen.push(seq));
  await follow('some', false);
  t.same(seen, [1, 2]);
  for (const name of ['page', 'other', 'redirect', 'flood']) await t.rejects(follow(name, true), NOT_OURS, name);
  await t.rejects(follow('refusal', false), { message: /^refused CTM_API_UNAUTHORIZED/ });
  await t.rejects(follow('ending', true), { message: /^unreachable no controller at .*: it ended the stream$/ });
  await t.rejects(follow('cut', true), { message: /^unreachable / });
});

t.test('an address or a token that cannot be used is refused before anything is sent, and not quoted', async (t) => {
  for (const url of ['r1', 'ftp://127.0.0.1', 'http://127.0.0.1:99999', 'http://ann:open-sesame@127.0.0.1/']) {
    t.throws(() => checkApi({ url, token: TOKEN }, quit), { message: /^usage --api: use the address of a controller/ }, url);
  }
  for (const token of ['', 'two\nlines', 'two words', 'schlüssel-aus-der-datei', '\u0000\u0001']) {
    t.throws(() => checkApi({ url: origin, token }, quit), { message: /^usage the token file: use one line/ }, token);
  }
  t.equal(checkApi({ url: `${origin}/`, token: TOKEN }, quit).url, origin);
});
