// The prober as a process, at servers that only speak the protocol: what it tells and how, what a change of its file does,
// that one bad server is nobody else's problem, and that probers share their work without a hole.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import type { Test } from 'tap';
import { request } from 'undici';
import type { StandbyReport } from '@continuum/core/replication/index';
import type { WatchedReport } from '@continuum/lag-prober/watcher';
import { why } from '../rig/lag-watch.ts';
import { startResponder } from '../rig/postgres-responder.ts';
import type { Responder } from '../rig/postgres-responder.ts';
import { startProber } from '../rig/prober.ts';
import type { Prober } from '../rig/prober.ts';
import { freePort, runFolder, waitFor } from '../rig/process.ts';

const MAIN = fileURLToPath(new URL('../../daemons/lag-prober/src/main.ts', import.meta.url));
const CLI = fileURLToPath(new URL('../../daemons/controller/src/cli.ts', import.meta.url));
const NOTHING = {
  walsenders: null, slots: null, synchronous: '', syncWaits: null, weak: null, receive: null, replay: null, commitMs: null, receiver: null, pause: null, delayMs: null, conflicts: null, beat: null, epoch: null,
};

type Servers = { readonly primary: Responder; readonly standby: Responder; readonly ends: object[] };

async function startServers(t: Test): Promise<Servers> {
  const at = '0/5000000';
  const common = { ...NOTHING, clockMs: 1_000, system: '7300000000000000001', timeline: 1 };
  const primary = await startResponder(() =>
    JSON.stringify({ ...common, clockMs: performance.now(), standby: false, lsn: at, nextXid: '900', walsenders: [['r2', 'streaming', 'async', at, at]], syncWaits: [0, null], weak: 0 }),
  );
  const standby = await startResponder(() =>
    JSON.stringify({ ...common, standby: true, lsn: null, nextXid: null, receive: at, replay: at, receiver: ['streaming', '127.0.0.1:5432', 10], pause: 'not paused', delayMs: 0, conflicts: 0 }),
  );
  t.teardown(async () => {
    await primary.close();
    await standby.close();
  });
  const passFile = join(runFolder('lag'), 'passwords');
  writeFileSync(passFile, '*:*:*:continuum_prober:none\n');
  const end = (name: string, { port }: Responder): object => ({ name, sql: { host: '127.0.0.1', port, passFile } });
  return { primary, standby, ends: [end('r1', primary), end('r2', standby)] };
}

async function startOne(t: Test, config: object): Promise<Prober> {
  const prober = await startProber({ intervalMs: 100, ...config });
  t.teardown(() => prober.process.stop());
  return prober;
}

const promotable = (prober: Prober, cluster: string) => prober.until(cluster, `${cluster} to be promotable`, ({ verdict }) => verdict.kind === 'promotable');

test('a configuration with problems: all of them, and exit code 78; a port that is taken: 75', async (t) => {
  const folder = runFolder('lag');
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'listen: nowhere\nspeed: fast\nclusters: []\n');
  const bad = await run([MAIN, '--config', file]);
  t.equal(bad.code, 78);
  t.match(bad.stderr, /2 problems in .*[\s\S]*listen = "nowhere"[\s\S]*speed = "fast"/);
  t.match(await run([MAIN, '--config', join(folder, 'missing.yaml')]), { code: 78, stderr: /ENOENT/ });

  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  writeFileSync(file, `listen: 127.0.0.1:${(taken.address() as { port: number }).port}\nclusters: []\n`);
  t.match(await run([MAIN, '--config', file]), { code: 75, stderr: /CTM_PROBER_LISTEN: .*the port is in use/ });
});

