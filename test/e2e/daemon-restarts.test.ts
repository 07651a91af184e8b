// A controller or a gate that dies and comes back, alone: nothing changes hands, and no client is lied to. One site, whose
// r1 holds epoch 1 from the beginning to the end of this file.

import { chmodSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';
import { epoch, regionId } from '@continuum/core';
import { createWitnessRegister } from '@continuum/adapters/witness-http/index';
import { readAudit } from '@continuum/runtime';
import type { Status } from '../../daemons/controller/src/status.ts';
import { monotonicMs } from '../rig/clock.ts';
import { freePort, runFolder, signalAll, start, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';

const CONTROLLER_MAIN = fileURLToPath(new URL('../../daemons/controller/src/main.ts', import.meta.url));

const folder = runFolder('restarts');
// A ttl of 10 s: a controller is back well within its validity on a slow machine, too.
const site = await startSite({ folder, rtoMs: 20_000 });
const { r1, r2 } = site.regions;
const load = startSiteLoad(site);
const firstEpoch = (await r1.status()).actingEpoch;

/** Nobody was granted anything, nobody tried to take over, and r1 acts under the epoch that it had. */
async function nothingChangedHands(test: Test, fromMs: number): Promise<void> {
  const events = since(site, fromMs).map((entry) => `${entry.region} ${entry.event} ${String(entry.detail['kind'] ?? '')}`);
  test.same(events.filter((event) => /granted|acquiring|fenced|promoting|releasing/.test(event) && !event.startsWith('r1 phase promoting')), []);
  test.equal((await r1.status()).actingEpoch, firstEpoch);
}

/** Clients lost nothing while `fromMs` to now. */
function noWriteFailed(test: Test, fromMs: number): void {
  const failed = load.writes.filter((write) => write.sentMs > fromMs && write.outcome !== 'acknowledged');
  test.same(failed, []);
}

t.test('a controller that is killed and restarted within its validity keeps its epoch, and no write fails', async (t) => {
  const fromMs = monotonicMs();
  const controller = r1.part('controller');
  signalAll([controller.pid], 'SIGKILL');
  t.equal(await controller.exited, 'SIGKILL');
  await r1.startController();
  await waitFor('r1 to act again', async () => (await r1.status()).phase.kind === 'active');
  await load.acknowledged('r1', monotonicMs());
  await nothingChangedHands(t, fromMs);
  noWriteFailed(t, fromMs);
  const starts = readAudit(r1.auditFile).entries.filter((entry) => entry.event === 'started');
  t.equal(starts.length, 2);
  t.equal(starts[1]?.detail['instance'], starts[0]?.detail['instance'], 'it is the same controller');
  t.equal(starts[1]?.detail['epoch'], firstEpoch, 'its epoch was on disk');
});

t.test('a standby controller that is killed and restarted changes nothing', async (t) => {
  const fromMs = monotonicMs();
  const controller = r2.part('controller');
  signalAll([controller.pid], 'SIGKILL');
  await controller.exited;
  await r2.startController();
  await site.settled('r1');
  await nothingChangedHands(t, fromMs);
  noWriteFailed(t, fromMs);
});

t.test('without its gate a gateway answers 503 and never 200, until the gate is back', async (t) => {
  const fromMs = monotonicMs();
  const gate = r1.part('gate');
  await gate.kill();
  const goneMs = monotonicMs();
  await waitFor('both kinds of requests to be tried without a gate', () => {
    const tried = load.probes.filter((probe) => probe.gateway === 'r1' && probe.sentMs > goneMs);
    return tried.filter((probe) => probe.kind === 'write').length >= 5 && tried.length >= 40;
  });
  const backMs = monotonicMs();
  await r1.startGate();
  await load.acknowledged('r1', backMs);
  await waitFor('the well-known path', () => load.probes.find((probe) => probe.gateway === 'r1' && probe.kind === 'well-known' && probe.sentMs > backMs && probe.status === 200));
  const without = load.probes.filter((probe) => probe.gateway === 'r1' && probe.sentMs > goneMs && probe.endMs < backMs);
  t.same([...new Set(without.map((probe) => probe.status))], [503]);
  await nothingChangedHands(t, fromMs);
});

t.test("a gate whose epoch file is damaged does not start: exit 78, the file is named, and its gateway answers 503", async (t) => {
  const { epochFile } = r2.gateway().paths;
  const whole = readFileSync(epochFile, 'utf8');
  await r2.part('gate').kill();
  for (const content of ['{"epoch":', '', '{"epoch":-1}', '{"epoch":"1"}']) {
    writeFileSync(epochFile, content);
    await t.rejects(r2.startGate(), { message: /r2 gate ended with code 78/ }, content);
    t.equal(readFileSync(epochFile, 'utf8'), content);
  }
  t.match(readFileSync(r2.part('gate').logFile, 'utf8'), `CTM_GATE_EPOCH_FILE: epochFile ${epochFile} is damaged`);
  const atMs = monotonicMs();
  await waitFor('r2 to be asked', () => load.probes.filter((probe) => probe.gateway === 'r2' && probe.sentMs > atMs).length > 5);
  t.same([...new Set(load.probes.filter((probe) => probe.gateway === 'r2' && probe.sentMs > atMs).map((probe) => probe.status))], [503]);
  writeFileSync(epochFile, whole);
  await r2.startGate();
  await site.settled('r1');
});

t.test('a second controller of the region never acts while the first one holds the lease', async (t) => {
  const fromMs = monotonicMs();
  const second = join(folder, 'second');
  mkdirSync(second);
  chmodSync(second, 0o700);
  const config = parse(readFileSync(r1.configFile, 'utf8')) as {
    local: { stateDir: string; api: { port: number }; gate: { socket: string }; database: { dataDir: string }; lag?: unknown };
  };
  config.local.stateDir = join(second, 'state');
  delete config.local.lag;
  // The lock of the data directory refuses it on the same machine; one that sees other processes, as in another container, gets past it.
  rmSync(`${realpathSync(config.local.database.dataDir)}.controller`);
  config.local.api.port = await freePort(r1.address);
  config.local.gate.socket = join(second, 'gate.sock');
  const configFile = join(second, 'continuum.yaml');
  writeFileSync(configFile, stringify(config), { mode: 0o600 });
  const controller = await start({
    name: 'second controller of r1',
    command: process.execPath,
    args: [CONTROLLER_MAIN, '--config', configFile],
    logFile: join(second, 'controller.log'),
  });
  const status = async (): Promise<Status> => {
    const reply = await fetch(`http://${r1.address}:${config.local.api.port}/v1/status`, { headers: { authorization: `Bearer ${r1.token}` } });
    return (await reply.json()) as Status;
  };
  const seen: number[] = [];
  // Longer than the ttl: as long as the first one renews, nothing comes free.
  await waitFor('the second one to have watched for longer than a ttl', async () => {
    seen.push((await status()).actingEpoch);
    return monotonicMs() > fromMs + 1.5 * site.timings.ttlMs;
  });
  t.same([...new Set(seen)], [0]);
  const { phase, lease, takeover } = await status();
  t.equal(phase.kind, 'fenced');
  t.equal(lease?.holder, 'r1');
  t.match(takeover?.find((one) => one.name === 'lease-free'), { ok: false, value: `r1, epoch ${firstEpoch}` }, 'and it says why');
  await nothingChangedHands(t, fromMs);
  noWriteFailed(t, fromMs);
  await controller.stop();
});

t.test('the witness refuses a command of another controller of the region', async (t) => {
  const { url, publicKeys } = site.witness();
  const register = await createWitnessRegister({
    url,
    lease: 'counter',
    region: 'r1',
    keyId: 'r1/1',
    privateKey: readFileSync(join(r1.folder, 'key.pem'), 'utf8'),
    witnessPublicKeys: publicKeys,
  });
  const view = await register.read(AbortSignal.timeout(2_000));
  if (!view.ok) throw new Error(view.failure.message);
  // Ahead of the number that r1 will use next, so that this is not refused for its number.
  const seq = view.value.seq + 1_000;
  const command = { kind: 'release', region: regionId('r1'), seq, instance: 'an-impostor', epoch: epoch(firstEpoch) } as const;
  const reply = await register.send(command, AbortSignal.timeout(2_000));
  await register.close();
  t.match(reply, { ok: true, value: { outcome: { ok: false, code: 'instance-conflict' }, view: { holder: 'r1', epoch: firstEpoch } } });
  const atMs = monotonicMs();
  await waitFor('r1 to renew in spite of the number', async () => (await r1.status()).validityMs > site.timings.ttlMs - site.timings.guardMs - 500 && monotonicMs() > atMs + site.timings.renewMs);
});

t.test('every promise held', async (t) => {
  for (const { name, passed, evidence } of await load.verdict('r1', 0)) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
