// The lag prober beside each controller of a whole site: what it says is shown with its age, an objection keeps a standby out
// and says why, a prober that is gone stops nothing, and a forced takeover is asked for and recorded with what it costs.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Status } from '../../daemons/controller/src/status.ts';
import { monotonicMs } from '../rig/clock.ts';
import { continuum } from '../rig/command.ts';
import { postmasterPid } from '../rig/postgres.ts';
import { descendants, runFolder, signalAll, waitFor } from '../rig/process.ts';
import { since, startSiteLoad, stopAndLook } from '../rig/site-load.ts';
import { startSite } from '../rig/site.ts';
import type { RegionName } from '../rig/site.ts';

const site = await startSite({ folder: runFolder('lag-controller'), rtoMs: 5_000, lagProber: true });
const load = startSiteLoad(site);
const { r1, r2 } = site.regions;
const { ttlMs } = site.timings;

const told = (status: Status, name: string) => status.replication.reported?.standbys.find((one) => one.name === name);
const inSync = async (region: RegionName): Promise<string> => ((await site.regions[region].status()).lease?.inSync ?? []).join();

/** What the region's database runs in, all of it. */
function databasePids(region: RegionName): number[] {
  const postmaster = postmasterPid(join(site.regions[region].folder, 'database', 'data'));
  return postmaster === null ? [] : [postmaster, ...descendants(postmaster)];
}

/** Says something to r1's controller in the prober's place. */
async function say(line: string): Promise<boolean> {
  const socket = createConnection(join(r1.folder, 'lag.sock'));
  await once(socket, 'connect');
  socket.write(`${line}\n`);
  const dropped = await Promise.race([once(socket, 'close').then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 300, false))]);
  socket.destroy();
  return dropped;
}

t.test('status, API and metrics show what the prober measured, with age, source and confidence, beside what the controller saw itself', async (t) => {
  const status = await waitFor('the standby to be promotable by both', async () => {
    const now = await r1.status();
    const reported = told(now, 'r2');
    return reported?.verdict.kind === 'promotable' && reported.lag.bytes.source === 'both-ends' && now.replication.members.some((one) => one.region === 'r2' && one.verdict.kind === 'promotable') && now;
  });
  const reported = told(status, 'r2');
  t.match(reported?.lag, { bytes: { unit: 'bytes', source: 'both-ends', ageMs: Number, value: Number }, milliseconds: { unit: 'milliseconds', value: Number, ageMs: Number } });
  t.match(status.replication, { forcedLoss: null, reported: { fresh: true, cluster: 'counter', primary: { name: 'r1' } } }, 'who acts has nothing to force');
  const standby = await r2.status();
  t.match(standby.replication.forcedLoss, /^would lose: (nothing was missing|at most)/);
  t.match(standby.replication.members, [{ region: 'r2', verdict: { kind: 'promotable' } }]);
  // Between two looks of a busy prober the standby may be silent for a moment; then the figures are the primary's alone.
  const lagLine = /lag of r2 +\d+ ms \((proven|bounded), both-ends, \d+ ms old\), \d+ bytes/;
  const text = await waitFor('the figures of both ends', async () => {
    const said = await continuum(r2.configFile, 'status');
    return lagLine.test(said.stdout) && said;
  });
  t.match(text.stdout, /standby r2 +promotable for [\d.]+ s, by own looks, the last \d+ ms ago/);
  t.match(text.stdout, /lag prober +heard [\d.]+ s ago\n/);
  const metrics = await (await fetch(`${r1.api}/metrics`)).text();
  t.match(metrics, /^continuum_lag_report_age_seconds\{.*\} [\d.e-]+$/m);
  t.match(metrics, /^continuum_standby_promotable\{.*peer="r2".*\} 1$/m);
  t.match(metrics, /^continuum_lag_reports_total\{.*outcome="taken".*\} \d+$/m);
});

t.test('what is no report is refused by the name of its field and changes nothing', async (t) => {
  t.ok(await say('{"cluster":"counter","intervalMs":0,"primary":null,"standbys":[]}'));
  const metrics = await (await fetch(`${r1.api}/metrics`)).text();
  t.match(metrics, /^continuum_lag_reports_total\{.*outcome="refused".*\} 1$/m);
  t.match((await r1.status()).replication.reported, { intervalMs: 400 });
});