test('HTTP: report, entity tag, long poll, history, metrics, command line', async (t) => {
  const { ends, standby } = await startServers(t);
  const prober = await startOne(t, { clusters: [{ name: 'shop', ends }] });
  await promotable(prober, 'shop');
  const ask = (path: string, headers: Record<string, string> = {}) => request(`${prober.url}${path}`, { headers });

  const first = await ask('/v1/replication/shop');
  const tag = String(first.headers['etag']);
  const report = (await first.body.json()) as WatchedReport;
  t.match(report, { cluster: 'shop', primary: { name: 'r1', timeline: 1 }, standbys: [{ name: 'r2', verdict: { kind: 'promotable' }, lag: { bytes: { value: 0, confidence: 'proven', source: 'both-ends' } } }] });
  const next = await ask('/v1/replication/shop?wait=10', { 'if-none-match': tag });
  t.equal(next.statusCode, 200);
  t.ok(((await next.body.json()) as WatchedReport).version > report.version, 'it waited for the next look');

  t.match(await (await ask('/v1/replication/shop?wait=x')).body.json(), { status: 400, code: 'CTM_API_WAIT' });
  t.match(await (await ask('/v1/replication/cart')).body.json(), { status: 404, code: 'CTM_API_CLUSTER_UNKNOWN' });
  t.match(await (await ask('/v1/replication/cart/history')).body.json(), { status: 404, code: 'CTM_API_CLUSTER_UNKNOWN' });
  t.match(await (await ask('/v2')).body.json(), { status: 404, code: 'CTM_API_NOT_FOUND' });
  t.match(await (await request(`${prober.url}/v1/replication/shop`, { method: 'POST' })).body.json(), { status: 405, code: 'CTM_API_METHOD' });
  t.match(await request(`${prober.url}/v1/replication/shop`, { method: 'HEAD' }), { statusCode: 200, headers: { etag: String } });
  t.match(await (await ask('/v1/replication')).body.json(), { clusters: [{ cluster: 'shop', standbys: [{ name: 'r2', verdict: { kind: 'promotable' } }] }] });
  const { standbys } = (await (await ask('/v1/replication/shop/history')).body.json()) as { standbys: { r2: { lagMs: number | null }[] } };
  t.ok(standbys.r2.some(({ lagMs }) => lagMs === 0));
  t.match(await prober.metrics(), /continuum_replication_lag_seconds\{cluster="shop",standby="r2",source="both-ends",confidence="proven"\} 0/);

  const scraped = await prober.metrics();
  t.match(scraped, /^# TYPE continuum_lag_prober_look_seconds histogram$/m);
  const [, last, all] = /_bucket\{le="1"\} (\d+)\n.*le="\+Inf"\} (\d+)\n/.exec(scraped) ?? [];
  t.ok(Number(last) > 0 && Number(all) >= Number(last), 'looks are counted, each bucket with those below it');
  t.notMatch(scraped, /NaN|undefined|null/);

  const shown = await run([CLI, 'lag', 'shop', '--prober', prober.url]);
  t.match(shown, { code: 0, stdout: /shop: primary r1, timeline 1[\s\S]*r2: promotable for [\s\S]*0 ms \(proven, both-ends/ });

  standby.be('never');
  await prober.until('shop', 'to be unknown', ({ verdict }) => verdict.kind === 'unknown');
  const silent = await waitFor('the lag to be unknown', async () => {
    const text = await prober.metrics();
    return /continuum_replication_verdict\{[^}]*verdict="unknown",reason="standby-silent"\} 1/.test(text) && text;
  });
  t.match(silent, /continuum_replication_end_up\{cluster="shop",end="r2"\} 0/);
  t.match((await run([CLI, 'lag', 'shop', '--prober', prober.url])).stdout, /r2: unknown \(standby-silent/);
  t.match(await run([CLI, 'lag', '--prober', 'http://127.0.0.1:1']), { code: 3, stderr: /no lag prober at/ });
});

test('the file is read again: clusters come and go, the others keep what they know, and a bad file changes nothing', async (t) => {
  const { ends } = await startServers(t);
  const prober = await startOne(t, { clusters: [{ name: 'shop', ends }] });
  await promotable(prober, 'shop');
  const before = (await prober.report('shop')).version;
  prober.configure({ clusters: [{ name: 'shop', ends }, { name: 'cart', ends }] });
  await waitFor('the added one', async () => (await prober.report('cart')).version > 0);
  await promotable(prober, 'cart');
  t.ok((await prober.report('shop')).version > before, 'the other went on counting');
  prober.configure({ clusters: 'none' });
  await waitFor('the file to be refused', async () => /continuum_lag_prober_configuration_ok 0/.test(await prober.metrics()));
  t.equal((await prober.standby('cart')).verdict.kind, 'promotable');
  prober.configure({ clusters: [{ name: 'cart', ends }] });
  await waitFor('the removed one to be gone', async () => (await request(`${prober.url}/v1/replication/shop`)).statusCode === 404);
});

test('a token, when it is asked for', async (t) => {
  const { ends } = await startServers(t);
  const tokenFile = join(runFolder('lag'), 'token');
  writeFileSync(tokenFile, 'open-sesame\n');
  const prober = await startOne(t, { tokenFile, clusters: [{ name: 'shop', ends }] });
  const status = async (authorization?: string): Promise<number> => (await request(`${prober.url}/v1/replication/shop`, { headers: authorization === undefined ? {} : { authorization } })).statusCode;
  t.equal(await status(), 401);
  t.equal(await status('Bearer wrong'), 401);
  t.equal(await status('Bearer open-sesame'), 200);
  writeFileSync(tokenFile, 'rotated\n');
  t.equal(await status('Bearer open-sesame'), 401);
  t.equal(await status('Bearer rotated'), 200);
});

test('push: the newest report, a line each, and again after the reader was away', async (t) => {
  const { ends } = await startServers(t);
  const socket = join(runFolder('lag'), 'push.sock');
  const prober = await startOne(t, { push: [{ socket }], clusters: [{ name: 'shop', ends }] });
  await promotable(prober, 'shop');
  for (const round of ['first', 'second']) {
    const lines: WatchedReport[] = [];
    const readers = new Set<Socket>();
    const server = createServer((reader) => {
      readers.add(reader);
      createInterface({ input: reader }).on('line', (line) => lines.push(JSON.parse(line) as WatchedReport));
    }).listen(socket);
    await waitFor(`${round} reports`, () => lines.length >= 3);
    t.match(lines[0], { cluster: 'shop', standbys: [{ name: 'r2', verdict: { kind: 'promotable' } }] });
    t.ok((lines[1]?.version ?? 0) > (lines[0]?.version ?? 0), 'each newer than the one before');
    for (const reader of readers) reader.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

test('hostile servers: the process lives, the other clusters do not notice, and the bad one is asked less often', async (t) => {
  const [good, bad] = [await startServers(t), await startServers(t)];
  const prober = await startOne(t, { timeoutMs: 200, backoffMaxMs: 5_000, clusters: [{ name: 'good', ends: good.ends }, { name: 'bad', ends: bad.ends }] });
  await promotable(prober, 'good');
  await promotable(prober, 'bad');
  for (const manner of ['garbage', 'endless', 'never', 'silent'] as const) {
    bad.standby.be(manner);
    await prober.until('bad', `${manner} to be unknown`, ({ verdict }) => verdict.kind === 'unknown');
    t.equal((await prober.standby('good')).verdict.kind, 'promotable', manner);
  }
  const [ofBad, ofGood] = [(await prober.report('bad')).version, (await prober.report('good')).version];
  const after = await waitFor('forty more looks at the good one', async () => {
    const { version } = await prober.report('good');
    return version > ofGood + 40 && { good: version - ofGood, bad: (await prober.report('bad')).version - ofBad };
  });
  t.ok(after.bad < after.good * 0.8, JSON.stringify(after));
  const silent = await prober.standby('bad');
  t.match(silent, { verdict: { kind: 'unknown' }, lag: { bytes: { ageMs: Number } } });
  bad.standby.be('answer');
  await promotable(prober, 'bad');
});

test('probers share the clusters; when one goes the other takes over, and each knows where to ask', async (t) => {
  const { ends } = await startServers(t);
  const clusters = Array.from({ length: 8 }, (_, index) => ({ name: `cluster-${index}`, ends }));
  const [a, b] = [await freePort(), await freePort()];
  const members = [{ name: 'a', url: `http://127.0.0.1:${a}` }, { name: 'b', url: `http://127.0.0.1:${b}` }];
  const start = (self: string, port: number): Promise<Prober> => startProber({ intervalMs: 100, clusters, peers: { self, members } }, { port });
  const first = await start('a', a);
  t.teardown(() => first.process.stop());
  const watchedBy = async (prober: Prober): Promise<string[]> => {
    const { clusters: found } = (await (await request(`${prober.url}/v1/replication`)).body.json()) as { clusters: { cluster: string; standbys: StandbyReport[] }[] };
    // A machine that stood still makes what was measured old for a moment: it was measured all the same, and has an age.
    return found.filter((one) => one.standbys[0] !== undefined && ['promotable', 'standby-silent', 'primary-silent'].includes(why(one.standbys[0]))).map((one) => one.cluster).sort();
  };
  await waitFor('one alone to watch all', async () => (await watchedBy(first)).length === 8);
  const second = await start('b', b);
  t.teardown(() => second.process.stop());
  // At no time may a cluster be known to nobody.
  await waitFor('the work to be shared', async () => {
    const [mine, theirs] = [await watchedBy(first), await watchedBy(second)];
    if (new Set([...mine, ...theirs, ...(await watchedBy(first))]).size < 8) t.fail(`a hole: ${mine.join()} and ${theirs.join()}`);
    return mine.length > 0 && theirs.length > 0 && mine.length + theirs.length === 8;
  });
  const [moved] = await watchedBy(second);
  const answer = await request(`${first.url}/v1/replication/${moved}`);
  t.match(answer, { statusCode: 307, headers: { location: `http://127.0.0.1:${b}/v1/replication/${moved}` } });
  await second.process.kill();
  await waitFor('the other to have all again', async () => (await watchedBy(first)).length === 8);
  t.pass();
});

async function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [...args], { env: { ...process.env, NODE_OPTIONS: '' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
