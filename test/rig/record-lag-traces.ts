// Records traces of a real pair for packages/sim/src/lag-traces.test.ts: `node test/rig/record-lag-traces.ts [NAME ...]`. What
// is recorded replaces packages/sim/traces/NAME.json; read the difference before committing it.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { monoMs } from '@continuum/core';
import { absorbProbe, newCluster, reportCluster } from '@continuum/core/replication/index';
import type { Probe } from '@continuum/core/replication/index';
import type { PostgresProbe } from '@continuum/adapters/postgres-probe/index';
import { probeOf, rowOf, saidOf, settingsOf } from '../../packages/sim/src/lag-trace.ts';
import type { LagTrace, Step } from '../../packages/sim/src/lag-trace.ts';
import { monotonicMs } from './clock.ts';
import { processesOf, startLagPair } from './lag-pair.ts';
import type { LagPair } from './lag-pair.ts';
import { signalAll, stopAll } from './process.ts';

type Plan = { readonly lengthMs: number; readonly writes: { readonly everyMs: number; readonly fromMs: number; readonly untilMs: number }; readonly steps: LagTrace['steps'] };

const LOOK_MS = 150;
/** A commit is some 150 bytes of log; this lets a third of them through. */
const SLOW_BYTES_PER_SECOND = 1_500;
const LIMITS: LagTrace['limits'] = { evidenceAgeMaxMs: 1_000, lossMaxBytes: 16_777_216, lossMaxMs: 60_000, stallMinMs: 300, replayLagMaxBytes: 67_108_864, replayLagMaxMs: 60_000 };
const STEADY = { everyMs: 50, fromMs: 300, untilMs: 3_600 };

const PLANS: Readonly<Record<string, Plan>> = {
  idle: { lengthMs: 3_000, writes: { everyMs: 5_000, fromMs: 2_000, untilMs: 2_100 }, steps: [] },
  'steady-writes': { lengthMs: 3_000, writes: STEADY, steps: [] },
  // Nothing is written after the thaw: what waited in the socket must come by itself.
  'frozen-receiver': { lengthMs: 4_200, writes: { ...STEADY, untilMs: 2_800 }, steps: [[1_000, 'freeze-receiver'], [3_000, 'thaw-receiver']] },
  'slow-link': { lengthMs: 4_500, writes: { ...STEADY, untilMs: 3_000 }, steps: [[1_000, 'slow-link'], [3_200, 'fast-link']] },
  'link-cut': { lengthMs: 4_200, writes: STEADY, steps: [[1_000, 'cut-link'], [3_000, 'heal-link']] },
  'replay-paused': { lengthMs: 4_200, writes: STEADY, steps: [[1_000, 'pause-replay'], [3_000, 'resume-replay']] },
  promotion: { lengthMs: 3_000, writes: { everyMs: 50, fromMs: 300, untilMs: 1_000 }, steps: [[1_500, 'promote-r2']] },
};

const FOLDER = fileURLToPath(new URL('../../packages/sim/traces/', import.meta.url));

const asked = process.argv.slice(2);
try {
  for (const name of asked.length > 0 ? asked : Object.keys(PLANS)) {
    const plan = PLANS[name];
    if (plan === undefined) throw new Error(`no trace "${name}": use ${Object.keys(PLANS).join(', ')}`);
    const trace = await record(name, plan);
    const text = render(trace);
    writeFileSync(`${FOLDER}${name}.json`, text);
    process.stdout.write(`${name}: ${trace.commits.length} commits, ${trace.looks.length} looks, ${text.length} bytes; ${[...new Set(trace.said.map((one) => one[1]))].join(', ')}\n`);
  }
} finally {
  await stopAll();
}

