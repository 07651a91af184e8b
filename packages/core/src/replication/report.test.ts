// What is told of a cluster, whole: nothing that was seen is left out, and nothing that was not seen looks like a figure.

import t from 'tap';
import { both, primary, settings, standby, watch } from '../../testing/pair.ts';
import { lsn, monoMs } from '../types.ts';
import { newCluster } from './measure.ts';
import { reading, unknownReading } from './reading.ts';
import { lossText, reportCluster, summariseStandbys } from './report.ts';

const zero = (unit: 'bytes' | 'milliseconds' | 'commits') => ({ value: 0, unit, ageMs: 200, source: 'both-ends', confidence: 'proven', reason: null });

t.test('a healthy pair', async (t) => {
  t.same(reportCluster(watch(both(5)), monoMs(5_200)), {
    cluster: 'shop',
    primary: { name: 'r1', timeline: 2, lsn: '0/500', ageMs: 200, synchronous: 'ANY 1 (app-r2)', syncWaiters: 1, syncWaitMsMax: 20, weakSettings: 0 },
    standbys: [
      {
        name: 'r2',
        verdict: { kind: 'promotable' },
        verdictForMs: 5_200 - 3_001,
        newest: { kind: 'promotable' },
        lag: { bytes: zero('bytes'), milliseconds: zero('milliseconds') },
        loss: { bytes: zero('bytes'), milliseconds: zero('milliseconds'), commits: zero('commits'), text: 'nothing was missing, measured 0.2 s ago' },
        syncState: 'sync',
        walsender: 'streaming',
        receiver: standby.receiver,
        replayPaused: false,
        applyDelayMs: 0,
        conflicts: 3,
        slot: { name: 'slot_r2', walStatus: 'reserved', retainedBytes: 16 },
      },
    ],
    ends: [
      { name: 'r1', role: 'primary', timeline: 2, ageMs: 200, failure: null },
      { name: 'r2', role: 'standby', timeline: 2, ageMs: 200, failure: null },
    ],
  });
});

t.test('a pair of which nothing is known yet', async (t) => {
  const report = reportCluster(newCluster(settings), monoMs(1_000));
  t.equal(report.primary, null);
  t.same(report.ends, ['r1', 'r2'].map((name) => ({ name, role: 'unknown', timeline: null, ageMs: null, failure: null })));
  for (const one of report.standbys) {
    t.match(one, { verdictForMs: null, syncState: null, walsender: null, receiver: null, replayPaused: null, applyDelayMs: null, conflicts: null, slot: null });
    t.equal(one.loss.text, 'unknown (no primary was measured)');
    for (const figure of [one.lag.bytes, one.lag.milliseconds, one.loss.bytes, one.loss.milliseconds, one.loss.commits]) {
      t.match(figure, { value: null, ageMs: null, source: 'none', confidence: 'none', reason: 'no primary was measured' }, figure.unit);
    }
  }
  t.same(report.standbys.map(({ name }) => name), ['r1', 'r2'], 'any of them may be a standby');
});

t.test('an end that does not answer, and for how long', async (t) => {
  const { ends } = reportCluster(watch([...both(3), ...both(2, null, standby, 3_000)]), monoMs(5_500));
  t.same(ends[0], { name: 'r1', role: 'primary', timeline: 2, ageMs: 2_500, failure: { code: 'CTM_PROBE_TIMEOUT', message: 'no answer in time', forMs: 1_500 } });
  t.equal(ends[1]?.failure, null);
});

t.test('what an end says of itself, and its primary of it, is told as it was said', async (t) => {
  const theirs = { name: 'slot_r9', active: true, walStatus: 'extended', retainedBytes: 7 };
  const further = { ...primary, lsn: lsn('0/580'), nextXid: 104, slots: [theirs, ...primary.slots] };
  const [report] = reportCluster(watch([...both(5), ...both(1, further, { ...standby, replayPaused: true, applyDelayMs: 60_000 }, 5_000)]), monoMs(6_000)).standbys;
  t.hasStrict(report, { replayPaused: true, applyDelayMs: 60_000, syncState: 'sync', slot: { name: 'slot_r2', walStatus: 'reserved', retainedBytes: 16 } });
  t.equal(report?.loss.text, 'at most 4 transactions, the last 1.0 s, measured 0.0 s ago; commits waited for this standby then');
});

