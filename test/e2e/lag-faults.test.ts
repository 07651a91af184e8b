// A real pair of either major version, a real prober, and every way in which the stream between the two breaks: what the
// prober says then, and that it says it soon.

import { test } from 'tap';
import { processesOf } from '../rig/lag-pair.ts';
import { INTERVAL_MS, is, recovered, watchPair, why } from '../rig/lag-watch.ts';
import { descendants, signalAll, waitFor } from '../rig/process.ts';

for (const major of ['postgres', 'postgres-18'] as const) {
  test(`faults of the stream (${major})`, async (t) => {
    const { pair, prober, write } = await watchPair(t, { major, changes: { walReceiverTimeoutMs: 60_000, settings: { wal_sender_timeout: '60s' } } });

    await t.test('idle: 0 bytes and 0 ms, proven from both ends', async (t) => {
      // A server that was just started still writes a little.
      const { lag } = await recovered(prober);
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

    await t.test('the postmaster alone freezes: looks go on over the kept connections, until a new one shows it', async (t) => {
      const { version } = await prober.report('shop');
      prober.configure({ connectionMaxAgeMs: 2_000 });
      await waitFor('the changed setting to count', async () => (await prober.report('shop')).version < version);
      await recovered(prober);
      signalAll([pair.two.pid()], 'SIGSTOP');
      try {
        const found = await prober.until('shop', 'to be unknown', is('standby-silent'));
        t.match(found, { verdict: { kind: 'unknown', detail: /did not answer in/ }, lag: { bytes: { source: 'primary' } } }, 'its receiver goes on, as the primary sees');
      } finally {
        signalAll([pair.two.pid()], 'SIGCONT');
      }
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
}
