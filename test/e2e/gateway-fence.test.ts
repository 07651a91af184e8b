// What a region's gateway does when it may not serve, or may not be asked: real Envoys, real gates, two regions.

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { start, waitFor } from '../rig/process.ts';
import { WELL_KNOWN, startGatewayPair } from '../rig/gateway-pair.ts';
import type { Reply } from '../rig/gateway-pair.ts';

const pair = await startGatewayPair('gateway-fence', ['127.45.1.1', '127.45.2.1']);
const { r1, r2 } = pair;
t.teardown(() => pair.close());

const refusal = (code: string): object => ({
  status: 503,
  headers: { 'retry-after': '1', 'x-continuum-refused': code, 'content-type': 'application/problem+json' },
});

t.test('a gate that has heard nothing refuses everything, in words a client can read', async (t) => {
  for (const path of ['/', WELL_KNOWN]) t.match(await r1.get(path), refusal('CTM_GATE_FENCED'));
  t.same(JSON.parse((await r1.get('/')).text), {
    type: 'urn:continuum:CTM_GATE_FENCED',
    title: 'This region does not hold the lease',
    status: 503,
    code: 'CTM_GATE_FENCED',
  });
});

t.test('the well-known path is 200 only while this region is open', async (t) => {
  const seen = async (): Promise<number[]> => [(await r1.get(WELL_KNOWN)).status, (await r1.get(`${WELL_KNOWN}?probe=1`)).status];
  await r1.tell({ mode: 'open' }, 60_000);
  const { status, text } = await r1.get(WELL_KNOWN);
  t.same([status, text], [200, 'active region=r1\n'], 'a body that no probe takes for a weight');
  t.same(await seen(), [200, 200]);
  for (const mode of ['hold', 'forward', 'closed'] as const) {
    await r1.tell({ mode, activeRegion: 'r2' });
    t.same(await seen(), [503, 503], mode);
    const spoofed = await r1.get(WELL_KNOWN, { 'x-continuum-route': 'r1', 'x-continuum-forwarded': 'r2' });
    t.equal(spoofed.status, 503, `${mode}, with the headers of a verdict`);
  }
  t.equal(r1.app.served(), 0, 'the application never sees it');
});

t.test('a request that passes is served here, and the application is told which region serves', async (t) => {
  await r1.tell({ mode: 'open' }, 60_000);
  const reply = await r1.get('/a?b=c', { cookie: 'secret=1' });
  t.match(reply, { status: 200, echo: { region: 'r1', path: '/a?b=c', headers: { 'x-continuum-route': 'r1', cookie: 'secret=1' } } });
});

t.test('headers of the gate that a client sends are not obeyed', async (t) => {
  await r1.tell({ mode: 'open' }, 60_000);
  await r2.tell({ mode: 'open' }, 60_000);
  for (const route of ['r2', 'r1', 'nowhere', '']) {
    t.match(await r1.get('/', { 'x-continuum-route': route }), { status: 200, echo: { region: 'r1' } }, route);
  }
  await r1.tell({ mode: 'closed' });
  t.match(await r1.get('/', { 'x-continuum-route': 'r1' }), refusal('CTM_GATE_FENCED'));
});

t.test('a client cannot make the gateway send a request twice', async (t) => {
  await r1.tell({ mode: 'open' }, 60_000);
  const before = r1.app.served();
  const headers = { 'x-envoy-retry-on': '5xx,gateway-error,retriable-4xx', 'x-envoy-max-retries': '5' };
  t.equal((await r1.get('/fail', headers, 'POST')).status, 503);
  t.equal(r1.app.served(), before + 1);
  // Envoy drops those that it knows, from a client that it takes for an outsider. Neither is left to a default.
  const reply = await r1.get('/', { ...headers, 'x-envoy-of-tomorrow': '1' });
  const arrived = ['x-envoy-retry-on', 'x-envoy-max-retries', 'x-envoy-of-tomorrow'].filter((name) => name in (reply.echo?.headers ?? {}));
  t.same(arrived, [], 'none of these headers gets in');
});

t.test('validity runs out on time with the controller dead, and nothing passes after', async (t) => {
  await r1.tell({ mode: 'open' }, 700);
  const endsMs = performance.now() + 700;
  await r1.link().close();
  const replies: Reply[] = [];
  const probe = async (path: string): Promise<void> => {
    while (performance.now() < endsMs + 300) {
      const sentMs = performance.now();
      const reply = await r1.get(path);
      // Sent after the end, so judged after the end; one that was sent before may be judged on either side of it.
      if (reply.status === 200 && sentMs >= endsMs) t.fail(`${path} passed ${sentMs - endsMs} ms after the end`);
      replies.push(reply);
    }
  };
  await Promise.all([probe('/'), probe(WELL_KNOWN)]);
  t.ok(replies.some(({ status, atMs }) => status === 200 && atMs < endsMs), 'it served while it was valid');
  t.match(replies.at(-1), refusal('CTM_GATE_FENCED'));
  t.equal(await r1.metric('continuum_gate_validity_remaining_seconds'), 0);
  await r1.openLink();
  await r1.tell({ mode: 'open' }, 60_000);
  t.equal((await r1.get('/')).status, 200, 'a new controller opens it again');
});

