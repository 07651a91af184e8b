// Each figure with its source, its confidence and its reason, in every situation that gives one or takes it away.

import t from 'tap';
import { both, primary, settings, standby, watch } from '../../testing/pair.ts';
import type { Look } from '../../testing/pair.ts';
import { lsn, monoMs } from '../types.ts';
import { factsOf, figuresOf } from './figures.ts';
import type { Figures } from './figures.ts';
import type { Reading } from './reading.ts';
import type { EndSample, ExporterSample, PrimarySample, StandbySample } from './sample.ts';
import type { ClusterState } from './state.ts';

const short = ({ value, source, confidence, ageMs, reason }: Reading): string => (value === null ? `? ${reason} (${ageMs})` : `${value} ${source} ${confidence} (${ageMs})`);
const shown = (figures: Figures): Record<string, string> => {
  const { lagBytes, lagMs, lossBytes, lossMs, lossCommits } = figures;
  return { lagBytes: short(lagBytes), lagMs: short(lagMs), lossBytes: short(lossBytes), lossMs: short(lossMs), lossCommits: short(lossCommits) };
};
const figures = (state: ClusterState, nowMs: number, name = 'r2') => shown(figuresOf(state, name, monoMs(nowMs)));
const all = (text: string) => ({ lagBytes: text, lagMs: text, lossBytes: text, lossMs: text, lossCommits: text });
const ahead: PrimarySample = { ...primary, lsn: lsn('0/580'), nextXid: 104 };
const look = (end: string, atMs: number, sample: EndSample | null): Look => ({ end, atMs, sample });

t.test('a standby that is behind: bytes are proven, ages and transactions are bounds', async (t) => {
  const state = watch([...both(5), ...both(1, ahead, { ...standby, receiveLsn: lsn('0/540') }, 5_000)]);
  t.same(figures(state, 6_300), {
    lagBytes: '128 both-ends proven (300)',
    lagMs: '1000 both-ends bounded (300)',
    lossBytes: '64 both-ends proven (300)',
    lossMs: '1000 both-ends bounded (300)',
    lossCommits: '4 both-ends bounded (300)',
  });
});

t.test('a standby that is silent: what it last told its primary, as a bound, as old as that', async (t) => {
  const sender = { ...primary.walsenders[0]!, flushLsn: lsn('0/560'), replayLsn: lsn('0/540') };
  const state = watch([...both(5), ...both(3, { ...ahead, walsenders: [sender] }, null, 5_000)]);
  t.same(figures(state, 8_100), {
    lagBytes: '64 primary bounded (100)',
    lagMs: '3000 primary bounded (100)',
    lossBytes: '32 primary bounded (100)',
    lossMs: '3000 primary bounded (100)',
    lossCommits: '4 primary bounded (100)',
  });
  t.hasStrict(figures(state, 7_500), { lagBytes: '128 both-ends proven (2500)' }, 'up to the age that evidence may have its own word counts');
});

t.test('no position, or one that is none, is no figure', async (t) => {
  const silentOf = (sample: Partial<StandbySample>) => figures(watch([...both(4), ...both(1, primary, { ...standby, ...sample }, 4_000)]), 5_000);
  t.same(silentOf({ receiveLsn: null, replayLsn: null }), all('? the standby names no position (0)'));
  t.same(silentOf({ receiveLsn: null, replayLsn: null, lastReplayedCommitMs: 1_000_000 }), all('? the standby names no position (0)'), 'a time is no position');
  t.hasStrict(silentOf({ receiveLsn: lsn('garbage'), replayLsn: null }), { lossBytes: '? the standby names no position (0)' });
  t.hasStrict(silentOf({ replayLsn: null }), { lagBytes: '? the standby names no position (0)', lossBytes: '0 both-ends proven (0)' });
});

t.test('a commit time stamp stands in for an age that the map does not reach back to', async (t) => {
  const late = { ...standby, receiveLsn: lsn('0/400'), replayLsn: lsn('0/400') };
  const aged = (lastReplayedCommitMs: number | null) => figures(watch(both(2, primary, { ...late, lastReplayedCommitMs })), 2_000);
  t.hasStrict(aged(null), { lagBytes: '256 both-ends proven (0)', lagMs: '? older than what is known of the primary (0)', lossMs: '? older than what is known of the primary (0)', lossCommits: '? older than what is known of the primary (0)' });
  t.hasStrict(aged(1_000_000 - 40_000), { lagMs: '42000 both-ends bounded (0)' });
});