t.test('a frozen receiver: the prober objects, a switchover is refused with its reason, and commits do not wait for ever', async (t) => {
  const frozen = databasePids('r2').filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('postgres: walreceiver'));
  t.equal(frozen.length, 1);
  const frozenMs = monotonicMs();
  signalAll(frozen, 'SIGSTOP');
  await waitFor('the objection', async () => told(await r1.status(), 'r2')?.verdict.kind === 'notPromotable');
  const asked = await continuum(r1.configFile, 'plan', '--to', 'r2');
  t.match(asked, { code: 1, stdout: /NO {2}lag-prober +not promotable \((receiver-stalled|not-streaming): / });
  await waitFor('it to leave the in-sync set', async () => (await inSync('r1')) === 'r1', { timeoutMs: 20_000 });
  await load.acknowledged('r1', monotonicMs());
  const { replication } = await r1.status();
  t.match(replication.members, [{ region: 'r2', verdict: { kind: 'notPromotable', reason: /replay-stalled|not-streaming/ } }], 'by its own looks, whatever the prober says');
  const verdicts = since(site, frozenMs).filter((entry) => entry.region === 'r1' && entry.event === 'lag-verdict');
  t.match(verdicts[0]?.detail, { standby: 'r2', kind: 'notPromotable', reason: /receiver-stalled|not-streaming/ }, 'and it is on record');
  signalAll(frozen, 'SIGCONT');
  await site.settled('r1');
});

t.test('no prober at all: status says so, and a region that dies is followed all the same', async (t) => {
  for (const region of [r1, r2]) await region.part('lag-prober').kill();
  const silent = await waitFor('the report to be old', async () => {
    const status = await r2.status();
    return status.replication.reported?.fresh === false && status;
  });
  t.match(told(silent, 'r2'), { verdict: { kind: 'unknown', reason: 'standby-silent' }, lag: { bytes: { value: null }, milliseconds: { value: null } } });
  t.match(silent.replication.forcedLoss, /^what would be lost is unknown \(the lag prober was last heard/);
  t.match((await continuum(r2.configFile, 'status')).stdout, /lag prober +heard [\d.]+ s ago: its word does not count any more/);
  const killMs = monotonicMs();
  await r1.kill();
  await load.acknowledged('r2', killMs);
  await r1.start();
  await r2.startProber();
  await site.settled('r2');
});

t.test('a forced takeover is asked for and recorded with what was measured of its cost', async (t) => {
  await waitFor('the prober of r1 to see it behind', async () => told(await r1.status(), 'r1')?.verdict.kind === 'promotable');
  const frozen = databasePids('r1');
  signalAll(frozen, 'SIGSTOP');
  await waitFor('r1 to leave the in-sync set', async () => (await inSync('r2')) === 'r2', { timeoutMs: 20_000 });
  await load.acknowledged('r2', monotonicMs());
  await r2.kill();
  signalAll(frozen, 'SIGCONT');
  const status = await waitFor('the lease to be free', async () => {
    const now = await r1.status();
    return now.takeover?.find((one) => one.name === 'lease-free')?.ok === true && now;
  }, { timeoutMs: 4 * ttlMs });
  t.match(status.replication.forcedLoss, /^(would lose: estimated|what would be lost is unknown)/);
  const askedMs = monotonicMs();
  const dry = await fetch(`${r1.api}/v1/failover`, { method: 'POST', headers: { authorization: `Bearer ${r1.token}` }, body: JSON.stringify({ force: true, reason: 'r2 burned down', estimatedLoss: 'some', dryRun: true }) });
  t.match(await dry.json(), { measuredLoss: /lag prober/, preconditions: Array });
  t.same(since(site, askedMs).filter((entry) => entry.event === 'operator'), [], 'asking what it costs asks for nothing');
  const forced = await continuum(r1.configFile, 'failover', '--force', '--reason', 'r2 burned down', '--estimated-loss', 'some writes');
  t.match(forced, { code: 0, stdout: /measured: (would lose: estimated|what would be lost is unknown)/ });
  await load.acknowledged('r1', askedMs);
  const own = since(site, askedMs).filter((entry) => entry.region === 'r1');
  for (const event of ['operator', 'granted']) {
    const detail = own.find((entry) => entry.event === event)?.detail;
    t.match(detail, { force: { estimatedLoss: 'some writes' }, measuredLoss: /lag prober/ }, event);
    t.notMatch(String(detail?.['measuredLoss']), /nothing was missing|(^| )0 (transactions|s)/, 'unknown is not nothing');
  }
});

t.test('every promise held, but for what the operator gave up', async (t) => {
  const given = 'no acknowledged write is lost (I3)';
  for (const { name, passed, evidence } of await load.verdict('r1', 2)) if (name !== given) t.ok(passed, `${name}: ${evidence}`);
});

t.test('nothing is left running', async (t) => {
  t.same(await stopAndLook(site), []);
});
