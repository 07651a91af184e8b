// The operator's side of a running site: what the API and the command line show, refuse and carry out, with the codes that
// scripts go by. One site; its lease goes from r1 to r2 by a planned switchover.

import t from 'tap';
import type { AuditEntry } from '@continuum/runtime';
import type { Status, SwitchoverPlan } from '../../daemons/controller/src/status.ts';
import { monotonicMs } from '../rig/clock.ts';
import { continuum } from '../rig/command.ts';
import { runFolder, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import type { Region } from '../rig/site.ts';

const site = await startSite({ folder: runFolder('operator'), rtoMs: 5_000 });
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;
const startedMs = monotonicMs();

type Problem = { code: string; status: number; detail: string; fields?: { path: string }[]; preconditions?: SwitchoverPlan['preconditions'] };

async function call(region: Region, method: string, path: string, body?: string, token = region.token): Promise<{ status: number; type: string; json: Problem }> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const reply = await fetch(`${region.api}${path}`, { method, headers, ...(body === undefined ? {} : { body }), signal: AbortSignal.timeout(10_000) });
  return { status: reply.status, type: reply.headers.get('content-type') ?? '', json: (await reply.json()) as Problem };
}

t.test('without the token nothing is told and nothing is done', async (t) => {
  const routes: [string, string][] = [['GET', '/v1/status'], ['GET', '/v1/events'], ['POST', '/v1/switchover'], ['DELETE', '/v1/switchover'], ['POST', '/v1/failover']];
  for (const [method, path] of routes) {
    for (const token of ['', 'wrong', `${r1.token}x`, r1.token.slice(1)]) {
      const { status, type, json } = await call(r1, method, path, method === 'POST' ? '{"to":"r2"}' : undefined, token);
      t.match({ status, type, json }, { status: 401, type: 'application/problem+json', json: { code: 'CTM_API_UNAUTHORIZED', detail: /tokenFile/ } }, `${method} ${path}`);
    }
  }
  t.equal((await fetch(`${r1.api}/v1/status`)).status, 401, 'no header at all');
  t.equal((await fetch(`${r1.api}/healthz`)).status, 200, 'being alive is no secret');
  t.match(await (await fetch(`${r1.api}/metrics`)).text(), /^continuum_lease_acting_epoch\{.*\} 1$/m);
});

t.test('a body that is not of the protocol is refused by field, and changes nothing', async (t) => {
  const cases: [string, string, string, RegExp, string[]][] = [
    ['POST', '/v1/switchover', '{"to":"r2","when":"now"}', /when/, ['']],
    ['POST', '/v1/switchover', '{}', /to: name the region/, ['to']],
    ['POST', '/v1/switchover', '{"to":7,"dryRun":"yes"}', /to: name the region.*dryRun/, ['to', 'dryRun']],
    ['POST', '/v1/failover', '{"force":true,"because":"x"}', /because/, ['']],
    ['POST', '/v1/failover', '{"force":true,"reason":"x","estimatedLoss":"y"}', /reason: say why/, ['reason']],
  ];
  for (const [method, path, body, detail, fields] of cases) {
    const { status, json } = await call(r1, method, path, body);
    t.match({ status, json }, { status: 400, json: { code: 'CTM_API_INVALID', detail } }, body);
    t.same(json.fields?.map((field) => field.path), fields);
  }
  t.match(await call(r1, 'POST', '/v1/switchover', '{'), { status: 400, json: { code: 'CTM_API_INVALID', detail: 'the body is not JSON' } });
  t.match(await call(r1, 'POST', '/v1/switchover', `{"to":"${'r'.repeat(20_000)}"}`), { status: 413, json: { code: 'CTM_API_BODY_TOO_LARGE' } });
  t.match(await call(r1, 'POST', '/v1/failover', '{"force":true}'), { status: 400, json: { detail: /force needs reason and estimatedLoss/ } });
  t.match(await call(r1, 'POST', '/v1/failover', '{}'), { status: 409, json: { code: 'CTM_FAILOVER_REFUSED', detail: 'region r1 holds the lease already' } });
  t.match(await call(r1, 'PUT', '/v1/switchover', '{}'), { status: 404, json: { code: 'CTM_API_NOT_FOUND', detail: 'PUT /v1/switchover is not an operation of this API' } });
  t.same(since(site, startedMs).filter((entry) => entry.event === 'operator'), [], 'none of it was an operator speaking');
});

t.test('status says the same in text and in JSON', async (t) => {
  const text = await continuum(r1.configFile, 'status');
  t.match(text, { code: 0, stderr: '', stdout: /^region +r1 \(automatic\)\nphase +active\nmay act +epoch 1, \d+ ms left\nlease +r1, epoch 1, in sync \[r1, r2\]/ });
  const json = await continuum(r2.configFile, 'status', '--output', 'json');
  t.equal(json.code, 0);
  const status = JSON.parse(json.stdout) as Status;
  t.match(status, { region: 'r2', phase: { kind: 'standby' }, actingEpoch: 0, validityMs: 0, lease: { holder: 'r1', epoch: 1 }, gate: { mode: 'forward' } });
  t.same(status.takeover?.filter((one) => !one.ok).map((one) => one.name), ['lease-free'], 'all that keeps r2 from taking over is that the lease is held');
});