t.test('what cannot be compared is unknown, with the reason', async (t) => {
  const after = (sample: EndSample, other: EndSample = primary) => figures(watch([...both(4), ...both(1, other, sample, 4_000)]), 5_100);
  t.same(after({ ...standby, systemIdentifier: '8' }), all('? another cluster: other system identifier (100)'));
  t.same(after({ ...standby, timeline: 1 }), all('? on timeline 1, the primary is on 2 (100)'));
  t.same(after({ ...standby, timeline: null }), all('? on timeline unknown, the primary is on 2 (100)'));
  for (const change of [{ timeline: 3 }, { systemIdentifier: '8' }]) {
    t.same(after({ ...standby, ...change }, { ...primary, ...change, lsn: lsn('garbage') }), all('? the primary changed its history (100)'));
    t.same(after({ ...standby, ...change }, { ...primary, ...change, walsenders: [] }), all('? never seen streaming from this primary on this timeline (100)'));
  }
  t.same(figures(watch([...both(4), ...both(1, primary, primary, 4_000)]), 5_000), all('? more than one primary (null)'));
  t.same(figures(watch([]), 5_000), all('? no primary was measured (null)'));
  t.same(figures(watch(both(3, { ...primary, lsn: lsn('garbage') })), 3_000), all('? no primary was measured (null)'), 'one that names no position');
  t.same(figures(watch([...both(3), look('r1', 4_000, standby)]), 4_000), all('? no primary was measured (null)'), 'one that follows now');
  t.same(figures(watch([look('r1', 1_000, primary), look('r2', 1_000, { ...primary, timeline: 1 })]), 1_000), all('? the standby was not measured (null)'), 'a primary of an older timeline is no standby, whoever uses its name');
  t.same(figures(watch([look('r1', 1_000, { ...primary, walsenders: [] })]), 2_000), all('? the standby was not measured (null)'));
  t.same(figures(watch([...both(4), ...both(4, { ...primary, walsenders: [] }, null, 4_000)]), 8_000), all('? the standby was last measured 4000 ms ago (4000)'));
});

t.test('without the primary an estimate is left: what was missing then, and what it used to write in such a time', async (t) => {
  const behind = { ...standby, receiveLsn: lsn('0/500'), replayLsn: lsn('0/500') };
  const looks = [...both(5), ...both(1, ahead, behind, 5_000), ...[7, 8, 9].map((second) => look('r2', second * 1_000, behind))];
  t.same(figures(watch(looks), 9_000), {
    ...all('? the primary was last measured 3000 ms ago (3000)'),
    lossMs: '4000 both-ends weak (3000)',
    lossCommits: `${Math.ceil(4 + (4 / 5_000) * 3_000)} both-ends weak (3000)`,
  });
  t.hasStrict(figures(watch(looks), 8_500), { lagBytes: '128 both-ends proven (2500)' }, 'up to the age that evidence may have it counts');
  const blind = looks.map((one) => (one.sample?.role === 'primary' ? { ...one, sample: { ...one.sample, nextXid: null } } : one));
  t.hasStrict(figures(watch(blind), 9_000), { lossMs: '4000 both-ends weak (3000)', lossCommits: '? the primary was last measured 3000 ms ago (3000)' });
  const nowhere = looks.map((one) => (one.sample?.role === 'standby' ? { ...one, sample: { ...one.sample, receiveLsn: null, replayLsn: null } } : one));
  t.same(figures(watch(nowhere), 9_000), all('? the primary was last measured 3000 ms ago (3000)'));
  const older = looks.map((one) => (one.sample?.role === 'standby' ? { ...one, sample: { ...one.sample, receiveLsn: lsn('0/400'), replayLsn: lsn('0/400') } } : one));
  t.same(figures(watch(older), 9_000), all('? the primary was last measured 3000 ms ago (3000)'), 'older than what is known of it');
});

t.test('transactions are estimated only where they were counted: at what it misses, at the newest, and since when', async (t) => {
  const estimate = (...counted: (number | null)[]) => {
    const wrote = counted.map((nextXid, index) => look('r1', (index + 1) * 1_000, { ...primary, lsn: lsn(`0/${5 + index}00`), nextXid }));
    const follows = [look('r2', 500, standby), ...wrote, look('r2', 6_000, { ...standby, receiveLsn: lsn('0/600'), replayLsn: lsn('0/600') })];
    return figures(watch(follows), 6_000).lossCommits;
  };
  const unknown = '? the primary was last measured 3000 ms ago (3000)';
  t.equal(estimate(100, 104, 110), '21 both-ends weak (3000)', '6 that it misses, and 10 in 2 s for 3 s more');
  t.equal(estimate(null, 104, 110), unknown);
  t.equal(estimate(100, null, 110), unknown);
  t.equal(estimate(100, 104, null), unknown);
});

