// The standby is not what it should be: its lag is unknown, it is lost and left behind, or it cannot be promoted. One site,
// in which the lease goes r1 -> r2 -> r1 -> r2.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import type { Status } from '../../daemons/controller/src/status.ts';
import { ledgerOf, readRows } from '../demo/evidence.ts';
import { monotonicMs } from '../rig/clock.ts';
import { continuum } from '../rig/command.ts';
import { postmasterPid } from '../rig/postgres.ts';
import { descendants, runFolder, signalAll, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

/** The rig's `wal_sender_timeout`: how long a primary takes to notice that a standby is frozen. */
const WAL_SENDER_TIMEOUT_MS = 5_000;

const site = await startSite({ folder: runFolder('standby'), rtoMs: 5_000 });
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;
const { ttlMs, renewMs, standbyLossMs, promoteBudgetMs } = site.timings;

function databasePids(region: RegionName): number[] {
  const postmaster = postmasterPid(join(site.regions[region].folder, 'database', 'data'));
  return postmaster === null ? [] : [postmaster, ...descendants(postmaster)];
}

const condition = (status: Status, name: string) => status.takeover?.find((one) => one.name === name);

/** The lease is free and stays free, for longer than anybody would wait to take it. */
async function nobodyTakesOver(test: Test, region: RegionName): Promise<Status> {
  await waitFor('the lease to be free', async () => condition(await site.regions[region].status(), 'lease-free')?.ok, { timeoutMs: 3 * ttlMs });
  const freeMs = monotonicMs();
  await waitFor('time in which it might be taken', () => monotonicMs() > freeMs + ttlMs);
  test.same(since(site, freeMs).filter((entry) => ['granted', 'refused'].includes(entry.event)), []);
  return site.regions[region].status();
}

t.test('a standby whose lag is unknown is refused, although it is in the in-sync set; known again, it takes over', async (t) => {
  const frozen = databasePids('r2');
  t.ok(frozen.length > 3);
  signalAll(frozen, 'SIGSTOP');
  const killMs = monotonicMs();
  await r1.kill();
  const status = await nobodyTakesOver(t, 'r2');
  t.match(condition(status, 'in-sync'), { ok: true, value: '[r1, r2]' });
  t.match(condition(status, 'replay-lag'), { ok: false, value: 'unknown', limit: /known/, source: 'database' });
  t.match(status.database, { role: 'unknown', lsn: null, replayLsn: null, timeline: null, receiver: null, problem: /paused|in time/ });
  const metrics = await (await fetch(`${r2.api}/metrics`)).text();
  t.match(metrics, /^continuum_replay_lag_unknown\{.*\} 1$/m);
  t.notMatch(metrics, /^continuum_replay_lag_bytes\{/m, 'no sample: unknown is not 0');
  const text = await continuum(r2.configFile, 'status');
  t.match(text, { code: 0, stdout: /NO {2}replay-lag +unknown \(needs known/ });
  signalAll(frozen, 'SIGCONT');
  await load.acknowledged('r2', killMs);
  await r1.start();
  await site.settled('r2');
});

let narrowedMs = 0;
let forcedMs = 0;

t.test('a lost standby leaves the in-sync set at the witness before commits stop waiting for it', async (t) => {
  const frozen = databasePids('r1');
  const stoppedMs = monotonicMs();
  signalAll(frozen, 'SIGSTOP');
  const resumed = await load.acknowledged('r2', stoppedMs);
  const bound = WAL_SENDER_TIMEOUT_MS + standbyLossMs + renewMs + 3_000;
  t.ok(resumed.endMs - stoppedMs < bound, `commits resumed after ${Math.round(resumed.endMs - stoppedMs)} ms, at most ${bound}`);
  const own = () => since(site, stoppedMs).filter((entry) => entry.region === 'r2');
  const relaxed = await waitFor('the end of the change', () => own().find((entry) => entry.event === 'database-set-synchronous'));
  const narrowed = own().find((entry) => entry.event === 'in-sync');
  t.match(narrowed?.detail, { inSync: ['r2'] });
  t.match(relaxed.detail, { ok: true, detail: 'commits wait for nobody' });
  narrowedMs = narrowed?.monoMs ?? Infinity;
  // The decision that takes the witness's answer may start the change in the same moment.
  t.ok(narrowedMs <= relaxed.monoMs - Number(relaxed.detail['durationMs']) + 0.01, 'the witness was told before the change began');
  t.ok(resumed.endMs > narrowedMs, 'nothing was acknowledged in between');
  // It was left behind for standing still, before its connection was given up; until then the log waits in its socket.
  await waitFor('its connection to be given up', async () => (await r2.status()).database?.standbys.length === 0, { timeoutMs: 2 * WAL_SENDER_TIMEOUT_MS });
  // What is acknowledged now is in r2 alone.
  await load.acknowledged('r2', monotonicMs());
  await r2.kill();
  signalAll(frozen, 'SIGCONT');
});

t.test('a standby outside the in-sync set does not take over, and says why', async (t) => {
  const status = await nobodyTakesOver(t, 'r1');
  t.match(condition(status, 'in-sync'), { ok: false, value: '[r2]', limit: 'contains r1', source: 'witness' });
  t.match(status.phase, { kind: 'standby' });
  const asked = await continuum(r1.configFile, 'failover', '--output', 'json');
  t.equal(asked.code, 0, 'asked without force');
  const { preconditions } = JSON.parse(asked.stdout) as { preconditions: Status['takeover'] };
  t.match(preconditions?.find((one) => one.name === 'in-sync'), { ok: false });
  await nobodyTakesOver(t, 'r1');
});

t.test('an operator forces it, with a reason and the estimated loss on record', async (t) => {
  const without = await continuum(r1.configFile, 'failover', '--force');
  t.match(without, { code: 1, stderr: /^CTM_API_INVALID: force needs reason and estimatedLoss/ });
  forcedMs = monotonicMs();
  const force = { reason: 'r2 burned down', estimatedLoss: 'a few seconds of writes' };
  const asked = await continuum(r1.configFile, 'failover', '--force', '--reason', force.reason, '--estimated-loss', force.estimatedLoss);
  t.match(asked, { code: 0, stdout: /asked to take over; conditions now:\n[\s\S]*NO {2}in-sync/ });
  await load.acknowledged('r1', forcedMs);
  const own = since(site, forcedMs).filter((entry) => entry.region === 'r1');
  t.match(own.find((entry) => entry.event === 'operator')?.detail, { kind: 'takeover', force });
  t.match(own.find((entry) => entry.event === 'granted')?.detail, { force, inSyncBefore: ['r2'] });
  await r2.start();
  await site.settled('r1');
  const rejoined = since(site, forcedMs).find((entry) => entry.region === 'r2' && entry.event === 'database-rejoin' && entry.detail['ok'] === true);
  t.match(rejoined?.detail['detail'], /"discarded":\{"from":/, 'what r2 alone had is named');
});

t.test('a promotion that hangs is bounded, reported and tried again; the lease is released; it heals when the cause is gone', async (t) => {
  const startup = databasePids('r2').filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('postgres: startup'));
  t.equal(startup.length, 1);
  signalAll(startup, 'SIGSTOP');
  const killMs = monotonicMs();
  await r1.kill();
  const attempts = () => since(site, killMs).filter((entry) => entry.region === 'r2' && entry.event === 'database-promote');
  const releases = () => since(site, killMs).filter((entry) => entry.region === 'r2' && entry.event === 'released');
  const { databaseProblem } = await waitFor(
    'two attempts, and their end',
    async () => {
      const status = await r2.status();
      return attempts().length >= 2 && releases().length >= 2 && status;
    },
    { timeoutMs: 8 * ttlMs },
  );
  t.match(databaseProblem, /promot/, 'status says what is wrong');
  t.match((await continuum(r2.configFile, 'status')).stdout, /database problem: .*promot/);
  for (const attempt of attempts()) {
    t.match(attempt.detail, { ok: false });
    t.ok(Number(attempt.detail['durationMs']) < promoteBudgetMs + 500, `given up after ${Math.round(Number(attempt.detail['durationMs']))} ms, budget ${promoteBudgetMs}`);
  }
  const healMs = monotonicMs();
  t.same(load.probes.filter((one) => one.gateway === 'r2' && one.sentMs > killMs && one.endMs < healMs && one.status === 200), [], 'nothing was served');
  signalAll(startup, 'SIGCONT');
  await load.acknowledged('r2', killMs);
  t.match(attempts().at(-1)?.detail, { ok: true });
  t.equal((await r2.status()).databaseProblem, null);
  await r1.start();
  await site.settled('r2');
});

t.test('every promise held, but for what the operator gave up', async (t) => {
  const checks = await load.verdict('r2', 3);
  const given = 'no acknowledged write is lost (I3)';
  for (const { name, passed, evidence } of checks) if (name !== given) t.ok(passed, `${name}: ${evidence}`);
  const rows = await readRows(r2.databaseUrl());
  const stored = new Set(rows.map((row) => row.writeId));
  const lost = load.writes.filter((write) => write.outcome === 'acknowledged' && !stored.has(write.id));
  t.same(lost.filter((write) => write.region !== 'r2' || write.endMs < narrowedMs || write.sentMs > forcedMs), [], 'lost is only what r2 acknowledged alone');
  t.ok(lost.length > 0, `${lost.length} writes: without the in-sync set this would have been an automatic failover`);
  t.equal(ledgerOf(load.writes, rows).duplicated, 0);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