t.test('a plan shows every step and changes nothing', async (t) => {
  const fromMs = monotonicMs();
  const plan = await continuum(r1.configFile, 'plan', '--to', 'r2', '--output', 'json');
  t.equal(plan.code, 0);
  const { possible, from, to, steps, preconditions } = JSON.parse(plan.stdout) as SwitchoverPlan;
  t.same([possible, from, to], [true, 'r1', 'r2']);
  t.ok(steps.length >= 8 && steps.every((one) => one.boundMs > 0));
  t.ok(preconditions.every((one) => one.ok));
  t.match(await continuum(r1.configFile, 'plan', '--to', 'r2'), { code: 0, stdout: /^switchover r1 -> r2: possible[\s\S]*steps:\n +1\. r2 / });
  t.same(since(site, fromMs), [], 'nothing was recorded');
  t.match(await r1.status(), { phase: { kind: 'active' }, lease: { intent: null, epoch: 1 } });
});

t.test('a switchover to an unknown region, or to the holder, is refused with its conditions', async (t) => {
  const unknown = await call(r1, 'POST', '/v1/switchover', '{"to":"r9"}');
  t.match(unknown, { status: 409, type: 'application/problem+json', json: { code: 'CTM_SWITCHOVER_REFUSED', detail: /region-known: r9, needs one of r1, r2/ } });
  t.match(unknown.json.preconditions?.find((one) => one.name === 'region-known'), { ok: false, value: 'r9' });
  t.match(await call(r1, 'POST', '/v1/switchover', '{"to":"r1"}'), { status: 409, json: { detail: /other-holder: r1, needs held, and not by r1/ } });
  t.match(await continuum(r1.configFile, 'switchover', '--to', 'r9'), { code: 1, stderr: /^CTM_SWITCHOVER_REFUSED: region-known: r9/ });
  t.match(await continuum(r1.configFile, 'plan', '--to', 'r9'), { code: 1, stdout: /^switchover r1 -> r9: refused\n {2}NO {2}region-known/ });
});

t.test('a switchover by command waits for its end; whoever follows the events sees each step in order', async (t) => {
  const following = new AbortController();
  const stream = await fetch(`${r1.api}/v1/events`, { headers: { authorization: `Bearer ${r1.token}` }, signal: following.signal });
  t.equal(stream.headers.get('content-type'), 'text/event-stream');
  const heard: AuditEntry[] = [];
  const listening = collect(stream, heard);
  await waitFor('what happened before', () => heard.some((entry) => entry.event === 'started'));
  const fromMs = monotonicMs();
  const done = await continuum(r1.configFile, 'switchover', '--to', 'r2', '--output', 'json');
  t.equal(done.code, 0, done.stderr);
  t.match(JSON.parse(done.stdout), { to: 'r2', epoch: 2, done: true });
  await load.acknowledged('r2', fromMs);
  await site.settled('r2');
  await waitFor('the last step', () => heard.some((entry) => entry.event === 'database-rejoin' && entry.detail['ok'] === true));
  following.abort();
  await listening;
  t.same(heard.map((entry) => entry.seq), heard.map((_, index) => index + 1), 'from the first on, in order, none twice');
  const steps = heard.filter((entry) => entry.detail['kind'] === 'handing-over').map((entry) => entry.detail['step']);
  t.same(steps, ['preparing', 'holding', 'draining', 'demoting', 'transferring']);
  t.same(load.writes.filter((write) => write.sentMs > fromMs && write.outcome !== 'acknowledged'), [], 'no write failed');
});

t.test('the events by command: one line each, newest last', async (t) => {
  const listed = await continuum(r1.configFile, 'events', '--output', 'json');
  t.equal(listed.code, 0);
  const entries = listed.stdout.trim().split('\n').map((line) => JSON.parse(line) as AuditEntry);
  t.equal(entries[0]?.event, 'started');
  t.ok(entries.every((entry, index) => entry.seq === index + 1));
  t.match((await continuum(r1.configFile, 'events')).stdout, /^\S+Z {2}r1 {2}started +\{"instance":/);
});

t.test('a switchover to a region that is not in sync is refused, and the answer says what is missing', async (t) => {
  await r1.kill();
  await waitFor('r2 to be alone', async () => (await r2.status()).lease?.inSync.join() === 'r2', { timeoutMs: 30_000 });
  const refused = await call(r2, 'POST', '/v1/switchover', '{"to":"r1"}');
  t.match(refused, { status: 409, json: { code: 'CTM_SWITCHOVER_REFUSED', detail: 'target-in-sync: [r2], needs contains r1' } });
  t.match(refused.json.preconditions?.find((one) => one.name === 'target-in-sync'), { ok: false, value: '[r2]', limit: 'contains r1', source: 'witness' });
  t.ok(refused.json.preconditions?.filter((one) => one.name !== 'target-in-sync').every((one) => one.ok));
  t.match(await continuum(r2.configFile, 'switchover', '--to', 'r1'), { code: 1, stderr: /^CTM_SWITCHOVER_REFUSED: target-in-sync/ });
  const plan = await continuum(r2.configFile, 'plan', '--to', 'r1', '--output', 'json');
  t.equal(plan.code, 1);
  t.match(JSON.parse(plan.stdout), { possible: false });
  t.match(await continuum(r1.configFile, 'status'), { code: 3, stderr: /^no controller at http:\/\/127\.10\.0\.1:/ });
  await r1.start();
  await site.settled('r2');
});

t.test('every promise held', async (t) => {
  for (const { name, passed, evidence } of await load.verdict('r2', 1)) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});

/** Takes the entries out of a stream of events until it is given up. */
async function collect(stream: Response, heard: AuditEntry[]): Promise<void> {
  let buffer = '';
  try {
    for await (const chunk of (stream.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
      buffer += chunk;
      const events = buffer.split('\n\n');
      buffer = events.pop() ?? '';
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: {'));
        if (data !== undefined) heard.push(JSON.parse(data.slice('data: '.length)) as AuditEntry);
      }
    }
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
  }
}