t.test('an exporter on the primary\'s side is weak evidence, and a time lag of it counts only beside bytes', async (t) => {
  const exporter = (walsender: Partial<ExporterSample['walsenders'][number]> | null, rest: Partial<ExporterSample> = {}): ExporterSample => ({
    role: 'exporter',
    inRecovery: false,
    receiverUp: null,
    walsenders: walsender === null ? [] : [{ name: 'app-r2', replayBytes: 500, replayLagMs: 70, ...walsender }],
    ...rest,
  });
  const cluster = (r1: ExporterSample, atMs = 1_000, nowMs = 1_200) => figures(watch([look('r1', atMs, r1), look('r2', 1_000, exporter(null, { inRecovery: true }))]), nowMs);
  const silent = '? the exporter does not say (200)';
  t.same(cluster(exporter({})), { ...all(silent), lagBytes: '500 exporter weak (200)', lagMs: '70 exporter weak (200)' });
  for (const replayLagMs of [70, 0, null]) t.hasStrict(cluster(exporter({ replayBytes: 0, replayLagMs })), { lagBytes: '0 exporter weak (200)', lagMs: '0 exporter weak (200)' });
  t.hasStrict(cluster(exporter({ replayBytes: 500, replayLagMs: 0 })), { lagBytes: '500 exporter weak (200)', lagMs: silent });
  t.hasStrict(cluster(exporter({ replayBytes: 500, replayLagMs: null })), { lagBytes: '500 exporter weak (200)', lagMs: silent });
  t.same(cluster(exporter({ replayBytes: null })), all(silent));
  t.same(cluster(exporter({ name: 'another' })), all('? the exporter of the primary shows no walsender for it (200)'));
  t.same(cluster(exporter({}), 1_000, 3_501), all('? no primary was measured (null)'), 'too old');
  t.hasStrict(cluster(exporter({}), 1_000, 3_500), { lagBytes: '500 exporter weak (2500)' });
  for (const inRecovery of [true, null]) t.same(cluster(exporter({}, { inRecovery })), all('? no primary was measured (null)'));
  t.hasStrict(figures(watch([look('r1', 1_000, exporter({}))]), 1_200, 'r1'), all('? no primary was measured (null)'), 'not on itself');
});

t.test('the facts that a verdict is made of', async (t) => {
  const facts = (state: ClusterState, nowMs = 5_000, name = 'r2') => factsOf(state, name, monoMs(nowMs));
  t.match(facts(watch(both(5)), 5_200), { limits: settings.limits, primary: { ageMs: 200 }, twoPrimaries: false, role: 'standby', standby: { ageMs: 200 }, problem: null, linked: true, streaming: true, stalled: false, slotLost: false });
  const now = (r1: EndSample | null, r2: EndSample | null) => facts(watch([...both(4), ...both(1, r1, r2, 4_000)]));
  t.equal(now(primary, null).problem, 'CTM_PROBE_TIMEOUT: no answer in time');
  t.equal(now(primary, { ...standby, receiver: { streaming: false, source: null, messageAgeMs: null } }).streaming, false);
  t.equal(now(primary, { ...standby, receiver: null }).streaming, false);
  t.equal(now({ ...primary, walsenders: [{ ...primary.walsenders[0]!, state: 'catchup' }] }, standby).streaming, false);
  t.equal(now({ ...primary, slots: [{ ...primary.slots[0]!, walStatus: 'lost' }] }, standby).slotLost, true);
  for (const change of [{ timeline: 3 }, { systemIdentifier: '8' }]) t.equal(now({ ...primary, ...change, walsenders: [] }, { ...standby, ...change }).linked, false);
  t.match(facts(watch([...both(4), look('r1', 5_000, standby)])), { primary: null, linked: false }, 'the primary follows now');
  t.equal(now({ ...primary, slots: [{ ...primary.slots[0]!, name: 'another' }] }, standby).slotLost, true, 'dropped');
  t.equal(facts(watch(both(5)), 5_000, 'r1').slotLost, false, 'one that uses none loses none');
  t.equal(facts(watch([])).slotLost, false, 'nobody knows');
  t.match(facts(watch([])), { primary: null, role: null, standby: null, linked: false, streaming: false });
  t.throws(() => facts(watch([]), 0, 'r9'), { code: 'CTM_ASSERT_REPLICATION_END_UNKNOWN', message: 'CTM_ASSERT_REPLICATION_END_UNKNOWN: r9' });
});

t.test('every figure has its unit, known or not', async (t) => {
  const units = { lagBytes: 'bytes', lagMs: 'milliseconds', lossBytes: 'bytes', lossMs: 'milliseconds', lossCommits: 'commits' };
  const exporter: ExporterSample = { role: 'exporter', inRecovery: false, receiverUp: null, walsenders: [{ name: 'app-r2', replayBytes: 500, replayLagMs: 70 }] };
  const states = [watch([]), watch(both(5)), watch([...both(5), look('r2', 9_000, standby)]), watch([look('r1', 9_000, exporter)])];
  for (const state of states) {
    const found = figuresOf(state, 'r2', monoMs(9_000));
    t.same(Object.fromEntries(Object.entries(found).map(([name, { unit }]) => [name, unit])), units);
  }
});
