// A real pair, a real prober, and every way in which replication breaks: what the prober says then, and that it says it soon.

import type pg from 'pg';
import { test } from 'tap';
import type { Test } from 'tap';
import type { StandbyReport } from '@continuum/core/replication/index';
import { scramVerifier } from '@continuum/adapters/postgres/index';
import { processesOf, PROBER_USER, rotatePassFile, startLagPair } from '../rig/lag-pair.ts';
import type { LagPair } from '../rig/lag-pair.ts';
import { INSERT, stillWaits } from '../rig/postgres-pair.ts';
import { endConfig, startProber } from '../rig/prober.ts';
import type { Prober } from '../rig/prober.ts';
import { descendants, signalAll, waitFor } from '../rig/process.ts';

const INTERVAL_MS = 200;

const why = ({ verdict }: StandbyReport): string => (verdict.kind === 'promotable' ? verdict.kind : verdict.reason);
const is = (reason: string) => (report: StandbyReport): boolean => why(report) === reason;

type Setting = { readonly pair: LagPair; readonly prober: Prober; readonly client: pg.Client; readonly write: () => Promise<void> };

async function set(t: Test, { synchronous = false, canary = false, changes = {} } = {}): Promise<Setting> {
  const pair = await startLagPair({ synchronous, canary, changes });
  t.teardown(pair.close);
  const prober = await startProber({
    intervalMs: INTERVAL_MS,
    clusters: [
      {
        name: 'shop',
        canary,
        limits: { replayLagMaxMs: 1_500, lossMaxMs: 5_000 },
        ends: [endConfig('r1', pair.probeOptions(pair.one)), endConfig('r2', pair.probeOptions(pair.two))],
      },
    ],
  });
  t.teardown(() => prober.process.stop());
  const client = await pair.one.client();
  t.teardown(() => client.end().catch(() => undefined));
  await prober.until('shop', 'the pair to be promotable', is('promotable'));
  return { pair, prober, client, write: async () => void (await client.query(INSERT, ['r1'])) };
}

const recovered = (prober: Prober): Promise<StandbyReport> =>
  prober.until('shop', 'the pair to be promotable again', (report) => is('promotable')(report) && report.lag.milliseconds.value === 0);