async function record(name: string, plan: Plan): Promise<LagTrace> {
  const pair = await startLagPair();
  const [version] = await pair.admin(pair.one, 'SHOW server_version');
  const probes = { r1: pair.probe(pair.one), r2: pair.probe(pair.two) };
  // Connected, prepared and quiet before it begins.
  for (const probe of Object.values(probes)) await probe.look(AbortSignal.timeout(5_000));
  const startMs = monotonicMs();
  const now = (): number => Math.round((monotonicMs() - startMs) * 10) / 10;
  const steps: [number, Step][] = [];
  const [commits, looks] = await Promise.all([write(pair, plan, now), watch(probes, plan.lengthMs, now), ...plan.steps.map(([atMs, step]) => at(atMs, now, async () => {
    const begun = now();
    await carryOut(pair, step);
    steps.push([begun, step]);
  }))]);
  await pair.close();
  const seen = looks.find(({ outcome }) => outcome.ok && outcome.sample.role === 'primary');
  const baseMs = seen?.outcome.ok === true && seen.outcome.sample.role === 'primary' ? seen.outcome.sample.clockMs : 0;
  const rows = looks.map((one) => rowOf(one, baseMs));
  return { name, server: `PostgreSQL ${String(version?.['server_version'])}`, limits: LIMITS, steps: steps.sort((a, b) => a[0] - b[0]), commits, looks: rows, said: say(rows) };
}

/** What the prober says of these rows: the rounding of a row must not come between what was said and what is compared. */
function say(rows: LagTrace['looks']): LagTrace['said'] {
  let state = newCluster(settingsOf({ limits: LIMITS }));
  return rows.flatMap((row, index) => {
    state = absorbProbe(state, probeOf(row));
    return index % 2 === 0 ? [] : [saidOf(reportCluster(state, monoMs(row[2])), row[2])];
  });
}

async function watch(probes: Readonly<Record<'r1' | 'r2', PostgresProbe>>, lengthMs: number, now: () => number): Promise<Probe[]> {
  const seen: Probe[] = [];
  for (let dueMs = 0; dueMs < lengthMs; dueMs += LOOK_MS) {
    await at(dueMs, now, async () => {
      const round = await Promise.all((['r1', 'r2'] as const).map(async (end): Promise<Probe> => {
        const sentMs = monoMs(now());
        const outcome = await probes[end].look(AbortSignal.timeout(1_000));
        return { end, sentMs, receivedMs: monoMs(now()), outcome };
      }));
      seen.push(...round.sort((a, b) => a.receivedMs - b.receivedMs));
    });
  }
  return seen;
}

async function write(pair: LagPair, { writes, lengthMs }: Plan, now: () => number): Promise<LagTrace['commits']> {
  const client = await pair.one.client();
  const commits: [number, string][] = [];
  for (let dueMs = writes.fromMs; dueMs < Math.min(writes.untilMs, lengthMs); dueMs += writes.everyMs) {
    await at(dueMs, now, async () => {
      await client.query('INSERT INTO counter (write_id, region) VALUES (gen_random_uuid(), $1)', ['r1']);
      const atMs = now();
      const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      commits.push([atMs, rows[0]?.lsn ?? '']);
    });
  }
  await client.end();
  return commits;
}

async function carryOut({ link, two, admin }: LagPair, step: Step): Promise<void> {
  switch (step) {
    case 'freeze-receiver':
      return signalAll(processesOf(two, 'walreceiver'), 'SIGSTOP');
    case 'thaw-receiver':
      return signalAll(processesOf(two, 'walreceiver'), 'SIGCONT');
    case 'slow-link':
      return link.limit(SLOW_BYTES_PER_SECOND);
    case 'fast-link':
      return link.limit(null);
    case 'cut-link':
      return link.cut('to-target', 'from-target');
    case 'heal-link':
      return link.heal();
    case 'pause-replay':
      return void (await admin(two, 'SELECT pg_wal_replay_pause()'));
    case 'resume-replay':
      return void (await admin(two, 'SELECT pg_wal_replay_resume()'));
    case 'promote-r2':
      return void (await admin(two, 'SELECT pg_promote()'));
  }
}

async function at(dueMs: number, now: () => number, work: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, dueMs - now())));
  await work();
}

/** One row a line. */
function render({ commits, looks, said, ...head }: LagTrace): string {
  const rows = (list: readonly unknown[]): string => list.map((one) => `    ${JSON.stringify(one)}`).join(',\n');
  return `${JSON.stringify(head).slice(0, -1)},\n  "commits": ${JSON.stringify(commits)},\n  "looks": [\n${rows(looks)}\n  ],\n  "said": [\n${rows(said)}\n  ]\n}\n`;
}
