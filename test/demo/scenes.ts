// What the demo shows of DNS while the witness is out of reach: a healthy holder holds on, because two resolvers of two vendors
// still see it; with the holder gone as well nothing is taken over, and the status says what is missing. Both are judged from the
// logs and from every request that a client made.

import { monotonicMs } from '../rig/clock.ts';
import { post } from '../rig/operator-api.ts';
import type { RegionName } from '../rig/site.ts';
import { readLogs } from './evidence.ts';
import { otherThan, pause } from './acts.ts';
import type { Run } from './acts.ts';
import { duration } from './timeline.ts';
import type { Check } from './timeline.ts';
import { startReaders } from './writer.ts';
import type { Client } from './writer.ts';

const READS_PER_SECOND = 50;
/** Twice what the lease alone would have carried. */
const TTLS_SHOWN = 2;

/** The witness is killed while the holder is healthy. It stays away. */
export async function witnessLost(run: Run, reading: Client): Promise<void> {
  const { site, say } = run.options;
  const { holder } = run;
  const other = otherThan(holder);
  const { ttlMs } = site.timings;
  const before = await site.regions[holder].status();
  const readers = startReaders(reading, READS_PER_SECOND, (read) => run.reads.push(read));
  say(`KILL the witness: ${holder} is healthy, and the resolvers still see it; its lease alone would last ${duration(ttlMs)}`);
  const killMs = monotonicMs();
  run.kills.push({ atMs: killMs, region: 'witness' });
  await site.witness().process.kill();
  await pause(TTLS_SHOWN * ttlMs);
  const [after, contender] = await Promise.all([site.regions[holder].status(), site.regions[other].status()]);
  await readers.stop();
  const endMs = monotonicMs();
  const inside = (one: { sentMs: number; endMs: number }): boolean => one.sentMs > killMs && one.endMs < endMs;
  const requests = [...run.writes.filter(inside).map((one) => one.outcome === 'acknowledged'), ...run.reads.filter(inside).map((one) => one.ok)];
  const failed = requests.filter((ok) => !ok).length;
  const held = entriesSince(run, killMs, 'held-by-quorum').filter((entry) => entry.region === holder);
  const holds = after.phase.kind === 'active' && after.actingEpoch === before.actingEpoch && after.actingEpoch > 0 && held.length > 0;
  const dark = contender.takeover?.find((one) => one.name === 'other-region-dark');
  const grants = entriesSince(run, killMs, 'granted').length;
  const outcome = `${holder} ${holds ? 'served on' : 'did NOT serve on'} for ${duration(endMs - killMs)} without a witness, ${failed} of ${requests.length} requests failed`;
  say(outcome);
  run.scenes.push({
    name: 'witness lost',
    fromMs: killMs,
    toMs: endMs,
    outcome,
    checks: [
      check('witness lost: the holder holds on through the resolvers', holds, `${holder} is ${after.phase.kind} under epoch ${after.actingEpoch} ${duration(endMs - killMs)} after the witness died (${after.witnessProblem?.split(':')[0] ?? 'no problem seen'}); its lease alone lasts ${duration(ttlMs)}`),
      check('witness lost: no failed request', failed === 0 && requests.length > 0, `${requests.length} requests, ${failed} failed`),
      check('witness lost: nobody takes over', grants === 0 && contender.actingEpoch === 0 && dark?.ok === false, `${grants} grants; ${other} may not: ${dark === undefined ? 'it gives no reason' : `${dark.name} is ${dark.value}`}`),
    ],
  });
}

/** The holder dies too. Then the witness comes back, and the other region takes over. */
export async function holderLostToo(run: Run): Promise<void> {
  const { site, say } = run.options;
  const dead = run.holder;
  const other = otherThan(dead);
  say(`KILL ${dead} as well: resolvers can show that it is gone, and only a register can grant`);
  const killMs = monotonicMs();
  run.kills.push({ atMs: killMs, region: dead });
  await site.regions[dead].kill();
  await pause(TTLS_SHOWN * site.timings.ttlMs);
  const status = await site.regions[other].status();
  const forced = await force(run, other);
  const grants = entriesSince(run, killMs, 'granted').length;
  const missing = status.takeover?.find((one) => one.name === 'witness-answers');
  const dark = status.takeover?.find((one) => one.name === 'other-region-dark');
  const endMs = monotonicMs();
  say(`nothing is taken over; ${other} needs that the witness ${missing?.limit ?? '(it does not say what)'}`);
  say('the witness comes back');
  await site.startWitness();
  const backMs = monotonicMs();
  const first = await run.acknowledgedBy(other, backMs);
  run.holder = other;
  run.changes += 1;
  const taken = entriesSince(run, endMs, 'granted');
  const outcome = `no takeover for ${duration(endMs - killMs)}; ${duration(first.endMs - backMs)} after the witness was back ${other} acknowledged a write`;
  say(outcome);
  run.scenes.push({
    name: 'witness and holder lost',
    fromMs: killMs,
    toMs: first.endMs,
    outcome,
    checks: [
      check('witness and holder lost: nothing is granted without a register, not even by force', grants === 0 && status.actingEpoch === 0 && forced.status === 409, `${grants} grants in ${duration(endMs - killMs)}; a forced takeover was answered ${forced.status}: ${forced.detail}`),
      check('witness and holder lost: the status says what is missing and what to do', missing?.ok === false && missing.limit !== '' && dark?.ok === true, `${missing === undefined ? 'nothing said' : `${missing.name} is ${missing.value}; needed: ${missing.limit}`}; ${dark === undefined ? '' : `${dark.name} is ${dark.value}`}`),
      check('the witness is back: the other region takes over, once', taken.length === 1 && taken[0]?.region === other, taken.map((entry) => `${entry.region} epoch ${String(entry.detail['epoch'])}`).join('; ')),
    ],
  });
}

/** What an operator without patience would try. */
async function force(run: Run, region: RegionName): Promise<{ readonly status: number; readonly detail: string }> {
  const { status, json } = await post(run.options.site.regions[region], '/v1/failover', { force: true, reason: 'the demo tries', estimatedLoss: 'none' });
  return { status, detail: (json as { readonly detail?: string }).detail ?? '' };
}

function entriesSince(run: Run, fromMs: number, event: string): ReturnType<typeof readLogs>['entries'] {
  return readLogs(run.options.site).entries.filter((entry) => entry.monoMs >= fromMs && entry.event === event);
}

const check = (name: string, passed: boolean, evidence: string): Check => ({ name, passed, evidence });
