// A real pair of either major version, a real prober, and what goes wrong with a server, its disk, its log, its secrets and
// its history: what the prober says then.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { scramVerifier } from '@continuum/adapters/postgres/index';
import { PROBER_USER, rotatePassFile } from '../rig/lag-pair.ts';
import { is, recovered, watchPair, why } from '../rig/lag-watch.ts';
import { stillWaits } from '../rig/postgres-pair.ts';
import { endConfig } from '../rig/prober.ts';
import { waitFor } from '../rig/process.ts';
import { startOnSmallDisk } from '../rig/small-disk.ts';

for (const major of ['postgres', 'postgres-18'] as const) {
  test(`replay is paused (${major})`, async (t) => {
    const { pair, prober, write } = await watchPair(t, { major });
    await pair.admin(pair.two, 'SELECT pg_wal_replay_pause()');
    await prober.until('shop', 'the pause to be seen', is('replay-paused'));
    await write();
    // It has the log: a promotion would not lose it.
    const report = await prober.until('shop', 'replay to be behind, and nothing missing', (one) => (one.lag.bytes.value ?? 0) > 0 && one.loss.bytes.value === 0);
    t.match(report.verdict, { kind: 'notPromotable', reason: 'replay-paused' });
    await pair.admin(pair.two, 'SELECT pg_wal_replay_resume()');
    await recovered(prober);
  });

  test(`the standby's disk is full: it receives nothing more, and what it lacks is counted (${major})`, async (t) => {
    // A primary without checkpoints: its standby may drop nothing of its log.
    const { pair, prober, client } = await watchPair(t, { major, changes: { settings: { max_wal_size: '1GB', wal_keep_size: '512MB' } } });
    await pair.two.kill();
    await startOnSmallDisk(pair.two, 96);
    await recovered(prober);
    for (let round = 0; round < 3; round++) {
      await client.query(`CREATE TABLE ballast_${round} AS SELECT g, repeat(md5(g::text), 8) AS t FROM generate_series(1, 150000) AS g`);
    }
    const full = await prober.until('shop', 'the end of the stream to be said', (report) => is('not-streaming')(report) && (report.loss.bytes.value ?? 0) > 16 * 1024 * 1024);
    t.match(readFileSync(pair.two.options.logFile, 'utf8'), /No space left on device/, 'it was really the disk');
    t.equal(full.verdict.kind, 'notPromotable');
    t.ok((full.lag.bytes.value ?? 0) >= (full.loss.bytes.value ?? 0), 'what it has not received it has not replayed');
    t.equal(full.lag.bytes.source, 'both-ends', 'both servers still answer');
    await pair.two.kill();
    await pair.start(pair.two);
    await recovered(prober);
  });

  test(`the slot is lost: the standby needs log that is gone, and says so before somebody counts on it (${major})`, async (t) => {
    const settings = { wal_sender_timeout: '1s', max_slot_wal_keep_size: '16MB', min_wal_size: '32MB', max_wal_size: '48MB' };
    const { pair, prober, write } = await watchPair(t, { major, changes: { walReceiverTimeoutMs: 1_000, settings } });
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

  test(`a synchronous pair: cancelled waits, rotated passwords, a fork (${major})`, async (t) => {
    const { pair, prober, client, write } = await watchPair(t, { major, synchronous: true, canary: true, changes: { walReceiverTimeoutMs: 60_000 } });

    await t.test('the canary: a row is visible on the standby before its commit is acknowledged', async (t) => {
      const report = await prober.until('shop', 'commits to wait for it', (one) => one.syncState === 'sync');
      t.equal(report.loss.bytes.value, 0);
      const canary = await waitFor('a row of the canary to be acknowledged', async () => {
        const { canary } = await prober.report('shop');
        return (canary?.appliedBeforeAcknowledged ?? null) !== null && canary;
      });
      t.equal(canary.appliedBeforeAcknowledged, true);
      t.ok((canary.visibleMs ?? 0) > 0);
    });

    await t.test('a commit that gave up its wait is visible here, and is counted as what would be lost', async (t) => {
      pair.link.cut('from-target', 'to-target');
      const waiting = write();
      t.equal(await stillWaits(waiting), true);
      await prober.until('shop', 'the stall to be seen, and the commit that waits', (report) => is('receiver-stalled')(report) && (report.loss.commits.value ?? 0) >= 1);
      t.ok(((await prober.report('shop')).primary?.syncWaiters ?? 0) >= 1);
      const other = await pair.one.client();
      const { rows } = await other.query<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = current_user`);
      for (const { pid } of rows) await other.query('SELECT pg_cancel_backend($1)', [pid]);
      await waiting;
      await other.end();
      t.match((await prober.standby('shop')).loss.text, /at most \d+ transactions/);
      pair.link.heal();
      await recovered(prober);
    });

    await t.test('the password is rotated on the server first: failures, then the new file counts without a restart', async (t) => {
      await pair.admin(pair.one, `ALTER ROLE ${PROBER_USER} PASSWORD '${scramVerifier('rotated-secret')}'`);
      await pair.admin(pair.one, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${PROBER_USER}'`);
      // A look that was under way fails of its ended connection first.
      const refused = await waitFor('the old password to be refused', async () =>
        (await prober.report('shop')).ends.find(({ failure }) => failure?.message.includes('password authentication failed')),
      );
      t.match(refused.failure, { code: 'CTM_DATABASE_SQL' });
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
}

test('positions cross 4 GiB, where their high word changes: what is missing is some segments, on either side of it', async (t) => {
  const { pair, prober, write } = await watchPair(t, {
    // Only a server that stands just before it gets there: with the oldest major version, which has the program for it.
    prepare: ({ one: { options } }) => {
      const { dataDir, binDir, env, runAs } = options;
      const owner = runAs === null ? {} : runAs;
      execFileSync(join(binDir, 'pg_resetwal'), ['-D', dataDir, '-l', '0000000100000000000000FC'], { cwd: '/', stdio: 'ignore', env: { ...process.env, ...env, LC_ALL: 'C' }, ...owner });
    },
  });
  t.match((await prober.report('shop')).primary?.lsn, /^0\/F/);
  await pair.admin(pair.two, 'SELECT pg_wal_replay_pause()');
  await prober.until('shop', 'the pause to be seen', is('replay-paused'));
  for (let segment = 0; segment < 4; segment++) {
    await write();
    await pair.admin(pair.one, 'SELECT pg_switch_wal()');
  }
  await write();
  const crossed = await waitFor('the high word to change', async () => {
    const report = await prober.report('shop');
    const standby = report.standbys[0];
    return report.primary?.lsn.startsWith('1/') === true && standby?.loss.bytes.value === 0 && standby;
  });
  const lagBytes = crossed.lag.bytes.value ?? Number.NaN;
  t.ok(lagBytes > 0 && lagBytes < 5 * 16 * 1024 * 1024, `${lagBytes} bytes`);
  await pair.admin(pair.two, 'SELECT pg_wal_replay_resume()');
  await recovered(prober);
});