t.test('a gate that was paused past its validity refuses what arrived meanwhile', async (t) => {
  await r1.tell({ mode: 'open' }, 400);
  const endsMs = performance.now() + 400;
  const gate = r1.gateway.gate;
  if (gate === null) return t.fail('no gate');
  process.kill(gate.pid, 'SIGSTOP');
  const before = r1.app.served();
  const during = [r1.get('/'), r1.get('/', {}, 'POST'), r1.get(WELL_KNOWN)];
  // The pause is the fault under test: its length is measured against the validity, not against any event.
  await delay(endsMs + 200 - performance.now());
  await r1.link().close();
  process.kill(gate.pid, 'SIGCONT');
  for (const reply of await Promise.all(during)) t.match(reply, refusal('CTM_GATE_FENCED'));
  t.equal(r1.app.served(), before);
  await r1.openLink();
});

t.test('a controller that still answers after the validity it gave opens nothing', async (t) => {
  await r1.tell({ mode: 'open' }, 150);
  await waitFor('the end', async () => (await r1.get('/')).status === 503);
  const checksBefore = await r1.metric('continuum_gate_checks_total{verdict="CTM_GATE_FENCED"}');
  for (let round = 0; round < 20; round++) t.match(await r1.get('/'), refusal('CTM_GATE_FENCED'));
  t.equal(await r1.metric('continuum_gate_checks_total{verdict="CTM_GATE_FENCED"}'), checksBefore + 20);
  t.equal(r1.link().observed().connected, true);
});

t.test('an instruction of an epoch of the past is refused, also by a gate that was restarted', async (t) => {
  await r1.tell({ mode: 'closed', epoch: 9 });
  t.same(JSON.parse(readFileSync(r1.gateway.paths.epochFile, 'utf8')), { epoch: 9 });
  const past = { epoch: 8, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 } as const;
  r1.link().set(past, (performance.now() + 60_000) as never);
  const refused = async (least: number): Promise<boolean> => (await r1.metric('continuum_gate_stale_instructions_total')) >= least;
  await waitFor('the refusal', () => refused(1));
  t.match(await r1.get('/'), refusal('CTM_GATE_FENCED'));
  await r1.gateway.gate?.kill();
  const restarted = await r1.gateway.startGate();
  await waitFor('the refusal', () => refused(1));
  t.match(await r1.get('/'), refusal('CTM_GATE_FENCED'));
  t.equal(r1.link().observed().epoch, 9);
  await r1.tell({ mode: 'open', epoch: 9 }, 60_000);
  t.equal((await r1.get('/')).status, 200, 'the same epoch counts');
  await restarted.stop();
});

t.test('without its gate a gateway refuses everything, and says that nothing was executed', async (t) => {
  const before = r1.app.served();
  const replies = await Promise.all(['/', '/x', WELL_KNOWN].map((path) => r1.get(path)));
  for (const reply of replies) t.match(reply, { status: 503, headers: { 'x-continuum-refused': 'CTM_GATEWAY_NO_VERDICT', 'retry-after': '1' } });
  t.equal(r1.app.served(), before);
});

t.test('a gate with a damaged epoch file does not start, and says what to do', async (t) => {
  const { epochFile, gateConfig } = r1.gateway.paths;
  const whole = readFileSync(epochFile, 'utf8');
  writeFileSync(epochFile, whole.slice(0, 4));
  const { code, output } = await runGate(gateConfig);
  t.equal(code, 'code 78');
  t.match(output, /CTM_GATE_EPOCH_FILE: epochFile .* is damaged\. Write \{"epoch": N\}/);
  writeFileSync(epochFile, whole);
});

t.test('a gate whose port is taken does not start, and says which', async (t) => {
  const config = JSON.parse(readFileSync(r1.gateway.paths.gateConfig, 'utf8')) as Record<string, string>;
  const [host, port] = (config['listen'] ?? '').split(':') as [string, string];
  const squatter = createServer().listen(Number(port), host);
  await once(squatter, 'listening');
  const { code, output } = await runGate(r1.gateway.paths.gateConfig);
  squatter.close();
  t.equal(code, 'code 69');
  t.match(output, new RegExp(`CTM_GATE_LISTEN: cannot listen on listen ${host}:${port}: .*EADDRINUSE`));
});

t.test('garbage on the socket changes nothing', async (t) => {
  await r2.tell({ mode: 'open' }, 60_000);
  const path = (JSON.parse(readFileSync(r2.gateway.paths.gateConfig, 'utf8')) as Record<string, string>)['controllerSocket'] ?? '';
  await r2.link().close();
  const impostor = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    socket.write('{"answer":1,"instruction":{"mode":"closed"}}\n');
  }).listen(path);
  await waitFor('three impostor connections', async () => (await r2.metric('continuum_gate_link_garbage_total')) >= 3);
  t.equal((await r2.get('/')).status, 200, 'what it had is still valid');
  await new Promise((resolve) => impostor.close(resolve));
  await r2.openLink();
  await r2.tell({ mode: 'closed' });
  t.match(await r2.get('/'), refusal('CTM_GATE_FENCED'));
});

async function runGate(config: string): Promise<{ code: string; output: string }> {
  const logFile = `${config}.${process.hrtime.bigint()}.log`;
  const main = new URL('../../daemons/quota/src/main.ts', import.meta.url).pathname;
  const gate = await start({ name: 'gate', command: process.execPath, args: [main, '--config', config], logFile });
  const code = await gate.exited;
  const output = await waitFor('its words', () => readFileSync(logFile, 'utf8'));
  return { code, output };
}
