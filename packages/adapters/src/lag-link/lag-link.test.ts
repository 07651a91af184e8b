// The controller's ear for a lag prober, on real sockets: what a prober says comes in, what else is said does no harm.

import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { LagReport } from '@continuum/core/replication/reported';
import { test } from 'tap';
import type { Test } from 'tap';
import { runFolder, waitFor } from '../../../../test/rig/process.ts';
import { createLagLink } from './lag-link.ts';

const folder = runFolder('lag-link');
let number = 0;

const line = (intervalMs: number, cluster = 'shop'): string => `${JSON.stringify({ cluster, intervalMs, primary: null, standbys: [] })}\n`;

async function linkAt(t: Test): Promise<{ path: string; reports: LagReport[]; problems: string[] }> {
  const path = join(folder, `${number++}.sock`);
  const [reports, problems]: [LagReport[], string[]] = [[], []];
  const opened = await createLagLink({ socketPath: path, cluster: 'shop', regions: ['r1', 'r2'], onReport: (one) => reports.push(one), onRefused: (one) => problems.push(one) });
  if (!opened.ok) throw new Error(opened.failure.message);
  t.teardown(opened.value.close);
  return { path, reports, problems };
}

async function proberAt(t: Test, path: string): Promise<Socket> {
  const socket = createConnection(path);
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('reports come in as they are pushed, also in pieces; another cluster is passed over', async (t) => {
  const { path, reports, problems } = await linkAt(t);
  t.equal(statSync(path).mode & 0o777, 0o600, 'only this user may say anything');
  const prober = await proberAt(t, path);
  const text = line(100);
  prober.write(text.slice(0, 10));
  prober.write(text.slice(10));
  await waitFor('the first report', () => reports.length === 1);
  prober.write(line(999, 'other') + line(200));
  await waitFor('the second one', () => reports.length === 2);
  t.same(reports.map((one) => one.intervalMs), [100, 200]);
  t.same(problems, []);
});

test('of many that wait only the newest counts', async (t) => {
  const { path, reports } = await linkAt(t);
  const prober = await proberAt(t, path);
  prober.write(Array.from({ length: 400 }, (_, index) => line(index + 1)).join(''));
  await waitFor('the newest', () => reports.at(-1)?.intervalMs === 400);
  t.ok(reports.length < 40, `${reports.length} were handed on`);
});

test('reports without a pause are handed on in their own time, and the newest is not forgotten', async (t) => {
  const { path, reports } = await linkAt(t);
  const prober = await proberAt(t, path);
  const startMs = performance.now();
  for (let index = 1; index <= 200; index++) {
    prober.write(line(index));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await waitFor('the newest', () => reports.at(-1)?.intervalMs === 200);
  const most = (performance.now() - startMs) / 19 + 2;
  t.ok(reports.length <= most, `${reports.length} were handed on, at most one every 20 ms`);
});

test('what is no report is refused by the name of its field, and the prober is dropped; the next one is heard', async (t) => {
  const { path, reports, problems } = await linkAt(t);
  const said: [string, RegExp][] = [
    ['GET / HTTP/1.1\r\n\r\n', /^\(line\): not JSON/],
    [line(0), /^intervalMs: use 1 or more/],
    ['x'.repeat(70_000), /^\(line\): longer than 65536 characters/],
  ];
  for (const [text, problem] of said) {
    const prober = await proberAt(t, path);
    prober.write(text);
    await waitFor('it to be dropped', () => prober.destroyed || prober.readableEnded);
    t.match(problems.at(-1), problem);
  }
  t.equal(reports.length, 0);
  const prober = await proberAt(t, path);
  prober.write(line(300));
  await waitFor('a good one', () => reports.length === 1);
});

test('more probers than belong there are refused, and a place is free again when one goes', async (t) => {
  const { path, reports, problems } = await linkAt(t);
  const probers = [];
  for (let index = 0; index < 4; index++) probers.push(await proberAt(t, path));
  const fifth = await proberAt(t, path);
  await waitFor('the fifth to be dropped', () => fifth.destroyed || fifth.readableEnded);
  t.match(problems, [/more than 4 probers/]);
  probers[0]?.destroy();
  await waitFor('the place to be free', async () => {
    const again = await proberAt(t, path);
    again.write(line(500));
    return reports.length > 0;
  });
});

test('a path that is taken, or that is something else', async (t) => {
  const { path } = await linkAt(t);
  const open = (socketPath: string) => createLagLink({ socketPath, cluster: 'shop', regions: [], onReport: () => undefined, onRefused: () => undefined });
  t.match(await open(path), { ok: false, failure: { code: 'CTM_LAG_LINK_IN_USE', message: /another process serves the lag socket/ } });
  const file = join(folder, 'file');
  writeFileSync(file, '');
  t.match(await open(file), { ok: false, failure: { code: 'CTM_LAG_LINK_PATH' } });
  t.match(await open(join(folder, 'x'.repeat(200))), { ok: false, failure: { code: 'CTM_LAG_LINK_PATH', message: /at most 107/ } });
  t.match(await open(join(folder, 'missing', 'lag.sock')), { ok: false, failure: { code: 'CTM_LAG_LINK_LISTEN' } });
});