test('faults of the stream', async (t) => {
  const { pair, prober, write } = await set(t, { changes: { walReceiverTimeoutMs: 60_000, settings: { wal_sender_timeout: '60s' } } });

  await t.test('idle: 0 bytes and 0 ms, proven from both ends', async (t) => {
    const { lag } = await prober.standby('shop');
    t.match(lag, { bytes: { value: 0, source: 'both-ends', confidence: 'proven' }, milliseconds: { value: 0 } });
  });

  for (const [name, pids] of [
    ['walreceiver', () => processesOf(pair.two, 'walreceiver')],
    ['walsender', () => processesOf(pair.one, 'walsender')],
  ] as const) {
    await t.test(`a frozen ${name}: the receiver is called stalled, and the lag grows while both its positions are equal`, async (t) => {
      const frozen = pids();
      t.equal(frozen.length, 1);
      signalAll(frozen, 'SIGSTOP');
      try {
        await write();
        const first = await prober.until('shop', 'the stall to be seen', is('receiver-stalled'));
        t.ok((first.lag.bytes.value ?? 0) > 0 && (first.loss.bytes.value ?? 0) > 0);
        t.ok((first.loss.commits.value ?? 0) >= 1, 'the written row is in the estimate');
        const later = await prober.until('shop', 'the lag to grow', (report) => (report.lag.milliseconds.value ?? 0) > (first.lag.milliseconds.value ?? 0) + 500);
        t.equal(later.receiver?.streaming, true, 'PostgreSQL itself still says streaming');
      } finally {
        signalAll(frozen, 'SIGCONT');
      }
      await recovered(prober);
    });
  }

  for (const directions of [['from-target'], ['to-target'], ['from-target', 'to-target']] as const) {
    await t.test(`the link is cut ${directions.join(' and ')}: no false zero`, async (t) => {
      const before = (await prober.report('shop')).primary?.lsn;
      pair.link.cut(...directions);
      await write();
      if (directions[0] === 'from-target') {
        const report = await prober.until('shop', 'the stall to be seen', is('receiver-stalled'));
        t.ok((report.lag.milliseconds.value ?? 0) > 0);
      } else {
        // The log still arrives; only the standby's word does not reach the primary. Seen from both ends nothing is missing.
        const report = await waitFor('the row to be replayed', async () => {
          const found = await prober.report('shop');
          return found.primary?.lsn !== before && found.standbys[0]?.lag.bytes.value === 0 && found;
        });
        t.equal(report.standbys[0]?.lag.bytes.source, 'both-ends');
      }
      pair.link.heal();
      await recovered(prober);
    });
  }

  await t.test('a slow link: behind, by as many bytes as it is, and not called stalled', async (t) => {
    // The walsender packs up to 128 kB in a message, and the receiver has it when it is whole: 65 ms here.
    pair.link.limit(2_000_000);
    const client = await pair.one.client();
    await client.query('CREATE TABLE IF NOT EXISTS ballast AS SELECT g, repeat(md5(g::text), 8) AS t FROM generate_series(1, 20000) AS g');
    await client.end();
    const behind = await prober.until('shop', 'to be behind', (report) => (report.loss.bytes.value ?? 0) > 1_000_000);
    t.not(why(behind), 'receiver-stalled');
    const moving = await prober.until('shop', 'to get on', (report) => (report.loss.bytes.value ?? Infinity) < (behind.loss.bytes.value ?? 0));
    t.not(why(moving), 'receiver-stalled');
    pair.link.limit(null);
    await recovered(prober);
  });

  await t.test('a frozen postmaster: the answers end, and then everything is unknown, nothing 0', async (t) => {
    const pids = [pair.two.pid(), ...descendants(pair.two.pid())];
    signalAll(pids, 'SIGSTOP');
    const silent = await prober.until('shop', 'to be unknown', is('standby-silent'));
    t.match(silent.newest, { kind: 'unknown' });
    t.match(await prober.metrics(), /continuum_replication_verdict\{cluster="shop",standby="r2",verdict="unknown",reason="standby-silent"\} 1/);
    signalAll(pids, 'SIGCONT');
    await recovered(prober);
  });

  await t.test('the primary freezes: lag is unknown and absent from the metrics, the loss is called an estimate', async (t) => {
    const pids = [pair.one.pid(), ...descendants(pair.one.pid())];
    signalAll(pids, 'SIGSTOP');
    const silent = await prober.until('shop', 'to be unknown', is('primary-silent'));
    t.match(silent, { lag: { bytes: { value: null }, milliseconds: { value: null } }, loss: { bytes: { value: null }, milliseconds: { confidence: 'weak' } } });
    const metrics = await prober.metrics();
    t.notMatch(metrics, /continuum_replication_lag_(bytes|seconds)\{/);
    t.match(metrics, /continuum_replication_lag_unknown\{cluster="shop",standby="r2"\} 1/);
    const older = await prober.until('shop', 'the age to go on', (report) => (report.lag.bytes.ageMs ?? 0) > (silent.lag.bytes.ageMs ?? 0) + 2 * INTERVAL_MS);
    t.ok(older.lag.bytes.ageMs);
    signalAll(pids, 'SIGCONT');
    await recovered(prober);
  });
});

test('replay: paused, and delayed on purpose', async (t) => {
  const { pair, prober, write } = await set(t);
  await t.test('paused: refused at once, and what waits is counted', async (t) => {
    await pair.admin(pair.two, 'SELECT pg_wal_replay_pause()');
    await prober.until('shop', 'the pause to be seen', is('replay-paused'));
    await write();
    const report = await prober.until('shop', 'replay to be behind', (one) => (one.lag.bytes.value ?? 0) > 0);
    t.equal(report.loss.bytes.value, 0, 'it has the log: a promotion would not lose it');
    await pair.admin(pair.two, 'SELECT pg_wal_replay_resume()');
    await recovered(prober);
  });
});

test('the slot is lost: the standby needs log that is gone, and says so before somebody counts on it', async (t) => {
  const settings = { wal_sender_timeout: '1s', max_slot_wal_keep_size: '16MB', min_wal_size: '32MB', max_wal_size: '48MB' };
  const { pair, prober, write } = await set(t, { changes: { walReceiverTimeoutMs: 1_000, settings } });
  // Only now: the base backup that made the standby needed what this lets go.
  await pair.admin(pair.one, 'ALTER SYSTEM SET wal_keep_size = 0');
  await pair.admin(pair.one, 'SELECT pg_reload_conf()');
  await pair.admin(pair.one, `SELECT pg_create_physical_replication_slot('r2_slot', true)`);
  prober.configure({
    clusters: [{ name: 'shop', ends: [endConfig('r1', pair.probeOptions(pair.one)), { ...endConfig('r2', pair.probeOptions(pair.two)), slot: 'r2_slot' }] }],
  });
  const before = await prober.until('shop', 'the slot to be seen', ({ slot, verdict }) => slot?.walStatus === 'reserved' && verdict.kind === 'promotable');
  t.match(before.slot, { name: 'r2_slot', retainedBytes: Number });
  pair.link.cut('from-target', 'to-target');
  await write();
  for (let round = 0; round < 5; round++) {
    await pair.admin(pair.one, 'SELECT pg_switch_wal()');
    await write();
  }
  await pair.admin(pair.one, 'CHECKPOINT');
  const lost = await prober.until('shop', 'the loss of the slot to be said', is('slot-lost'));
  t.match(lost.slot, { walStatus: 'lost' });
  t.ok((lost.loss.bytes.value ?? 0) > 16 * 1024 * 1024);
});

test('a synchronous pair: cancelled waits, rotated passwords, a fork', async (t) => {
  const { pair, prober, client, write } = await set(t, { synchronous: true, canary: true, changes: { walReceiverTimeoutMs: 60_000 } });

  await t.test('the canary: a row is visible on the standby before its commit is acknowledged', async (t) => {
    const report = await prober.until('shop', 'commits to wait for it', (one) => one.syncState === 'sync');
    t.equal(report.loss.bytes.value, 0);
    const { canary } = await prober.report('shop');
    t.equal(canary?.appliedBeforeAcknowledged, true);
    t.ok((canary?.visibleMs ?? 0) > 0);
  });

  await t.test('a commit that gave up its wait is visible here, and is counted as what would be lost', async (t) => {
    pair.link.cut('from-target', 'to-target');
    const waiting = write();
    t.equal(await stillWaits(waiting), true);
    const stalled = await prober.until('shop', 'the stall to be seen', is('receiver-stalled'));
    t.ok(((await prober.report('shop')).primary?.syncWaiters ?? 0) >= 1);
    const other = await pair.one.client();
    const { rows } = await other.query<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = current_user`);
    for (const { pid } of rows) await other.query('SELECT pg_cancel_backend($1)', [pid]);
    await waiting;
    await other.end();
    t.ok((stalled.loss.commits.value ?? 0) >= 1);
    t.match((await prober.standby('shop')).loss.text, /at most \d+ transactions/);
    pair.link.heal();
    await recovered(prober);
  });

  await t.test('the password is rotated on the server first: failures, then the new file counts without a restart', async (t) => {
    await pair.admin(pair.one, `ALTER ROLE ${PROBER_USER} PASSWORD '${scramVerifier('rotated-secret')}'`);
    await pair.admin(pair.one, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${PROBER_USER}'`);
    const failed = await waitFor('a look to fail', async () => (await prober.report('shop')).ends.find((end) => end.failure !== null));
    t.match(failed.failure, { code: 'CTM_DATABASE_SQL', message: /password authentication failed/ });
    t.notMatch(JSON.stringify(await prober.report('shop')), /secret/);
    rotatePassFile(pair.one.options.passFile, 'rotated-secret');
    await recovered(prober);
  });

  await t.test('promotion: the old primary comes back on a forked timeline, and its equal-looking position proves nothing', async (t) => {
    await client.end();
    const { one, two } = pair;
    await one.kill();
    await prober.until('shop', 'the primary to be missed', is('primary-silent'));
    await pair.admin(two, 'SELECT pg_promote()');
    await pair.start(one);
    const old = await prober.until('shop', 'the old primary to be refused', (report) => why(report) === 'another-primary', 'r1');
    t.match(old.lag, { bytes: { value: null }, milliseconds: { value: null } });
    const report = await prober.report('shop');
    t.match(report.primary, { name: 'r2', timeline: 2 });
  });
});