t.test('a primary that follows now is no primary, and no other is known', async (t) => {
  t.equal(reportCluster(watch([...both(3), { end: 'r1', atMs: 4_000, sample: standby }]), monoMs(4_000)).primary, null);
});

t.test('a verdict that grew old by itself is not the debounced one, and has no duration', async (t) => {
  const state = watch(both(5));
  t.match(reportCluster(state, monoMs(7_500)).standbys[0], { verdict: { kind: 'promotable' }, verdictForMs: 7_500 - 3_001 });
  t.match(reportCluster(state, monoMs(7_501)).standbys[0], { verdict: { kind: 'unknown', reason: 'standby-silent' }, verdictForMs: null });
  const silent = watch([...both(5), ...[6, 7, 8].map((second) => ({ end: 'r2', atMs: second * 1_000, sample: standby }))]);
  t.match(reportCluster(silent, monoMs(8_000)).standbys[0], { verdict: { kind: 'unknown', reason: 'primary-silent' }, newest: { reason: 'primary-silent' } });
});

t.test('a summary says of each standby what the report says', async (t) => {
  const states = [watch(both(5)), newCluster(settings), watch(both(1, primary, primary)), watch([...both(5), ...both(3, null, standby, 5_000)])];
  for (const state of states) {
    for (const nowMs of [5_200, 8_000, 20_000].map(monoMs)) {
      const report = reportCluster(state, nowMs).standbys;
      t.same(
        summariseStandbys(state, nowMs),
        report.map(({ name, verdict, lag, loss }) => ({ name, verdict, lag, loss: { milliseconds: loss.milliseconds } })),
      );
    }
  }
});

t.test('an exporter has a role and no timeline; with two primaries both are looked at as standbys', async (t) => {
  const exporter = { role: 'exporter', inRecovery: true, receiverUp: true, walsenders: [] } as const;
  t.hasStrict(reportCluster(watch(both(1, primary, exporter)), monoMs(1_000)).ends[1], { role: 'exporter', timeline: null });
  t.same(reportCluster(watch(both(1, primary, primary)), monoMs(1_000)).standbys.map(({ name }) => name), ['r1', 'r2']);
});

const of = (confidence: 'proven' | 'bounded' | 'weak', ageMs: number | null = 300) => ({ ageMs, source: 'both-ends', confidence }) as const;
const unknown = (unit: 'bytes' | 'milliseconds' | 'commits') => unknownReading(unit, 'too old', 300);

t.test('the sentence for a forced promotion', async (t) => {
  const lost = { lossBytes: reading('bytes', 640, of('bounded')), lossMs: reading('milliseconds', 1_550, of('bounded')), lossCommits: reading('commits', 12, of('bounded')) };
  const weak = { ...lost, lossMs: reading('milliseconds', 4_000, of('weak')), lossCommits: reading('commits', 40, of('weak')) };
  const nothing = { ...lost, lossBytes: reading('bytes', 0, of('proven')) };
  const said: readonly [Parameters<typeof lossText>[0], string | null, string][] = [
    [lost, null, 'at most 12 transactions, the last 1.6 s, measured 0.3 s ago'],
    [lost, 'async', 'at most 12 transactions, the last 1.6 s, measured 0.3 s ago'],
    [lost, 'sync', 'at most 12 transactions, the last 1.6 s, measured 0.3 s ago; commits waited for this standby then'],
    [lost, 'quorum', 'at most 12 transactions, the last 1.6 s, measured 0.3 s ago; commits waited for this standby then'],
    [weak, null, 'estimated: about 40 transactions, the last 4.0 s, measured 0.3 s ago'],
    [{ ...lost, lossMs: unknown('milliseconds') }, null, 'at most 12 transactions, measured 0.3 s ago'],
    [{ ...lost, lossCommits: unknown('commits') }, null, 'the last 1.6 s, measured 0.3 s ago'],
    [{ ...lost, lossMs: reading('milliseconds', 1_550, of('bounded', null)) }, null, 'at most 12 transactions, the last 1.6 s'],
    [nothing, 'sync', 'nothing was missing, measured 0.3 s ago'],
    [{ lossBytes: unknown('bytes'), lossMs: unknown('milliseconds'), lossCommits: unknown('commits') }, null, 'unknown (too old)'],
    [{ lossBytes: unknown('bytes'), lossMs: { ...unknown('milliseconds'), reason: null }, lossCommits: unknown('commits') }, null, 'unknown (not measured)'],
  ];
  for (const [figures, syncState, text] of said) t.equal(lossText(figures, syncState), text);
});
